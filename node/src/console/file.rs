//! `console.log`, rotated by size: when it is full it becomes `console.log.1`, which becomes `.2`, and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::small_files::at;

/// A file is not written beyond this, except by its last line.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Old files kept beside the current one.
const KEPT_FILES: u32 = 3;

/// A file that starts anew when it is full.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    file: File,
    written_bytes: u64,
}

impl RotatingFile {
    /// Goes on at the end of the file that is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::with_size(path, MAX_FILE_BYTES)
    }

    fn with_size(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let (file, written_bytes) = append_to(path)?;
        Ok(Self {
            path: path.to_owned(),
            max_bytes,
            file,
            written_bytes,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for n in (1..KEPT_FILES).rev() {
            rename_if_there(&self.numbered(n), &self.numbered(n + 1))?;
        }
        rename_if_there(&self.path, &self.numbered(1))?;
        (self.file, self.written_bytes) = append_to(&self.path)?;
        Ok(())
    }

    fn numbered(&self, n: u32) -> PathBuf {
        self.path.with_added_extension(n.to_string())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    /// Writes whole lines to one file.
    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.written_bytes >= self.max_bytes {
            self.rotate()?;
        }
        self.written_bytes += lines.len() as u64;
        self.file.write_all(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let open = || {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    };
    open().map_err(|e| at(path, "cannot open", &e))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(from, "cannot rename", &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_in_a_bounded_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut file = RotatingFile::with_size(&path, 10).unwrap();
        for n in 0..10 {
            file.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("console.log"), "line 8\nline 9\n");
        assert_eq!(read("console.log.1"), "line 6\nline 7\n");
        assert_eq!(read("console.log.3"), "line 2\nline 3\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_restart_goes_on_in_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        for _ in 0..3 {
            RotatingFile::with_size(&path, 6)
                .unwrap()
                .write_all(b"four\n")
                .unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
        assert_eq!(
            fs::read_to_string(path.with_added_extension("1")).unwrap(),
            "four\nfour\n"
        );
    }
}
