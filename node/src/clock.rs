//! Time comes in from outside, so that the same code runs on a real machine, in a test and in a simulation.
//!
//! [`SystemClock`] is the one place in this crate that asks the operating system what time it is.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// What time it is, in microseconds.
pub trait Clock: Send + Sync {
    /// Since the Unix epoch, as the machine believes it to be: it may jump either way.
    fn wall_us(&self) -> i64;
    /// Since some moment of this process; never goes back. For durations, timeouts and rates.
    fn monotonic_us(&self) -> u64;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the crate's time comes from"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the crate's time comes from"
    )]
    fn wall_us(&self) -> i64 {
        let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_us: AtomicI64,
    monotonic_us: AtomicU64,
}

impl ManualClock {
    pub fn new(wall_us: i64) -> Self {
        Self {
            wall_us: AtomicI64::new(wall_us),
            monotonic_us: AtomicU64::new(0),
        }
    }

    /// Lets time pass on both clocks.
    pub fn advance_us(&self, us: u64) {
        self.monotonic_us.fetch_add(us, SeqCst);
        self.wall_us
            .fetch_add(i64::try_from(us).unwrap_or(i64::MAX), SeqCst);
    }

    /// Sets the wall clock alone, as a person or a time service does.
    pub fn set_wall_us(&self, us: i64) {
        self.wall_us.store(us, SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_us(&self) -> i64 {
        self.wall_us.load(SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_leaves_durations_alone() {
        let clock = ManualClock::new(1_000);
        clock.advance_us(5);
        clock.set_wall_us(-7);
        clock.advance_us(2);
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (-5, 7));
    }

    #[test]
    fn the_system_clock_is_past_2020_and_does_not_go_back() {
        let clock = SystemClock::new();
        assert!(clock.wall_us() > 1_577_836_800_000_000);
        let first = clock.monotonic_us();
        assert!(clock.monotonic_us() >= first);
    }
}
