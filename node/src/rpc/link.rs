//! The outgoing connection to one peer: requests go out in the order they were given, answers are paired by id.
//!
//! While the peer is away, requests fail at once and the link tries again with growing pauses. A request may
//! be given up by its caller at any time; its late answer is dropped.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use rand::Rng;
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};
use wiber_protocol::{
    event::{EventKind, Leg, RpcKind, RpcMessage},
    ids::{ClusterId, GroupId, RaftId},
    membership::Member,
    rpc::{Body, Frame, Header, Request, Response},
};

use super::codec;
use crate::{
    clock::Clock, lamport::Lamport, metrics::Counters, shared_identity::SharedIdentity, trace::Trace,
};

/// Requests waiting to be written; past it callers wait.
const QUEUED_REQUESTS: usize = 256;
/// Requests written and not answered; past it new ones fail.
const PENDING_REQUESTS: usize = 4_096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A request stands unanswered and nothing at all came for this long: the connection is given up.
const SILENCE: Duration = Duration::from_secs(3);
/// How often a silent connection is looked at.
const SILENCE_CHECK: Duration = Duration::from_millis(500);
/// Round trips kept for the median.
const RTT_SAMPLES: usize = 16;

/// What every frame of this process needs.
pub struct Local {
    pub identity: SharedIdentity,
    pub clock: Arc<dyn Clock>,
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

struct Shared {
    member: Member,
    connected: AtomicBool,
    pending: Mutex<HashMap<u64, Pending>>,
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
    pub(super) fn start(member: Member, local: Arc<Local>, stop: CancellationToken) -> Self {
        let (requests, queue) = mpsc::channel(QUEUED_REQUESTS);
        let shared = Arc::new(Shared {
            member,
            connected: AtomicBool::new(false),
            pending: Mutex::new(HashMap::new()),
            rtts_us: Mutex::new(VecDeque::new()),
        });
        let worker = Worker {
            shared: shared.clone(),
            local,
            queue,
        };
        tokio::spawn(async move {
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
        self.shared.connected.load(Ordering::Relaxed)
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

    fn not_connected(&self) -> LinkError {
        LinkError::NotConnected(self.shared.member.name.clone())
    }
}

struct Worker {
    shared: Arc<Shared>,
    local: Arc<Local>,
    queue: mpsc::Receiver<Outgoing>,
}

impl Worker {
    async fn run(mut self) {
        let name = self.shared.member.name.clone();
        let mut pause = FIRST_PAUSE;
        // A peer that was never there is not lost.
        let mut reported_lost = true;
        loop {
            match self.connect().await {
                Ok(stream) => {
                    tracing::info!(target: "rpc", "connected to {name}");
                    pause = FIRST_PAUSE;
                    self.shared.connected.store(true, Ordering::Relaxed);
                    let reason = self.serve(stream).await;
                    self.shared.connected.store(false, Ordering::Relaxed);
                    self.fail_pending(&name);
                    tracing::warn!(target: "rpc", "lost {name}: {reason}");
                    reported_lost = true;
                }
                Err(error) => {
                    if !reported_lost {
                        tracing::warn!(target: "rpc", "cannot reach {name}: {error}");
                        reported_lost = true;
                    }
                }
            }
            self.refuse_for(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.queue.is_closed() && self.queue.is_empty() {
                return;
            }
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let member = &self.shared.member;
        let rpc_port = member.port + wiber_protocol::config::RPC_PORT_OFFSET;
        let connecting = TcpStream::connect((member.host.as_str(), rpc_port));
        let stream = timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| std::io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Refuses whatever is asked while there is no connection, for as long as the pause lasts.
    async fn refuse_for(&mut self, pause: Duration) {
        let deadline = tokio::time::sleep(pause);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                () = &mut deadline => return,
                outgoing = self.queue.recv() => match outgoing {
                    Some(outgoing) => {
                        let error = LinkError::NotConnected(self.shared.member.name.clone());
                        drop(outgoing.reply.send(Err(error)));
                    }
                    None => return,
                },
            }
        }
    }

    fn fail_pending(&self, name: &str) {
        let pending = std::mem::take(&mut *self.shared.pending.lock());
        for (_, pending) in pending {
            drop(pending.reply.send(Err(LinkError::Broken(name.to_owned()))));
        }
    }

    /// Runs one connection until it ends; says why it did.
    async fn serve(&mut self, stream: TcpStream) -> String {
        let (read, write) = stream.into_split();
        let reader = read_answers(
            FramedRead::new(read, codec()),
            self.shared.clone(),
            self.local.clone(),
        );
        tokio::pin!(reader);
        let writer = write_requests(
            FramedWrite::new(write, codec()),
            &mut self.queue,
            self.shared.clone(),
            self.local.clone(),
        );
        tokio::pin!(writer);
        tokio::select! {
            biased;
            reason = &mut reader => reason,
            reason = &mut writer => reason,
        }
    }
}

async fn write_requests(
    mut out: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    queue: &mut mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    local: Arc<Local>,
) -> String {
    while let Some(outgoing) = queue.recv().await {
        let mut next = Some(outgoing);
        while let Some(outgoing) = next {
            if let Some(frame) = prepare(outgoing, &shared, &local) {
                let fed: std::io::Result<()> = out.feed(frame.encode()).await;
                if let Err(error) = fed {
                    return error.to_string();
                }
            }
            next = queue.try_recv().ok();
        }
        let flushed: std::io::Result<()> = SinkExt::<bytes::Bytes>::flush(&mut out).await;
        if let Err(error) = flushed {
            return error.to_string();
        }
    }
    "the node is stopping".to_owned()
}

/// Numbers a request, stamps it, and remembers whom to answer.
fn prepare(outgoing: Outgoing, shared: &Shared, local: &Local) -> Option<Frame> {
    let Outgoing {
        request,
        target,
        reply,
    } = outgoing;
    if reply.is_closed() {
        return None;
    }
    let kind = request.kind();
    let traced = local.trace.sample_rpc(kind);
    let rpc_id = local.trace.next_rpc_id();
    let peer = shared.member.name.as_str();
    {
        let mut pending = shared.pending.lock();
        if pending.len() >= PENDING_REQUESTS {
            // Answers that nobody waits for any more make room first.
            pending.retain(|_, pending| !pending.reply.is_closed());
        }
        if pending.len() >= PENDING_REQUESTS {
            drop(reply.send(Err(LinkError::Full(peer.to_owned()))));
            return None;
        }
        pending.insert(
            rpc_id,
            Pending {
                kind,
                traced,
                sent_us: local.clock.monotonic_us(),
                reply,
            },
        );
    }
    let lamport = local.lamport.tick();
    if traced {
        let entries = entries_of(&request);
        let term = term_of(&request);
        local.trace.message(
            EventKind::Send,
            lamport,
            peer,
            message(kind, rpc_id, Leg::Request),
            term,
            |event| {
                event.log_index = entries;
            },
        );
    }
    let (cluster, from) = local.identity.ids();
    let header = header(cluster, from, target, rpc_id, lamport, traced);
    Some(Frame {
        header,
        body: Body::Request(request),
    })
}

async fn read_answers(
    mut input: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    shared: Arc<Shared>,
    local: Arc<Local>,
) -> String {
    let mut heard_us = local.clock.monotonic_us();
    loop {
        let frame = match timeout(SILENCE_CHECK, input.next()).await {
            Err(_) if !is_silent(&shared, &local, heard_us) => continue,
            Err(_) => return format!("silent for {} s", SILENCE.as_secs()),
            Ok(None) => return "it closed the connection".to_owned(),
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(Some(Ok(bytes))) => match Frame::decode(bytes.freeze()) {
                Ok(frame) => frame,
                Err(error) => return format!("a bad frame: {error}"),
            },
        };
        heard_us = local.clock.monotonic_us();
        let Body::Response(response) = frame.body else {
            return "a request where only answers belong".to_owned();
        };
        let Some(pending) = shared.pending.lock().remove(&frame.header.rpc_id) else {
            continue;
        };
        let lamport = local.lamport.observe(frame.header.lamport);
        if pending.traced {
            let rpc = message(pending.kind, frame.header.rpc_id, Leg::Response);
            local
                .trace
                .message(EventKind::Receive, lamport, &shared.member.name, rpc, 0, |_| {});
        }
        if matches!(
            pending.kind,
            RpcKind::Heartbeat | RpcKind::Vote | RpcKind::PreVote | RpcKind::Probe
        ) {
            let rtt_us = local.clock.monotonic_us().saturating_sub(pending.sent_us);
            let mut samples = shared.rtts_us.lock();
            if samples.len() == RTT_SAMPLES {
                samples.pop_front();
            }
            samples.push_back(rtt_us);
        }
        drop(pending.reply.send(Ok(response)));
    }
}

/// Whether the peer owes an answer for [`SILENCE`] and said nothing since.
fn is_silent(shared: &Shared, local: &Local, heard_us: u64) -> bool {
    let oldest_us = shared
        .pending
        .lock()
        .values()
        .map(|pending| pending.sent_us)
        .min();
    let silence_us = u64::try_from(SILENCE.as_micros()).unwrap_or(u64::MAX);
    let long_ago = local.clock.monotonic_us().saturating_sub(silence_us);
    heard_us <= long_ago && oldest_us.is_some_and(|oldest_us| oldest_us <= long_ago)
}

pub(super) fn header(
    cluster: Option<ClusterId>,
    from: RaftId,
    target: Option<RaftId>,
    rpc_id: u64,
    lamport: u64,
    traced: bool,
) -> Header {
    Header {
        group: GroupId(0),
        cluster,
        from,
        target,
        rpc_id,
        lamport,
        traced,
    }
}

pub(super) fn message(kind: RpcKind, rpc_id: u64, leg: Leg) -> RpcMessage {
    RpcMessage {
        kind,
        id: format!("{rpc_id:016x}"),
        leg,
    }
}

/// The term a request speaks of, for the trace.
pub(super) fn term_of(request: &Request) -> u64 {
    match request {
        Request::Append(append) | Request::Heartbeat(append) => append.vote.term,
        Request::Vote(vote) | Request::PreVote(vote) => vote.vote.term,
        Request::Transfer(transfer) => transfer.from_leader.term,
        Request::Snapshot(chunk) => chunk.vote.term,
        Request::Probe(_) | Request::Join(_) | Request::Forward(_) | Request::ReadIndex => 0,
    }
}

/// The last entry an append brings, for the trace.
pub(super) fn entries_of(request: &Request) -> Option<u64> {
    let Request::Append(append) = request else {
        return None;
    };
    if append.entries.is_empty() {
        return None;
    }
    Some(append.prev.map_or(0, |prev| prev.index + 1) + append.entries.len() as u64 - 1)
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}
