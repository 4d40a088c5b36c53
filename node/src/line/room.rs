//! How much memory all clients together may fill with what they say.
//!
//! A client that sends more than there is room for is not read from until there is: it waits, and nothing is lost.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies and ids of publishes whose fate is open.
const PUBLISH_BYTES: usize = 256 << 20;
/// What one permit stands for.
const UNIT_BYTES: usize = 1 << 10;
/// Connections in the middle of a large line or body at once.
const LARGE_INPUTS: usize = 128;

/// Holds a share of the room until it is dropped.
pub(super) type Share = OwnedSemaphorePermit;

/// Room for what was said and is not done.
pub struct Room {
    publishes: Arc<Semaphore>,
    large_inputs: Arc<Semaphore>,
}

impl Room {
    pub fn new() -> Self {
        Self {
            publishes: Arc::new(Semaphore::new(PUBLISH_BYTES / UNIT_BYTES)),
            large_inputs: Arc::new(Semaphore::new(LARGE_INPUTS)),
        }
    }

    /// Waits for room for publishes of so many bytes. `None` only if the node stops.
    pub(super) async fn for_publishes(&self, bytes: usize) -> Option<Share> {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, PUBLISH_BYTES / UNIT_BYTES);
        let units = u32::try_from(units).ok()?;
        self.publishes.clone().acquire_many_owned(units).await.ok()
    }

    /// Waits for the turn to be in the middle of something large.
    pub(super) async fn for_large_input(&self) -> Option<Share> {
        self.large_inputs.clone().acquire_owned().await.ok()
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}
