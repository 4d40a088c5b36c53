//! The engine's types as Wiber uses them. Nothing outside `raft/` names an `openraft` generic; wire and disk
//! have their own codec, because the engine's layouts are not stable.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_std::LeaderId;
use wiber_protocol::{entry::EntryKind, membership::Member};

use super::{entry::LogEntry, state_machine::StateMachine};
use crate::state::Applied;

/// What the leader proposes: an entry's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub kind: EntryKind,
    pub payload: Bytes,
    /// In the payload.
    pub records: u32,
    /// Correlates the trace of everything the batch causes; `true` when it is traced.
    pub trace: (u64, bool),
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, {} records, {} bytes",
            self.kind,
            self.records,
            self.payload.len()
        )
    }
}

openraft::declare_raft_types!(
    /// A group's types. The runtime is the one place a simulation exchanges.
    pub TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = Member,
        Term = u64,
        LeaderId = LeaderId<u64, u64>,
        Entry = LogEntry,
        AsyncRuntime = crate::runtime::EngineRuntime,
);

pub type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(super) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(super) type Payload = openraft::alias::PayloadOf<TypeConfig>;
pub(super) type Membership = openraft::Membership<u64, Member>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type Metrics = openraft::RaftMetrics<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Bytes>;
