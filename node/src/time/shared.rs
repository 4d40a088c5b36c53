//! Cluster time, as the rest of the node reads it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use parking_lot::{Mutex, RwLock};
use wiber_protocol::status::{ClockFault, ClockStatus, InjectedFault};
use wiber_time::{
    Keeper, US,
    course::Reading,
    keeper::{Own, SYNCHRONISED_NS},
};

use crate::{
    clock::{Clock, FalseClock},
    mutant::{self, Mutant},
};

/// One moment, by the machine's clock and in cluster time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The machine's clock, microseconds since the Unix epoch.
    pub ts_us: i64,
    /// The estimate of cluster time.
    pub corrected_us: i64,
    /// How far the estimate may be off; meaningful when `synchronised`.
    pub error_bound_us: u64,
    pub synchronised: bool,
}

/// The clocks of a node.
pub struct ClusterClock {
    clock: Arc<dyn Clock>,
    /// The same clock, where it can be made wrong.
    false_clock: Option<Arc<FalseClock>>,
    /// Whether the admin port may make it wrong.
    faults_allowed: bool,
    keeper: Mutex<Keeper>,
    reading: RwLock<Reading>,
    /// The latest synchronised cluster time that was handed out, nanoseconds: none is earlier.
    handed_out_ns: AtomicI64,
}

/// Why a fault is not injected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("this node takes no faults: start it with --allow-faults")]
    NotAllowed,
    #[error("{0}")]
    Invalid(String),
}

impl ClusterClock {
    /// Of a node that has not heard of any other.
    pub fn new(clock: Arc<dyn Clock>, own: Own) -> Self {
        Self {
            clock,
            false_clock: None,
            faults_allowed: false,
            keeper: Mutex::new(Keeper::new(own)),
            reading: RwLock::default(),
            handed_out_ns: AtomicI64::new(i64::MIN),
        }
    }

    /// Of nothing that measures: cluster time is never synchronised.
    pub fn alone(clock: Arc<dyn Clock>) -> Arc<Self> {
        let own = Own {
            name: String::new(),
            machine: 0,
            run: 0,
        };
        Arc::new(Self::new(clock, own))
    }

    /// As [`Self::new`], with a clock that can be made wrong.
    #[must_use]
    pub fn with_faults(self, false_clock: Arc<FalseClock>, faults_allowed: bool) -> Self {
        Self {
            false_clock: Some(false_clock),
            faults_allowed,
            ..self
        }
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Now, by both times. Synchronised cluster time does not go back; where the estimate did, the bound says by how much.
    pub fn moment(&self) -> Moment {
        // The reading first: whatever time passes before the clocks are read only makes its bound grow and end.
        let reading = *self.reading.read();
        let (wall_ns, mono_ns) = (self.clock.wall_ns(), self.clock.monotonic_ns());
        let stamp = reading.at(wall_ns, mono_ns);
        let latest_ns = match stamp.bound_ns {
            Some(_) => self.handed_out_ns.fetch_max(stamp.cluster_ns, Relaxed),
            None => i64::MIN,
        };
        let held_back_ns = latest_ns.saturating_sub(stamp.cluster_ns).max(0);
        let bound_ns = stamp
            .bound_ns
            .map(|bound_ns| bound_ns.saturating_add(held_back_ns))
            .filter(|bound_ns| *bound_ns <= SYNCHRONISED_NS);
        let Some(bound_ns) = bound_ns else {
            return Moment {
                ts_us: wall_ns.div_euclid(US),
                corrected_us: stamp.cluster_ns.div_euclid(US),
                error_bound_us: 0,
                synchronised: false,
            };
        };
        let bound_ns = if mutant::is_broken(Mutant::BoundTooSmall) {
            bound_ns / 10
        } else {
            bound_ns
        };
        Moment {
            ts_us: wall_ns.div_euclid(US),
            corrected_us: stamp.cluster_ns.max(latest_ns).div_euclid(US),
            // Rounded up, and for the rounding of the time itself.
            error_bound_us: u64::try_from(bound_ns / US + 2).unwrap_or(u64::MAX),
            synchronised: true,
        }
    }

    /// The `clock` part of the status, but for the logical clock.
    pub fn status(&self) -> ClockStatus {
        let status = {
            let keeper = self.keeper.lock();
            keeper.status(&self.clock.now())
        };
        ClockStatus {
            injected: self.injected(),
            faults_allowed: self.faults_allowed && self.false_clock.is_some(),
            ..status
        }
    }

    /// How suspicious a peer's silence is (φ).
    pub fn suspicion(&self, peer: &str) -> Option<f64> {
        let keeper = self.keeper.lock();
        let peer = keeper.peers().iter().find(|known| known.name == peer)?;
        peer.suspicion(self.clock.monotonic_ns())
    }

    pub fn injected(&self) -> Option<InjectedFault> {
        self.false_clock.as_ref()?.injected()
    }

    /// Makes this node's clock wrong from now on. `run` is random: who measures the clock begins anew if its rate changes.
    pub fn inject(&self, fault: ClockFault, run: u64) -> Result<InjectedFault, FaultError> {
        let false_clock = self.false_clock.as_ref().filter(|_| self.faults_allowed);
        let false_clock = false_clock.ok_or(FaultError::NotAllowed)?;
        fault.check().map_err(FaultError::Invalid)?;
        self.with_keeper(|keeper| {
            if false_clock.inject(fault) {
                keeper.changes_rate(run);
            }
        });
        Ok(false_clock.injected().unwrap_or_default())
    }

    /// Lets the clocks' task do something with the keeper, and takes over what it decided.
    pub(super) fn with_keeper<T>(&self, work: impl FnOnce(&mut Keeper) -> T) -> T {
        let mut keeper = self.keeper.lock();
        let steps = keeper.cluster_steps();
        let result = work(&mut keeper);
        *self.reading.write() = keeper.reading();
        if keeper.cluster_steps() != steps {
            // It was set, which is told: from here on it rises anew.
            self.handed_out_ns.store(i64::MIN, Relaxed);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn own() -> Own {
        Own {
            name: "n1".to_owned(),
            machine: 1,
            run: 1,
        }
    }

    #[test]
    fn before_cluster_time_the_machines_clock_is_all_there_is() {
        let clock = ClusterClock::new(Arc::new(ManualClock::new(77)), own());
        let moment = clock.moment();
        assert_eq!(
            (moment.ts_us, moment.corrected_us, moment.synchronised),
            (77, 77, false)
        );
    }

    #[test]
    fn a_single_node_is_its_own_majority() {
        let manual = Arc::new(ManualClock::new(1_000_000));
        let clock = ClusterClock::new(manual.clone(), own());
        clock.with_keeper(|keeper| {
            keeper.set_peers(true.into(), []);
            keeper.looks(&manual.now());
        });
        assert!(
            !clock.moment().synchronised,
            "an earlier run may have promised something else"
        );
        manual.advance_us(2_000_000);
        clock.with_keeper(|keeper| keeper.looks(&manual.now()));
        let moment = clock.moment();
        assert_eq!((moment.corrected_us, moment.synchronised), (3_000_000, true));
        assert!(moment.error_bound_us <= 2);
        // Set back, the machine's clock is followed by no more than a slow bend. Until the next look nobody knows
        // whether it was set or the other one stood still.
        manual.set_wall_us(0);
        manual.advance_us(1_000);
        assert!(!clock.moment().synchronised);
        clock.with_keeper(|keeper| keeper.looks(&manual.now()));
        let moment = clock.moment();
        assert_eq!((moment.ts_us, moment.corrected_us), (1_000, 3_001_000));
        assert!(moment.synchronised);
    }

    #[test]
    fn faults_need_leave_and_sense() {
        let manual: Arc<dyn Clock> = Arc::new(ManualClock::new(0));
        let false_clock = Arc::new(FalseClock::new(manual));
        let clock =
            |allowed| ClusterClock::new(false_clock.clone(), own()).with_faults(false_clock.clone(), allowed);
        let fault = |skew_ms| ClockFault {
            skew_ms: Some(skew_ms),
            drift_ppm: None,
        };
        assert_eq!(clock(false).inject(fault(1.0), 2), Err(FaultError::NotAllowed));
        assert!(matches!(
            clock(true).inject(fault(f64::INFINITY), 2),
            Err(FaultError::Invalid(_))
        ));
        let done = clock(true).inject(fault(250.0), 2).unwrap();
        assert!((done.offset_ms - 250.0).abs() < 1e-9);
    }
}
