//! When a subscriber is told that it is behind.

use std::time::Duration;

use tokio::time::Instant;
use wiber_protocol::line::Reply;

/// A subscriber that has more records than this before it is behind …
const LAG_RECORDS: u64 = 4_096;
/// … and is told so no more often than this.
const BETWEEN: Duration = Duration::from_secs(1);

/// What one subscriber was told.
#[derive(Debug, Default)]
pub(super) struct Lag {
    told: Option<Instant>,
}

impl Lag {
    /// Whether it was not told a moment ago.
    pub(super) fn may_be_told(&self, now: Instant) -> bool {
        self.told
            .is_none_or(|told| now.saturating_duration_since(told) >= BETWEEN)
    }

    /// What to tell a subscriber so many records behind, if anything.
    pub(super) fn line(&mut self, now: Instant, pattern: &str, records: u64) -> Option<Vec<u8>> {
        if records <= LAG_RECORDS || !self.may_be_told(now) {
            return None;
        }
        self.told = Some(now);
        let mut line = Vec::new();
        Reply::Lag { pattern, records }.write(&mut line);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_is_behind_is_told_so_once_a_second() {
        let now = Instant::now();
        let mut lag = Lag::default();
        assert_eq!(lag.line(now, "t", LAG_RECORDS), None);
        assert_eq!(lag.line(now, "t", 4_097).as_deref(), Some(&b"LAG t 4097\n"[..]));
        assert_eq!(lag.line(now, "t", 9_999), None);
        assert!(lag.line(now + BETWEEN, "t", 9_999).is_some());
        assert!(!lag.may_be_told(now + BETWEEN));
    }
}
