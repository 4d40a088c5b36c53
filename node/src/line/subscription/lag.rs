//! When a subscriber is told that it is behind.

use std::time::Duration;

use tokio::time::Instant;
use wiber_protocol::line::Reply;

/// How many records a subscriber may have before it until it is told that it is behind …
pub const LAG_RECORDS: u64 = 4_096;
/// … and is told so no more often than this, nor is it looked at more often.
const BETWEEN: Duration = Duration::from_secs(1);

/// When it was last looked at how far behind one subscriber is.
#[derive(Debug)]
pub(super) struct Lag {
    /// More than this are too many.
    limit: u64,
    looked: Option<Instant>,
}

impl Lag {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, looked: None }
    }

    /// Whether it was not looked at a moment ago.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.looked
            .is_none_or(|looked| now.saturating_duration_since(looked) >= BETWEEN)
    }

    /// What to tell a subscriber that is now seen so many records behind, if anything.
    pub(super) fn seen(&mut self, now: Instant, pattern: &str, records: u64) -> Option<Vec<u8>> {
        self.looked = Some(now);
        if records <= self.limit {
            return None;
        }
        let mut line = Vec::new();
        Reply::Lag { pattern, records }.write(&mut line);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_is_behind_is_told_so() {
        let now = Instant::now();
        let mut lag = Lag::new(LAG_RECORDS);
        assert_eq!(lag.seen(now, "t", LAG_RECORDS), None);
        assert_eq!(lag.seen(now, "t", 4_097).as_deref(), Some(&b"LAG t 4097\n"[..]));
    }

    /// One that keeps up was looked at before every page.
    #[test]
    fn it_is_looked_at_once_a_second_whatever_was_seen() {
        let now = Instant::now();
        let mut lag = Lag::new(LAG_RECORDS);
        for records in [0, 9_999] {
            assert!(lag.is_due(now));
            lag.seen(now, "t", records);
            assert!(!lag.is_due(now));
            assert!(lag.is_due(now + BETWEEN));
            lag = Lag::new(LAG_RECORDS);
        }
    }
}
