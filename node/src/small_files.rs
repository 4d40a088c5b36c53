//! Small files that must survive a crash whole: a node's identity and its clock's ceiling.
//!
//! The method is the usual one: write a temporary file beside the old one, fsync it, rename it over the old
//! one, fsync the folder. Whatever happens in between, a reader finds the old text or the new one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// The disk as the small files see it; a test or a simulation brings its own.
pub trait SmallFiles: Send + Sync {
    /// The whole file, or `None` where there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;
    /// Replaces the whole file. Durable when it returns `Ok`; after an `Err` either text may be there.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The machine's own disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl SmallFiles for OsFiles {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(path, "cannot read", &e)),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_added_extension("tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|e| at(&temporary, "cannot write", &e))?;
        fs::rename(&temporary, path).map_err(|e| at(path, "cannot replace", &e))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        sync_folder(folder)
    }
}

/// Makes the folder's entries durable: files created, renamed or removed in it.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(|e| at(folder, "cannot sync", &e))
}

/// An I/O error that says which file it is about.
pub(crate) fn at(path: &Path, what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{what} {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("small.json");
        let error = OsFiles.replace(&path, b"x").unwrap_err().to_string();
        assert!(error.contains("missing/small.json.tmp"), "{error}");
    }
}
