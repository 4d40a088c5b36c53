//! A node's clocks in simulated time: a monotonic one that runs a little fast or slow, and a wall clock that can be set,
//! too.

use parking_lot::Mutex;
use wiber_node::clock::Clock;
use wiber_time::drifted;

use crate::world::World;

/// 2025-01-01, where every run begins.
const EPOCH_NS: i64 = 1_735_689_600_000_000_000;

pub struct SimClock {
    world: World,
    rate_ppb: i64,
    offset_ns: Mutex<i64>,
}

impl SimClock {
    /// A clock that is `skew_us` ahead, and runs `rate_ppb` fast.
    pub fn new(world: World, skew_us: i64, rate_ppb: i64) -> Self {
        Self {
            world,
            rate_ppb,
            offset_ns: Mutex::new(skew_us * 1_000),
        }
    }

    /// Sets the wall clock by so much, as a person or a time service does.
    pub fn jump(&self, by_us: i64) {
        *self.offset_ns.lock() += by_us * 1_000;
    }

    /// Sets the wall clock right.
    pub fn set_right(&self) {
        *self.offset_ns.lock() = -drifted(self.world.now_ns(), self.rate_ppb);
    }
}

impl Clock for SimClock {
    fn wall_ns(&self) -> i64 {
        EPOCH_NS + self.world.now_ns() + self.injected_ns()
    }

    fn monotonic_ns(&self) -> i64 {
        let now_ns = self.world.now_ns();
        now_ns + drifted(now_ns, self.rate_ppb)
    }

    fn injected_ns(&self) -> i64 {
        *self.offset_ns.lock() + drifted(self.world.now_ns(), self.rate_ppb)
    }
}
