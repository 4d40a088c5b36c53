//! The durable segmented log that Wiber stands on: opaque entries at consecutive indexes, a vote, and the place where the
//! log starts. It knows bytes and indexes; no Raft, no async, nothing of what the entries mean.
//!
//! The way of an entry: [`Log::append`] puts it into the hot tail, where it can be read, and into the writer's queue; the
//! [`Writer`] takes all that waits, writes it as frames at the end of the newest segment, syncs once, and calls back.
//! The way back: [`Log::read`] looks into the hot tail, else finds the segment and a place near the entry in its
//! sparse index, and reads frames from there. At opening, recovery works out what the files hold without touching
//! them, then repair cuts a torn tail or refuses.
//!
//! # On disk
//!
//! All integers are little-endian; `crc32c` is the Castagnoli checksum. A folder holds one log: `vote`, `start` and `committed`,
//! and segments named by their first index in 20 digits, `00000000000000000000.seg`. The `vote` file is made last:
//! where it is, everything else is.
//!
//! A segment is a header, then frames without gaps, to the end of the file. Its header is durable before its first frame is
//! written, and everything before it is durable before it is made.
//!
//! ```text
//! segment header, 128 bytes
//!   0  magic          8 bytes "WIBERSEG"
//!   8  version u32    1
//!  12  group u32      with cluster: the stamp
//!  16  cluster u128
//!  32  base_index u64 the first index, as in the name
//!  40  base_term u64  term of the entry before, 0 if there is none
//!  48  prefix_hash u64 of the log up to the entry before
//!  56  chain_from u64 the index that prefix hashes count from: later than the log's first entry after a snapshot
//!  64  flushed_end u64 entries below were durable when the segment was made
//!  72  zeros, reserved
//! 124  crc32c u32     of bytes 0..124
//!
//! frame, a multiple of 8 bytes
//!   0  magic u32      "WFRM"
//!   4  entry_len u32  at most 32 MiB
//!   8  index u64
//!  16  term u64
//!  24  flushed_end u64 entries below were durable when the frame was written
//!  32  prefix_hash u64 of the log up to and with this entry: mixes the one before, index, term and entry_crc
//!  40  entry_crc u32  crc32c of the entry
//!  44  header_crc u32 crc32c of: cluster, group, base_index, the frame's position u64, bytes 0..44
//!  48  the entry as it was given, then zeros to a multiple of 8
//!
//! slot, 128 bytes at 0 and at 4096 of `vote`, `start` and `committed` (8192 bytes each)
//!   0  magic u32      "WSLT"
//!   4  version u32    1
//!   8  sequence u64   the whole slot with the higher one counts; odd ones stand at 4096
//!  16  cluster u128
//!  32  group u32
//!  36  kind u32       1 vote, 2 start, 3 committed
//!  40  len u32        of the payload, at most 64
//!  44  zeros, reserved
//!  48  payload        vote: opaque, empty for none
//!                     start: first_index u64, purged u64 (0 or 1), purged_term u64, log_end u64
//!                     committed: term u64, index u64, durable_end u64; empty for none
//! 124  crc32c u32     of bytes 0..124
//! ```
//!
//! A header's checksum covers its entry through `entry_crc`, and is good in one place of one segment only, so frames inside
//! entries are never taken for frames.

mod api;
mod cuts;
mod disk;
mod error;
mod failure;
mod format;
mod hot_tail;
mod log;
mod memory_disk;
mod open_files;
mod reader;
#[cfg(unix)]
mod real_disk;
mod recovery;
mod repair;
mod scan;
mod segment;
mod shared;
mod state;
mod stats;
mod tail;
mod terms;
mod vote;
mod writer;
mod writer_thread;

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
    memory_disk::{DiskCounts, DiskOp, MemoryDisk},
    shared::{Command, QUEUE_BYTES, QUEUE_COMMANDS, UNFLUSHED_BYTES},
    writer::Writer,
};
