//! How the log loses entries: at its end, where a leader overrules them, and at its start, where nobody needs them.
//!
//! Both leave a log without a hole wherever the power goes. A cut removes from the newest back, each step for good before the
//! next. A purge first makes the new start durable: what lies below is void from then on, whatever is left of it.

use std::{io, mem, path::Path, time::Duration};

use crate::{
    disk::DiskFile,
    failure::{Failure, tried},
    format::{FrameSeed, SEGMENT_HEADER_BYTES, SegmentHeader},
    reader::{Stretch, find_end_of},
    segment::{Segment, position_of, segment_path},
    tail::{End, Tail},
    vote::Start,
    writer::Writer,
};

/// Purged segments unlinked in one turn: unlinking a large file takes a while, and appends are waiting.
const UNLINKS_PER_TURN: usize = 1;

impl Writer {
    /// Cuts entries at and beyond `end_index`. Readers are told first, so that nobody reads what is about to go. Then
    /// segments go from the newest back, each for good before the next.
    pub(crate) fn cut(&mut self, end_index: u64) -> Result<(), Failure> {
        let end_index = end_index.max(self.start.first_index);
        if end_index < self.tail.end_index {
            self.cut_files(end_index)?;
            self.flushed_end = end_index;
        }
        let mut inside = self.shared.lock();
        inside.state.cut_done();
        inside.state.flushed(self.flushed_end, self.tail.len_bytes(), &[]);
        let flushed_index = inside.state.flushed_index();
        drop(inside);
        // Who goes by what is flushed must not take the entries to come for those that went.
        self.observer.flushed(flushed_index, 0, Duration::ZERO);
        Ok(())
    }

    fn cut_files(&mut self, end_index: u64) -> Result<(), Failure> {
        let segment = {
            let inside = self.shared.lock();
            let segments = &inside.state.segments;
            position_of(segments, end_index).map(|at| segments[at].clone())
        };
        // The log's start lies in its first segment, and no cut goes below it.
        let Some(segment) = segment else { return Ok(()) };
        let path = segment_path(&self.dir, segment.base_index);
        let file = self.shared.open_files.get(&*self.disk, segment.id, &path);
        let file = tried("open", &path, file)?;
        let (len_bytes, end) = tried("read", &path, self.end_at(&*file, &segment, &path, end_index))?;
        let mut gone = self.shared.lock().state.cut_segments(segment.id, len_bytes);
        while let Some(gone) = gone.pop() {
            self.shared.open_files.forget(gone.id);
            let path = segment_path(&self.dir, gone.base_index);
            tried("unlink", &path, self.disk.unlink(&path))?;
            tried("fsync", &self.dir, self.disk.sync_dir(&self.dir))?;
        }
        tried("truncate", &path, file.set_len(len_bytes))?;
        tried("fsync", &path, file.sync_all())?;
        let stamp = self.options.stamp;
        self.tail = Tail::resume(path, file, stamp, segment.id, segment.base_index, len_bytes, end);
        self.must_roll = false;
        Ok(())
    }

    /// The length of a segment that ends before `end_index`, and the log's end there, as its frames tell.
    fn end_at(
        &self,
        file: &dyn DiskFile,
        segment: &Segment,
        path: &Path,
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
        let seed = FrameSeed::new(self.options.stamp, segment.base_index);
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

    pub(crate) fn purge(&mut self, term: u64, index: u64) -> Result<(), Failure> {
        let first_index = index + 1;
        let is_told = first_index == self.start.first_index && self.start.purged_term.is_some();
        if first_index < self.start.first_index || is_told {
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
    pub(crate) fn restart(&mut self, start: Start) -> Result<(), Failure> {
        self.save_start(start)?;
        let gone = mem::take(&mut self.shared.lock().state.segments);
        let index = start.first_index;
        let end = End {
            index,
            last_term: start.purged_term.unwrap_or(0),
            prefix_hash: 0,
            chain_from: index,
        };
        match self.open_segment(end, self.options.reserve_bytes) {
            Err(failure) if failure.is_full() => {
                // What the old tail kept reserved is room enough for a header; from then on the disk is told to be full.
                self.tail.unneeded_room().give_back()?;
                self.open_segment(end, 0)?;
                self.keep_room()?;
            }
            opened => opened?,
        }
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

    pub(crate) fn unlink_purged(&mut self) -> Result<(), Failure> {
        for path in self
            .purged_files
            .drain(..self.purged_files.len().min(UNLINKS_PER_TURN))
        {
            tried("unlink", &path, self.disk.unlink(&path))?;
            tried("fsync", &self.dir, self.disk.sync_dir(&self.dir))?;
        }
        Ok(())
    }
}
