//! Which topics the newest entries hold records of, in the order of the log.
//!
//! Whoever follows many topics and has what came before looks here: to ask each of its topics for news would cost more, the
//! more topics there are. Whoever is further behind asks the topics.

use std::{collections::VecDeque, sync::Arc};

/// Rows kept; the oldest go first.
const ROWS: usize = 16_384;

/// A topic's records in one entry.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub log_index: u64,
    /// The first one's offset.
    pub base_offset: u64,
    pub topic: Arc<str>,
}

/// The newest of those rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    rows: VecDeque<Touched>,
    /// All rows of the entries from this one on are here.
    from: u64,
}

impl Recent {
    /// Knows of all entries from this one on.
    pub(super) fn starting_at(from: u64) -> Self {
        Self {
            rows: VecDeque::new(),
            from,
        }
    }

    pub(super) fn push(&mut self, row: Touched) {
        if self.rows.len() >= ROWS
            && let Some(oldest) = self.rows.pop_front()
        {
            self.from = oldest.log_index + 1;
        }
        self.rows.push_back(row);
    }

    /// The rows of the entries from `log_index` on; `None` if some of them are not kept.
    pub(super) fn rows_from(&self, log_index: u64) -> Option<impl Iterator<Item = &Touched>> {
        if log_index < self.from {
            return None;
        }
        let first = self.rows.partition_point(|row| row.log_index < log_index);
        Some(self.rows.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_whole_is_not_shown() {
        let mut recent = Recent::starting_at(5);
        let last = 5 + ROWS as u64;
        // Two rows for each entry.
        for row in 0..2 * (last - 5) {
            recent.push(Touched {
                log_index: 5 + row / 2,
                base_offset: 1,
                topic: "t".into(),
            });
        }
        let count = |from| recent.rows_from(from).map(Iterator::count);
        assert_eq!(count(last), Some(0));
        assert_eq!(count(last - 1), Some(2));
        let first_kept = last - ROWS as u64 / 2;
        assert_eq!((count(first_kept), count(first_kept - 1)), (Some(ROWS), None));
        assert_eq!(Recent::starting_at(5).rows_from(4).map(Iterator::count), None);
    }
}
