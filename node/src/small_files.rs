//! Files that must survive a crash whole: a node's identity, its clock's ceiling, and those of the index.
//!
//! The method is the usual one: write a temporary file beside the old one, fsync it, rename it over the old
//! one, fsync the folder. Whatever happens in between, a reader finds the old text or the new one.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wiber_storage::{Disk, RealDisk};

/// The disk as the small files see it; a test brings its own.
pub trait SmallFiles: Send + Sync {
    /// The whole file, or `None` where there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;
    /// Replaces the whole file. Durable when it returns `Ok`; after an `Err` either text may be there.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Takes the room for one [`SmallFiles::replace_in_room`] of up to [`SPARE_BYTES`].
    fn keep_room(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    /// As [`SmallFiles::replace`], on a full disk, too. Only after a [`SmallFiles::keep_room`] of the same process that
    /// said `Ok`, and once for each.
    fn replace_in_room(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.replace(path, bytes)
    }
}

/// Of temporary files.
pub(crate) const TEMPORARY_EXTENSION: &str = "tmp";

/// Room that is kept for a file that must be replaced at any time.
const SPARE_BYTES: usize = 64;

/// Small files on any disk.
#[derive(Clone)]
pub struct DiskFiles(pub Arc<dyn Disk>);

/// The machine's own disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl SmallFiles for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        read(&*self.0, path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        replace(&*self.0, path, bytes, Temporary::Anew)
    }

    fn replace_in_room(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        replace(&*self.0, path, bytes, Temporary::Kept)
    }

    fn keep_room(&self, path: &Path) -> io::Result<()> {
        keep_room(&*self.0, path)
    }
}

impl SmallFiles for OsFiles {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        read(&RealDisk::new(), path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        replace(&RealDisk::new(), path, bytes, Temporary::Anew)
    }

    fn replace_in_room(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        replace(&RealDisk::new(), path, bytes, Temporary::Kept)
    }

    fn keep_room(&self, path: &Path) -> io::Result<()> {
        keep_room(&RealDisk::new(), path)
    }
}

/// The whole file, or `None` where there is none.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let whole = || -> io::Result<Vec<u8>> {
        let file = disk.open(path)?;
        let size_bytes = usize::try_from(file.size_bytes()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; size_bytes];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    match whole() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path, "cannot read", &e)),
    }
}

/// Which file is written before it takes the place of the old one.
#[derive(Clone, Copy)]
pub(crate) enum Temporary {
    /// A new one. One that an earlier process left may be the old file under another name, if the power went in the
    /// middle of a rename: to write into it would tear the old text.
    Anew,
    /// The one that keeps room, which this process has made. It stays if it cannot be written.
    Kept,
}

/// Replaces the whole file. Durable when it returns `Ok`; after an `Err` either text may be there.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    temporary_file: Temporary,
) -> io::Result<()> {
    let temporary = temporary(path);
    let write = || {
        let file = match temporary_file {
            Temporary::Anew => {
                unlink(disk, &temporary)?;
                disk.create(&temporary)?
            }
            Temporary::Kept => disk.open(&temporary)?,
        };
        file.write_at(bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    };
    if let Err(error) = write() {
        if matches!(temporary_file, Temporary::Anew) {
            // Half a file is of no use, and on a full disk it would be in the way. What went wrong is said, not this.
            drop(disk.unlink(&temporary));
        }
        return Err(at(&temporary, "cannot write", &error));
    }
    disk.rename(&temporary, path)
        .map_err(|e| at(path, "cannot replace", &e))?;
    sync_dir(disk, path.parent().unwrap_or(Path::new(".")))
}

/// Makes a folder's entries on `disk` durable.
pub(crate) fn sync_dir(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    disk.sync_dir(folder).map_err(|e| at(folder, "cannot sync", &e))
}

/// What is written before it takes the place of `path`.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    path.with_added_extension(TEMPORARY_EXTENSION)
}

fn unlink(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.unlink(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The temporary file of the next replacement, made beforehand.
fn keep_room(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let temporary = temporary(path);
    let make = || {
        unlink(disk, &temporary)?;
        let file = disk.create(&temporary)?;
        file.write_at(&[0; SPARE_BYTES], 0)?;
        file.sync_all()
    };
    make().map_err(|e| at(&temporary, "cannot make", &e))
}

/// Makes the folder's entries durable: files created, renamed or removed in it.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(|e| at(folder, "cannot sync", &e))
}

/// Whether an I/O error says that there is no room, which may pass.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// An I/O error that says which file it is about.
pub(crate) fn at(path: &Path, what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{what} {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_reads_back_and_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.json");
        assert_eq!(OsFiles.read(&path).unwrap(), None);
        OsFiles.replace(&path, b"a longer first text").unwrap();
        OsFiles.replace(&path, b"second").unwrap();
        assert_eq!(OsFiles.read(&path).unwrap().as_deref(), Some(&b"second"[..]));
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.json");
        OsFiles.replace(&path, b"old").unwrap();
        // What a crash between write and rename leaves behind.
        fs::write(folder.path().join("small.json.tmp"), b"ne").unwrap();
        assert_eq!(OsFiles.read(&path).unwrap().as_deref(), Some(&b"old"[..]));
        OsFiles.replace(&path, b"new").unwrap();
        assert_eq!(OsFiles.read(&path).unwrap().as_deref(), Some(&b"new"[..]));
    }

    /// What was lost: a node with a full disk, as soon as a peer's clock was ahead.
    #[test]
    fn a_file_that_keeps_room_is_replaced_on_a_full_disk() {
        let disk = wiber_storage::MemoryDisk::new();
        let files = DiskFiles(Arc::new(disk.clone()));
        let path = Path::new("/small");
        files.replace(path, b"first").unwrap();
        files.keep_room(path).unwrap();
        disk.set_room(Some(0));
        files.replace_in_room(path, b"second").unwrap();
        assert_eq!(files.read(path).unwrap().as_deref(), Some(&b"second"[..]));
        disk.crash(1);
        assert_eq!(files.read(path).unwrap().as_deref(), Some(&b"second"[..]));
    }

    /// The power may go when the new name is on disk and the old one is not gone yet.
    #[test]
    fn a_temporary_file_that_is_the_file_itself_is_not_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small");
        OsFiles.replace(&path, b"old").unwrap();
        let temporary = path.with_added_extension("tmp");
        std::fs::hard_link(&path, &temporary).unwrap();
        let old = std::fs::File::open(&path).unwrap();
        OsFiles.replace(&path, b"new").unwrap();
        assert_eq!(std::io::read_to_string(&old).unwrap(), "old");
        std::fs::hard_link(&path, &temporary).unwrap();
        OsFiles.keep_room(&path).unwrap();
        assert_eq!(OsFiles.read(&path).unwrap().as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn half_a_file_takes_no_room() {
        let disk = wiber_storage::MemoryDisk::new();
        let files = DiskFiles(Arc::new(disk.clone()));
        disk.set_room(Some(10));
        files
            .replace(Path::new("/large"), &[1; 20])
            .expect_err("there is no room");
        assert!(disk.contents().is_empty());
        files.replace(Path::new("/small"), &[1; 10]).unwrap();
    }

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("small.json");
        let error = OsFiles.replace(&path, b"x").unwrap_err().to_string();
        assert!(error.contains("missing/small.json.tmp"), "{error}");
    }
}
