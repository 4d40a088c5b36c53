//! The bodies of the frames: one request and one response type for each kind of RPC.

use bytes::Bytes;

use crate::{
    event::RpcKind,
    ids::{ClusterId, LogId, RaftId, Vote},
    membership::{Member, Membership},
};

/// Who asks whether there is a cluster, and which nodes its configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    pub name: String,
    pub configured: Vec<Member>,
}

/// A cluster that has formed, as its members know it from their own folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormedCluster {
    pub cluster_id: ClusterId,
    /// The membership it was founded with: log entry 0.
    pub founding: Membership,
    /// Configured nodes it was formed without; they may join later.
    pub awaited: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReply {
    pub name: String,
    pub raft_id: RaftId,
    /// `None` while the answering node is blank.
    pub formed: Option<FormedCluster>,
    /// The nodes the answering node's configuration names.
    pub configured: Vec<Member>,
}

/// A blank node asks to be taken in under the identity of its new folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    pub raft_id: RaftId,
    pub member: Member,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinReply {
    /// The leader has begun (or finished) to take the node in; the founding membership comes along so that
    /// the joiner's folder knows its cluster like any other.
    Accepted(FormedCluster),
    /// Ask this node instead, if one is known to lead.
    NotLeader(Option<Member>),
    Refused(String),
}

/// Entries, or none: then it only tells `leader_commit`. Entries are the encoded bytes of [`crate::entry::Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRequest {
    pub vote: Vote,
    pub prev: Option<LogId>,
    pub leader_commit: Option<LogId>,
    pub entries: Vec<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendReply {
    /// On the follower's disk up to here.
    Stored(Option<LogId>),
    /// The follower has no entry like `prev`, repeated here.
    Conflict(LogId),
    HigherVote(Vote),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    pub vote: Vote,
    pub last: Option<LogId>,
    /// The leader asked for this election, so a follower's lease does not stand against it.
    pub leadership_transfer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteReply {
    pub vote: Vote,
    pub last: Option<LogId>,
    pub granted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    pub from_leader: Vote,
    pub to: RaftId,
    pub last: Option<LogId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferReply {
    Accepted,
    VoteChanged {
        expected: Vote,
        actual: Vote,
    },
    LogNotFlushed {
        expected: Option<LogId>,
        actual: Option<LogId>,
    },
}

/// One piece of a snapshot; pieces come in order and the last one has `offset + data.len() == total_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    pub vote: Vote,
    pub last: Option<LogId>,
    pub membership_log_id: Option<LogId>,
    pub membership: Membership,
    pub total_bytes: u64,
    pub offset: u64,
    pub data: Bytes,
}

/// What became of one published record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    Published {
        offset: u64,
        lamport: u64,
    },
    /// The id was there before with the same content; this is the first one's offset.
    Duplicate {
        offset: u64,
    },
    /// The id was there before with other content.
    Conflict,
    /// The id is one of a producer's numbered ones, and too old to tell whether it was stored: nothing was stored now.
    Expired,
    /// The publisher expected the topic to end elsewhere: nothing was stored.
    OffsetMismatch {
        /// The topic's newest offset.
        end: u64,
    },
    /// The record would have made one topic more than there may be: nothing was stored.
    TooManyTopics,
    /// A change of a group took effect, or was in effect already.
    GroupChanged,
    /// There is no such group: nothing was changed.
    NoSuchGroup,
    /// The topic, or the cluster, has as many groups as there may be.
    TooManyGroups,
    /// An acknowledgement of what the group never handed out, or a hand-out beyond what it may have open.
    OutOfGroupRange,
}

/// Records that a follower took, for the leader of one term. A leader of another term must not take them: what
/// the same publisher sent later may be in the log already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardRequest {
    pub term: u64,
    /// An encoded [`crate::record::Batch`].
    pub records: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardReply {
    /// One outcome for each record, in order.
    Done(Vec<PublishOutcome>),
    /// Nothing was appended: this node does not lead that term.
    NotLeader,
    /// The leader cannot say whether the records will be committed.
    Unknown(String),
    /// Nothing was appended: the leader's disk is full.
    NoRoom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadIndexReply {
    /// A majority still follows the leader; whoever has applied this entry may answer a strong read.
    Ready(LogId),
    NotLeader,
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Probe(ProbeRequest),
    Join(JoinRequest),
    /// One of a stream: each builds on the one before it, so they are worked on in order.
    Append(AppendRequest),
    /// An append without entries that builds only on what was acknowledged, so it may overtake appends.
    Heartbeat(AppendRequest),
    Vote(VoteRequest),
    PreVote(VoteRequest),
    Transfer(TransferRequest),
    Snapshot(SnapshotChunk),
    Forward(ForwardRequest),
    ReadIndex,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Probe(ProbeReply),
    Join(JoinReply),
    /// Of an append or a heartbeat.
    Append(AppendReply),
    Vote(VoteReply),
    PreVote(VoteReply),
    Transfer(TransferReply),
    /// The receiver's vote after the chunk.
    Snapshot(Vote),
    Forward(ForwardReply),
    ReadIndex(ReadIndexReply),
    /// The request was not looked at: another cluster, another target, or the node is not ready for it.
    Refused(String),
}

impl Request {
    pub fn kind(&self) -> RpcKind {
        match self {
            Self::Probe(_) => RpcKind::Probe,
            Self::Join(_) => RpcKind::Join,
            Self::Append(_) => RpcKind::Append,
            Self::Heartbeat(_) => RpcKind::Heartbeat,
            Self::Vote(_) => RpcKind::Vote,
            Self::PreVote(_) => RpcKind::PreVote,
            Self::Transfer(_) => RpcKind::Transfer,
            Self::Snapshot(_) => RpcKind::Snapshot,
            Self::Forward(_) => RpcKind::Forward,
            Self::ReadIndex => RpcKind::ReadIndex,
        }
    }
}

impl Response {
    /// A heartbeat's response is an append's: the requester knows what it asked.
    pub fn kind(&self) -> Option<RpcKind> {
        Some(match self {
            Self::Probe(_) => RpcKind::Probe,
            Self::Join(_) => RpcKind::Join,
            Self::Append(_) => RpcKind::Append,
            Self::Vote(_) => RpcKind::Vote,
            Self::PreVote(_) => RpcKind::PreVote,
            Self::Transfer(_) => RpcKind::Transfer,
            Self::Snapshot(_) => RpcKind::Snapshot,
            Self::Forward(_) => RpcKind::Forward,
            Self::ReadIndex(_) => RpcKind::ReadIndex,
            Self::Refused(_) => return None,
        })
    }
}
