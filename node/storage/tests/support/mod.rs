//! What the storage tests share: entries to store, a log whose writer takes its turn when it is told to, and callbacks
//! that remember.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use wiber_storage::{
    Disk, DiskFile, Done, Log, LogOptions, MemoryDisk, NoObserver, Observer, OpenError, Recovered, Stamp,
    StoredEntry, Writer,
};

pub(crate) const DIR: &str = "/log";
pub(crate) const STAMP: Stamp = Stamp {
    cluster: 0xfeed,
    group: 3,
};

/// An entry whose bytes tell its index, its term and `salt`.
pub(crate) fn entry(index: u64, term: u64, len: usize, salt: u64) -> StoredEntry {
    let mut bytes = vec![0; len];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let mixed = (index * 31 + term * 7 + salt * 13 + at as u64).to_le_bytes();
        *byte = mixed[0] ^ mixed[1];
    }
    StoredEntry {
        index,
        term,
        bytes: bytes.into(),
    }
}

pub(crate) fn entries(range: std::ops::Range<u64>, term: u64, len: usize) -> Vec<StoredEntry> {
    range.map(|index| entry(index, term, len, 0)).collect()
}

pub(crate) fn options(segment_bytes: u64, hot_tail_bytes: usize) -> LogOptions {
    LogOptions {
        segment_bytes,
        hot_tail_bytes,
        reserve_bytes: 1_000,
        fill_bytes: 0,
        stamp: STAMP,
        must_exist: false,
    }
}

/// A log on a disk in memory, whose writer only moves in [`Driven::turn`].
pub(crate) struct Driven {
    pub(crate) log: Log,
    pub(crate) writer: Writer,
    pub(crate) recovered: Recovered,
}

impl Driven {
    pub(crate) fn open(disk: &MemoryDisk, options: LogOptions) -> Result<Self, OpenError> {
        Self::observed(disk, options, Arc::new(NoObserver))
    }

    pub(crate) fn observed(
        disk: &MemoryDisk,
        options: LogOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let (log, writer, recovered) = Log::open_driven(Path::new(DIR), options, disk, observer)?;
        Ok(Self {
            log,
            writer,
            recovered,
        })
    }

    pub(crate) fn turn(&mut self) {
        while self.writer.take_turn() {}
    }

    /// Appends and makes durable.
    pub(crate) fn store(&mut self, entries: Vec<StoredEntry>) {
        let acks = Acks::default();
        self.log.append(entries, acks.done()).unwrap();
        self.turn();
        assert_eq!(acks.all_ok(), 1);
    }

    pub(crate) fn read_all(&self) -> Vec<StoredEntry> {
        self.log.read(0, u64::MAX, usize::MAX).unwrap()
    }
}

/// The number of a callback and what it was told.
pub(crate) type Call = (u64, Result<(), String>);

/// Callbacks that are numbered as they are made and remembered in the order they are called.
#[derive(Clone, Default)]
pub(crate) struct Acks {
    made: Arc<AtomicU64>,
    called: Arc<Mutex<Vec<Call>>>,
}

impl Acks {
    pub(crate) fn done(&self) -> Done {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let called = Arc::clone(&self.called);
        Box::new(move |result| {
            let call = (number, result.map_err(|error| error.to_string()));
            called.lock().unwrap().push(call);
        })
    }

    pub(crate) fn called(&self) -> Vec<Call> {
        self.called.lock().unwrap().clone()
    }

    /// How many were called; all in order and all with `Ok`.
    pub(crate) fn all_ok(&self) -> usize {
        let called = self.called();
        for (at, (number, result)) in called.iter().enumerate() {
            assert_eq!((*number, result), (at as u64, &Ok(())));
        }
        called.len()
    }
}

/// A callback and a way to wait for it.
pub(crate) fn waiting() -> (Done, impl FnOnce() -> io::Result<()>) {
    let (sender, receiver) = mpsc::channel();
    let done: Done = Box::new(move |result| sender.send(result).unwrap_or_default());
    (done, move || {
        receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("the callback is called")
    })
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) flushes: Mutex<Vec<(Option<u64>, u64)>>,
    pub(crate) rooms: Mutex<Vec<bool>>,
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn flushed(&self, last_index: Option<u64>, bytes: u64, _elapsed: Duration) {
        self.flushes.lock().unwrap().push((last_index, bytes));
    }

    fn room(&self, has_room: bool) {
        self.rooms.lock().unwrap().push(has_room);
    }

    fn failed(&self, error: &str) {
        self.failures.lock().unwrap().push(error.to_owned());
    }
}

pub(crate) type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk in memory that runs something, once, in the middle of its work.
#[derive(Default)]
pub(crate) struct HookedDisk {
    pub(crate) disk: MemoryDisk,
    /// Runs before the next read of a file.
    pub(crate) before_read: Hook,
    /// Runs before the next sync of a file.
    pub(crate) before_sync: Hook,
}

struct HookedFile {
    file: Arc<dyn DiskFile>,
    before_read: Hook,
    before_sync: Hook,
}

fn run(hook: &Hook) {
    let hook = hook.lock().unwrap().take();
    if let Some(hook) = hook {
        hook();
    }
}

impl HookedDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let (before_read, before_sync) = (Arc::clone(&self.before_read), Arc::clone(&self.before_sync));
        Arc::new(HookedFile {
            file,
            before_read,
            before_sync,
        })
    }
}

impl Disk for HookedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn now_us(&self) -> u64 {
        self.disk.now_us()
    }
}

impl DiskFile for HookedFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        run(&self.before_read);
        self.file.read_at(buf, position)
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(buf, position)
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        self.file.reserve(size_bytes)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        run(&self.before_sync);
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
