//! Random numbers that a seed decides. Everything that throws has dice of its own, so that one more throw in one place
//! does not change what happens in another.

use parking_lot::Mutex;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

/// A shared source of throws.
pub struct Dice(Mutex<SmallRng>);

impl Dice {
    /// The dice called `name` of the run `seed`; `number` tells several of one name apart.
    pub fn new(seed: u64, name: &str, number: u64) -> Self {
        let mut mixed = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in name.bytes().chain(number.to_le_bytes()) {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            mixed ^= mixed >> 29;
        }
        Self(Mutex::new(SmallRng::seed_from_u64(mixed)))
    }

    pub fn word(&self) -> u64 {
        self.0.lock().next_u64()
    }

    /// At least `from`, below `to`.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        self.0.lock().random_range(from..to.max(from + 1))
    }

    pub fn index(&self, len: usize) -> usize {
        self.0.lock().random_range(0..len.max(1))
    }

    /// True in so many of a thousand throws.
    pub fn permille(&self, chance: u64) -> bool {
        self.between(0, 1000) < chance
    }

    pub fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A wait between two bounds in milliseconds.
    pub fn pause(&self, from_ms: u64, to_ms: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.between(from_ms, to_ms))
    }
}
