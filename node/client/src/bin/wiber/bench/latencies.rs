//! How long things took, in constant memory: an HDR histogram of nanoseconds, exact to a tenth of a percent.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time told apart; what is longer counts as this.
const LONGEST: Duration = Duration::from_mins(10);

#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, nanos(LONGEST), 3);
        Self(bounds.expect("the bounds are in order and three digits are allowed"))
    }

    /// Notes that `count` things took `each`.
    pub(crate) fn add(&mut self, each: Duration, count: u64) {
        self.0.saturating_record_n(nanos(each).max(1), count);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which a share of all (0 to 1) was done, microseconds; 0 when there is none.
    #[expect(
        clippy::cast_precision_loss,
        reason = "ten minutes of nanoseconds have fewer than 53 bits"
    )]
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    pub(crate) fn p50_us(&self) -> f64 {
        self.quantile_us(0.5)
    }

    pub(crate) fn p99_us(&self) -> f64 {
        self.quantile_us(0.99)
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.quantile_us(1.0)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_a_tenth_of_a_percent() {
        let mut latencies = Latencies::new();
        assert_eq!((latencies.count(), latencies.max_us()), (0, 0.0));
        for us in 1..=1000 {
            latencies.add(Duration::from_micros(us), 10);
        }
        assert_eq!(latencies.count(), 10_000);
        for (found, expected) in [
            (latencies.p50_us(), 500.0),
            (latencies.p99_us(), 990.0),
            (latencies.max_us(), 1000.0),
        ] {
            assert!(
                (found - expected).abs() <= expected / 1000.0,
                "{found} for {expected}"
            );
        }
    }

    #[test]
    fn what_takes_for_ever_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.add(LONGEST * 3, 1);
        assert!((latencies.max_us() - LONGEST.as_secs_f64() * 1e6).abs() < 1e6);
    }
}
