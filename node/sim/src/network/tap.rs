//! What can be learnt from the frames as they are sent: who leads which term, and a line for the trace.

use std::fmt::{Formatter, Result};

use wiber_protocol::{
    ids::LogId,
    rpc::{
        AppendReply, AppendRequest, Body, ForwardReply, Frame, JoinReply, ReadIndexReply, Request, Response,
        TransferReply, VoteRequest,
    },
};

use super::Network;
use crate::count::Count;

impl Network {
    /// A frame of a leader says who leads its term.
    pub(super) fn tap(&self, from: usize, frame: &Frame) {
        if let Body::Response(Response::Snapshot(_)) = &frame.body {
            self.0.world.count(Count::Snapshot);
        }
        if let Body::Request(Request::Append(append) | Request::Heartbeat(append)) = &frame.body {
            self.0
                .world
                .oracle()
                .leads(&self.0.world, &self.0.names[from], append.vote, frame.header.from);
            self.0.world.oracle().sent(append.prev, &append.entries);
        }
    }
}

struct At(Option<LogId>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Some(at) => write!(f, "{}/{}", at.term, at.index),
            None => f.write_str("-"),
        }
    }
}

fn append(f: &mut Formatter<'_>, what: &str, append: &AppendRequest) -> Result {
    let (prev, commit) = (At(append.prev), At(append.leader_commit));
    write!(
        f,
        "{what} term {} after {prev} +{} commit {commit}",
        append.vote.term,
        append.entries.len()
    )
}

fn vote(f: &mut Formatter<'_>, what: &str, vote: &VoteRequest) -> Result {
    write!(f, "{what} term {} last {}", vote.vote.term, At(vote.last))
}

pub(super) fn request(f: &mut Formatter<'_>, request: &Request) -> Result {
    match request {
        Request::Append(request) => append(f, "append", request),
        Request::Heartbeat(request) => append(f, "heartbeat", request),
        Request::Vote(request) => vote(f, "vote", request),
        Request::PreVote(request) => vote(f, "pre-vote", request),
        Request::Probe(_) => f.write_str("probe"),
        Request::Join(join) => write!(f, "join as {}", join.raft_id),
        Request::Transfer(transfer) => write!(f, "transfer to {}", transfer.to),
        Request::Snapshot(chunk) => write!(f, "snapshot {} from byte {}", At(chunk.last), chunk.offset),
        Request::ReadIndex => f.write_str("read index"),
        Request::Forward(forward) => write!(
            f,
            "forward {} bytes to term {}",
            forward.records.len(),
            forward.term
        ),
    }
}

pub(super) fn response(f: &mut Formatter<'_>, response: &Response) -> Result {
    match response {
        Response::Append(AppendReply::Stored(at)) => write!(f, "stored {}", At(*at)),
        Response::Append(AppendReply::Conflict(at)) => write!(f, "conflict {}", At(Some(*at))),
        Response::Append(AppendReply::HigherVote(vote)) => write!(f, "higher vote {}", vote.term),
        Response::Vote(reply) | Response::PreVote(reply) => {
            write!(
                f,
                "{} term {}",
                if reply.granted { "granted" } else { "refused" },
                reply.vote.term
            )
        }
        Response::Probe(reply) => write!(f, "is {} {}", reply.name, reply.raft_id),
        Response::Join(JoinReply::Accepted(_)) => f.write_str("join accepted"),
        Response::Join(JoinReply::NotLeader(_)) => f.write_str("join: not the leader"),
        Response::Join(JoinReply::Refused(reason)) => write!(f, "join refused: {reason}"),
        Response::Transfer(TransferReply::Accepted) => f.write_str("transfer accepted"),
        Response::Transfer(_) => f.write_str("transfer refused"),
        Response::Snapshot(_) => f.write_str("snapshot taken"),
        Response::ReadIndex(ReadIndexReply::Ready(at)) => write!(f, "read index {}", At(Some(*at))),
        Response::ReadIndex(_) => f.write_str("no read index"),
        Response::Forward(ForwardReply::Done(outcomes)) => write!(f, "forwarded {}", outcomes.len()),
        Response::Forward(ForwardReply::NoRoom) => f.write_str("forward: no room"),
        Response::Forward(ForwardReply::NotLeader) => f.write_str("forward: not the leader"),
        Response::Forward(ForwardReply::Unknown(_)) => f.write_str("forward: fate unknown"),
        Response::Refused(reason) => write!(f, "refused: {reason}"),
    }
}
