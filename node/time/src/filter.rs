//! Keeps the best of the last probes of one peer: the minimum-delay filter of NTP (RFC 5905, section 10).
//!
//! A probe leaves at `t1`, arrives at `t2`, is answered at `t3`, and the answer arrives at `t4`; `t1` and `t4` are read
//! from this clock, `t2` and `t3` from the other. No message arrives before it was sent, so the other clock's offset is at
//! most `t2 - t1` and at least `t3 - t4`: that interval holds it however the delay is split between the two ways. It is as
//! wide as the whole delay, so the probe with the least delay knows best; with age, by what the drift leaves open, it knows
//! less.

use std::collections::VecDeque;

use crate::{Interval, MAX_RATE_PPB, SECOND, drifted};

/// The probes that are kept (RFC 5905: NSTAGE).
pub const STAGES: usize = 8;

/// An older sample is forgotten: the rate since then is not known well enough.
const OLDEST_NS: i64 = 30 * SECOND;

/// What one probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When its answer arrived, by this clock.
    pub at_ns: i64,
    /// Holds the other clock's offset at that time.
    pub offset: Interval,
    /// The round trip without the other's time to answer.
    pub delay_ns: i64,
}

/// Four timestamps that no two clocks can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible;

impl Sample {
    /// Refuses timestamps of a probe that arrived before it was sent, or was answered before it arrived.
    pub fn of(t1: i64, t2: i64, t3: i64, t4: i64) -> Result<Self, Impossible> {
        let (took, elsewhere) = (t4.saturating_sub(t1), t3.saturating_sub(t2));
        // The clocks may run differently, and one of them may be read in steps of a microsecond.
        let slack = 1_000 + drifted(took, MAX_RATE_PPB);
        if took < 0 || elsewhere < 0 || elsewhere > took.saturating_add(slack) {
            return Err(Impossible);
        }
        let (lo, hi) = (t3.saturating_sub(t4), t2.saturating_sub(t1));
        Ok(Self {
            at_ns: t4,
            offset: Interval::new(lo.min(hi), hi.max(lo)).widened(slack),
            delay_ns: (took - elsewhere).max(0),
        })
    }

    /// What it says later.
    pub fn offset_at(&self, now_ns: i64, rate_ppb: Interval) -> Interval {
        self.offset.aged((now_ns - self.at_ns).max(0), rate_ppb)
    }
}

/// The last [`STAGES`] probes of one peer.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    samples: VecDeque<Sample>,
}

impl Filter {
    /// Takes a sample in. `false` if it contradicts what was measured before: then one of the clocks has jumped, and
    /// only the new sample is kept.
    pub fn push(&mut self, sample: Sample, rate_ppb: Interval) -> bool {
        while self
            .samples
            .front()
            .is_some_and(|old| sample.at_ns - old.at_ns > OLDEST_NS)
        {
            self.samples.pop_front();
        }
        let fits = self
            .samples
            .iter()
            .all(|old| old.offset_at(sample.at_ns, rate_ppb).touches(sample.offset));
        if !fits {
            self.samples.clear();
        }
        if self.samples.len() == STAGES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        fits
    }

    /// The sample that says most about `now_ns`.
    pub fn best(&self, now_ns: i64, rate_ppb: Interval) -> Option<&Sample> {
        self.samples
            .iter()
            .rev()
            .min_by_key(|sample| sample.offset_at(now_ns, rate_ppb).radius())
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub fn clear(&mut self) {
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MS, US};

    const RATE: Interval = Interval {
        lo: -10_000,
        hi: 10_000,
    };

    #[test]
    fn the_offset_is_held_however_the_delay_is_split() {
        // The other clock is 500 µs ahead; 100 µs on the way in all, 7 µs to answer.
        for there_us in [0, 1, 50, 99, 100] {
            let t1 = 1_000_000 * US;
            let t2 = t1 + (there_us + 500) * US;
            let t3 = t2 + 7 * US;
            let t4 = t1 + 107 * US;
            let sample = Sample::of(t1, t2, t3, t4).unwrap();
            assert!(sample.offset.holds(500 * US), "{there_us}: {sample:?}");
            assert_eq!(sample.delay_ns, 100 * US);
            assert!(sample.offset.radius() <= 53 * US);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Sample::of(100, 0, 0, 99), Err(Impossible));
        assert_eq!(Sample::of(0, 9_000, 8_000, 100 * US), Err(Impossible));
        assert_eq!(Sample::of(0, 0, 5 * MS, MS), Err(Impossible));
        assert_eq!(
            Sample::of(i64::MIN, i64::MAX, i64::MIN, i64::MAX),
            Err(Impossible)
        );
    }

    #[test]
    fn an_outlier_changes_nothing_while_a_quick_one_is_young() {
        let mut filter = Filter::default();
        assert!(filter.push(Sample::of(0, 10 * US, 10 * US, 20 * US).unwrap(), RATE));
        // The way back took 80 ms: half of it shows up as an offset.
        let late = Sample::of(200 * MS, 200 * MS + 10 * US, 200 * MS + 10 * US, 280 * MS).unwrap();
        assert!(filter.push(late, RATE));
        let best = filter.best(280 * MS, RATE).unwrap();
        assert_eq!(best.delay_ns, 20 * US);
        // After a while it is worth less than a worse one that is younger.
        let fresh = Sample::of(
            400 * MS,
            400 * MS + 20 * US,
            400 * MS + 20 * US,
            400 * MS + 40 * US,
        )
        .unwrap();
        assert!(filter.push(fresh, RATE));
        assert_eq!(filter.best(400 * MS + 40 * US, RATE).unwrap().delay_ns, 20 * US);
        assert_eq!(filter.best(5_000 * MS, RATE).unwrap().delay_ns, 20 * US);
    }

    #[test]
    fn a_jump_leaves_only_what_came_after_it() {
        let mut filter = Filter::default();
        for k in 0..5 {
            let t1 = k * 100 * MS;
            assert!(filter.push(
                Sample::of(t1, t1 + 10 * US, t1 + 10 * US, t1 + 20 * US).unwrap(),
                RATE
            ));
        }
        let t1 = 600 * MS;
        let jumped = Sample::of(t1, t1 + 3 * MS, t1 + 3 * MS, t1 + 20 * US).unwrap();
        assert!(!filter.push(jumped, RATE));
        assert_eq!(filter.len(), 1);
    }

    #[test]
    fn only_eight_are_kept() {
        let mut filter = Filter::default();
        for k in 0..50 {
            let t1 = k * 100 * MS;
            filter.push(
                Sample::of(t1, t1 + 10 * US, t1 + 10 * US, t1 + 20 * US).unwrap(),
                RATE,
            );
        }
        assert_eq!(filter.len(), STAGES);
    }
}
