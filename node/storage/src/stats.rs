//! How long flushes take: the newest ones, and what stands out among them.

/// Flushes that the percentiles look back on.
const WINDOW: usize = 1024;

#[derive(Default)]
pub(crate) struct FlushTimes {
    /// A ring once it is full; order does not matter to percentiles.
    recent_us: Vec<u64>,
    count: u64,
}

/// Microseconds over the last 1,024 flushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlushSummary {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl FlushTimes {
    pub(crate) fn add(&mut self, elapsed_us: u64) {
        let at = usize::try_from(self.count).map_or(0, |count| count % WINDOW);
        self.count += 1;
        match self.recent_us.get_mut(at) {
            Some(slot) => *slot = elapsed_us,
            None => self.recent_us.push(elapsed_us),
        }
    }

    pub(crate) fn summary(&self) -> FlushSummary {
        let mut sorted = self.recent_us.clone();
        sorted.sort_unstable();
        // Nearest rank: the smallest value that at least so many percent do not exceed.
        let rank = |percent: usize| {
            let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(at).copied().unwrap_or(0)
        };
        FlushSummary {
            count: self.count,
            p50_us: rank(50),
            p99_us: rank(99),
            max_us: rank(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_newest_flushes() {
        let mut times = FlushTimes::default();
        assert_eq!(times.summary(), FlushSummary::default());
        for _ in 0..WINDOW {
            times.add(1_000_000);
        }
        for us in 1..=1024 {
            times.add(us);
        }
        assert_eq!(
            times.summary(),
            FlushSummary {
                count: 2048,
                p50_us: 512,
                p99_us: 1014,
                max_us: 1024
            }
        );
    }
}
