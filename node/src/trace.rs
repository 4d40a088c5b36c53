//! What happens on this node, as bounded facts for `/events`.
//!
//! Every happening has a Lamport time; the send and the receive of one RPC share its id. Under load the trace
//! samples: an RPC is traced whole or not at all, decided once by its sender ([`Trace::sample_rpc`]) and
//! carried in its frame, so no arrow ever lacks an end. What is left out is counted. The newest events are
//! kept in a ring for whoever starts to listen; a listener that reads too slowly loses the oldest ones and is
//! told how many.

mod permits;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::sync::broadcast;
use wiber_protocol::event::{EventKind, RpcKind, RpcMessage, TraceEvent};

use self::permits::Permits;
pub use self::subscription::TraceSubscription;
use crate::{lamport::Lamport, time::ClusterClock};

/// The events kept for new listeners, and how far a listener may fall behind before it loses some.
pub const RING_EVENTS: usize = 4_096;

/// One node's trace; clones are handles to the same.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    node: String,
    epoch_us: i64,
    clock: Arc<ClusterClock>,
    lamport: Arc<Lamport>,
    /// Counts recorded and left-out events alike.
    seq: AtomicU64,
    next_rpc_id: AtomicU64,
    rpcs_left_out: AtomicU64,
    permits: Permits,
    ring: Mutex<VecDeque<Arc<TraceEvent>>>,
    /// Sent to with `ring` held, so that a new listener gets every event once.
    live: broadcast::Sender<Arc<TraceEvent>>,
}

impl Trace {
    /// `first_rpc_id` must be random: ids count up from it, which keeps those of different processes apart.
    pub fn new(
        node: String,
        epoch_us: i64,
        clock: Arc<ClusterClock>,
        lamport: Arc<Lamport>,
        first_rpc_id: u64,
    ) -> Self {
        Self(Arc::new(Inner {
            node,
            epoch_us,
            clock,
            lamport,
            seq: AtomicU64::new(0),
            next_rpc_id: AtomicU64::new(first_rpc_id),
            rpcs_left_out: AtomicU64::new(0),
            permits: Permits::new(),
            ring: Mutex::new(VecDeque::with_capacity(RING_EVENTS)),
            live: broadcast::Sender::new(RING_EVENTS),
        }))
    }

    /// Records something that happened on this node alone, at the logical clock's next tick. For the
    /// frequent kinds ask [`Self::allow_local`] first. `fill` adds what this kind of event carries.
    pub fn local(&self, kind: EventKind, term: u64, fill: impl FnOnce(&mut TraceEvent)) {
        let lamport = self.0.lamport.tick();
        let mut event = self.event(kind, lamport, term);
        fill(&mut event);
        self.record(event);
    }

    /// Records the send or receive of a sampled RPC's message. `lamport` is the time that the message
    /// carries (send), or what observing that time gave (receive).
    pub fn message(
        &self,
        kind: EventKind,
        lamport: u64,
        peer: &str,
        rpc: RpcMessage,
        term: u64,
        fill: impl FnOnce(&mut TraceEvent),
    ) {
        let mut event = self.event(kind, lamport, term);
        event.peer = Some(peer.to_owned());
        event.rpc = Some(rpc);
        fill(&mut event);
        self.record(event);
    }

    /// Whether the RPC that is about to be sent is traced, in all four of its events. Asked once, by the
    /// sender of the request.
    pub fn sample_rpc(&self, kind: RpcKind) -> bool {
        let sampled = self.0.permits.rpc(kind, self.0.clock.clock().monotonic_us());
        if !sampled {
            self.0.rpcs_left_out.fetch_add(1, Relaxed);
            self.0.seq.fetch_add(1, Relaxed);
        }
        sampled
    }

    /// Whether a local event of this kind should be recorded now; a refusal counts in `seq`.
    pub fn allow_local(&self, kind: EventKind) -> bool {
        let allowed = self.0.permits.local(kind, self.0.clock.clock().monotonic_us());
        if !allowed {
            self.0.seq.fetch_add(1, Relaxed);
        }
        allowed
    }

    /// An id for a new RPC, unique among all RPCs of the cluster.
    pub fn next_rpc_id(&self) -> u64 {
        self.0.next_rpc_id.fetch_add(1, Relaxed)
    }

    /// Whole RPCs that sampling left out since the process started.
    pub fn rpcs_left_out(&self) -> u64 {
        self.0.rpcs_left_out.load(Relaxed)
    }

    /// The ring first, then every event as it happens.
    pub fn subscribe(&self) -> TraceSubscription {
        let ring = self.0.ring.lock();
        let live = self.0.live.subscribe();
        TraceSubscription::new(self.clone(), ring.iter().cloned().collect(), live)
    }

    fn event(&self, kind: EventKind, lamport: u64, term: u64) -> TraceEvent {
        let moment = self.0.clock.moment();
        TraceEvent {
            node: self.0.node.clone(),
            seq: 0,
            epoch: self.0.epoch_us,
            lamport,
            ts_us: moment.ts_us,
            corrected_us: moment.corrected_us,
            kind,
            peer: None,
            rpc: None,
            term,
            log_index: None,
            records: None,
            detail: None,
        }
    }

    fn record(&self, mut event: TraceEvent) {
        let mut ring = self.0.ring.lock();
        event.seq = self.0.seq.fetch_add(1, Relaxed) + 1;
        let event = Arc::new(event);
        if ring.len() == RING_EVENTS {
            ring.pop_front();
        }
        ring.push_back(Arc::clone(&event));
        // An error only says that nobody listens.
        let _ = self.0.live.send(event);
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("node", &self.0.node)
            .field("seq", &self.0.seq)
            .finish_non_exhaustive()
    }
}
