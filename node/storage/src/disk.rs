//! The disk as the log sees it. Everything the log asks of the machine, time included, goes through here, so that
//! a simulation can stand in for the machine and lose what a power cut loses.

use std::{io, path::Path, sync::Arc};

/// A file system and a clock.
pub trait Disk: Send + Sync {
    /// A new, empty file for reading and writing. Fails if there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// An existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces what is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// The names of what is in a folder, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder and those above it durably; one that exists is fine.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn is_dir(&self, path: &Path) -> io::Result<bool>;
    /// When it returns, files created, renamed and unlinked in `dir` stay so after a power cut.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Microseconds on a clock that never goes back, from an arbitrary start.
    fn now_us(&self) -> u64;
}

/// An open file. Positions are absolute; there is no cursor, so readers and the writer share it.
pub trait DiskFile: Send + Sync {
    fn size_bytes(&self) -> io::Result<u64>;
    /// Fills `buf`, or fails with `UnexpectedEof`.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()>;
    /// Writes all of `buf`; a write beyond the end grows the file.
    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()>;
    /// Sees to it that the file can grow to `size_bytes` whatever else takes room on the disk; its size stays. `StorageFull`
    /// if there is no such room. A disk that can't promise it says `Ok`.
    fn reserve(&self, size_bytes: u64) -> io::Result<()>;
    /// Also gives back what was reserved beyond.
    fn set_len(&self, size_bytes: u64) -> io::Result<()>;
    /// When it returns, everything written and the length that is needed to read it survive a power cut.
    fn sync_data(&self) -> io::Result<()>;
    /// As [`DiskFile::sync_data`], and a length that shrank is durable too.
    fn sync_all(&self) -> io::Result<()>;
}
