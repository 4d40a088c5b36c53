//! The term of every entry, as runs: terms change seldom, so the whole log's fit in memory, and no question about a
//! position's term goes to the disk.

use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct TermRuns {
    /// `(first index, term)` of each run; a run ends where the next begins.
    runs: VecDeque<(u64, u64)>,
}

impl TermRuns {
    pub(crate) fn push(&mut self, index: u64, term: u64) {
        if self.runs.back().is_none_or(|(_, last)| *last != term) {
            self.runs.push_back((index, term));
        }
    }

    /// Forgets entries at and beyond `end_index`.
    pub(crate) fn cut(&mut self, end_index: u64) {
        while self.runs.back().is_some_and(|(start, _)| *start >= end_index) {
            self.runs.pop_back();
        }
    }

    /// Forgets runs that end at or below `first_index`.
    pub(crate) fn purge(&mut self, first_index: u64) {
        while self.runs.get(1).is_some_and(|(start, _)| *start <= first_index) {
            self.runs.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
    }

    /// The term of an entry that exists.
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        let after = self.runs.partition_point(|(start, _)| *start <= index);
        Some(self.runs[after.checked_sub(1)?].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_answer_for_every_entry_between_cut_and_purge() {
        let mut runs = TermRuns::default();
        for (index, term) in [(3, 1), (4, 1), (5, 2), (6, 2), (7, 5)] {
            runs.push(index, term);
        }
        let terms = |runs: &TermRuns| (2..9).map(|index| runs.get(index)).collect::<Vec<_>>();
        assert_eq!(
            terms(&runs),
            [None, Some(1), Some(1), Some(2), Some(2), Some(5), Some(5)]
        );
        runs.cut(7);
        runs.push(7, 6);
        assert_eq!(runs.get(7), Some(6));
        runs.purge(6);
        assert_eq!((runs.get(4), runs.get(6), runs.get(7)), (None, Some(2), Some(6)));
        assert_eq!(runs.runs.len(), 2);
    }
}
