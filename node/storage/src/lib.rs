//! The durable segmented log that Wiber stands on. It knows bytes and indexes, and no Raft.

mod api;
mod disk;
mod error;
mod log;
#[cfg(unix)]
mod real_disk;

#[cfg(unix)]
pub use crate::real_disk::RealDisk;
pub use crate::{
    api::{
        Done, LogOptions, LogStats, MAX_ENTRY_BYTES, MAX_VOTE_BYTES, NoObserver, Observer, Recovered, Stamp,
        StoredEntry,
    },
    disk::{Disk, DiskFile},
    error::OpenError,
    log::Log,
};
