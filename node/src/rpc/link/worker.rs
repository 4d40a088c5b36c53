//! The task behind a link: connects, writes requests, pairs answers, and connects again.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use tokio::{sync::mpsc, time::timeout};
use wiber_protocol::{
    event::{EventKind, Leg, RpcKind},
    rpc::{Body, Frame},
};

use super::{LinkError, Local, Outgoing, Pending, Presence, Shared};
use crate::{
    rpc::{
        frames,
        transport::{Connection, FramesIn, FramesOut, Transport},
    },
    runtime,
};

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

/// Owns the connection; ends with the last handle on the link.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) local: Arc<Local>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) queue: mpsc::Receiver<Outgoing>,
}

impl Worker {
    pub(super) async fn run(mut self) {
        let name = self.shared.member.name.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    tracing::info!(target: "rpc", "connected to {name}");
                    pause = FIRST_PAUSE;
                    self.shared.presence.send_replace(Presence::Connected);
                    let since_us = self.local.clock.monotonic_us();
                    let reason = self.serve(connection).await;
                    self.shared.presence.send_replace(Presence::Unknown);
                    self.fail_pending(&name);
                    tracing::warn!(target: "rpc", "lost {name}: {reason}");
                    let lived_us = self.local.clock.monotonic_us().saturating_sub(since_us);
                    if u128::from(lived_us) >= FIRST_PAUSE.as_micros() {
                        // At once: whether its process is gone is news that others wait for.
                        continue;
                    }
                }
                Err(error) => {
                    let presence = match error.kind() {
                        std::io::ErrorKind::ConnectionRefused => Presence::Refused,
                        _ => Presence::Unknown,
                    };
                    self.shared.presence.send_replace(presence);
                    // That it is away was told when it was lost; one that was never there is not lost.
                    tracing::debug!(target: "rpc", "cannot reach {name}: {error}");
                }
            }
            self.refuse_for(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.queue.is_closed() && self.queue.is_empty() {
                return;
            }
        }
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        timeout(CONNECT_TIMEOUT, self.transport.connect(&self.shared.member))
            .await
            .map_err(|_| std::io::ErrorKind::TimedOut)?
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
    async fn serve(&mut self, connection: Connection) -> String {
        let reader = read_answers(connection.frames_in, self.shared.clone(), self.local.clone());
        tokio::pin!(reader);
        let writer = write_requests(
            connection.frames_out,
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
    mut out: FramesOut,
    queue: &mut mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    local: Arc<Local>,
) -> String {
    while let Some(outgoing) = queue.recv().await {
        let mut next = Some(outgoing);
        while let Some(outgoing) = next {
            if let Some(frame) = prepare(outgoing, &shared, &local)
                && let Err(error) = out.feed(frame.encode()).await
            {
                return error.to_string();
            }
            next = queue.try_recv().ok();
        }
        if let Err(error) = out.flush().await {
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
    let header = local.header(target, rpc_id, traced);
    if traced {
        let entries = frames::entries_of(&request);
        let term = frames::term_of(&request);
        local.trace.message(
            EventKind::Send,
            header.lamport,
            peer,
            frames::message(kind, rpc_id, Leg::Request),
            term,
            |event| {
                event.log_index = entries;
            },
        );
    }
    Some(Frame {
        header,
        body: Body::Request(request),
    })
}

async fn read_answers(mut input: FramesIn, shared: Arc<Shared>, local: Arc<Local>) -> String {
    let mut heard_us = local.clock.monotonic_us();
    loop {
        let frame = match timeout(SILENCE_CHECK, input.next()).await {
            Err(_) if !is_silent(&shared, &local, heard_us) => continue,
            Err(_) => return format!("silent for {} s", SILENCE.as_secs()),
            Ok(None) => return "it closed the connection".to_owned(),
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(Some(Ok(bytes))) => match Frame::decode(bytes) {
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
            let rpc = frames::message(pending.kind, frame.header.rpc_id, Leg::Response);
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

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(runtime::rng().random_range(0.5..1.5))
}
