//! A node's disk: the memory disk with this run's faults, counted by the process that uses it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wiber_storage::{Disk, DiskFile, DiskOp, MemoryDisk};

use crate::{
    count::Count,
    mutants::Broken,
    process::{Death, SimProcess},
    say,
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
    fn seen<T>(&self, path: &Path, outcome: io::Result<T>) -> io::Result<T> {
        if let Some(op) = self.memory.take_failed() {
            self.world.count(match op {
                DiskOp::Write => Count::FailedWrite,
                DiskOp::Sync => Count::FailedSync,
                DiskOp::DirSync => Count::FailedDirSync,
            });
            say!(self.world, "DISK", "{op:?} of {} fails", path.display());
            self.process.disk_fails(op, may_be_tried_again(path));
        }
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
        let file = self.seen(path, self.memory.create(path))?;
        Ok(self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.seen(path, self.memory.open(path))?;
        Ok(self.file(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.seen(to, self.memory.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.seen(path, self.memory.unlink(path))
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
        self.seen(dir, self.memory.sync_dir(dir))
    }

    fn now_us(&self) -> u64 {
        self.memory.now_us()
    }
}

/// The ceiling of the Lamport clock may be written later, as long as there are times left below the one on disk.
fn may_be_tried_again(path: &Path) -> bool {
    let is_folder = path.parent() == Some(Path::new("/"));
    is_folder || path.file_stem().is_some_and(|stem| stem == "lamport")
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
        self.disk.seen(&self.path, self.file.write_at(buf, position))
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        self.disk.seen(&self.path, self.file.reserve(size_bytes))
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.disk.seen(&self.path, self.file.set_len(size_bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_skipped() {
            return Ok(());
        }
        self.disk.seen(&self.path, self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.seen(&self.path, self.file.sync_all())
    }
}
