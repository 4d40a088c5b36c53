//! The node's logical clock (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System",
//! 1978), which goes on above everything it may have handed out, whatever ended its process.
//!
//! A value is handed out only below a *ceiling* that is on disk. A restart begins at the ceiling, so it skips
//! at most a block of values and never repeats one. The ceiling moves up a block at a time: when half of it
//! is used, a background thread writes the next, so the hot path is one atomic addition. A caller waits
//! for that write only if a peer's clock has just jumped this one ahead by more than half a block (a node that
//! joins or comes back after eight million events elsewhere) or if the disk takes longer than those take.
//!
//! The file is one line, `<ceiling> <CRC-32C of the number's text>`.

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{folder::REBUILD, small_files::SmallFiles};

/// How far above the last value in use a ceiling is set.
pub const BLOCK: u64 = 1 << 24;
/// A peer's value up to here is believed however far ahead it is: a million events a second reach it after
/// 142 years, and every JSON reader still knows it exactly (up to 2^53).
pub const BELIEVED: u64 = 1 << 52;
/// Above [`BELIEVED`], a peer's value is followed only this far ahead of the own one (twelve days of a
/// million events a second).
pub const MAX_LEAP: u64 = 1 << 40;
/// A peer's value above this is never followed, so that only own ticks could exhaust the clock.
const MAX_FOLLOWED: u64 = 1 << 62;
/// After a failed write of the ceiling the next one is tried this much later.
const RETRY: Duration = Duration::from_secs(1);

/// The logical clock of one node. Values are unique within the node and rise.
#[derive(Debug)]
pub struct Lamport {
    shared: Arc<Shared>,
    reserver: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    files: Box<dyn SmallFiles>,
    /// The last value handed out, or being waited for if it is above `ceiling`.
    value: AtomicU64,
    /// On disk: no value above it is ever handed out. Never falls.
    ceiling: AtomicU64,
    /// When `value` passes this, the reserver is woken. At most `ceiling`.
    refill_at: AtomicU64,
    /// Peers' values that were not believed.
    refused: AtomicU64,
    /// Receives that were not later than their send.
    behind: AtomicU64,
    stalled: AtomicBool,
    /// Whether room is kept for the next ceiling.
    has_room: AtomicBool,
    reserver: Mutex<Reserver>,
    /// The reserver waits here for work, callers for its end.
    work: Condvar,
    done: Condvar,
    failure: tokio::sync::watch::Sender<Option<String>>,
    /// Without a thread, whoever needs the next ceiling writes it.
    has_thread: bool,
}

#[derive(Debug, Default)]
struct Reserver {
    asked: bool,
    stop: bool,
}

impl Lamport {
    /// Starts above the ceiling that `path` holds (at 0 without a file), with the next one durable.
    ///
    /// A damaged file is an error: going on below would hand out values twice.
    pub fn open(path: &Path, files: impl SmallFiles + 'static) -> io::Result<Self> {
        let shared = Shared::open(path, Box::new(files), true)?;
        let thread = std::thread::Builder::new().name("lamport".to_owned());
        let reserver = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self {
            shared,
            reserver: Some(reserver),
        })
    }

    /// As [`Self::open`], without a thread: whoever takes a value writes the next ceiling where one is needed. For
    /// simulations.
    pub fn open_threadless(path: &Path, files: impl SmallFiles + 'static) -> io::Result<Self> {
        Ok(Self {
            shared: Shared::open(path, Box::new(files), false)?,
            reserver: None,
        })
    }

    /// The time of a local event or of a send.
    pub fn tick(&self) -> u64 {
        let value = self.shared.value.fetch_add(1, Relaxed) + 1;
        self.shared.checked(value)
    }

    /// The time of a receive whose send was at `seen`: later than both. A value that no honest clock can
    /// have (see [`Self::believes`]) is counted and otherwise ignored: the receive gets the own next value.
    pub fn observe(&self, seen: u64) -> u64 {
        if !self.believes(seen) {
            self.shared.refused.fetch_add(1, Relaxed);
            return self.later_than(seen, self.tick());
        }
        let next = |own: u64| Some(own.max(seen) + 1);
        let own = self
            .shared
            .value
            .fetch_update(Relaxed, Relaxed, next)
            .unwrap_or_else(|own| own);
        self.later_than(seen, self.shared.checked(own.max(seen) + 1))
    }

    /// Checks what Lamport promises: a receive is later than its send.
    fn later_than(&self, sent: u64, received: u64) -> u64 {
        if received <= sent {
            self.shared.behind.fetch_add(1, Relaxed);
        }
        received
    }

    /// Whether a peer's value may move this clock. Whatever one liar sends, the clock can't be exhausted.
    pub fn believes(&self, seen: u64) -> bool {
        let leap = self.now().saturating_add(MAX_LEAP);
        seen <= BELIEVED.max(leap).min(MAX_FOLLOWED)
    }

    /// The last value handed out.
    pub fn now(&self) -> u64 {
        self.shared
            .value
            .load(Relaxed)
            .min(self.shared.ceiling.load(Relaxed))
    }

    /// How many values of peers were not believed.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Relaxed)
    }

    /// How many receives were not later than their send: values that were not believed, or a clock that stands still for
    /// want of a ceiling.
    pub fn behind(&self) -> u64 {
        self.shared.behind.load(Relaxed)
    }

    /// Resolves when values have run out because the ceiling could not be written: from then on the clock
    /// stands still, and the node must end.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared.failure.subscribe();
        let reason = failure
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|said| said.clone());
        match reason {
            Some(reason) => reason,
            // The sender lives as long as `self`.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Lamport {
    fn drop(&mut self) {
        self.shared.reserver.lock().stop = true;
        self.shared.work.notify_one();
        if let Some(reserver) = self.reserver.take()
            && reserver.join().is_err()
        {
            tracing::error!(target: "storage", "the thread that reserves Lamport times panicked");
        }
    }
}

impl Shared {
    fn open(path: &Path, files: Box<dyn SmallFiles>, has_thread: bool) -> io::Result<Arc<Self>> {
        let start = match files.read(path)? {
            Some(bytes) => parse(&bytes).map_err(|e| {
                let text = format!("{} is damaged: {e}; {REBUILD}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            None => 0,
        };
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            files,
            value: AtomicU64::new(start),
            ceiling: AtomicU64::new(start),
            refill_at: AtomicU64::new(start),
            refused: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            has_room: AtomicBool::new(false),
            reserver: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            failure: tokio::sync::watch::Sender::new(None),
            has_thread,
        });
        shared.reserve()?;
        Ok(shared)
    }

    /// `value` once it is at most the ceiling.
    fn checked(&self, value: u64) -> u64 {
        if value > self.refill_at.load(Relaxed) {
            self.refill(value);
        }
        // Once stalled: never above what is on disk, even if that repeats a value.
        value.min(self.ceiling.load(Acquire))
    }

    #[cold]
    fn refill(&self, value: u64) {
        let mut reserver = self.reserver.lock();
        loop {
            let ceiling = self.ceiling.load(Acquire);
            if value > self.refill_at.load(Relaxed) && !reserver.asked {
                reserver.asked = true;
                // One caller is enough to ask; the others pass until the ceiling.
                self.refill_at.store(ceiling, Relaxed);
                if self.has_thread {
                    self.work.notify_one();
                } else if self.reserve_here(&mut reserver) {
                    continue;
                }
            }
            if value <= ceiling || self.stalled.load(Relaxed) {
                return;
            }
            self.done.wait(&mut reserver);
        }
    }

    /// What the reserver's thread would do, without waiting: after a failed write (`false`) the next value past the
    /// ceiling tries again.
    fn reserve_here(&self, reserver: &mut Reserver) -> bool {
        reserver.asked = false;
        let outcome = self.reserve();
        if let Err(e) = &outcome {
            self.note_failure(e);
        }
        outcome.is_ok()
    }

    /// The reserver's thread.
    fn run(&self) {
        let mut reserver = self.reserver.lock();
        while !reserver.stop {
            if !reserver.asked {
                self.work.wait(&mut reserver);
                continue;
            }
            let outcome = parking_lot::MutexGuard::unlocked(&mut reserver, || self.reserve());
            match outcome {
                Ok(()) => {
                    reserver.asked = false;
                    self.done.notify_all();
                }
                Err(e) => {
                    self.note_failure(&e);
                    self.work.wait_for(&mut reserver, RETRY);
                }
            }
        }
    }

    /// Writes a ceiling one block above every value in use.
    fn reserve(&self) -> io::Result<()> {
        let base = self.value.load(Relaxed).max(self.ceiling.load(Relaxed));
        let ceiling = base.saturating_add(BLOCK);
        if self.has_room.swap(false, Relaxed) {
            self.files.replace_in_room(&self.path, line(ceiling).as_bytes())?;
        } else {
            self.files.replace(&self.path, line(ceiling).as_bytes())?;
        }
        // A peer's clock may be ahead at any time, and without a new ceiling a node with a full disk would have to end.
        match self.files.keep_room(&self.path) {
            Ok(()) => self.has_room.store(true, Relaxed),
            Err(e) => {
                tracing::debug!(target: "storage", "no room for the next reserve of Lamport times: {e}");
            }
        }
        self.ceiling.store(ceiling, Release);
        self.refill_at.store(ceiling - BLOCK / 2, Release);
        Ok(())
    }

    /// While values are left a failed write only delays; without any the clock stands still.
    fn note_failure(&self, e: &io::Error) {
        let (value, ceiling) = (self.value.load(Relaxed), self.ceiling.load(Relaxed));
        let left = ceiling.saturating_sub(value);
        tracing::warn!(target: "storage", left, "cannot reserve Lamport times: {e}");
        if left == 0 {
            self.stalled.store(true, Relaxed);
            self.failure.send_replace(Some(e.to_string()));
            self.done.notify_all();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("value", &self.value)
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}

fn line(ceiling: u64) -> String {
    let number = ceiling.to_string();
    format!("{number} {:08x}\n", crc32c::crc32c(number.as_bytes()))
}

fn parse(bytes: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let number = text.split(' ').next().unwrap_or_default();
    let ceiling: u64 = number
        .parse()
        .map_err(|_| format!("expected a number, found `{number}`"))?;
    if text != line(ceiling) {
        return Err("its checksum does not fit".to_owned());
    }
    Ok(ceiling)
}
