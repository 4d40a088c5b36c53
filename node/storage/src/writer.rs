//! The one writer of a log's files.
//!
//! A turn takes every command that waits. Appends gather until something else comes or the turn ends; then they are written
//! and one sync covers them all. Everything that is not an append waits for the sync of what came before
//! it and is durable before what comes after is written, so the files always hold a prefix of what was asked, in order.
//! Callbacks run in order, each after the sync that covers it. The first error ends it: after a failed
//! sync nobody knows what the disk holds, so nothing is tried again.

use std::{collections::VecDeque, io, mem, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    api::{Done, LogOptions, Observer, StoredEntry},
    disk::Disk,
    failure::Failure,
    segment::{Segment, SegmentId},
    shared::{Command, LOOK_FOR_ROOM, Phase, Shared, Task},
    tail::{End, Tail},
    vote::{Committed, SLOT_BYTES, Slots, Start},
};

/// Owns the files. Driven by a thread, or by a simulation that owns it.
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) vote: Slots,
    pub(crate) start_slots: Slots,
    pub(crate) committed: Slots,
    pub(crate) start: Start,
    pub(crate) tail: Tail,
    pub(crate) next_segment_id: u64,
    /// Entries below this are durable. Every frame tells of it, for recovery to tell a torn tail from damage.
    pub(crate) flushed_end: u64,
    /// What is left of this turn.
    pub(crate) waiting: VecDeque<Task>,
    /// Callbacks of appends that are staged whole.
    pub(crate) staged: VecDeque<Done>,
    /// The callback of the command that is being run.
    pub(crate) current: Option<Done>,
    /// Purged segments that still lie in the folder.
    pub(crate) purged_files: Vec<PathBuf>,
    pub(crate) failed: bool,
    /// The tail is full and there was no room for a new segment yet.
    pub(crate) must_roll: bool,
}

impl Writer {
    /// Takes everything that waits in the queue and does it. `false` if nothing was to be done.
    pub fn take_turn(&mut self) -> bool {
        let commands = self.shared.take();
        let busy = !commands.is_empty() || self.has_leftovers();
        self.turn(commands);
        busy
    }

    /// For who drives the writer without a thread: `hear` is called whenever there is work, or none will come any more.
    /// It must do no more than wake somebody.
    pub fn on_work(&self, hear: Box<dyn Fn() + Send + Sync>) {
        self.shared.on_work(hear);
    }

    /// Without room on the disk a turn is due after this long, though there is no work: there may be some again.
    pub fn next_look(&self) -> Option<Duration> {
        (!self.shared.lock().has_room).then_some(LOOK_FOR_ROOM)
    }

    /// Whether the log takes nothing more and everything is done: the driver's last act is [`Writer::finish`].
    pub fn is_done(&self) -> bool {
        let inside = self.shared.lock();
        self.failed || (inside.phase != Phase::Open && !inside.has_work())
    }

    /// Does `commands` in order and calls every callback.
    pub fn turn(&mut self, commands: Vec<Command>) {
        self.waiting
            .extend(commands.into_iter().map(|Command(task)| task));
        if self.failed {
            let error = self.shared.lock().phase.check();
            if let Err(error) = error {
                self.refuse(error.kind(), &error.to_string());
            }
        } else if let Err(failure) = self.run() {
            self.poison(failure.kind(), &failure.to_string());
        }
    }

    /// Whether a turn has something to do even without commands.
    pub fn has_leftovers(&self) -> bool {
        !self.failed && !self.purged_files.is_empty()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed
    }

    fn run(&mut self) -> Result<(), Failure> {
        while let Some(task) = self.waiting.pop_front() {
            match task {
                Task::Append { entries, done } => {
                    self.current = Some(done);
                    self.append(&entries)?;
                    self.staged.extend(self.current.take());
                    continue;
                }
                Task::Committed { term, index } => {
                    let committed = Committed::new(term, index, self.flushed_end);
                    self.committed.write(&committed.encode())?;
                    continue;
                }
                Task::Vote { vote, done } => {
                    self.current = Some(done);
                    self.settle()?;
                    self.save_vote(&vote)?;
                }
                Task::Cut { end_index, done } => {
                    self.current = Some(done);
                    self.settle()?;
                    self.cut(end_index)?;
                }
                Task::Purge { term, index, done } => {
                    self.current = Some(done);
                    self.settle()?;
                    self.purge(term, index)?;
                }
                Task::Probe { done } => {
                    self.current = Some(done);
                    self.settle()?;
                    self.save_start(self.start)?;
                }
                Task::Nothing { done } => {
                    self.current = Some(done);
                    self.settle()?;
                }
            }
            self.current.take().into_iter().for_each(|done| done(Ok(())));
        }
        self.settle()?;
        self.unlink_purged()?;
        // Last, when nobody waits for it.
        self.keep_room()
    }

    fn append(&mut self, entries: &[StoredEntry]) -> Result<(), Failure> {
        if let Some(first) = entries.first().filter(|first| first.index != self.tail.end_index) {
            // The log is empty and begins later than it was made to.
            self.settle()?;
            self.restart(Start {
                first_index: first.index,
                purged_term: None,
                log_end: first.index,
            })?;
        }
        for entry in entries {
            let is_full = self
                .tail
                .is_full_for(entry.bytes.len(), self.options.segment_bytes);
            // Without room for a new segment it is looked again with the next turn.
            if is_full && !self.must_roll {
                self.settle()?;
                self.must_roll = true;
                self.keep_room()?;
            }
            self.tail.stage(entry, self.flushed_end)?;
        }
        Ok(())
    }

    /// Goes on in a new segment. Without room for one it stays in the old one, which has some; `false` then.
    fn roll(&mut self) -> Result<bool, Failure> {
        let unneeded = self.tail.unneeded_room();
        match self.open_segment(self.tail.end(), self.options.reserve_bytes) {
            Ok(()) => {
                unneeded.give_back()?;
                Ok(true)
            }
            Err(failure) if failure.is_full() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Reserves room for what may come, and tells when there is none, or some again. Nothing is staged.
    pub(crate) fn keep_room(&mut self) -> Result<(), Failure> {
        let has_room = if self.must_roll {
            self.roll()?
        } else {
            match self.tail.reserve(self.options.reserve_bytes) {
                Ok(()) => true,
                Err(failure) if failure.is_full() => false,
                Err(failure) => return Err(failure),
            }
        };
        self.set_room(has_room);
        Ok(())
    }

    fn set_room(&mut self, has_room: bool) {
        let before = {
            let mut inside = self.shared.lock();
            inside.spare_bytes = self.tail.spare_bytes();
            std::mem::replace(&mut inside.has_room, has_room)
        };
        if before != has_room {
            self.observer.room(has_room);
        }
    }

    /// Makes everything staged durable, tells everyone, and calls the callbacks that waited for it.
    fn settle(&mut self) -> Result<(), Failure> {
        if let Some((bytes, elapsed_us)) = self.tail.flush(&*self.disk, self.options.fill_bytes)? {
            self.flushed_end = self.tail.end_index;
            let places = self.tail.take_places();
            {
                let mut inside = self.shared.lock();
                inside
                    .state
                    .flushed(self.flushed_end, self.tail.len_bytes(), &places);
                inside.unflushed_bytes = inside.unflushed_bytes.saturating_sub(bytes);
            }
            self.report_flush(bytes, elapsed_us);
        }
        while let Some(done) = self.staged.pop_front() {
            done(Ok(()));
        }
        Ok(())
    }

    fn report_flush(&self, bytes: u64, elapsed_us: u64) {
        let flushed_index = {
            let mut inside = self.shared.lock();
            inside.state.flush_times.add(elapsed_us);
            inside.state.flushed_index()
        };
        self.observer
            .flushed(flushed_index, bytes, Duration::from_micros(elapsed_us));
    }

    fn save_vote(&mut self, vote: &Bytes) -> Result<(), Failure> {
        self.vote.write(vote)?;
        let start_us = self.disk.now_us();
        self.vote.sync()?;
        self.report_flush(SLOT_BYTES as u64, self.disk.now_us().saturating_sub(start_us));
        Ok(())
    }

    pub(crate) fn save_start(&mut self, start: Start) -> Result<(), Failure> {
        self.start_slots.write(&start.encode())?;
        let start_us = self.disk.now_us();
        self.start_slots.sync()?;
        self.report_flush(SLOT_BYTES as u64, self.disk.now_us().saturating_sub(start_us));
        self.start = start;
        Ok(())
    }

    /// Goes on in a new segment with room for so much; everything before it is flushed.
    pub(crate) fn open_segment(&mut self, end: End, reserve_bytes: u64) -> Result<(), Failure> {
        let id = SegmentId(self.next_segment_id);
        self.next_segment_id += 1;
        let stamp = self.options.stamp;
        self.tail = Tail::create(&*self.disk, &self.dir, stamp, id, end, reserve_bytes)?;
        self.must_roll = false;
        self.shared.open_files.put(id, Arc::clone(self.tail.file()));
        self.shared
            .lock()
            .state
            .segments
            .push(Segment::new(id, end.index));
        Ok(())
    }

    /// The last thing before an orderly end: the commit hint is a help to the next start, so it is made to last.
    pub fn finish(&mut self) {
        if !self.failed
            && let Err(failure) = self.committed.sync()
        {
            self.poison(failure.kind(), &failure.to_string());
        }
    }

    /// Poisons the log: nothing that is not acknowledged by now ever will be.
    pub(crate) fn poison(&mut self, kind: io::ErrorKind, error: &str) {
        self.failed = true;
        if let Some(queued) = self.shared.fail(error) {
            self.waiting.extend(queued);
            self.observer.failed(error);
        }
        self.refuse(kind, error);
    }

    /// Calls every callback that waits, in order, with an error.
    fn refuse(&mut self, kind: io::ErrorKind, error: &str) {
        let staged = mem::take(&mut self.staged).into_iter().chain(self.current.take());
        let waiting = mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(Task::into_done);
        for done in staged.chain(waiting) {
            done(Err(io::Error::new(kind, error.to_owned())));
        }
    }
}
