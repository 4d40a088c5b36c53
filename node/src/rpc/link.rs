//! The outgoing connection to one peer: requests go out in the order they were given, answers are paired by id.
//!
//! While the peer is away, requests fail at once and the link tries again with growing pauses. A request may
//! be given up by its caller at any time; its late answer is dropped.

mod worker;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wiber_protocol::{
    event::RpcKind,
    ids::RaftId,
    membership::Member,
    rpc::{Request, Response},
};

use self::worker::Worker;
use super::transport::Transport;
use crate::{
    clock::Clock, lamport::Lamport, metrics::Counters, shared_identity::SharedIdentity, time::ClusterClock,
    trace::Trace,
};

/// Requests waiting to be written; past it callers wait.
const QUEUED_REQUESTS: usize = 256;

/// What every frame of this process needs.
pub struct Local {
    pub identity: SharedIdentity,
    pub clock: Arc<dyn Clock>,
    pub cluster_clock: Arc<ClusterClock>,
    pub lamport: Arc<Lamport>,
    pub trace: Trace,
    pub counters: Arc<Counters>,
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("{0} is not connected")]
    NotConnected(String),
    #[error("the connection to {0} broke before the answer came")]
    Broken(String),
    #[error("{peer} did not answer within {waited:?}")]
    Timeout { peer: String, waited: Duration },
    #[error("{0} has too many unanswered requests")]
    Full(String),
    #[error("{peer} refused: {reason}")]
    Refused { peer: String, reason: String },
    #[error("{0} gave an answer of another kind")]
    Mismatch(String),
}

/// The answer that is to come.
pub type Reply = oneshot::Receiver<Result<Response, LinkError>>;

struct Outgoing {
    request: Request,
    target: Option<RaftId>,
    reply: oneshot::Sender<Result<Response, LinkError>>,
}

struct Pending {
    kind: RpcKind,
    traced: bool,
    sent_us: u64,
    reply: oneshot::Sender<Result<Response, LinkError>>,
}

/// What is known of the peer's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing certain: it was never reached, or does not answer.
    Unknown,
    Connected,
    /// Nobody listens at its address. A process that ends does this at once; so may a firewall.
    Refused,
}

struct Shared {
    member: Member,
    presence: watch::Sender<Presence>,
    /// By the RPC's id: what is told to several waiting callers is told in the order they asked.
    pending: Mutex<BTreeMap<u64, Pending>>,
    rtts_us: Mutex<VecDeque<u64>>,
}

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Outgoing>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link to {}", self.shared.member.name)
    }
}

impl Link {
    pub(super) fn start(
        member: Member,
        local: Arc<Local>,
        transport: Arc<dyn Transport>,
        stop: CancellationToken,
    ) -> Self {
        let (requests, queue) = mpsc::channel(QUEUED_REQUESTS);
        let shared = Arc::new(Shared {
            member,
            presence: watch::Sender::new(Presence::Unknown),
            pending: Mutex::new(BTreeMap::new()),
            rtts_us: Mutex::new(VecDeque::new()),
        });
        let worker = Worker {
            shared: shared.clone(),
            local,
            transport,
            queue,
        };
        crate::runtime::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = worker.run() => {}
            }
        });
        Self { shared, requests }
    }

    pub fn member(&self) -> &Member {
        &self.shared.member
    }

    pub fn is_connected(&self) -> bool {
        *self.shared.presence.borrow() == Presence::Connected
    }

    /// What is known of the peer's process, as it changes.
    pub fn presence(&self) -> watch::Receiver<Presence> {
        self.shared.presence.subscribe()
    }

    /// Median round trip of the last heartbeats and votes, milliseconds.
    pub fn rtt_ms(&self) -> Option<f64> {
        let mut samples: Vec<u64> = self.shared.rtts_us.lock().iter().copied().collect();
        samples.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            reason = "round trips are far below 2^52 microseconds"
        )]
        samples.get(samples.len() / 2).map(|us| *us as f64 / 1000.0)
    }

    /// Queues a request. Requests of one caller go out in the order of these calls.
    pub async fn send(&self, request: Request, target: Option<RaftId>) -> Reply {
        let (reply, wait) = oneshot::channel();
        let outgoing = Outgoing {
            request,
            target,
            reply,
        };
        if let Err(mpsc::error::SendError(refused)) = self.requests.send(outgoing).await {
            drop(refused.reply.send(Err(self.not_connected())));
        }
        wait
    }

    /// Asks and waits for the answer, at most `patience`.
    pub async fn call(
        &self,
        request: Request,
        target: Option<RaftId>,
        patience: Duration,
    ) -> Result<Response, LinkError> {
        let answered = async { self.answer(self.send(request, target).await).await };
        timeout(patience, answered)
            .await
            .unwrap_or_else(|_| Err(self.timed_out(patience)))
    }

    /// The outcome of an awaited [`Reply`]; a refusal is an error.
    pub async fn answer(&self, reply: Reply) -> Result<Response, LinkError> {
        match reply.await {
            Ok(Ok(Response::Refused(reason))) => Err(LinkError::Refused {
                peer: self.shared.member.name.clone(),
                reason,
            }),
            Ok(answer) => answer,
            Err(_) => Err(self.not_connected()),
        }
    }

    pub fn timed_out(&self, waited: Duration) -> LinkError {
        LinkError::Timeout {
            peer: self.shared.member.name.clone(),
            waited,
        }
    }

    pub fn mismatch(&self) -> LinkError {
        LinkError::Mismatch(self.shared.member.name.clone())
    }

    /// The peer stored less than it was sent.
    pub fn took_part(&self) -> LinkError {
        LinkError::Refused {
            peer: self.shared.member.name.clone(),
            reason: "it took a part of what was sent".to_owned(),
        }
    }

    fn not_connected(&self) -> LinkError {
        LinkError::NotConnected(self.shared.member.name.clone())
    }
}
