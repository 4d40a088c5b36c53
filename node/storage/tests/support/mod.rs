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
    Disk, Done, Log, LogOptions, MemoryDisk, NoObserver, Observer, OpenError, Recovered, Stamp, StoredEntry,
    Writer,
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
        stamp: STAMP,
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
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn flushed(&self, last_index: Option<u64>, bytes: u64, _elapsed: Duration) {
        self.flushes.lock().unwrap().push((last_index, bytes));
    }

    fn failed(&self, error: &str) {
        self.failures.lock().unwrap().push(error.to_owned());
    }
}
