//! How much memory all clients together may fill with what they say, and with what is held back for them.
//!
//! A client that sends more than there is room for is not read from until there is: it waits, and nothing is lost. What is
//! held back to be put in order waits less long where there is no room for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies and ids of publishes whose fate is open.
const PUBLISH_BYTES: usize = 256 << 20;
/// What one permit stands for.
const UNIT_BYTES: usize = 1 << 10;
/// Connections in the middle of a large line or body at once.
pub(super) const LARGE_INPUTS: usize = 128;
/// What all order buffers together hold. Where it is more, each buffer that takes something in gives out its earliest before
/// their time.
const ORDER_BYTES: usize = 256 << 20;

/// Holds a share of the room until it is dropped.
pub(super) type Share = OwnedSemaphorePermit;

/// Room for what was said and is not done.
pub struct Room {
    publishes: Arc<Semaphore>,
    large_inputs: Arc<Semaphore>,
    orders: OrderRoom,
}

impl Room {
    pub fn new() -> Self {
        Self {
            publishes: Arc::new(Semaphore::new(PUBLISH_BYTES / UNIT_BYTES)),
            large_inputs: Arc::new(Semaphore::new(LARGE_INPUTS)),
            orders: OrderRoom::new(ORDER_BYTES),
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

    /// For what one subscription holds back.
    pub(super) fn for_order(&self) -> OrderShare {
        self.orders.share()
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// Room for the order buffers of all subscriptions.
pub(super) struct OrderRoom {
    held_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl OrderRoom {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            held_bytes: Arc::default(),
            max_bytes,
        }
    }

    pub(super) fn share(&self) -> OrderShare {
        OrderShare {
            all: self.held_bytes.clone(),
            max_bytes: self.max_bytes,
            own_bytes: 0,
        }
    }
}

/// What one order buffer holds, and counts among all until it is dropped.
pub(super) struct OrderShare {
    all: Arc<AtomicUsize>,
    max_bytes: usize,
    own_bytes: usize,
}

impl OrderShare {
    /// Says how much the buffer holds now.
    pub(super) fn set(&mut self, bytes: usize) {
        // The new before the old, so that the sum never falls below what there is.
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.own_bytes, Ordering::Relaxed);
        self.own_bytes = bytes;
    }

    /// Whether all buffers together hold more than they may.
    pub(super) fn is_exceeded(&self) -> bool {
        self.all.load(Ordering::Relaxed) > self.max_bytes
    }
}

impl Drop for OrderShare {
    fn drop(&mut self) {
        self.set(0);
    }
}
