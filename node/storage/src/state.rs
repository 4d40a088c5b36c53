//! What everybody may know about the log: where it starts and ends, what of it is durable, where it lies.
//!
//! `purged < first_index <= end_index`; `flushed_end` may lag behind `first_index` while a purge is on its way to
//! the disk. A call changes the positions at once and the writer follows on disk. Two rules keep reads right
//! while it is behind. Everything below `hot.start_index()` is flushed and lies in `segments`; everything from there
//! on is in memory. And a flush never counts beyond a cut that the writer has not made yet: those bytes are the
//! cut entries', not those appended since.

use std::{collections::VecDeque, io};

use crate::{
    api::{LogStats, MAX_ENTRY_BYTES, StoredEntry},
    hot_tail::HotTail,
    segment::{Segment, SegmentId},
    stats::FlushTimes,
    terms::TermRuns,
};

pub(crate) struct State {
    /// The first index that may exist.
    pub(crate) first_index: u64,
    /// `(term, index)` of the last purged entry.
    pub(crate) purged: Option<(u64, u64)>,
    /// One past the last entry.
    pub(crate) end_index: u64,
    /// Entries below this are durable.
    flushed_end: u64,
    /// The ends of cuts that the writer has yet to make, in order.
    pending_cuts: VecDeque<u64>,
    pub(crate) hot: HotTail,
    pub(crate) terms: TermRuns,
    /// Sorted by base index; the last is being written.
    pub(crate) segments: Vec<Segment>,
    /// Rises with every cut and purge, when it is asked for and when files follow: what was read from files is good if it did not rise meanwhile.
    pub(crate) generation: u64,
    pub(crate) flush_times: FlushTimes,
}

impl State {
    pub(crate) fn new(
        purged: Option<(u64, u64)>,
        first_index: u64,
        end_index: u64,
        hot_tail_bytes: usize,
        terms: TermRuns,
        segments: Vec<Segment>,
    ) -> Self {
        Self {
            first_index,
            purged,
            end_index,
            flushed_end: end_index,
            pending_cuts: VecDeque::new(),
            hot: HotTail::new(end_index, hot_tail_bytes),
            terms,
            segments,
            generation: 0,
            flush_times: FlushTimes::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.first_index == self.end_index
    }

    /// `(term, index)` of the last entry; of the last purged one when the log is empty.
    pub(crate) fn last(&self) -> Option<(u64, u64)> {
        if self.is_empty() {
            return self.purged;
        }
        let index = self.end_index - 1;
        self.terms.get(index).map(|term| (term, index))
    }

    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if (self.first_index..self.end_index).contains(&index) {
            return self.terms.get(index);
        }
        self.purged
            .filter(|(_, purged)| *purged == index)
            .map(|(term, _)| term)
    }

    /// The newest index known durable.
    pub(crate) fn flushed_index(&self) -> Option<u64> {
        if self.purged.is_none() && self.flushed_end <= self.first_index {
            return None;
        }
        self.flushed_end.checked_sub(1)
    }

    /// Whether these entries may follow. Changes nothing.
    pub(crate) fn check_append(&self, entries: &[StoredEntry]) -> io::Result<()> {
        let refuse = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let anywhere = self.is_empty() && self.purged.is_none() && first.index >= self.first_index;
        if first.index != self.end_index && !anywhere {
            return refuse(format!(
                "append at index {}: the log ends before {}",
                first.index, self.end_index
            ));
        }
        for (entry, expected) in entries.iter().zip(first.index..) {
            if entry.index != expected || entry.index == u64::MAX {
                return refuse(format!(
                    "append of entry {} where {expected} should be",
                    entry.index
                ));
            }
            if entry.bytes.len() > MAX_ENTRY_BYTES {
                let len = entry.bytes.len();
                return refuse(format!(
                    "entry {} has {len} bytes, the limit is {MAX_ENTRY_BYTES}",
                    entry.index
                ));
            }
        }
        Ok(())
    }

    /// Takes entries that passed [`State::check_append`].
    pub(crate) fn append(&mut self, entries: &[StoredEntry]) {
        let Some(first) = entries.first() else { return };
        if first.index != self.end_index {
            self.restart(first.index);
        }
        for entry in entries {
            self.terms.push(entry.index, entry.term);
            self.hot.push(entry.clone());
        }
        self.end_index += entries.len() as u64;
        self.hot.trim(self.flushed_end);
    }

    /// Drops entries at and beyond `end_index`, and returns where the log really ends then: never below its start.
    pub(crate) fn cut(&mut self, end_index: u64) -> u64 {
        let end_index = end_index.clamp(self.first_index, self.end_index);
        if end_index < self.end_index {
            self.end_index = end_index;
            self.hot.cut(end_index);
            self.terms.cut(end_index);
            self.flushed_end = self.flushed_end.min(end_index);
            self.generation += 1;
        }
        self.pending_cuts.push_back(end_index);
        end_index
    }

    /// Moves the start past `index`. `false` if it is there already.
    pub(crate) fn purge(&mut self, term: u64, index: u64) -> bool {
        let first_index = index + 1;
        // A log that was never purged may begin right behind `index`: then what lies before it still has to be told.
        if first_index < self.first_index || (first_index == self.first_index && self.purged.is_some()) {
            return false;
        }
        self.purged = Some((term, index));
        if first_index > self.end_index {
            self.restart(first_index);
        } else {
            self.first_index = first_index;
            self.hot.purge(first_index);
            self.terms.purge(first_index);
        }
        self.generation += 1;
        true
    }

    /// The log is empty and goes on at `index`, which is beyond its end.
    fn restart(&mut self, index: u64) {
        self.first_index = index;
        self.end_index = index;
        self.hot.purge(index);
        self.terms.clear();
    }

    /// The writer flushed everything below `flushed_end`; the segment it writes is `len_bytes` long, with the frames at
    /// `places` new in it.
    pub(crate) fn flushed(&mut self, flushed_end: u64, len_bytes: u64, places: &[(u64, u64)]) {
        if let Some(segment) = self.segments.last_mut() {
            segment.len_bytes = len_bytes;
            for (index, position) in places {
                segment.note(*index, *position);
            }
        }
        let uncut = self.pending_cuts.iter().copied().min().unwrap_or(u64::MAX);
        self.flushed_end = flushed_end.min(uncut);
        self.hot.trim(self.flushed_end);
    }

    /// The writer is about to cut a segment to `len_bytes` and to unlink those after it, which are returned. What is left
    /// does not change while it does so; who planned to read the rest finds the generation changed.
    pub(crate) fn cut_segments(&mut self, last: SegmentId, len_bytes: u64) -> Vec<Segment> {
        let Some(at) = self.segments.iter().position(|segment| segment.id == last) else {
            return Vec::new();
        };
        self.generation += 1;
        self.segments[at].cut(len_bytes);
        self.segments.split_off(at + 1)
    }

    /// The writer made the oldest pending cut.
    pub(crate) fn cut_done(&mut self) {
        self.pending_cuts.pop_front();
    }

    pub(crate) fn stats(&self) -> LogStats {
        let flushes = self.flush_times.summary();
        LogStats {
            segments: self.segments.len(),
            bytes: self.segments.iter().map(|segment| segment.len_bytes).sum(),
            fsync_count: flushes.count,
            fsync_p50_us: flushes.p50_us,
            fsync_p99_us: flushes.p99_us,
            fsync_max_us: flushes.max_us,
        }
    }
}
