//! What a node answers to its peers' requests.

mod incoming;

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use openraft::{
    async_runtime::WatchReceiver,
    raft::{TransferLeaderError, TransferLeaderRequest, VoteRequest},
};
use parking_lot::Mutex;
use wiber_protocol::{
    ids::{self, RaftId},
    membership::Member,
    record::Batch,
    rpc::{
        AppendReply, ForwardReply, ForwardRequest, ProbeReply, ReadIndexReply, Request, Response,
        SnapshotChunk, TransferReply, VoteReply,
    },
};

use crate::{
    group::{Group, GroupCell, Leader, ReadIndexError},
    joining::Joining,
    lamport::Lamport,
    publish::{Fate, Submission},
    raft::{self, AppendEntries, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
    rpc::appends,
    runtime,
    shared_identity::SharedIdentity,
    small_files::is_full,
    succession,
};

pub use incoming::Incoming;

/// Answers requests; one for the whole process.
pub struct Handlers {
    pub name: String,
    pub configured: Vec<Member>,
    pub identity: SharedIdentity,
    pub group: GroupCell,
    pub joining: Arc<Joining>,
    pub incoming: Mutex<Incoming>,
}

impl Handlers {
    /// Answers one request of the member `from`. Appends and forwards have their own ways.
    pub async fn answer(&self, request: Request, from: RaftId) -> Response {
        match request {
            Request::Probe(_) => Response::Probe(ProbeReply {
                name: self.name.clone(),
                raft_id: self.identity.raft_id(),
                formed: self.identity.formed().cloned(),
                configured: self.configured.clone(),
            }),
            Request::Join(join) => Response::Join(self.joining.handle(join)),
            request => match self.group.get() {
                Some(group) => self
                    .member_request(&group, request, from)
                    .await
                    .unwrap_or_else(Response::Refused),
                None => Response::Refused("this node is still starting".to_owned()),
            },
        }
    }

    async fn member_request(
        &self,
        group: &Group,
        request: Request,
        from: RaftId,
    ) -> Result<Response, String> {
        if group.stopping.load(Ordering::Relaxed) {
            return Err("this node is stopping".to_owned());
        }
        let own_vote = group.raft.metrics().borrow_watched().vote;
        self.incoming.lock().forget_before(own_vote.leader_id.term);
        match request {
            Request::Heartbeat(append) => {
                let request = appends::decode(append)?;
                heartbeat(group, request).await
            }
            Request::Vote(vote) => {
                let reply = group.raft.vote(vote_request(&vote)).await.map_err(stopped)?;
                Ok(Response::Vote(vote_reply(&reply)))
            }
            Request::PreVote(vote) if vote.leadership_transfer => {
                Ok(Response::PreVote(succession::answer(group, &vote).await))
            }
            Request::PreVote(vote) => {
                let reply = group.raft.pre_vote(vote_request(&vote)).await.map_err(stopped)?;
                Ok(Response::PreVote(vote_reply(&reply)))
            }
            Request::Transfer(transfer) => {
                let request = TransferLeaderRequest::new(
                    raft::to_vote(transfer.from_leader),
                    transfer.to.0,
                    transfer.last.map(raft::to_log_id),
                );
                let reply = group
                    .raft
                    .handle_transfer_leader(request)
                    .await
                    .map_err(stopped)?;
                Ok(Response::Transfer(transfer_reply(&reply)))
            }
            Request::Snapshot(chunk) if chunk.vote.term < own_vote.leader_id.term => {
                Ok(Response::Snapshot(raft::from_vote(&own_vote)))
            }
            Request::Snapshot(chunk) => self.snapshot(group, chunk, from).await,
            Request::ReadIndex => Ok(Response::ReadIndex(read_index(group).await)),
            Request::Probe(_) | Request::Join(_) | Request::Append(_) | Request::Forward(_) => {
                Err("this request has its own way".to_owned())
            }
        }
    }

    async fn snapshot(&self, group: &Group, chunk: SnapshotChunk, from: RaftId) -> Result<Response, String> {
        if !group.log.log().has_room() {
            return Err("the disk is full".to_owned());
        }
        let vote = raft::to_vote(chunk.vote);
        let whole = self.incoming.lock().take(from, &chunk)?;
        let Some(whole) = whole else {
            return Ok(Response::Snapshot(chunk.vote));
        };
        let (index, size_bytes) = (group.index.clone(), whole.len() as u64);
        let room = runtime::blocking(move || index.make_room(size_bytes)).await;
        if let Ok(Err(error)) = room
            && is_full(&error)
        {
            return Err("the disk is full".to_owned());
        }
        let meta = SnapshotMeta {
            last_log_id: chunk.last.map(raft::to_log_id),
            last_membership: StoredMembership::new(
                chunk.membership_log_id.map(raft::to_log_id),
                raft::to_membership(&chunk.membership).map_err(stopped)?,
            ),
        };
        let snapshot = Snapshot {
            meta,
            snapshot: whole.freeze(),
        };
        let response = group
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(stopped)?;
        Ok(Response::Snapshot(raft::from_vote(&response.vote)))
    }
}

/// Queues a follower's records at once, in the order of calls; the future waits for what becomes of them.
pub fn forward(
    group: &GroupCell,
    lamport: &Lamport,
    forward: ForwardRequest,
) -> impl Future<Output = ForwardReply> + Send + use<> {
    let fate = group.get().and_then(|group| {
        let mut batch = Batch::decode(forward.records).ok()?;
        for record in &mut batch.records {
            // A stamp that no honest clock can have would move the log's Lamport time for good.
            if !lamport.believes(record.lamport) {
                record.lamport = 0;
            }
        }
        if group.leader() != (Leader::Own { term: forward.term }) {
            return None;
        }
        let (submission, fate) = Submission::new(forward.term, batch.records);
        group.publisher.accept_forwarded(submission);
        Some(fate)
    });
    async move {
        let Some(fate) = fate else {
            return ForwardReply::NotLeader;
        };
        match fate.await {
            Ok(Fate::Committed(outcomes) | Fate::Forwarded(outcomes)) => ForwardReply::Done(outcomes),
            Ok(Fate::NotLeader | Fate::Unreachable(_)) => ForwardReply::NotLeader,
            Ok(Fate::NoRoom) => ForwardReply::NoRoom,
            Ok(Fate::Unknown) | Err(_) => ForwardReply::Unknown("leadership was lost".to_owned()),
        }
    }
}

async fn heartbeat(group: &Group, request: AppendEntries) -> Result<Response, String> {
    use openraft::raft::AppendEntriesResponse as Reply;
    if request.vote == group.raft.metrics().borrow_watched().vote {
        // Now, and not when a slow disk lets the engine answer.
        group.heard_from_leader();
    }
    let prev = request.prev_log_id;
    let reply = match group.raft.append_entries(request).await.map_err(stopped)? {
        Reply::Success => AppendReply::Stored(raft::from_log_ids(prev.as_ref())),
        Reply::PartialSuccess(log_id) => AppendReply::Stored(raft::from_log_ids(log_id.as_ref())),
        Reply::Conflict => {
            let prev = prev.ok_or("a conflict without a previous entry")?;
            AppendReply::Conflict(raft::from_log_id(&prev))
        }
        Reply::HigherVote(vote) => AppendReply::HigherVote(raft::from_vote(&vote)),
    };
    if !matches!(reply, AppendReply::HigherVote(_)) {
        group.heard_from_leader();
    }
    Ok(Response::Append(reply))
}

async fn read_index(group: &Group) -> ReadIndexReply {
    if !matches!(group.leader(), Leader::Own { .. }) {
        return ReadIndexReply::NotLeader;
    }
    match group.own_read_index().await {
        Ok(log_id) => ReadIndexReply::Ready(log_id),
        Err(ReadIndexError::NoLeader) => ReadIndexReply::NotLeader,
        Err(ReadIndexError::Failed(reason)) => ReadIndexReply::Failed(reason),
    }
}

fn vote_request(from: &wiber_protocol::rpc::VoteRequest) -> VoteRequest<TypeConfig> {
    let mut request = VoteRequest::new(raft::to_vote(from.vote), from.last.map(raft::to_log_id));
    request.leadership_transfer = from.leadership_transfer;
    request
}

fn vote_reply(from: &openraft::raft::VoteResponse<TypeConfig>) -> VoteReply {
    VoteReply {
        vote: raft::from_vote(&from.vote),
        last: raft::from_log_ids(from.last_log_id.as_ref()),
        granted: from.vote_granted,
    }
}

fn transfer_reply(from: &Result<(), TransferLeaderError<TypeConfig>>) -> TransferReply {
    match from {
        Ok(()) => TransferReply::Accepted,
        Err(TransferLeaderError::VoteChanged { expected, actual }) => TransferReply::VoteChanged {
            expected: raft::from_vote(expected),
            actual: raft::from_vote(actual),
        },
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            let log_id = |id: &Option<_>| -> Option<ids::LogId> { raft::from_log_ids(id.as_ref()) };
            TransferReply::LogNotFlushed {
                expected: log_id(expected),
                actual: log_id(actual),
            }
        }
    }
}

fn stopped(error: impl std::fmt::Display) -> String {
    format!("the engine stopped: {error}")
}
