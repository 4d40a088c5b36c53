//! The newest entries, in memory: what was just written is what is read next, by replication, apply and subscribers.

use std::collections::VecDeque;

use crate::api::StoredEntry;

/// What keeping an entry costs beyond its bytes, roughly. It bounds the number of tiny entries.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Consecutive entries up to the end of the log, bounded in bytes but for those that are not flushed.
pub(crate) struct HotTail {
    entries: VecDeque<StoredEntry>,
    /// The first index that is here, or the log's end if nothing is.
    start_index: u64,
    bytes: usize,
    limit_bytes: usize,
}

impl HotTail {
    pub(crate) fn new(end_index: u64, limit_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            start_index: end_index,
            bytes: 0,
            limit_bytes,
        }
    }

    pub(crate) fn start_index(&self) -> u64 {
        self.start_index
    }

    pub(crate) fn push(&mut self, entry: StoredEntry) {
        debug_assert_eq!(
            entry.index,
            self.start_index + self.entries.len() as u64,
            "entries are consecutive"
        );
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
    }

    /// Drops the oldest entries below `flushed_end` until the rest fits.
    pub(crate) fn trim(&mut self, flushed_end: u64) {
        while self.bytes > self.limit_bytes && self.start_index < flushed_end && self.pop_front() {}
    }

    /// Drops entries at and beyond `end_index`, which becomes the log's end.
    pub(crate) fn cut(&mut self, end_index: u64) {
        while self.entries.back().is_some_and(|entry| entry.index >= end_index) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| cost(&entry));
        }
        self.start_index = self.start_index.min(end_index);
    }

    /// Drops entries below `first_index`.
    pub(crate) fn purge(&mut self, first_index: u64) {
        while self.start_index < first_index && self.pop_front() {}
        self.start_index = self.start_index.max(first_index);
    }

    fn pop_front(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else {
            return false;
        };
        self.bytes -= cost(&entry);
        self.start_index = entry.index + 1;
        true
    }

    /// Entries `from..to`, at least one, then as many as fit `max_bytes`; `None` if `from` is not here.
    pub(crate) fn get(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<StoredEntry>> {
        let at = usize::try_from(from.checked_sub(self.start_index)?).ok()?;
        if at >= self.entries.len() {
            return None;
        }
        let mut bytes = 0;
        let entries = self.entries.range(at..).take_while(|entry| {
            bytes += entry.bytes.len();
            entry.index < to && (entry.index == from || bytes <= max_bytes)
        });
        Some(entries.cloned().collect())
    }
}

fn cost(entry: &StoredEntry) -> usize {
    entry.bytes.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn tail(range: std::ops::Range<u64>, limit_entries: usize) -> HotTail {
        let mut tail = HotTail::new(range.start, limit_entries * (10 + ENTRY_OVERHEAD_BYTES));
        for index in range {
            tail.push(StoredEntry {
                index,
                term: 1,
                bytes: Bytes::from_static(&[0; 10]),
            });
        }
        tail
    }

    fn indexes(entries: Option<Vec<StoredEntry>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|entry| entry.index).collect())
    }

    #[test]
    fn what_is_not_flushed_stays_whatever_the_limit() {
        let mut tail = tail(5..15, 4);
        tail.trim(8);
        assert_eq!(tail.start_index(), 8);
        tail.trim(15);
        assert_eq!(tail.start_index(), 11);
        assert_eq!(indexes(tail.get(10, 15, 1000)), None);
    }

    #[test]
    fn a_read_gives_one_entry_and_then_what_fits() {
        let tail = tail(5..15, 100);
        assert_eq!(indexes(tail.get(6, 15, 0)), Some(vec![6]));
        assert_eq!(indexes(tail.get(6, 15, 35)), Some(vec![6, 7, 8]));
        assert_eq!(indexes(tail.get(6, 8, 1000)), Some(vec![6, 7]));
        assert_eq!(indexes(tail.get(4, 8, 1000)), None);
        assert_eq!(indexes(tail.get(15, 18, 1000)), None);
    }

    #[test]
    fn cuts_and_purges_may_pass_either_end() {
        let mut cut = tail(5..15, 100);
        cut.cut(8);
        assert_eq!(indexes(cut.get(5, 15, 1000)), Some(vec![5, 6, 7]));
        cut.cut(3);
        assert_eq!((cut.start_index(), cut.bytes), (3, 0));
        let mut purged = tail(5..15, 100);
        purged.purge(13);
        assert_eq!(indexes(purged.get(13, 15, 1000)), Some(vec![13, 14]));
        purged.purge(20);
        assert_eq!((purged.start_index(), purged.bytes), (20, 0));
    }
}
