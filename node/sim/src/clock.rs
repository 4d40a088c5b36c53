//! A node's clocks in simulated time: a monotonic one that is true, and a wall clock that can be set.

use parking_lot::Mutex;
use wiber_node::clock::Clock;

use crate::world::World;

/// 2025-01-01, where every run begins.
const EPOCH_US: i64 = 1_735_689_600_000_000;

pub struct SimClock {
    world: World,
    offset_us: Mutex<i64>,
}

impl SimClock {
    pub fn new(world: World) -> Self {
        Self {
            world,
            offset_us: Mutex::new(0),
        }
    }

    /// Sets the wall clock by so much, as a person or a time service does.
    pub fn jump(&self, by_us: i64) {
        *self.offset_us.lock() += by_us;
    }
}

impl Clock for SimClock {
    fn wall_us(&self) -> i64 {
        EPOCH_US + *self.offset_us.lock() + i64::try_from(self.world.now_us()).unwrap_or(i64::MAX)
    }

    fn monotonic_us(&self) -> u64 {
        self.world.now_us()
    }
}
