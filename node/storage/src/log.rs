//! The handle on a log: what may be asked of it, from any thread.
//!
//! A call changes the positions in memory at once and leaves the files to the writer. The order of calls is the order
//! on disk.

use std::{collections::VecDeque, io, path::Path, sync::Arc, thread};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    api::{Done, LogOptions, LogStats, MAX_VOTE_BYTES, Observer, Recovered, StoredEntry},
    disk::Disk,
    error::OpenError,
    format::FrameSeed,
    reader::{Stretch, read_entries},
    recovery::{Plan, examine},
    repair::carry_out,
    segment::{SegmentId, position_of, segment_path},
    shared::{Phase, Shared, Task},
    state::State,
    writer::Writer,
    writer_thread,
};

/// A segmented log with one writer. Cheap to clone; the writer ends with the last clone, or at [`Log::close`].
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: std::path::PathBuf,
    options: LogOptions,
    /// `None` when the writer is driven from outside, or has ended.
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Log {
    /// Recovers the log in `dir` and starts its writer. A blank folder, or one that is missing, becomes a new log unless
    /// the options say that there must be one.
    pub fn open(
        dir: &Path,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        observer: Arc<dyn Observer>,
    ) -> Result<(Log, Recovered), OpenError> {
        let (log, writer, recovered) = Self::open_driven(dir, options, disk, observer)?;
        log.inner.shared.lock().has_thread = true;
        let thread = writer_thread::start(writer).map_err(|source| OpenError::Io {
            op: "start the writer of",
            file: dir.to_owned(),
            source,
        })?;
        *log.inner.thread.lock() = Some(thread);
        Ok((log, recovered))
    }

    /// As [`Log::open`], without a thread: nothing becomes durable until the caller gives the writer its turns.
    /// For simulations. The queue's bounds are the caller's to keep.
    pub fn open_driven(
        dir: &Path,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        observer: Arc<dyn Observer>,
    ) -> Result<(Log, Writer, Recovered), OpenError> {
        if options.segment_bytes > LogOptions::MAX_SEGMENT_BYTES {
            let (found, limit) = (options.segment_bytes, LogOptions::MAX_SEGMENT_BYTES);
            return Err(OpenError::Options {
                what: format!("segment_bytes is {found}, at most {limit} is possible"),
            });
        }
        // A folder that must be there is not made: a refusal changes nothing.
        if !options.must_exist {
            disk.create_dir_all(dir).map_err(|source| OpenError::Io {
                op: "create",
                file: dir.to_owned(),
                source,
            })?;
        }
        let plan = examine(dir, options.stamp, &*disk)?;
        if options.must_exist && matches!(plan, Plan::Blank { .. }) {
            return Err(OpenError::Missing { dir: dir.to_owned() });
        }
        let ready = carry_out(plan, dir, &options, &*disk)?;
        let recovered = ready.recovered;
        let shared = Arc::new(Shared::new(ready.state));
        shared
            .open_files
            .put(ready.tail.id, Arc::clone(ready.tail.file()));
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            disk: Arc::clone(&disk),
            observer,
            dir: dir.to_owned(),
            options: options.clone(),
            vote: ready.vote,
            start_slots: ready.start_slots,
            committed: ready.committed,
            start: ready.start,
            flushed_end: ready.tail.end_index,
            tail: ready.tail,
            next_segment_id: ready.next_segment_id,
            waiting: VecDeque::new(),
            staged: VecDeque::new(),
            current: None,
            purged_files: Vec::new(),
            failed: false,
            must_roll: false,
        };
        writer.keep_room()?;
        let inner = Inner {
            shared,
            disk,
            dir: dir.to_owned(),
            options,
            thread: Mutex::new(None),
        };
        Ok((
            Log {
                inner: Arc::new(inner),
            },
            writer,
            recovered,
        ))
    }

    /// Appends entries with consecutive indexes right after [`Log::last`]; an empty log that was never purged takes any first
    /// index that is not below its start. Readable when it returns; `done(Ok)` only after a flush that covers them and
    /// every earlier byte. `done` is called exactly once whatever is returned. A refused append (a gap, an entry too
    /// large) poisons nothing. Waits while the queue is full: [`crate::QUEUE_BYTES`], [`crate::QUEUE_COMMANDS`].
    pub fn append(&self, entries: Vec<StoredEntry>, done: Done) -> io::Result<()> {
        let mut inside = self.inner.shared.lock_with_room();
        let checked = inside
            .phase
            .check()
            .and_then(|()| inside.state.check_append(&entries));
        if let Err(error) = checked {
            drop(inside);
            done(Err(io::Error::new(error.kind(), error.to_string())));
            return Err(error);
        }
        inside.state.append(&entries);
        self.inner
            .shared
            .push(&mut inside, Task::Append { entries, done });
        Ok(())
    }

    /// Durable when `done` says so, through the same ordered writer: entries appended before it are durable before it is,
    /// entries appended after it only after. At most [`MAX_VOTE_BYTES`]; an empty vote is no vote.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        if vote.len() > MAX_VOTE_BYTES {
            let text = format!("a vote of {} bytes, the limit is {MAX_VOTE_BYTES}", vote.len());
            return done(Err(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        self.command(done, |_, done| Task::Vote { vote, done });
    }

    /// Lazy: written some time soon, not flushed; a newer value replaces a waiting one.
    pub fn save_committed(&self, term: u64, index: u64) {
        self.inner.shared.set_committed(term, index);
    }

    /// Keeps entries up to and including `last`; `None` drops everything above `purged`. Exclusive and durable before any
    /// later append; entries that were cut are not read again after the call. Beyond the end it changes nothing.
    pub fn truncate_after(&self, last: Option<u64>, done: Done) {
        let end_index = last.map_or(0, |last| last.saturating_add(1));
        self.command(done, |state, done| Task::Cut {
            end_index: state.cut(end_index),
            done,
        });
    }

    /// Moves the log's durable start past `index`. Whole segments below are unlinked afterwards. With `index` at or
    /// beyond the end the log becomes empty and its `last` is `(term, index)`. At or below [`Log::purged`] it
    /// changes nothing.
    pub fn purge(&self, term: u64, index: u64, done: Done) {
        if index == u64::MAX {
            let text = format!("a log can't be purged up to {index}");
            return done(Err(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        self.command(done, |state, done| {
            if state.purge(term, index) {
                Task::Purge { term, index, done }
            } else {
                Task::Nothing { done }
            }
        });
    }

    /// Writes and flushes something that changes nothing: whether the disk still takes writes, when there was no
    /// other for a while. A failure poisons the log like any other.
    pub fn probe(&self, done: Done) {
        self.command(done, |_, done| Task::Probe { done });
    }

    /// Queues what `make` gives, made under the lock; if the log takes nothing more, `done` says so and nothing changes.
    fn command(&self, done: Done, make: impl FnOnce(&mut State, Done) -> Task) {
        let mut inside = self.inner.shared.lock_with_room();
        if let Err(error) = inside.phase.check() {
            drop(inside);
            return done(Err(error));
        }
        let task = make(&mut inside.state, done);
        self.inner.shared.push(&mut inside, task);
    }

    /// Whether the disk has room for what may come. If not, somebody should stop appending: what is reserved is for what
    /// can't be refused. It is looked again every second.
    pub fn has_room(&self) -> bool {
        self.inner.shared.lock().has_room
    }

    /// Bytes of frames that wait for their flush. See [`crate::UNFLUSHED_BYTES`].
    pub fn unflushed_bytes(&self) -> u64 {
        self.inner.shared.lock().unflushed_bytes
    }

    /// What still fits the reserve, as it was when room was looked for.
    pub fn spare_bytes(&self) -> u64 {
        self.inner.shared.lock().spare_bytes
    }

    /// Entries `from..to` from memory: `Some` only if `from` is there. At least one entry, then as many as fit
    /// `max_bytes`, counting entry bytes.
    pub fn read_hot(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<StoredEntry>> {
        if from >= to {
            return None;
        }
        self.inner.shared.lock().state.hot.get(from, to, max_bytes)
    }

    /// Entries `from..to` from memory or files; blocks. What was purged or is not there yet is left out at either end,
    /// never in the middle. At least one entry if there is one in the range, then as many as fit `max_bytes`. What is
    /// returned stood in the log at one moment after the call.
    pub fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        loop {
            let (generation, read) = self.read_once(from, to, max_bytes);
            // A cut or a purge meanwhile may have changed or taken what was being read: then neither entries nor
            // errors mean anything.
            if self.inner.shared.lock().state.generation == generation {
                return read;
            }
        }
    }

    fn read_once(&self, from: u64, to: u64, max_bytes: usize) -> (u64, io::Result<Vec<StoredEntry>>) {
        let mut next = from;
        let mut entries: Vec<StoredEntry> = Vec::new();
        let mut left_bytes = max_bytes;
        let mut generation = None;
        loop {
            let (now, step) = self.plan(next, to, left_bytes);
            let generation = *generation.get_or_insert(now);
            if now != generation {
                return (generation, Ok(entries));
            }
            let part = match step {
                Step::Nothing => return (generation, Ok(entries)),
                Step::Hot(part) => part,
                Step::File {
                    id,
                    base_index,
                    index,
                    position,
                    end_position,
                    from,
                    to,
                } => {
                    let path = segment_path(&self.inner.dir, base_index);
                    let seed = FrameSeed::new(self.inner.options.stamp, base_index);
                    let stretch = Stretch {
                        path: &path,
                        seed,
                        index,
                        position,
                        end_position,
                    };
                    let file = self.inner.shared.open_files.get(&*self.inner.disk, id, &path);
                    match file.and_then(|file| read_entries(&*file, stretch, from, to, left_bytes)) {
                        Ok(part) => part,
                        Err(error) => return (generation, Err(error)),
                    }
                }
            };
            // The first entry of a part comes whatever its size; only the whole read may go over.
            for entry in part {
                if !entries.is_empty() && entry.bytes.len() > left_bytes {
                    return (generation, Ok(entries));
                }
                left_bytes = left_bytes.saturating_sub(entry.bytes.len());
                next = entry.index + 1;
                entries.push(entry);
            }
            if left_bytes == 0 {
                return (generation, Ok(entries));
            }
        }
    }

    fn plan(&self, from: u64, to: u64, max_bytes: usize) -> (u64, Step) {
        let inside = self.inner.shared.lock();
        let state = &inside.state;
        let from = from.max(state.first_index);
        let to = to.min(state.end_index);
        let step = if from >= to {
            Step::Nothing
        } else if let Some(part) = state.hot.get(from, to, max_bytes) {
            Step::Hot(part)
        } else if let Some(at) = position_of(&state.segments, from) {
            let segment = &state.segments[at];
            let (index, position) = segment.nearest(from);
            let next_base = state
                .segments
                .get(at + 1)
                .map_or(u64::MAX, |next| next.base_index);
            Step::File {
                id: segment.id,
                base_index: segment.base_index,
                index,
                position,
                end_position: segment.len_bytes,
                from,
                to: to.min(next_base).min(state.hot.start_index()),
            }
        } else {
            Step::Nothing
        };
        (state.generation, step)
    }

    /// `(term, index)` of the last entry, flushed or not; `purged` when the log is empty.
    pub fn last(&self) -> Option<(u64, u64)> {
        self.inner.shared.lock().state.last()
    }

    /// `(term, index)` of the last purged entry.
    pub fn purged(&self) -> Option<(u64, u64)> {
        self.inner.shared.lock().state.purged
    }

    /// The newest index known durable. Below [`Log::purged`] while a purge beyond the end is on its way to the disk.
    pub fn flushed_index(&self) -> Option<u64> {
        self.inner.shared.lock().state.flushed_index()
    }

    /// The term of the entry at `index`, or of the last purged one, without touching the disk.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        self.inner.shared.lock().state.term_of(index)
    }

    pub fn stats(&self) -> LogStats {
        self.inner.shared.lock().state.stats()
    }

    /// Set once the log is poisoned by a failed write or flush: says which file, what was tried, and the error.
    pub fn failed(&self) -> Option<String> {
        match &self.inner.shared.lock().phase {
            Phase::Failed(error) => Some(error.clone()),
            Phase::Open | Phase::Closed => None,
        }
    }

    /// Flushes what waits, then stops and joins the writer. Later commands are refused; reads go on. Must not be
    /// called from a [`Done`].
    pub fn close(&self) {
        self.inner.close();
    }
}

enum Step {
    Nothing,
    Hot(Vec<StoredEntry>),
    File {
        id: SegmentId,
        base_index: u64,
        index: u64,
        position: u64,
        end_position: u64,
        from: u64,
        to: u64,
    },
}

impl Inner {
    fn close(&self) {
        self.shared.close();
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        // A callback may hold the last handle; the writer can't wait for itself, and ends when it has run it.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!(dir = %self.dir.display(), "the log's writer panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
