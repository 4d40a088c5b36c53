//! The one writer of a log's files.
//!
//! A turn takes every command that waits. Appends gather until something else comes or the turn ends; then they are written
//! and one sync covers them all. Everything that is not an append waits for the sync of what came before
//! it and is durable before what comes after is written, so the files always hold a prefix of what was asked, in order.
//! Callbacks run in order, each after the sync that covers it. The first error ends it: after a failed
//! sync nobody knows what the disk holds, so nothing is tried again.

use std::{io, mem, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    api::{Done, LogOptions, Observer, StoredEntry},
    disk::Disk,
    failure::{Failure, tried},
    format::{SEGMENT_HEADER_BYTES, SegmentHeader},
    reader::{Stretch, find_end_of},
    segment::{Segment, SegmentId, position_of, segment_path},
    shared::{Command, Shared, Task},
    tail::{End, Tail},
    vote::{SLOT_BYTES, Slots, Start, encode_committed},
};

/// Purged segments unlinked in one turn: unlinking a large file takes a while, and appends are waiting.
const UNLINKS_PER_TURN: usize = 1;

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
    /// Callbacks of appends that are staged whole.
    pub(crate) staged: Vec<Done>,
    /// The callback of the command that is being run.
    pub(crate) current: Option<Done>,
    /// Purged segments that still lie in the folder.
    pub(crate) purged_files: Vec<PathBuf>,
    pub(crate) failed: bool,
}

impl Writer {
    /// Takes everything that waits in the queue and does it. `false` if nothing was to be done.
    pub fn take_turn(&mut self) -> bool {
        let commands = self.shared.take();
        let busy = !commands.is_empty() || self.has_leftovers();
        self.turn(commands);
        busy
    }

    /// Does `commands` in order and calls every callback.
    pub fn turn(&mut self, commands: Vec<Command>) {
        let mut commands = commands.into_iter();
        if self.failed {
            commands.for_each(|Command(task)| refuse(task.into_done(), &self.shared));
            return;
        }
        if let Err(failure) = self.run(&mut commands) {
            self.fail(&failure, commands);
        }
    }

    /// Whether a turn has something to do even without commands.
    pub fn has_leftovers(&self) -> bool {
        !self.failed && !self.purged_files.is_empty()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed
    }

    fn run(&mut self, commands: &mut impl Iterator<Item = Command>) -> Result<(), Failure> {
        for Command(task) in commands {
            match task {
                Task::Append { entries, done } => {
                    self.current = Some(done);
                    self.append(&entries)?;
                    self.staged.extend(self.current.take());
                    continue;
                }
                Task::Committed { term, index } => {
                    self.committed.write(&encode_committed(term, index))?;
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
                Task::Nothing { done } => {
                    self.current = Some(done);
                    self.settle()?;
                }
            }
            self.current.take().into_iter().for_each(|done| done(Ok(())));
        }
        self.settle()?;
        self.unlink_purged()
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
            if self
                .tail
                .is_full_for(entry.bytes.len(), self.options.segment_bytes)
            {
                self.settle()?;
                self.open_segment(self.tail.end())?;
            }
            self.tail.stage(entry, self.flushed_end)?;
        }
        Ok(())
    }

    /// Makes everything staged durable, tells everyone, and calls the callbacks that waited for it.
    fn settle(&mut self) -> Result<(), Failure> {
        if let Some((bytes, elapsed_us)) = self.tail.flush(&*self.disk)? {
            self.flushed_end = self.tail.end_index;
            let places = self.tail.take_places();
            self.shared
                .lock()
                .state
                .flushed(self.flushed_end, self.tail.len_bytes(), &places);
            self.report_flush(bytes, elapsed_us);
        }
        mem::take(&mut self.staged)
            .into_iter()
            .for_each(|done| done(Ok(())));
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

    fn save_start(&mut self, start: Start) -> Result<(), Failure> {
        self.start_slots.write(&start.encode())?;
        let start_us = self.disk.now_us();
        self.start_slots.sync()?;
        self.report_flush(SLOT_BYTES as u64, self.disk.now_us().saturating_sub(start_us));
        self.start = start;
        Ok(())
    }

    /// Goes on in a new segment; everything before it is flushed.
    fn open_segment(&mut self, end: End) -> Result<(), Failure> {
        let id = SegmentId(self.next_segment_id);
        self.next_segment_id += 1;
        self.tail = Tail::create(&*self.disk, &self.dir, self.options.stamp, id, end)?;
        self.shared.open_files.put(id, Arc::clone(self.tail.file()));
        self.shared
            .lock()
            .state
            .segments
            .push(Segment::new(id, end.index));
        Ok(())
    }

    /// Cuts entries at and beyond `end_index`. Segments go from the newest back, each for good before the next, so
    /// that a power cut in between leaves a log without a hole.
    fn cut(&mut self, end_index: u64) -> Result<(), Failure> {
        let end_index = end_index.max(self.start.first_index);
        if end_index < self.tail.end_index {
            let keep = {
                let inside = self.shared.lock();
                position_of(&inside.state.segments, end_index).unwrap_or(0)
            };
            loop {
                let gone = {
                    let mut inside = self.shared.lock();
                    let segments = &mut inside.state.segments;
                    if segments.len() > keep + 1 {
                        segments.pop()
                    } else {
                        None
                    }
                };
                let Some(gone) = gone else { break };
                self.shared.open_files.forget(gone.id);
                let path = segment_path(&self.dir, gone.base_index);
                tried("unlink", &path, self.disk.unlink(&path))?;
                tried("fsync", &self.dir, self.disk.sync_dir(&self.dir))?;
            }
            self.cut_last_segment(end_index)?;
        }
        let mut inside = self.shared.lock();
        inside.state.cut_done();
        inside.state.flushed(self.flushed_end, self.tail.len_bytes(), &[]);
        Ok(())
    }

    fn cut_last_segment(&mut self, end_index: u64) -> Result<(), Failure> {
        let segment = self.shared.lock().state.segments.last().cloned();
        let Some(mut segment) = segment else { return Ok(()) };
        let path = segment_path(&self.dir, segment.base_index);
        let file = tried(
            "open",
            &path,
            self.shared.open_files.get(&*self.disk, segment.id, &path),
        )?;
        let (len_bytes, end) = tried("read", &path, self.end_at(&*file, &segment, &path, end_index))?;
        tried("truncate", &path, file.set_len(len_bytes))?;
        tried("fsync", &path, file.sync_all())?;
        segment.cut(len_bytes);
        let stamp = self.options.stamp;
        self.tail = Tail::resume(path, file, stamp, segment.id, segment.base_index, len_bytes, end);
        self.flushed_end = end_index;
        if let Some(last) = self.shared.lock().state.segments.last_mut() {
            *last = segment;
        }
        Ok(())
    }

    /// The length of a segment that ends before `end_index`, and the log's end there, as its frames tell.
    fn end_at(
        &self,
        file: &dyn crate::disk::DiskFile,
        segment: &Segment,
        path: &std::path::Path,
        end_index: u64,
    ) -> io::Result<(u64, End)> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        file.read_at(&mut bytes, 0)?;
        let header = SegmentHeader::decode(&bytes, self.options.stamp).map_err(|flaw| {
            io::Error::new(io::ErrorKind::InvalidData, format!("segment header: {flaw:?}"))
        })?;
        let mut end = End {
            index: end_index,
            last_term: header.base_term,
            prefix_hash: header.prefix_hash,
            chain_from: header.chain_from,
        };
        if end_index == segment.base_index {
            return Ok((SEGMENT_HEADER_BYTES as u64, end));
        }
        let (index, position) = segment.nearest(end_index - 1);
        let seed = crate::format::FrameSeed::new(self.options.stamp, segment.base_index);
        let stretch = Stretch {
            path,
            seed,
            index,
            position,
            end_position: segment.len_bytes,
        };
        let (len_bytes, last) = find_end_of(file, stretch, end_index - 1)?;
        end.last_term = last.term;
        end.prefix_hash = last.prefix_hash;
        Ok((len_bytes, end))
    }

    fn purge(&mut self, term: u64, index: u64) -> Result<(), Failure> {
        let first_index = index + 1;
        if first_index <= self.start.first_index {
            return Ok(());
        }
        let start = Start {
            first_index,
            purged_term: Some(term),
            log_end: self.tail.end_index,
        };
        if first_index > self.tail.end_index {
            return self.restart(start);
        }
        self.save_start(start)?;
        let mut inside = self.shared.lock();
        let kept_from = position_of(&inside.state.segments, first_index).unwrap_or(0);
        let gone: Vec<Segment> = inside.state.segments.drain(..kept_from).collect();
        drop(inside);
        self.forget(gone);
        Ok(())
    }

    /// Empties the log, which goes on at `start`, beyond its end. Once the start is durable what lies below is void,
    /// so the new segment comes next and the old ones go when there is time.
    fn restart(&mut self, start: Start) -> Result<(), Failure> {
        self.save_start(start)?;
        let gone = mem::take(&mut self.shared.lock().state.segments);
        let index = start.first_index;
        self.open_segment(End {
            index,
            last_term: start.purged_term.unwrap_or(0),
            prefix_hash: 0,
            chain_from: index,
        })?;
        self.flushed_end = index;
        self.shared
            .lock()
            .state
            .flushed(index, self.tail.len_bytes(), &[]);
        self.forget(gone);
        Ok(())
    }

    fn forget(&mut self, gone: Vec<Segment>) {
        for segment in gone {
            self.shared.open_files.forget(segment.id);
            self.purged_files
                .push(segment_path(&self.dir, segment.base_index));
        }
    }

    fn unlink_purged(&mut self) -> Result<(), Failure> {
        for path in self
            .purged_files
            .drain(..self.purged_files.len().min(UNLINKS_PER_TURN))
        {
            tried("unlink", &path, self.disk.unlink(&path))?;
            tried("fsync", &self.dir, self.disk.sync_dir(&self.dir))?;
        }
        Ok(())
    }

    /// The last thing before an orderly end: the commit hint is a help to the next start, so it is made to last.
    pub(crate) fn finish(&mut self) {
        if !self.failed
            && let Err(failure) = self.committed.sync()
        {
            self.fail(&failure, std::iter::empty());
        }
    }

    /// Poisons the log: nothing that is not acknowledged by now ever will be.
    fn fail(&mut self, failure: &Failure, rest: impl Iterator<Item = Command>) {
        self.poison(failure.kind(), &failure.to_string(), rest);
    }

    /// Poisons the log because nobody will give its writer another turn.
    pub(crate) fn abandon(&mut self, error: &str) {
        self.poison(io::ErrorKind::Other, error, std::iter::empty());
    }

    fn poison(&mut self, kind: io::ErrorKind, error: &str, rest: impl Iterator<Item = Command>) {
        self.failed = true;
        let queued = self.shared.fail(error);
        if queued.is_some() {
            self.observer.failed(error);
        }
        let waiting = mem::take(&mut self.staged).into_iter().chain(self.current.take());
        let rest = rest.filter_map(|Command(task)| task.into_done());
        for done in waiting.chain(rest).chain(queued.into_iter().flatten()) {
            done(Err(io::Error::new(kind, error.to_owned())));
        }
    }
}

fn refuse(done: Option<Done>, shared: &Shared) {
    let phase = shared.lock().phase.clone();
    if let Some(done) = done {
        done(phase.check());
    }
}
