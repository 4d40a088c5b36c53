//! The incoming side: accepts peers' connections, checks whom each frame is for, and answers.
//!
//! Appends of one connection go to the engine in order and pipelined; everything else is answered as soon as
//! it can be. A frame for another cluster, or for a folder that is no longer this one, is refused before its
//! body has any effect, and does not move the logical clock.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;
use wiber_protocol::{
    event::{EventKind, Leg, RpcKind},
    ids::RaftId,
    rpc::{Body, Frame, Header, Request, Response},
};

use super::{
    appends, frames,
    inbound::{Entered, Inbound},
    link::Local,
    names::Names,
    transport::{Connection, FramesIn, FramesOut, over_tcp},
};
use crate::{group::GroupCell, handlers};

/// Answers waiting to be written to one peer; past it the peer's requests wait.
const QUEUED_ANSWERS: usize = 1_024;
/// Requests of one connection being worked on, appends aside.
const CONCURRENT_REQUESTS: usize = 64;
/// Connections at once; there are few peers, and each reconnects rarely.
const CONNECTIONS: usize = 64;

/// A connection that is silent for this long is asked for a sign of life; the system gives it up after some of them
/// without an answer.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);

/// What the server needs of the node.
pub struct Server {
    pub local: Arc<Local>,
    pub names: Arc<Names>,
    pub inbound: Inbound,
    pub group: GroupCell,
    pub handlers: handlers::Handlers,
}

/// An answer on its way to the writer.
struct Answer {
    request: Header,
    kind: RpcKind,
    response: Response,
}

/// Where a connection's answers go. Clones share the queue.
#[derive(Clone)]
pub(super) struct Answers(mpsc::Sender<Answer>);

impl Answers {
    /// Answers one request, waiting for room; `None` when the connection is over.
    pub(super) async fn give(&self, request: Header, kind: RpcKind, response: Response) -> Option<()> {
        let answer = Answer {
            request,
            kind,
            response,
        };
        self.0.send(answer).await.ok()
    }
}

/// Accepts connections until `stop`.
pub async fn serve(listener: TcpListener, server: Arc<Server>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let Ok(slot) = slots.clone().try_acquire_owned() else {
                    tracing::warn!(target: "rpc", "refused {from}: {CONNECTIONS} connections are open");
                    continue;
                };
                let (server, stop) = (server.clone(), stop.clone());
                crate::runtime::spawn(async move {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        reason = over(stream, server) => {
                            tracing::debug!(target: "rpc", "{from} left: {reason}");
                        }
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(target: "rpc", "cannot accept a peer: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A peer whose machine vanished is found out though nothing is sent to it: it would keep its place among the
/// connections for ever.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_AFTER);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn over(stream: TcpStream, server: Arc<Server>) -> String {
    match keep_alive(&stream).and_then(|()| over_tcp(stream)) {
        Ok(connection) => serve_connection(connection, server).await,
        Err(error) => error.to_string(),
    }
}

/// Serves one peer's connection until it ends; says why it did.
pub async fn serve_connection(connection: Connection, server: Arc<Server>) -> String {
    let (answers, queue) = mpsc::channel(QUEUED_ANSWERS);
    let writer = write_answers(connection.frames_out, queue, server.clone());
    let reader = read_requests(connection.frames_in, Answers(answers), server);
    tokio::select! {
        biased;
        reason = reader => reason,
        reason = writer => reason,
    }
}

async fn read_requests(mut input: FramesIn, answers: Answers, server: Arc<Server>) -> String {
    let slots = Arc::new(Semaphore::new(CONCURRENT_REQUESTS));
    // Ends with this connection: dropping the sender closes the engine's stream.
    let mut append_queue = None;
    let mut entered: Option<Entered> = None;
    loop {
        let frame = match input.next().await {
            None => return "it closed the connection".to_owned(),
            Some(Err(error)) => return error.to_string(),
            Some(Ok(bytes)) => match Frame::decode(bytes) {
                Ok(frame) => frame,
                Err(error) => {
                    tracing::warn!(target: "rpc", "a peer sent a bad frame: {error}");
                    return error.to_string();
                }
            },
        };
        let Body::Request(request) = frame.body else {
            return "an answer where only requests belong".to_owned();
        };
        let header = frame.header;
        let kind = request.kind();
        if let Some(reason) = refusal(&header, &request, &server) {
            crate::metrics::count(&server.local.counters.rpc_refused);
            let refused = Response::Refused(reason);
            if answers.give(header, kind, refused).await.is_none() {
                return "its answers cannot be written".to_owned();
            }
            continue;
        }
        if entered.as_ref().is_none_or(|entered| entered.peer != header.from) {
            entered = Some(server.inbound.enter(header.from));
        }
        note(&header, &request, &server);
        match request {
            Request::Append(append) => {
                let queue =
                    append_queue.get_or_insert_with(|| appends::start(server.group.clone(), answers.clone()));
                if queue.send((header, append)).await.is_err() {
                    return "the engine stopped".to_owned();
                }
            }
            Request::Forward(forward) => {
                // Queued here, in the order of arrival; only the waiting happens aside.
                let wait = handlers::forward(&server.group, &server.local.lamport, forward);
                let answers = answers.clone();
                crate::runtime::spawn(async move {
                    let response = Response::Forward(wait.await);
                    answers.give(header, kind, response).await;
                });
            }
            request => {
                let Ok(slot) = slots.clone().acquire_owned().await else {
                    return "the node is stopping".to_owned();
                };
                let (server, answers) = (server.clone(), answers.clone());
                crate::runtime::spawn(async move {
                    let response = server.handlers.answer(request, header.from).await;
                    answers.give(header, kind, response).await;
                    drop(slot);
                });
            }
        }
    }
}

/// Why a frame must not be looked at, if so.
fn refusal(header: &Header, request: &Request, server: &Server) -> Option<String> {
    let (cluster, own) = server.local.identity.ids();
    if matches!(request, Request::Probe(_) | Request::Join(_)) {
        return None;
    }
    if header.cluster.is_none() || header.cluster != cluster {
        let name = |id: Option<wiber_protocol::ids::ClusterId>| {
            id.map_or("no cluster".to_owned(), |id| id.to_string())
        };
        return Some(format!(
            "the frame is for cluster {}, this node is in {}",
            name(header.cluster),
            name(cluster)
        ));
    }
    if header.target != Some(own) {
        let target = header.target.unwrap_or(RaftId(0));
        return Some(format!("the frame is for {target}, this node is {own}"));
    }
    if server.group.get().is_none() {
        return Some("this node is still starting".to_owned());
    }
    None
}

/// Moves the logical clock, counts, and traces an accepted request.
fn note(header: &Header, request: &Request, server: &Server) {
    let local = &server.local;
    crate::metrics::count(&local.counters.rpc_received);
    match request {
        Request::Probe(probe) => server.names.learn(header.from, &probe.name),
        Request::Join(join) => server.names.learn(header.from, &join.member.name),
        _ => {}
    }
    let lamport = local.lamport.observe(header.lamport);
    if header.traced {
        let rpc = frames::message(request.kind(), header.rpc_id, Leg::Request);
        let peer = server.names.of(header.from);
        local.trace.message(
            EventKind::Receive,
            lamport,
            &peer,
            rpc,
            frames::term_of(request),
            |event| {
                event.log_index = frames::entries_of(request);
            },
        );
    }
}

async fn write_answers(mut out: FramesOut, mut queue: mpsc::Receiver<Answer>, server: Arc<Server>) -> String {
    while let Some(answer) = queue.recv().await {
        let mut next = Some(answer);
        while let Some(answer) = next {
            if let Err(error) = out.feed(prepare(answer, &server).encode()).await {
                return error.to_string();
            }
            next = queue.try_recv().ok();
        }
        if let Err(error) = out.flush().await {
            return error.to_string();
        }
    }
    "it closed the connection".to_owned()
}

fn prepare(answer: Answer, server: &Server) -> Frame {
    let Answer {
        request,
        kind,
        response,
    } = answer;
    let local = &server.local;
    let header = local.header(Some(request.from), request.rpc_id, request.traced);
    if request.traced && !matches!(response, Response::Refused(_)) {
        let rpc = frames::message(kind, request.rpc_id, Leg::Response);
        let peer = server.names.of(request.from);
        local
            .trace
            .message(EventKind::Send, header.lamport, &peer, rpc, 0, |_| {});
    }
    Frame {
        header,
        body: Body::Response(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_peer_is_asked_for_a_sign_of_life() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a peer");
        let socket = socket2::SockRef::from(&stream);
        assert!(!socket.keepalive().expect("a socket"));
        keep_alive(&stream).expect("a socket");
        assert!(socket.keepalive().expect("a socket"));
        drop(peer);
    }
}
