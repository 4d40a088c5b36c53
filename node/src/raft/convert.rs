//! Between the engine's types and the protocol's. Every pair stands here once.

use std::io;

use wiber_protocol::{ids, membership, rpc};

use super::types::{LogId, Membership, TypeConfig, Vote};

type AppendRequest = openraft::raft::AppendEntriesRequest<TypeConfig>;

pub fn log_id(from: ids::LogId) -> LogId {
    LogId::new_term_index(from.term, from.index)
}

/// The engine's name for the leader of a term.
pub fn leader_of(term: u64) -> openraft::vote::leader_id_std::CommittedLeaderId<u64> {
    openraft::vote::leader_id_std::CommittedLeaderId::new(term)
}

pub fn from_log_id(from: &LogId) -> ids::LogId {
    ids::LogId {
        term: from.committed_leader_id().term,
        index: from.index(),
    }
}

pub fn from_log_ids(from: Option<&LogId>) -> Option<ids::LogId> {
    from.map(from_log_id)
}

pub fn vote(from: ids::Vote) -> Vote {
    if from.committed {
        Vote::new_committed(from.term, from.voted_for.0)
    } else {
        Vote::new(from.term, from.voted_for.0)
    }
}

pub fn from_vote(from: &Vote) -> ids::Vote {
    ids::Vote {
        term: from.leader_id.term,
        voted_for: ids::RaftId(from.leader_id.voted_for),
        committed: from.committed,
    }
}

/// Fails when a voter is no member: nothing the engine made is like that.
pub fn membership(from: &membership::Membership) -> io::Result<Membership> {
    if from.voter_sets.is_empty() && from.members.is_empty() {
        return Ok(Membership::default());
    }
    let sets = from
        .voter_sets
        .iter()
        .map(|set| set.iter().map(|id| id.0).collect())
        .collect();
    let nodes: std::collections::BTreeMap<_, _> = from
        .members
        .iter()
        .map(|(id, member)| (id.0, member.clone()))
        .collect();
    Membership::new(sets, nodes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

pub fn from_membership(from: &Membership) -> membership::Membership {
    membership::Membership {
        voter_sets: from
            .get_joint_config()
            .iter()
            .map(|set| set.iter().map(|id| ids::RaftId(*id)).collect())
            .collect(),
        members: from
            .nodes()
            .map(|(id, member)| (ids::RaftId(*id), member.clone()))
            .collect(),
    }
}

/// A leader's append as it goes on the wire. The entries' bytes are the ones in the log.
pub(super) fn from_append(from: AppendRequest) -> rpc::AppendRequest {
    rpc::AppendRequest {
        vote: from_vote(&from.vote),
        prev: from_log_ids(from.prev_log_id.as_ref()),
        leader_commit: from_log_ids(from.leader_commit.as_ref()),
        entries: from
            .entries
            .into_iter()
            .map(|entry| entry.encode().bytes().clone())
            .collect(),
    }
}
