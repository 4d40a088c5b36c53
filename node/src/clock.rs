//! Time comes in from outside, so that the same code runs on a real machine, in a test and in a simulation.
//!
//! [`SystemClock`] is the one place in this crate that asks the operating system what time it is; [`FalseClock`] lies about
//! it in a known way.

mod false_clock;

use std::{
    sync::atomic::{AtomicI64, Ordering::SeqCst},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wiber_time::{Now, US};

pub use self::false_clock::FalseClock;

/// How often both clocks are read, at most, to have read them at the same moment.
const READINGS: usize = 5;
/// Two readings of the monotonic clock with the wall clock's between them are close enough.
const CLOSE_NS: i64 = US;

/// What time it is.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch, as the machine believes it to be: it may jump either way.
    fn wall_ns(&self) -> i64;
    /// Nanoseconds since some moment of this process; never goes back. For durations, timeouts and rates.
    fn monotonic_ns(&self) -> i64;
    /// What was added to the wall clock on purpose.
    fn injected_ns(&self) -> i64 {
        0
    }

    /// As [`Self::wall_ns`], in microseconds.
    fn wall_us(&self) -> i64 {
        self.wall_ns().div_euclid(US)
    }

    /// As [`Self::monotonic_ns`], in microseconds.
    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.monotonic_ns() / US).unwrap_or(0)
    }

    /// Both clocks at one moment. A thread may be held up between two readings, so the closest of a few is taken.
    fn now(&self) -> Now {
        let mut best = Now {
            reading_ns: i64::MAX,
            ..Now::default()
        };
        for _ in 0..READINGS {
            let before_ns = self.monotonic_ns();
            let (wall_ns, injected_ns) = (self.wall_ns(), self.injected_ns());
            let apart_ns = self.monotonic_ns() - before_ns;
            if apart_ns < best.reading_ns {
                best = Now {
                    mono_ns: before_ns + apart_ns / 2,
                    wall_ns,
                    reading_ns: apart_ns,
                    injected_ns,
                };
            }
            if best.reading_ns <= CLOSE_NS {
                break;
            }
        }
        best
    }
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    #[cfg(target_os = "linux")]
    started_ns: i64,
    #[cfg(not(target_os = "linux"))]
    started: std::time::Instant,
}

impl SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the crate's time comes from"
    )]
    pub fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            started_ns: raw_ns(),
            #[cfg(not(target_os = "linux"))]
            started: std::time::Instant::now(),
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
    fn wall_ns(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        }
    }

    /// On Linux by the oscillator alone: a time service that corrects the wall clock bends the usual monotonic clock, too, and
    /// so would falsify what other clocks are measured by.
    #[cfg(target_os = "linux")]
    fn monotonic_ns(&self) -> i64 {
        raw_ns() - self.started_ns
    }

    #[cfg(not(target_os = "linux"))]
    fn monotonic_ns(&self) -> i64 {
        nanos(self.started.elapsed())
    }
}

#[cfg(target_os = "linux")]
fn raw_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicRaw);
    now.tv_sec * wiber_time::SECOND + now.tv_nsec
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicI64,
}

impl ManualClock {
    pub fn new(wall_us: i64) -> Self {
        Self {
            wall_ns: AtomicI64::new(wall_us * US),
            monotonic_ns: AtomicI64::new(0),
        }
    }

    /// Lets time pass on both clocks.
    pub fn advance_us(&self, us: u64) {
        let ns = i64::try_from(us).unwrap_or(i64::MAX).saturating_mul(US);
        self.monotonic_ns.fetch_add(ns, SeqCst);
        self.wall_ns.fetch_add(ns, SeqCst);
    }

    /// Sets the wall clock alone, as a person or a time service does.
    pub fn set_wall_us(&self, us: i64) {
        self.wall_ns.store(us * US, SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(SeqCst)
    }

    fn monotonic_ns(&self) -> i64 {
        self.monotonic_ns.load(SeqCst)
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
