//! Where callers and the writer meet: the state, and the queue of commands, under one lock, so that commands stand in
//! the queue in the order in which they changed the state.
//!
//! The queue has bounds. A caller that finds it full waits for the writer to take it, which it does whole,
//! each time it has flushed.

use std::{collections::VecDeque, io, sync::OnceLock, time::Duration};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    api::{Done, StoredEntry},
    format::frame_bytes,
    open_files::OpenFiles,
    state::State,
};

/// Entry bytes that may wait for the writer. One append may pass it by its own size.
pub const QUEUE_BYTES: usize = 64 << 20;
/// Who appends should wait while more than so many bytes wait for their flush: twice that, and what is appended meanwhile, fits
/// what the log keeps in reserve, so that a disk that fills up costs no more than new messages.
pub const UNFLUSHED_BYTES: u64 = 4 << 20;
/// While there is no room on the disk, it is looked again so often.
pub(crate) const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);
/// A commit hint waits at most so long for something that it can be written with.
const HINT_PATIENCE: Duration = Duration::from_millis(100);
/// Commands that may wait for the writer.
pub const QUEUE_COMMANDS: usize = 8192;

/// What the writer is asked to do. Made by [`crate::Log`], run by [`crate::Writer::turn`].
pub struct Command(pub(crate) Task);

pub(crate) enum Task {
    Append {
        entries: Vec<StoredEntry>,
        done: Done,
    },
    Vote {
        vote: Bytes,
        done: Done,
    },
    /// Cut everything at and beyond `end_index`.
    Cut {
        end_index: u64,
        done: Done,
    },
    Purge {
        term: u64,
        index: u64,
        done: Done,
    },
    /// Write the start as it is and flush it.
    Probe {
        done: Done,
    },
    /// Nothing but to be done after what came before.
    Nothing {
        done: Done,
    },
    Committed {
        term: u64,
        index: u64,
    },
}

impl Task {
    pub(crate) fn into_done(self) -> Option<Done> {
        match self {
            Self::Append { done, .. }
            | Self::Vote { done, .. }
            | Self::Cut { done, .. }
            | Self::Purge { done, .. }
            | Self::Probe { done }
            | Self::Nothing { done } => Some(done),
            Self::Committed { .. } => None,
        }
    }
}

/// Whether the log takes commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Takes nothing more; the writer finishes what waits.
    Closed,
    /// A write or a flush failed, as the text says. Nothing is acknowledged any more.
    Failed(String),
}

impl Phase {
    pub(crate) fn check(&self) -> io::Result<()> {
        match self {
            Self::Open => Ok(()),
            Self::Closed => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")),
            Self::Failed(error) => Err(io::Error::other(format!("the log is poisoned: {error}"))),
        }
    }
}

pub(crate) struct Inside {
    pub(crate) state: State,
    pub(crate) phase: Phase,
    queue: VecDeque<Task>,
    queue_bytes: usize,
    /// The newest commit hint that is not written yet. It has no place in the queue: a newer one replaces it.
    pub(crate) committed: Option<(u64, u64)>,
    /// Whether the writer's thread waits until it is woken: then it must be woken for a commit hint, too.
    is_asleep: bool,
    /// Bytes of frames that no flush covers yet.
    pub(crate) unflushed_bytes: u64,
    /// Whether the disk has room for what may come.
    pub(crate) has_room: bool,
    /// What the reserve still holds.
    pub(crate) spare_bytes: u64,
    /// Whether a thread takes the queue. Without one nobody may wait for room: who drives the writer decides.
    pub(crate) has_thread: bool,
}

impl Inside {
    fn is_full(&self) -> bool {
        self.queue_bytes >= QUEUE_BYTES || self.queue.len() >= QUEUE_COMMANDS
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.committed.is_some()
    }

    fn take(&mut self) -> Vec<Command> {
        self.queue_bytes = 0;
        let committed = self
            .committed
            .take()
            .map(|(term, index)| Task::Committed { term, index });
        self.queue.drain(..).chain(committed).map(Command).collect()
    }
}

pub(crate) struct Shared {
    inside: Mutex<Inside>,
    /// There is work, or the log was closed.
    work: Condvar,
    /// The queue was taken.
    room: Condvar,
    pub(crate) open_files: OpenFiles,
    /// Who drives the writer without a thread hears here that there is work.
    on_work: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self {
            inside: Mutex::new(Inside {
                state,
                phase: Phase::Open,
                queue: VecDeque::new(),
                queue_bytes: 0,
                committed: None,
                is_asleep: false,
                unflushed_bytes: 0,
                has_room: true,
                spare_bytes: 0,
                has_thread: false,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            open_files: OpenFiles::default(),
            on_work: OnceLock::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }

    /// The lock, once there is room in the queue or the log takes nothing more.
    pub(crate) fn lock_with_room(&self) -> MutexGuard<'_, Inside> {
        let mut inside = self.inside.lock();
        while inside.is_full() && inside.has_thread && inside.phase == Phase::Open {
            self.room.wait(&mut inside);
        }
        inside
    }

    pub(crate) fn push(&self, inside: &mut Inside, task: Task) {
        if let Task::Append { entries, .. } = &task {
            inside.queue_bytes += entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
            inside.unflushed_bytes += entries
                .iter()
                .map(|entry| frame_bytes(entry.bytes.len()) as u64)
                .sum::<u64>();
        }
        inside.queue.push_back(task);
        self.say_work();
    }

    /// Wakes nobody who will look by himself: most hints come right after an append and just before the next.
    pub(crate) fn set_committed(&self, term: u64, index: u64) {
        let mut inside = self.inside.lock();
        if inside.phase != Phase::Open {
            return;
        }
        inside.committed = Some((term, index));
        if inside.is_asleep {
            self.work.notify_one();
        }
        if let Some(hear) = self.on_work.get() {
            hear();
        }
    }

    /// Calls `hear` whenever there is something for the writer to do. Once.
    pub(crate) fn on_work(&self, hear: Box<dyn Fn() + Send + Sync>) {
        drop(self.on_work.set(hear));
    }

    fn say_work(&self) {
        self.work.notify_one();
        if let Some(hear) = self.on_work.get() {
            hear();
        }
    }

    /// Everything that waits, in order, without waiting for more.
    pub(crate) fn take(&self) -> Vec<Command> {
        let commands = self.inside.lock().take();
        self.room.notify_all();
        commands
    }

    /// Waits for work and takes all of it; takes nothing if `other_work` waits, or when it is time to look for room;
    /// `None` when the log is closed and everything is done, or when it failed.
    pub(crate) fn wait_and_take(&self, other_work: bool) -> Option<Vec<Command>> {
        let mut inside = self.inside.lock();
        // A hint is likely to follow what was just written.
        let mut awaits_hint = true;
        while inside.queue.is_empty() && !other_work {
            if inside.phase != Phase::Open {
                // The hint is the last thing to write.
                inside.committed?;
                break;
            }
            let is_over = if awaits_hint {
                self.work.wait_for(&mut inside, HINT_PATIENCE).timed_out()
            } else if !inside.has_room {
                self.work.wait_for(&mut inside, LOOK_FOR_ROOM).timed_out()
            } else {
                inside.is_asleep = true;
                self.work.wait(&mut inside);
                inside.is_asleep = false;
                false
            };
            let looks_for_room = !inside.has_room && !awaits_hint;
            if is_over && (inside.committed.is_some() || looks_for_room) {
                break;
            }
            awaits_hint = inside.committed.is_some();
        }
        let commands = inside.take();
        self.room.notify_all();
        Some(commands)
    }

    pub(crate) fn close(&self) {
        let mut inside = self.inside.lock();
        if inside.phase == Phase::Open {
            inside.phase = Phase::Closed;
        }
        self.say_work();
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Poisons the log and hands back what waited in the queue. `None` if it was poisoned before.
    pub(crate) fn fail(&self, error: &str) -> Option<Vec<Task>> {
        let mut inside = self.inside.lock();
        if matches!(inside.phase, Phase::Failed(_)) {
            return None;
        }
        inside.phase = Phase::Failed(error.to_owned());
        let waiting = inside.take();
        self.work.notify_all();
        self.room.notify_all();
        Some(waiting.into_iter().map(|Command(task)| task).collect())
    }
}
