//! The disk and its files as everybody sees them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Change, Content, DiskOp, Inner, MemoryDisk, NameChange};
use crate::disk::{Disk, DiskFile};

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        if inner.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.change()?;
        let file = inner.files.len();
        inner.files.push(Content::default());
        inner.rename(path, NameChange::Points(file));
        Ok(self.handle(file, inner.life))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.lock();
        Ok(self.handle(inner.find(path)?, inner.life))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let file = inner.find(from)?;
        inner.change()?;
        if let Ok(replaced) = inner.find(to) {
            inner.give_back(replaced, 0);
        }
        // One step for whoever looks; a crash may keep either change without the other, which is harsher than a file system.
        inner.rename(to, NameChange::Points(file));
        inner.rename(from, NameChange::Gone);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let file = inner.find(path)?;
        inner.change()?;
        inner.give_back(file, 0);
        inner.rename(path, NameChange::Gone);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner.lock();
        let names = inner.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let above = dir.ancestors().map(Path::to_owned);
        inner.folders.extend(above);
        Ok(())
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        Ok(self.inner.lock().folders.contains(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.change()?;
        inner.counts.dir_syncs += 1;
        inner.fails(DiskOp::DirSync)?;
        let (here, elsewhere) = std::mem::take(&mut inner.unsynced_names)
            .into_iter()
            .partition(|(path, _)| path.parent() == Some(dir));
        inner.unsynced_names = elsewhere;
        let here: Vec<(PathBuf, NameChange)> = here;
        for (path, change) in here {
            change.apply(&path, &mut inner.durable_names);
        }
        Ok(())
    }

    fn now_us(&self) -> u64 {
        self.inner.lock().now_us
    }
}

pub(super) struct MemoryFile {
    pub(super) disk: MemoryDisk,
    pub(super) file: usize,
    pub(super) life: u64,
}

impl MemoryFile {
    fn with<T>(&self, run: impl FnOnce(&mut Inner, usize) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.disk.inner.lock();
        if inner.life != self.life {
            return Err(io::Error::other("a handle from before the crash"));
        }
        run(&mut inner, self.file)
    }

    fn change(&self, mut change: Change) -> io::Result<()> {
        self.with(|inner, file| {
            inner.take_room(file, &change)?;
            let outcome = inner.fails(DiskOp::Write);
            if outcome.is_err() {
                change = change.half(inner.files[file].now.len());
            }
            if let Change::SetLen(len) = &change {
                inner.give_back(file, *len);
            }
            let powered = inner.change();
            if powered.is_ok() || inner.changes_left == Some(0) {
                change.apply(&mut inner.files[file].now);
                inner.files[file].unsynced.push(change);
            }
            inner.counts.writes += 1;
            outcome.and(powered)
        })
    }
}

impl DiskFile for MemoryFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.with(|inner, file| Ok(inner.files[file].now.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        self.with(|inner, file| {
            inner.counts.reads += 1;
            inner.counts.read_bytes += buf.len() as u64;
            let start = to_usize(position)?;
            let part = inner.files[file].now.get(start..start.saturating_add(buf.len()));
            buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.change(Change::Write {
            position: to_usize(position)?,
            bytes: buf.to_vec(),
        })
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        let size = to_usize(size_bytes)?;
        self.with(|inner, file| inner.reserve(file, size))
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.change(Change::SetLen(to_usize(size_bytes)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|inner, file| {
            inner.change()?;
            inner.counts.syncs += 1;
            let unsynced = std::mem::take(&mut inner.files[file].unsynced);
            inner.fails(DiskOp::Sync)?;
            for change in unsynced {
                change.apply(&mut inner.files[file].durable);
            }
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

fn to_usize(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::ErrorKind::InvalidInput.into())
}
