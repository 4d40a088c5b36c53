//! A node's disk: the memory disk with this run's faults, counted by the process that uses it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wiber_storage::{Disk, DiskFile, MemoryDisk};

use crate::{
    mutants::Broken,
    process::{Death, SimProcess},
    world::World,
};

/// One process's view of its machine's disk.
#[derive(Clone)]
pub struct SimDisk {
    pub world: World,
    pub memory: MemoryDisk,
    pub process: Arc<SimProcess>,
}

impl SimDisk {
    /// A process whose disk took its last step is dead before anybody else runs.
    fn seen<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if self.memory.is_off() {
            self.process.die(Death::AtDiskStep);
        }
        outcome
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.seen(self.memory.create(path))?;
        Ok(self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.seen(self.memory.open(path))?;
        Ok(self.file(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.seen(self.memory.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.seen(self.memory.unlink(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.memory.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.memory.create_dir_all(dir)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        self.memory.is_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.seen(self.memory.sync_dir(dir))
    }

    fn now_us(&self) -> u64 {
        self.memory.now_us()
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl SimFile {
    /// Whether this sync is one that a mutant only claims to have made. Making a file is never broken: that is
    /// noticed too easily.
    fn is_skipped(&self) -> bool {
        let is_entries = self.path.extension().is_some_and(|extension| extension == "seg");
        let is_vote = self.path.file_name().is_some_and(|name| name == "vote");
        (is_entries && self.disk.world.is_broken(Broken::NoFsyncBeforeAck))
            || (is_vote && self.disk.world.is_broken(Broken::VoteNotSynced))
    }
}

impl DiskFile for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_at(buf, position)
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.disk.seen(self.file.write_at(buf, position))
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        self.disk.seen(self.file.reserve(size_bytes))
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.disk.seen(self.file.set_len(size_bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_skipped() {
            return Ok(());
        }
        self.disk.seen(self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.seen(self.file.sync_all())
    }
}
