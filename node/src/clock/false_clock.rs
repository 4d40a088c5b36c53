//! A clock that is wrong in a known way: for tests, and for people who want to see that the estimate finds the truth.
//!
//! A skew sets the wall clock off, as a person would. A drift is what a bad oscillator does: both clocks of the machine run
//! fast or slow, and what the node measures against them does, too.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use parking_lot::RwLock;
use wiber_protocol::status::{ClockFault, InjectedFault};
use wiber_time::drifted;

use super::Clock;

/// Another clock, and what is added to it.
pub struct FalseClock {
    inner: Arc<dyn Clock>,
    /// Whether anything was ever added: without it the clock costs nothing.
    is_false: AtomicBool,
    fault: RwLock<Fault>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    skew_ns: i64,
    rate_ppb: i64,
    /// Since when it has run at that rate, by the inner monotonic clock.
    since_ns: i64,
    /// What earlier rates have added up to, on the monotonic clock …
    gained_ns: i64,
    /// … and since the skew was last set, on the wall clock.
    wall_gained_ns: i64,
}

impl Fault {
    fn drifted_at(&self, inner_ns: i64) -> i64 {
        drifted(inner_ns - self.since_ns, self.rate_ppb)
    }

    fn monotonic_gain(&self, inner_ns: i64) -> i64 {
        self.gained_ns + self.drifted_at(inner_ns)
    }

    fn wall_gain(&self, inner_ns: i64) -> i64 {
        self.skew_ns + self.wall_gained_ns + self.drifted_at(inner_ns)
    }
}

impl FalseClock {
    /// A true clock until it is told otherwise.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self {
            inner,
            is_false: AtomicBool::new(false),
            fault: RwLock::default(),
        }
    }

    /// Makes it wrong from now on; whether the rate is another one than before.
    pub fn inject(&self, fault: ClockFault) -> bool {
        let inner_ns = self.inner.monotonic_ns();
        let mut now = self.fault.write();
        let drift_ns = now.drifted_at(inner_ns);
        let before_ppb = now.rate_ppb;
        now.gained_ns += drift_ns;
        now.wall_gained_ns += drift_ns;
        now.since_ns = inner_ns;
        if let Some(skew_ms) = fault.skew_ms {
            now.skew_ns = rounded(skew_ms * 1e6);
            now.wall_gained_ns = 0;
        }
        if let Some(drift_ppm) = fault.drift_ppm {
            now.rate_ppb = rounded(drift_ppm * 1e3);
        }
        self.is_false.store(true, Relaxed);
        now.rate_ppb != before_ppb
    }

    /// What is wrong with it; `None` if nothing is.
    pub fn injected(&self) -> Option<InjectedFault> {
        if !self.is_false.load(Relaxed) {
            return None;
        }
        let fault = *self.fault.read();
        let offset_ns = fault.wall_gain(self.inner.monotonic_ns());
        (fault.skew_ns != 0 || fault.rate_ppb != 0 || offset_ns != 0).then(|| InjectedFault {
            skew_ms: float(fault.skew_ns) / 1e6,
            drift_ppm: float(fault.rate_ppb) / 1e3,
            offset_ms: float(offset_ns) / 1e6,
        })
    }
}

impl Clock for FalseClock {
    fn wall_ns(&self) -> i64 {
        self.inner.wall_ns() + self.injected_ns()
    }

    fn monotonic_ns(&self) -> i64 {
        let inner_ns = self.inner.monotonic_ns();
        if !self.is_false.load(Relaxed) {
            return inner_ns;
        }
        // A reading from before a change of the rate, used after it, must not go back.
        let fault = self.fault.read();
        inner_ns + fault.monotonic_gain(inner_ns.max(fault.since_ns))
    }

    fn injected_ns(&self) -> i64 {
        if !self.is_false.load(Relaxed) {
            return 0;
        }
        self.fault.read().wall_gain(self.inner.monotonic_ns())
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "checked to be at most ten days of nanoseconds"
)]
fn rounded(value: f64) -> i64 {
    value.round() as i64
}

#[allow(clippy::cast_precision_loss, reason = "at most ten days of nanoseconds")]
fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn fault(skew_ms: Option<f64>, drift_ppm: Option<f64>) -> ClockFault {
        ClockFault { skew_ms, drift_ppm }
    }

    #[test]
    fn a_skew_moves_the_wall_clock_and_a_drift_both() {
        let inner = Arc::new(ManualClock::new(1_000_000));
        let clock = FalseClock::new(inner.clone());
        assert_eq!(
            (clock.wall_us(), clock.monotonic_us(), clock.injected()),
            (1_000_000, 0, None)
        );
        assert!(!clock.inject(fault(Some(-40.0), None)));
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (960_000, 0));
        assert!(clock.inject(fault(None, Some(100.0))));
        inner.advance_us(10_000_000);
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (10_961_000, 10_001_000));
        let said = clock.injected().unwrap();
        assert!((said.offset_ms + 39.0).abs() < 1e-6 && (said.drift_ppm - 100.0).abs() < 1e-6);
    }

    #[test]
    fn the_monotonic_clock_goes_on_when_everything_is_taken_back() {
        let inner = Arc::new(ManualClock::new(0));
        let clock = FalseClock::new(inner.clone());
        clock.inject(fault(Some(5_000.0), Some(-1_000.0)));
        inner.advance_us(1_000_000);
        assert_eq!(clock.monotonic_us(), 999_000);
        clock.inject(fault(Some(0.0), Some(0.0)));
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (1_000_000, 999_000));
        assert_eq!(clock.injected(), None);
        inner.advance_us(1);
        assert_eq!(clock.monotonic_us(), 999_001);
    }
}
