//! How many records each topic got of late, as this node saw them take effect.
//!
//! Each topic has two counters, one for the present window of time and one for the window before, weighed by how much of
//! it is still within a window's length: a sliding window in bounded memory, which takes the window before for even. So what
//! came at once counts until the next window ends, for up to two. It is this node's own and not replicated.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::clock::Clock;

/// A window's length.
const WINDOW_US: u64 = 10_000_000;

/// Records and bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub records: u64,
    pub bytes: u64,
}

/// The same, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub records_per_s: f64,
    pub bytes_per_s: f64,
}

/// What came lately, topic by topic: as many as a cluster has, at most.
pub struct Rates {
    clock: Arc<dyn Clock>,
    /// What a node applies while it starts is old.
    is_counting: AtomicBool,
    topics: Mutex<HashMap<Arc<str>, Windows>>,
}

impl Rates {
    /// Counts nothing until [`Self::begin`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            is_counting: AtomicBool::new(false),
            topics: Mutex::default(),
        }
    }

    /// What takes effect from now on is new.
    pub fn begin(&self) {
        self.is_counting.store(true, Ordering::Relaxed);
    }

    /// These topics got so much.
    pub fn add<'a>(&self, amounts: impl IntoIterator<Item = (&'a Arc<str>, Amount)>) {
        if !self.is_counting.load(Ordering::Relaxed) {
            return;
        }
        let now_us = self.clock.monotonic_us();
        let mut topics = self.topics.lock();
        for (topic, amount) in amounts {
            match topics.get_mut(topic) {
                Some(windows) => windows.add(now_us, amount),
                None => topics.entry(topic.clone()).or_default().add(now_us, amount),
            }
        }
    }

    /// What each of these topics got of late.
    pub fn of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<Rate> {
        let now_us = self.clock.monotonic_us();
        let topics = self.topics.lock();
        let rate = |name| {
            topics
                .get(name)
                .map_or(Rate::default(), |windows| windows.rate(now_us))
        };
        names.into_iter().map(rate).collect()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    /// The number of the present window.
    present: u64,
    now: Amount,
    before: Amount,
}

impl Windows {
    fn at(mut self, now_us: u64) -> Self {
        let window = now_us / WINDOW_US;
        if window > self.present {
            let is_next = window == self.present + 1;
            self.before = if is_next { self.now } else { Amount::default() };
            (self.present, self.now) = (window, Amount::default());
        }
        self
    }

    fn add(&mut self, now_us: u64, amount: Amount) {
        *self = self.at(now_us);
        self.now.records += amount.records;
        self.now.bytes += amount.bytes;
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    fn rate(self, now_us: u64) -> Rate {
        let windows = self.at(now_us);
        let length_s = WINDOW_US as f64 / 1e6;
        let still = 1.0 - (now_us % WINDOW_US) as f64 / WINDOW_US as f64;
        let per_s = |now: u64, before: u64| (now as f64 + before as f64 * still) / length_s;
        Rate {
            records_per_s: per_s(windows.now.records, windows.before.records),
            bytes_per_s: per_s(windows.now.bytes, windows.before.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(windows: Windows, now_us: u64) -> (f64, f64) {
        let rate = windows.rate(now_us);
        (rate.records_per_s, rate.bytes_per_s)
    }

    #[test]
    fn a_rate_slides_over_ten_seconds_and_ends() {
        let mut windows = Windows::default();
        let amount = Amount {
            records: 10,
            bytes: 1_000,
        };
        for second in 0..10 {
            windows.add(second * 1_000_000, amount);
        }
        assert_eq!(rate(windows, 9_999_999), (10.0, 1_000.0));
        assert_eq!(rate(windows, 10_000_000), (10.0, 1_000.0));
        assert_eq!(rate(windows, 15_000_000), (5.0, 500.0));
        for second in 10..15 {
            windows.add(second * 1_000_000, amount);
        }
        assert_eq!(rate(windows, 15_000_000), (10.0, 1_000.0));
        assert_eq!(rate(windows, 30_000_000), (0.0, 0.0));
    }
}
