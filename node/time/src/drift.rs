//! How much faster another clock runs, over the last minute: a line through its offsets, and an interval that holds
//! the true rate.
//!
//! The line is least squares over the middles of the samples' intervals. The interval follows from their ends alone:
//! between two samples the offset cannot have moved by more, or less, than the ends allow.

use std::collections::VecDeque;

use crate::{Interval, MAX_RATE_PPB, SECOND, WANDER_PPB, filter::Sample};

/// The most samples that are kept, …
pub const KEPT: usize = 64;
/// … for so long …
const OLDEST_NS: i64 = 64 * SECOND;
/// … at least so far apart.
pub const SPACING_NS: i64 = SECOND;
/// A line needs so many.
const FEWEST: usize = 4;
const ALL: Interval = Interval {
    lo: -MAX_RATE_PPB,
    hi: MAX_RATE_PPB,
};

/// The rate of one peer's clock against this one.
#[derive(Clone, Debug)]
pub struct Drift {
    samples: VecDeque<Sample>,
    /// Holds the mean rate over the samples.
    mean_ppb: Interval,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            samples: VecDeque::new(),
            mean_ppb: ALL,
        }
    }
}

impl Drift {
    /// Takes in what is best known now, if the last one was long enough ago. `false` if no steady rate explains all
    /// samples: then the rate has changed, and only the new sample is kept.
    pub fn push(&mut self, sample: Sample) -> bool {
        if self
            .samples
            .back()
            .is_some_and(|last| sample.at_ns - last.at_ns < SPACING_NS)
        {
            return true;
        }
        self.forgets_before(sample.at_ns);
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        if let Some(mean_ppb) = bounds(&self.samples) {
            self.mean_ppb = mean_ppb;
            return true;
        }
        self.clear();
        self.samples.push_back(sample);
        false
    }

    /// Forgets what is over a minute older than `now_ns`: since then the rate may have become another, slowly.
    pub fn forgets_before(&mut self, now_ns: i64) {
        let before = self.samples.len();
        while self
            .samples
            .front()
            .is_some_and(|old| now_ns - old.at_ns > OLDEST_NS)
        {
            self.samples.pop_front();
        }
        if self.samples.len() < before {
            self.mean_ppb = bounds(&self.samples).unwrap_or(ALL);
        }
    }

    /// Holds the rate now, parts in 10⁹.
    pub fn rate_ppb(&self) -> Interval {
        let wide = self.mean_ppb.widened(WANDER_PPB);
        Interval::new(wide.lo.clamp(ALL.lo, ALL.hi), wide.hi.clamp(ALL.lo, ALL.hi))
    }

    /// The best guess, once there are samples enough for a line.
    pub fn slope_ppb(&self) -> Option<i64> {
        if self.samples.len() < FEWEST {
            return None;
        }
        let slope = least_squares(&self.samples)?;
        Some(slope.clamp(self.mean_ppb.lo, self.mean_ppb.hi))
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bounds(samples: &VecDeque<Sample>) -> Option<Interval> {
    let (mut lo, mut hi) = (ALL.lo, ALL.hi);
    for (place, later) in samples.iter().enumerate() {
        for earlier in samples.iter().take(place) {
            let span_ns = later.at_ns - earlier.at_ns;
            lo = lo.max(rate_ppb(
                later.offset.lo.saturating_sub(earlier.offset.hi),
                span_ns,
            ));
            hi = hi.min(rate_ppb(later.offset.hi.saturating_sub(earlier.offset.lo), span_ns) + 1);
        }
    }
    // Where rounding or wandering makes the ends cross, the rate is about there.
    (lo - hi <= 2 * WANDER_PPB).then(|| Interval::new(lo.min(hi), hi.max(lo)))
}

fn rate_ppb(moved_ns: i64, span_ns: i64) -> i64 {
    let rate = i128::from(moved_ns) * 1_000_000_000 / i128::from(span_ns.max(1));
    i64::try_from(rate.clamp(i128::from(ALL.lo), i128::from(ALL.hi))).unwrap_or(0)
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a minute of nanoseconds fits a double, and so does a rate"
)]
fn least_squares(samples: &VecDeque<Sample>) -> Option<i64> {
    let first = samples.front()?;
    let points = samples.iter().map(|sample| {
        (
            (sample.at_ns - first.at_ns) as f64,
            sample.offset.middle().saturating_sub(first.offset.middle()) as f64,
        )
    });
    let count = samples.len() as f64;
    let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (along, spread) = points.fold((0.0, 0.0), |(along, spread), (x, y)| {
        let dx = x - mean_x;
        (along + dx * (y - mean_y), spread + dx * dx)
    });
    (spread > 0.0).then(|| (along / spread * 1e9).round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{US, drifted};

    fn sample(second: i64, rate_ppb: i64, error_ns: i64) -> Sample {
        let at_ns = second * SECOND;
        Sample {
            at_ns,
            offset: Interval::around(7 * SECOND + drifted(at_ns, rate_ppb) + error_ns, 20 * US),
            delay_ns: 40 * US,
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_samples() {
        let mut drift = Drift::default();
        assert_eq!((drift.slope_ppb(), drift.rate_ppb()), (None, ALL));
        drift.push(sample(0, 0, 0));
        assert_eq!((drift.slope_ppb(), drift.rate_ppb()), (None, ALL));
    }

    #[test]
    fn a_changed_rate_is_noticed_and_learnt_anew() {
        let mut drift = Drift::default();
        for s in 0..60 {
            assert!(drift.push(sample(s, 30_000, 0)));
        }
        assert!((drift.slope_ppb().unwrap() - 30_000).abs() < 100);
        // From now on 400 ppm: 400 µs a second, far beyond 20 µs.
        let mut bent = sample(61, 30_000, 400 * US);
        assert!(!drift.push(bent));
        assert_eq!(drift.rate_ppb(), ALL);
        for s in 62..70 {
            bent = sample(s, 430_000, -24_000 * US);
            drift.push(bent);
        }
        assert!((drift.slope_ppb().unwrap() - 430_000).abs() < 100);
    }

    #[test]
    fn samples_close_together_count_once() {
        let mut drift = Drift::default();
        for k in 0..1_000 {
            let mut one = sample(0, 0, 0);
            one.at_ns = k * SECOND / 10;
            drift.push(one);
        }
        assert!(drift.samples.len() <= KEPT);
        assert!(drift.samples.len() > KEPT - 4);
    }

    /// What was lost: the truth, when a peer came back after an hour in which its rate had wandered. The rate was taken for
    /// the mean over that hour.
    #[test]
    fn after_a_long_silence_nothing_is_known_of_the_rate() {
        let mut drift = Drift::default();
        for s in 0..60 {
            drift.push(sample(s, 0, 0));
        }
        drift.forgets_before(4_000 * SECOND);
        assert_eq!(drift.rate_ppb(), ALL);
        drift.push(sample(4_000, 3_000, 0));
        assert_eq!(drift.rate_ppb(), ALL);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_rate_whatever_the_errors(
            rate_ppb in -1_000_000_i64..1_000_000,
            errors in proptest::collection::vec(-20_000_i64..=20_000, 2..80),
        ) {
            let mut drift = Drift::default();
            for (s, error_ns) in errors.iter().enumerate() {
                prop_assert!(drift.push(sample(i64::try_from(s).unwrap(), rate_ppb, *error_ns)));
            }
            prop_assert!(drift.rate_ppb().holds(rate_ppb), "{:?} does not hold {rate_ppb}", drift.rate_ppb());
            if errors.len() > 30 {
                prop_assert!(drift.rate_ppb().radius() <= WANDER_PPB + 2_000);
                prop_assert!((drift.slope_ppb().unwrap() - rate_ppb).abs() <= 2_000);
            }
        }
    }
}
