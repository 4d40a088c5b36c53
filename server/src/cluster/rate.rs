//! How many records a second a node takes in, from its record counts. Pure: time comes from outside.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The rate is over this long.
const WINDOW: Duration = Duration::from_secs(1);
/// The most counts kept; closer ones are dropped.
const MAX_COUNTS: usize = 64;

/// The newest counts of one node.
#[derive(Debug, Default)]
pub(super) struct Rate {
    counts: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Notes a count. A smaller one than before is another log's: a node with a new folder starts anew.
    pub(super) fn note(&mut self, now: Instant, count: u64) {
        if self.counts.back().is_some_and(|(_, last)| count < *last) {
            self.counts.clear();
        }
        if self.counts.len() == MAX_COUNTS {
            self.counts.pop_front();
        }
        self.counts.push_back((now, count));
    }

    /// Records per second over the last [`WINDOW`]; 0 until two counts are known.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        let start = now.checked_sub(WINDOW).unwrap_or(now);
        while self.counts.get(1).is_some_and(|(at, _)| *at <= start) {
            self.counts.pop_front();
        }
        let (Some((first_at, first)), Some((_, last))) = (self.counts.front(), self.counts.back()) else {
            return 0.0;
        };
        let span = now
            .duration_since(*first_at)
            .min(WINDOW)
            .max(Duration::from_millis(100));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate needs no more than a float's precision"
        )]
        let records = (last - first) as f64;
        records / span.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second_and_falls_to_zero() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut rate = Rate::default();
        assert!(rate.per_second(at(0)).abs() < 1e-9, "nothing known");
        rate.note(at(0), 1_000);
        assert!(rate.per_second(at(500)).abs() < 1e-9, "a first count is no rate");
        for ms in 1..=20 {
            rate.note(at(ms * 100), 1_000 + ms * 50);
        }
        assert!((rate.per_second(at(2_000)) - 500.0).abs() < 1.0);
        assert!(rate.per_second(at(3_100)).abs() < 1e-9, "silence");
        rate.note(at(3_200), 3);
        assert!(rate.per_second(at(3_300)).abs() < 1e-9, "a new folder");
    }
}
