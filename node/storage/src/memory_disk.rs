//! A disk in memory that loses what a power cut loses, for simulations and tests.
//!
//! A write, a new length and a new name count at once for whoever looks, and for good only after the sync that covers
//! them. [`MemoryDisk::crash`] keeps any subset of the rest: writes in pieces, names and unlinks one by one,
//! as a file system may. Which, a seed decides.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use self::files::MemoryFile;
use crate::disk::DiskFile;

/// Cloning shares the disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    unsynced_names: Vec<(PathBuf, NameChange)>,
    now_us: u64,
    /// Handles of an earlier life fail.
    life: u64,
    /// Changes until the power goes; `None` for never.
    changes_left: Option<u64>,
    fail_next: Option<DiskOp>,
    /// What failed as asked, until somebody takes note.
    failed: Option<DiskOp>,
    /// Bytes by which files may still grow; `None` for without end.
    room_bytes: Option<u64>,
    counts: DiskCounts,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// The size it may grow to without taking room.
    reserved: usize,
}

#[derive(Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Copy)]
enum NameChange {
    Points(usize),
    Gone,
}

/// Something a disk can fail to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// A write, of which half arrives, or a new length.
    Write,
    /// A sync of a file: what it was to cover is lost.
    Sync,
    /// A sync of a folder: what it was to cover waits for the next one.
    DirSync,
}

/// What was asked of a disk since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    pub reads: u64,
    pub read_bytes: u64,
    pub writes: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets so many more changes and syncs happen, then fails everything until [`MemoryDisk::crash`].
    pub fn cut_power_after(&self, changes: u64) {
        self.inner.lock().changes_left = Some(changes);
    }

    /// The next operation of this kind fails.
    pub fn fail_next(&self, op: DiskOp) {
        self.inner.lock().fail_next = Some(op);
    }

    /// Takes back what was to fail and has not yet, power included.
    pub fn fail_no_more(&self) {
        let mut inner = self.inner.lock();
        inner.fail_next = None;
        if inner.changes_left != Some(0) {
            inner.changes_left = None;
        }
    }

    /// What failed as [`MemoryDisk::fail_next`] said, told once.
    pub fn take_failed(&self) -> Option<DiskOp> {
        self.inner.lock().failed.take()
    }

    /// From now on files may grow by so many bytes together, then writes fail as on a full disk.
    pub fn set_room(&self, room_bytes: Option<u64>) {
        self.inner.lock().room_bytes = room_bytes;
    }

    /// Whether the power went as [`MemoryDisk::cut_power_after`] said.
    pub fn is_off(&self) -> bool {
        self.inner.lock().changes_left == Some(0)
    }

    pub fn counts(&self) -> DiskCounts {
        self.inner.lock().counts
    }

    /// Ends the process that used the disk: its handles fail, and what it wrote stays in the machine's cache.
    pub fn end_process(&self) {
        let mut inner = self.inner.lock();
        inner.life += 1;
        inner.changes_left = None;
        inner.fail_next = None;
    }

    /// Ends this life of the disk: what was synced stays, of the rest any part.
    pub fn crash(&self, seed: u64) {
        let mut inner = self.inner.lock();
        let mut dice = Dice(seed);
        let keep_percent = [0, 50, 90, 100][dice.below(4)];
        let piece_bytes = [8, 512, 4096][dice.below(3)];
        for content in &mut inner.files {
            let unsynced = std::mem::take(&mut content.unsynced);
            let mut survived = std::mem::take(&mut content.durable);
            for change in unsynced {
                for part in change.in_pieces(piece_bytes) {
                    if dice.below(100) < keep_percent {
                        part.apply(&mut survived);
                    }
                }
            }
            content.now.clone_from(&survived);
            content.durable = survived;
        }
        let mut names = std::mem::take(&mut inner.durable_names);
        for (path, change) in std::mem::take(&mut inner.unsynced_names) {
            if dice.below(100) < keep_percent {
                change.apply(&path, &mut names);
            }
        }
        inner.names.clone_from(&names);
        inner.durable_names = names;
        inner.life += 1;
        inner.changes_left = None;
        inner.fail_next = None;
    }

    /// All files as whoever looks sees them.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let inner = self.inner.lock();
        inner
            .names
            .iter()
            .map(|(path, file)| (path.clone(), inner.files[*file].now.clone()))
            .collect()
    }

    /// Replaces a file behind everybody's back, durably.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = self.inner.lock();
        let file = inner.files.len();
        inner.files.push(Content {
            now: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
            reserved: 0,
        });
        inner.names.insert(path.to_owned(), file);
        inner.durable_names.insert(path.to_owned(), file);
    }

    /// Changes a byte of a file in place, as a failing disk does.
    pub fn flip_byte(&self, path: &Path, position: usize) {
        let mut inner = self.inner.lock();
        if let Some(file) = inner.names.get(path).copied() {
            let Content { now, durable, .. } = &mut inner.files[file];
            for byte in [now, durable]
                .into_iter()
                .filter_map(|bytes| bytes.get_mut(position))
            {
                *byte ^= 1;
            }
        }
    }

    /// Gives a folder another name, with all that is in it, durably.
    pub fn rename_dir(&self, from: &Path, to: &Path) {
        let mut inner = self.inner.lock();
        let moved = |path: &Path| path.strip_prefix(from).map(|rest| to.join(rest));
        let names = std::mem::take(&mut inner.names);
        let renamed: BTreeMap<_, _> = names
            .into_iter()
            .map(|(path, file)| (moved(&path).unwrap_or(path), file))
            .collect();
        inner.durable_names.clone_from(&renamed);
        inner.names = renamed;
        inner.unsynced_names.clear();
        let folders = std::mem::take(&mut inner.folders);
        inner.folders = folders
            .into_iter()
            .map(|path| moved(&path).unwrap_or(path))
            .collect();
    }

    /// Takes a file away behind everybody's back, durably.
    pub fn remove(&self, path: &Path) {
        let mut inner = self.inner.lock();
        inner.names.remove(path);
        inner.durable_names.remove(path);
    }

    fn handle(&self, file: usize, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile {
            disk: self.clone(),
            file,
            life,
        })
    }
}

impl Inner {
    /// Counts one change. The one at which the power goes still reaches the disk's cache.
    fn change(&mut self) -> io::Result<()> {
        self.now_us += 10;
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fails(&mut self, op: DiskOp) -> io::Result<()> {
        if self.fail_next != Some(op) {
            return Ok(());
        }
        self.failed = self.fail_next.take();
        Err(io::Error::other("the disk did not answer"))
    }

    fn take_room(&mut self, file: usize, change: &Change) -> io::Result<()> {
        let Some(room_bytes) = &mut self.room_bytes else {
            return Ok(());
        };
        let end = match change {
            Change::Write { position, bytes } => position + bytes.len(),
            Change::SetLen(len) => *len,
        };
        let content = &self.files[file];
        let growth = end.saturating_sub(content.now.len().max(content.reserved)) as u64;
        *room_bytes = room_bytes.checked_sub(growth).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }

    fn reserve(&mut self, file: usize, size: usize) -> io::Result<()> {
        let content = &mut self.files[file];
        let growth = size.saturating_sub(content.now.len().max(content.reserved)) as u64;
        if let Some(room_bytes) = &mut self.room_bytes {
            *room_bytes = room_bytes.checked_sub(growth).ok_or(io::ErrorKind::StorageFull)?;
        }
        content.reserved = content.reserved.max(size);
        Ok(())
    }

    /// What `file` takes beyond `size` is free again.
    fn give_back(&mut self, file: usize, size: usize) {
        let content = &mut self.files[file];
        let taken = content.now.len().max(content.reserved);
        content.reserved = content.reserved.min(size);
        if let Some(room_bytes) = &mut self.room_bytes {
            *room_bytes += taken.saturating_sub(size) as u64;
        }
    }

    fn rename(&mut self, path: &Path, change: NameChange) {
        change.apply(path, &mut self.names);
        self.unsynced_names.push((path.to_owned(), change));
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl NameChange {
    fn apply(self, path: &Path, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Points(file) => names.insert(path.to_owned(), file),
            Self::Gone => names.remove(path),
        };
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write {
                position,
                bytes: written,
            } => {
                let end = position + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*position..end].copy_from_slice(written);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }

    /// What arrives of a change that fails in the middle; `len` is the file's length before it.
    fn half(self, len: usize) -> Self {
        match self {
            Self::Write { position, mut bytes } => {
                bytes.truncate(bytes.len() / 2);
                Self::Write { position, bytes }
            }
            Self::SetLen(_) => Self::SetLen(len),
        }
    }

    /// The parts that reach a platter one by one, cut at multiples of `piece_bytes`.
    fn in_pieces(self, piece_bytes: usize) -> Vec<Self> {
        let Self::Write { position, bytes } = self else {
            return vec![self];
        };
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let end = ((position + at) / piece_bytes + 1) * piece_bytes - position;
            let end = end.min(bytes.len());
            pieces.push(Self::Write {
                position: position + at,
                bytes: bytes[at..end].to_vec(),
            });
            at = end;
        }
        pieces
    }
}

/// Throws that a seed decides: `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).map_or(0, |throw| throw % limit)
    }
}
