//! One listener's view of the trace: what is in the ring, then what happens, in batches.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};
use wiber_protocol::event::{TraceBatch, TraceEvent};

use super::Trace;

/// After the first event of a batch, others are waited for this long.
const BATCH_WINDOW: Duration = Duration::from_millis(50);
/// The most events in one batch; more go into the next, which follows at once.
pub(super) const BATCH_EVENTS: usize = 512;

/// Made by [`Trace::subscribe`]. Dropping it ends the subscription.
#[derive(Debug)]
pub struct TraceSubscription {
    trace: Trace,
    /// Taken over and not given out yet; it is in here that a batch gathers, so that a cancelled
    /// [`Self::next_batch`] loses nothing.
    pending: VecDeque<Arc<TraceEvent>>,
    live: Receiver<Arc<TraceEvent>>,
    lagged: u64,
}

impl TraceSubscription {
    pub(super) fn new(
        trace: Trace,
        ring: VecDeque<Arc<TraceEvent>>,
        live: Receiver<Arc<TraceEvent>>,
    ) -> Self {
        Self {
            trace,
            pending: ring,
            live,
            lagged: 0,
        }
    }

    /// The next events, never none: what the ring held first, then what happens, gathered for
    /// [`BATCH_WINDOW`]. Cancel safe.
    pub async fn next_batch(&mut self) -> TraceBatch {
        if self.pending.is_empty() {
            while self.pending.is_empty() {
                match self.live.recv().await {
                    Ok(event) => self.pending.push_back(event),
                    Err(RecvError::Lagged(missed)) => self.lagged += missed,
                    // The sender lives in `self.trace`.
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
            tokio::time::sleep(BATCH_WINDOW).await;
        }
        self.gather();
        let count = self.pending.len().min(BATCH_EVENTS);
        TraceBatch {
            events: self
                .pending
                .drain(..count)
                .map(|event| TraceEvent::clone(&event))
                .collect(),
            rpcs_left_out: self.trace.rpcs_left_out(),
            lagged: self.lagged,
        }
    }

    /// Takes over what is there, up to a batch.
    fn gather(&mut self) {
        while self.pending.len() < BATCH_EVENTS {
            match self.live.try_recv() {
                Ok(event) => self.pending.push_back(event),
                Err(TryRecvError::Lagged(missed)) => self.lagged += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}
