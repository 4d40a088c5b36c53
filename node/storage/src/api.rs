//! The values that cross the border of this crate: what is stored, how a log is opened, what it found, and
//! whom it tells.

use std::{io, time::Duration};

use bytes::Bytes;

/// The largest entry a log takes, in bytes.
pub const MAX_ENTRY_BYTES: usize = 32 << 20;
/// The largest vote a log takes, in bytes. What it means is its owner's business.
pub const MAX_VOTE_BYTES: usize = 64;

/// One entry: opaque bytes at an index, with its term. Cloning shares `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    pub index: u64,
    pub term: u64,
    /// At most [`MAX_ENTRY_BYTES`].
    pub bytes: Bytes,
}

/// Whose log this is. It stands in every file; a log is only opened under the stamp it was written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub cluster: u128,
    pub group: u32,
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cluster {:032x} group {}", self.cluster, self.group)
    }
}

/// How a log is laid out and how much of it stays in memory.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A segment is closed before the frame that would grow it past this. At most [`LogOptions::MAX_SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// Newest entries kept in memory. Entries that are not yet flushed are kept whatever their size.
    pub hot_tail_bytes: usize,
    /// Room on the disk is kept reserved for at least so many bytes to come; without it the log says that there is no
    /// room, see [`crate::Log::has_room`], and still takes what fits the reserve. At least the largest entry, or what
    /// comes then may fail. 0 reserves nothing.
    pub reserve_bytes: u64,
    /// A small flush that grows the file writes so many zeros behind it, within the reserve: the flushes that follow
    /// change neither its size nor its blocks, and are faster. 0 fills nothing.
    pub fill_bytes: u64,
    pub stamp: Stamp,
    /// Whether a log was made here before: then a folder without one is refused, as a vote it held is lost with it.
    pub must_exist: bool,
}

impl LogOptions {
    /// Positions inside a segment are kept as 32 bits in memory.
    pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;

    /// 64 MiB segments, a hot tail of 32 MiB, room for 16 MiB to come and 256 KiB filled ahead, for a folder that may be blank.
    pub fn new(stamp: Stamp) -> Self {
        Self {
            segment_bytes: 64 << 20,
            hot_tail_bytes: 32 << 20,
            reserve_bytes: 16 << 20,
            fill_bytes: 256 << 10,
            stamp,
            must_exist: false,
        }
    }
}

/// What a log held when it was opened. All of it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub vote: Option<Bytes>,
    /// `(term, index)` as last saved, never beyond `last`. A hint: it is not flushed when it is saved.
    pub committed: Option<(u64, u64)>,
    /// `(term, index)` of the last entry below the log's start.
    pub purged: Option<(u64, u64)>,
    /// `(term, index)` of the last entry; `purged` when the log is empty.
    pub last: Option<(u64, u64)>,
    /// Bytes of a torn tail that were cut off. They were never acknowledged. Zeros that only kept room do not count.
    pub cut_bytes: u64,
}

/// Called exactly once: with `Ok` when the command is durable, with `Err` when it never will be known to be.
///
/// It runs on the writer's thread (or on the caller's, when a command is refused at once), so it must be short
/// and must not give the log another command: the writer would wait for itself when its queue is full.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Hears of flushes and of the one failure. Called on the writer's thread.
pub trait Observer: Send + Sync {
    /// A flush ended: `bytes` were written since the one before, `elapsed` is the time of the sync alone.
    /// `last_index` is the newest index now durable.
    fn flushed(&self, last_index: Option<u64>, bytes: u64, elapsed: Duration);
    /// Whether there is room on the disk changed, see [`crate::Log::has_room`].
    fn room(&self, has_room: bool);
    /// The log is poisoned, see [`crate::Log::failed`]. Called once.
    fn failed(&self, error: &str);
}

/// An observer that does nothing.
pub struct NoObserver;

impl Observer for NoObserver {
    fn flushed(&self, _last_index: Option<u64>, _bytes: u64, _elapsed: Duration) {}
    fn room(&self, _has_room: bool) {}
    fn failed(&self, _error: &str) {}
}

/// The log in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    pub segments: usize,
    /// Bytes of all segment files, headers included.
    pub bytes: u64,
    /// Flushes since the log was opened.
    pub fsync_count: u64,
    /// Over the last 1,024 flushes, as the maximum is.
    pub fsync_p50_us: u64,
    pub fsync_p99_us: u64,
    pub fsync_max_us: u64,
}
