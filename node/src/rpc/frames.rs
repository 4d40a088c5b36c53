//! What goes into every frame, and what the trace says of it.

use wiber_protocol::{
    event::{Leg, RpcKind, RpcMessage},
    ids::{GroupId, RaftId},
    rpc::{Header, Request},
};

use super::link::Local;

impl Local {
    /// The header of a frame that this node sends now: the clock ticks for it.
    pub(super) fn header(&self, target: Option<RaftId>, rpc_id: u64, traced: bool) -> Header {
        let (cluster, from) = self.identity.ids();
        Header {
            group: GroupId(0),
            cluster,
            from,
            target,
            rpc_id,
            lamport: self.lamport.tick(),
            traced,
        }
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
