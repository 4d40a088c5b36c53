//! A closed interval of nanoseconds that holds a value which is not known better.

use crate::drifted;

/// From `lo` to `hi`, nanoseconds; `lo ≤ hi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub lo: i64,
    pub hi: i64,
}

impl Interval {
    /// # Panics
    /// If `lo` is above `hi`: the caller's mistake.
    pub fn new(lo: i64, hi: i64) -> Self {
        assert!(lo <= hi, "an interval from {lo} to {hi}");
        Self { lo, hi }
    }

    /// `value ± radius`.
    pub fn around(value: i64, radius: i64) -> Self {
        Self::new(value.saturating_sub(radius), value.saturating_add(radius))
    }

    pub fn middle(self) -> i64 {
        self.lo.midpoint(self.hi)
    }

    /// Half the width, rounded up.
    pub fn radius(self) -> i64 {
        self.hi.saturating_sub(self.lo).saturating_add(1) / 2
    }

    /// The most that a value in here may be away from 0.
    pub fn reach(self) -> i64 {
        self.hi.saturating_abs().max(self.lo.saturating_abs())
    }

    pub fn holds(self, value: i64) -> bool {
        self.lo <= value && value <= self.hi
    }

    pub fn touches(self, other: Self) -> bool {
        self.lo <= other.hi && other.lo <= self.hi
    }

    #[must_use]
    pub fn shifted(self, by: i64) -> Self {
        Self::new(self.lo.saturating_add(by), self.hi.saturating_add(by))
    }

    #[must_use]
    pub fn widened(self, by: i64) -> Self {
        Self::new(self.lo.saturating_sub(by), self.hi.saturating_add(by))
    }

    /// Where the value is after `age_ns`, if it moves at a rate within `rate_ppb`.
    #[must_use]
    pub fn aged(self, age_ns: i64, rate_ppb: Self) -> Self {
        Self::new(
            self.lo.saturating_add(drifted(age_ns, rate_ppb.lo)),
            self.hi.saturating_add(drifted(age_ns, rate_ppb.hi)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_grows_with_age_by_what_the_rate_leaves_open() {
        let rate = Interval::new(-1_000, 3_000);
        let aged = Interval::new(-10, 10).aged(1_000_000_000, rate);
        assert_eq!(aged, Interval::new(-1_010, 3_010));
        assert_eq!(
            (aged.middle(), aged.radius(), aged.reach()),
            (1_000, 2_010, 3_010)
        );
    }

    #[test]
    fn the_far_ends_of_time_do_not_overflow() {
        let all = Interval::new(i64::MIN, i64::MAX);
        assert_eq!(all.widened(1), all);
        assert!(all.radius() >= i64::MAX / 2);
        assert_eq!(Interval::around(i64::MAX, 5).hi, i64::MAX);
    }
}
