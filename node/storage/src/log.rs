//! The handle on a log: what may be asked of it, from any thread.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;

use crate::{
    api::{Done, LogOptions, LogStats, Observer, Recovered, StoredEntry},
    disk::Disk,
    error::OpenError,
};

/// A segmented log with one writer. Cheap to clone; the writer ends with the last clone, or at [`Log::close`].
#[derive(Clone)]
pub struct Log {
    _inner: Arc<()>,
}

#[allow(
    unused_variables,
    clippy::todo,
    clippy::unused_self,
    clippy::needless_pass_by_value,
    clippy::missing_panics_doc
)]
impl Log {
    /// Recovers the log in `dir` (made if missing) and starts its writer.
    pub fn open(
        dir: &Path,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        observer: Arc<dyn Observer>,
    ) -> Result<(Log, Recovered), OpenError> {
        todo!()
    }

    /// Appends entries with consecutive indexes right after [`Log::last`]; an empty log that was never purged takes any
    /// first index. Readable when it returns; `done(Ok)` only after a flush that covers them and every earlier byte.
    /// `done` is called exactly once whatever is returned. A refused append (a gap, an entry too large) poisons nothing.
    pub fn append(&self, entries: Vec<StoredEntry>, done: Done) -> io::Result<()> {
        todo!()
    }

    /// Durable, through the same ordered writer.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        todo!()
    }

    /// Lazy: written some time soon, not flushed; a newer value replaces a waiting one.
    pub fn save_committed(&self, term: u64, index: u64) {
        todo!()
    }

    /// Keeps entries up to and including `last`; `None` drops everything above `purged`. Exclusive and durable before
    /// any later append; entries that were cut are not read again after the call. Beyond the end it changes nothing.
    pub fn truncate_after(&self, last: Option<u64>, done: Done) {
        todo!()
    }

    /// Moves the log's durable start past `index`. Whole segments below are unlinked afterwards. With `index` at or
    /// beyond the end the log becomes empty and its `last` is `(term, index)`.
    pub fn purge(&self, term: u64, index: u64, done: Done) {
        todo!()
    }

    /// Entries `from..to` from memory: `Some` only if `from` is there. At least one entry, then as many as fit `max_bytes`.
    pub fn read_hot(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<StoredEntry>> {
        todo!()
    }

    /// Entries `from..to` from memory or files; blocks. What was purged or is not there yet is left out at either end,
    /// never in the middle. At least one entry if there is one in the range, then as many as fit `max_bytes`.
    pub fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        todo!()
    }

    /// `(term, index)` of the last entry, flushed or not; `purged` when the log is empty.
    pub fn last(&self) -> Option<(u64, u64)> {
        todo!()
    }

    pub fn purged(&self) -> Option<(u64, u64)> {
        todo!()
    }

    /// The newest index known durable.
    pub fn flushed_index(&self) -> Option<u64> {
        todo!()
    }

    /// The term of the entry at `index`, or of the last purged one, without touching the disk.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        todo!()
    }

    pub fn stats(&self) -> LogStats {
        todo!()
    }

    /// Set once the log is poisoned by a failed write or flush: says which file, what was tried, and the error.
    pub fn failed(&self) -> Option<String> {
        todo!()
    }

    /// Flushes what waits, then stops and joins the writer. Later commands are refused; reads go on.
    pub fn close(&self) {
        todo!()
    }
}
