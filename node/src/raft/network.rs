//! The engine's network over the peer links.
//!
//! Appends are pipelined: a request goes out while earlier ones are still on their way to the peer's disk, and
//! the answers come back in order. A peer that is away is `Unreachable`, so that the engine backs off.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream::FuturesOrdered};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
        TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use wiber_protocol::{
    ids::RaftId,
    membership::Member,
    rpc::{self, AppendReply, Request, Response, SnapshotChunk, TransferReply},
};

use super::{
    convert,
    types::{LogId, Snapshot, TypeConfig, Vote},
};
use crate::{
    mutant::{self, Mutant},
    rpc::{
        appends::APPEND_WINDOW,
        link::{Link, LinkError},
        links::Links,
    },
};

/// An append may take this long before the stream is given up. Whether the peer lives is told by heartbeats; a
/// slow disk alone must not make the leader send everything twice.
const APPEND_PATIENCE: Duration = Duration::from_secs(2);
/// A snapshot travels in pieces of this size.
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Makes the engine's clients out of the shared links.
pub struct Network {
    pub links: Arc<Links>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Member) -> Peer {
        Peer {
            link: self.links.to(node),
            target: RaftId(target),
            is_heartbeat: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Peer {
        Peer {
            is_heartbeat: true,
            ..self.new_client(target, node).await
        }
    }
}

/// The engine's way to one member.
pub struct Peer {
    link: Link,
    target: RaftId,
    /// Heartbeats may overtake appends; appends keep their order.
    is_heartbeat: bool,
}

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

fn failed(error: &LinkError) -> RPCError<TypeConfig> {
    match error {
        // The answer may only be late; the next attempt need not wait long.
        LinkError::Timeout { .. } | LinkError::Broken(_) => RPCError::Network(NetworkError::new(error)),
        LinkError::NotConnected(_)
        | LinkError::Full(_)
        | LinkError::Refused { .. }
        | LinkError::Mismatch(_) => RPCError::Unreachable(Unreachable::new(error)),
    }
}

impl Peer {
    async fn call(&self, request: Request, patience: Duration) -> Rpc<Response> {
        self.link
            .call(request, Some(self.target), patience)
            .await
            .map_err(|error| failed(&error))
    }

    fn append(&self, request: AppendEntriesRequest<TypeConfig>) -> Request {
        let append = convert::from_append(request);
        if self.is_heartbeat {
            Request::Heartbeat(append)
        } else {
            Request::Append(append)
        }
    }

    fn mismatch<T>(&self) -> Rpc<T> {
        Err(failed(&self.link.mismatch()))
    }

    async fn ask_vote(
        &self,
        wrap: fn(rpc::VoteRequest) -> Request,
        request: VoteRequest<TypeConfig>,
        patience: Duration,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let request = wrap(rpc::VoteRequest {
            vote: convert::from_vote(&request.vote),
            last: convert::from_log_ids(request.last_log_id.as_ref()),
            leadership_transfer: request.leadership_transfer,
        });
        match self.call(request, patience).await? {
            Response::Vote(reply) | Response::PreVote(reply) => Ok(VoteResponse::new(
                convert::vote(reply.vote),
                reply.last.map(convert::log_id),
                reply.granted,
            )),
            _ => self.mismatch(),
        }
    }
}

/// What the engine's stream wants to know of one append's answer.
fn stream_result(reply: &AppendReply) -> StreamAppendResult<TypeConfig> {
    match reply {
        AppendReply::Stored(log_id) => Ok(log_id.map(convert::log_id)),
        AppendReply::Conflict(log_id) => Err(StreamAppendError::Conflict(convert::log_id(*log_id))),
        AppendReply::HigherVote(vote) => Err(StreamAppendError::HigherVote(convert::vote(*vote))),
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let last = request
            .entries
            .last()
            .map(|entry| entry.log_id)
            .or(request.prev_log_id);
        match self.call(self.append(request), option.soft_ttl()).await? {
            Response::Append(AppendReply::Stored(log_id)) => {
                let log_id = log_id.map(convert::log_id);
                Ok(if log_id == last {
                    AppendEntriesResponse::Success
                } else {
                    AppendEntriesResponse::PartialSuccess(log_id)
                })
            }
            Response::Append(AppendReply::Conflict(_)) => Ok(AppendEntriesResponse::Conflict),
            Response::Append(AppendReply::HigherVote(vote)) => {
                Ok(AppendEntriesResponse::HigherVote(convert::vote(vote)))
            }
            _ => self.mismatch(),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let peer = &*self;
        let link = &self.link;
        let patience = if self.is_heartbeat {
            option.soft_ttl()
        } else {
            APPEND_PATIENCE
        };
        let answers = async_stream::stream! {
            let mut in_flight = FuturesOrdered::new();
            let mut open = true;
            loop {
                let (last, answer) = tokio::select! {
                    biased;
                    Some(answer) = in_flight.next(), if !in_flight.is_empty() => answer,
                    request = input.next(), if open && in_flight.len() < APPEND_WINDOW => {
                        let Some(request) = request else {
                            open = false;
                            continue;
                        };
                        let last = request.entries.last().map(|entry| entry.log_id);
                        let reply = link.send(peer.append(request), Some(peer.target)).await;
                        if last.is_some() && mutant::is_broken(Mutant::AckBeforeQuorum) {
                            crate::runtime::spawn(reply);
                            yield Ok(Ok(last));
                            continue;
                        }
                        in_flight.push_back(async move {
                            let answer = match tokio::time::timeout(patience, link.answer(reply)).await {
                                Ok(answer) => answer,
                                Err(_) => Err(link.timed_out(patience)),
                            };
                            (last, answer)
                        });
                        continue;
                    }
                    else => return,
                };
                match answer {
                    Ok(Response::Append(reply)) => {
                        let result = stream_result(&reply);
                        let ends = result.is_err();
                        let is_part = matches!(&result, Ok(stored) if *stored < last);
                        yield Ok(result);
                        if is_part {
                            // The rest is to be sent again, and not at once.
                            yield Err(failed(&link.took_part()));
                        }
                        if ends || is_part {
                            return;
                        }
                    }
                    Ok(_) => {
                        yield Err(failed(&link.mismatch()));
                        return;
                    }
                    Err(error) => {
                        yield Err(failed(&error));
                        return;
                    }
                }
            }
        };
        let answers: BoxStream<'s, _> = Box::pin(answers);
        async move { Ok(answers) }.boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.ask_vote(Request::Vote, request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.ask_vote(Request::PreVote, request, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut cancel = pin!(cancel);
        let total_bytes = snapshot.snapshot.len() as u64;
        let mut rest = snapshot.snapshot.clone();
        loop {
            let offset = total_bytes - rest.len() as u64;
            let data = rest.split_to(rest.len().min(SNAPSHOT_CHUNK_BYTES));
            let chunk = SnapshotChunk {
                vote: convert::from_vote(&vote),
                last: convert::from_log_ids(snapshot.meta.last_log_id.as_ref()),
                membership_log_id: convert::from_log_ids(snapshot.meta.last_membership.log_id().as_ref()),
                membership: convert::from_membership(snapshot.meta.last_membership.membership()),
                total_bytes,
                offset,
                data,
            };
            let response = tokio::select! {
                biased;
                closed = &mut cancel => return Err(closed.into()),
                response = self.call(Request::Snapshot(chunk), option.soft_ttl()) => response?,
            };
            let Response::Snapshot(seen) = response else {
                return Err(failed(&self.link.mismatch()).into());
            };
            let seen = convert::vote(seen);
            if seen > vote || rest.is_empty() {
                return Ok(SnapshotResponse::new(seen));
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        let request = Request::Transfer(rpc::TransferRequest {
            from_leader: convert::from_vote(request.from_leader()),
            to: RaftId(*request.to_node_id()),
            last: convert::from_log_ids(request.last_log_id()),
        });
        match self.call(request, option.soft_ttl()).await? {
            Response::Transfer(TransferReply::Accepted) => Ok(Ok(())),
            Response::Transfer(TransferReply::VoteChanged { expected, actual }) => {
                Ok(Err(TransferLeaderError::VoteChanged {
                    expected: convert::vote(expected),
                    actual: convert::vote(actual),
                }))
            }
            Response::Transfer(TransferReply::LogNotFlushed { expected, actual }) => {
                let log_id =
                    |id: Option<wiber_protocol::ids::LogId>| -> Option<LogId> { id.map(convert::log_id) };
                Ok(Err(TransferLeaderError::LogNotFlushed {
                    expected: log_id(expected),
                    actual: log_id(actual),
                }))
            }
            _ => self.mismatch(),
        }
    }
}
