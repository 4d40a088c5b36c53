//! The bodies of the frames: one request and one response type for each kind of RPC.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
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

/// Entries, or none: a heartbeat. Entries are the encoded bytes of [`crate::entry::Entry`].
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
    VoteChanged { expected: Vote, actual: Vote },
    LogNotFlushed { expected: Option<LogId>, actual: Option<LogId> },
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
    Published { offset: u64, lamport: u64 },
    /// The id was there before with the same content; this is the first one's offset.
    Duplicate { offset: u64 },
    /// The id was there before with other content.
    Conflict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardReply {
    /// One outcome for each record, in order.
    Done(Vec<PublishOutcome>),
    /// Nothing was appended: this node does not lead.
    NotLeader,
    /// The leader cannot say whether the records will be committed.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadIndexReply {
    /// A majority still follows the leader; whoever has applied this entry may answer a strong read.
    Ready(Option<LogId>),
    NotLeader,
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Probe(ProbeRequest),
    Join(JoinRequest),
    Append(AppendRequest),
    Vote(VoteRequest),
    PreVote(VoteRequest),
    Transfer(TransferRequest),
    Snapshot(SnapshotChunk),
    /// An encoded [`crate::record::Batch`] of records that a follower took.
    Forward(Bytes),
    ReadIndex,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Probe(ProbeReply),
    Join(JoinReply),
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

const PROBE: u8 = 1;
const JOIN: u8 = 2;
const APPEND: u8 = 3;
const VOTE: u8 = 4;
const PRE_VOTE: u8 = 5;
const TRANSFER: u8 = 6;
const SNAPSHOT: u8 = 7;
const FORWARD: u8 = 8;
const READ_INDEX: u8 = 9;
const REFUSED: u8 = 255;

fn unknown(what: &'static str, found: u8) -> DecodeError {
    DecodeError::Unknown { what, found: u64::from(found) }
}

impl Request {
    pub(super) fn tag(&self) -> u8 {
        match self {
            Self::Probe(_) => PROBE,
            Self::Join(_) => JOIN,
            Self::Append(_) => APPEND,
            Self::Vote(_) => VOTE,
            Self::PreVote(_) => PRE_VOTE,
            Self::Transfer(_) => TRANSFER,
            Self::Snapshot(_) => SNAPSHOT,
            Self::Forward(_) => FORWARD,
            Self::ReadIndex => READ_INDEX,
        }
    }

    pub fn kind(&self) -> RpcKind {
        match self {
            Self::Probe(_) => RpcKind::Probe,
            Self::Join(_) => RpcKind::Join,
            Self::Append(append) if append.entries.is_empty() => RpcKind::Heartbeat,
            Self::Append(_) => RpcKind::Append,
            Self::Vote(_) => RpcKind::Vote,
            Self::PreVote(_) => RpcKind::PreVote,
            Self::Transfer(_) => RpcKind::Transfer,
            Self::Snapshot(_) => RpcKind::Snapshot,
            Self::Forward(_) => RpcKind::Forward,
            Self::ReadIndex => RpcKind::ReadIndex,
        }
    }

    pub(super) fn size_hint(&self) -> usize {
        match self {
            Self::Append(append) => append.entries.iter().map(|entry| entry.len() + 8).sum::<usize>() + 128,
            Self::Snapshot(chunk) => chunk.data.len() + 512,
            Self::Forward(records) => records.len() + 8,
            _ => 256,
        }
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Probe(probe) => {
                put_bytes(out, probe.name.as_bytes());
                put_members(out, &probe.configured);
            }
            Self::Join(join) => {
                out.put_u64_le(join.raft_id.0);
                put_member(out, &join.member);
            }
            Self::Append(append) => {
                put_vote(out, append.vote);
                put_log_id(out, append.prev);
                put_log_id(out, append.leader_commit);
                put_varint(out, append.entries.len() as u64);
                for entry in &append.entries {
                    put_bytes(out, entry);
                }
            }
            Self::Vote(vote) | Self::PreVote(vote) => {
                put_vote(out, vote.vote);
                put_log_id(out, vote.last);
                out.put_u8(u8::from(vote.leadership_transfer));
            }
            Self::Transfer(transfer) => {
                put_vote(out, transfer.from_leader);
                out.put_u64_le(transfer.to.0);
                put_log_id(out, transfer.last);
            }
            Self::Snapshot(chunk) => {
                put_vote(out, chunk.vote);
                put_log_id(out, chunk.last);
                put_log_id(out, chunk.membership_log_id);
                chunk.membership.put(out);
                out.put_u64_le(chunk.total_bytes);
                out.put_u64_le(chunk.offset);
                put_bytes(out, &chunk.data);
            }
            Self::Forward(records) => out.put_slice(records),
            Self::ReadIndex => {}
        }
    }

    pub(super) fn read(tag: u8, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match tag {
            PROBE => Self::Probe(ProbeRequest {
                name: reader.string("probe name")?,
                configured: read_members(reader)?,
            }),
            JOIN => Self::Join(JoinRequest {
                raft_id: RaftId(reader.u64("join id")?),
                member: read_member(reader)?,
            }),
            APPEND => Self::Append(AppendRequest {
                vote: read_vote(reader)?,
                prev: read_log_id(reader)?,
                leader_commit: read_log_id(reader)?,
                entries: read_list(reader, "append entries", |reader| reader.bytes("append entry"))?,
            }),
            VOTE => Self::Vote(read_vote_request(reader)?),
            PRE_VOTE => Self::PreVote(read_vote_request(reader)?),
            TRANSFER => Self::Transfer(TransferRequest {
                from_leader: read_vote(reader)?,
                to: RaftId(reader.u64("transfer target")?),
                last: read_log_id(reader)?,
            }),
            SNAPSHOT => Self::Snapshot(SnapshotChunk {
                vote: read_vote(reader)?,
                last: read_log_id(reader)?,
                membership_log_id: read_log_id(reader)?,
                membership: Membership::read(reader)?,
                total_bytes: reader.u64("snapshot size")?,
                offset: reader.u64("snapshot offset")?,
                data: reader.bytes("snapshot data")?,
            }),
            FORWARD => Self::Forward(reader.take("forward records", reader.remaining())?),
            READ_INDEX => Self::ReadIndex,
            other => return Err(unknown("request kind", other)),
        })
    }
}

impl Response {
    pub(super) fn tag(&self) -> u8 {
        match self {
            Self::Probe(_) => PROBE,
            Self::Join(_) => JOIN,
            Self::Append(_) => APPEND,
            Self::Vote(_) => VOTE,
            Self::PreVote(_) => PRE_VOTE,
            Self::Transfer(_) => TRANSFER,
            Self::Snapshot(_) => SNAPSHOT,
            Self::Forward(_) => FORWARD,
            Self::ReadIndex(_) => READ_INDEX,
            Self::Refused(_) => REFUSED,
        }
    }

    /// A heartbeat's response is an append's: only the requester knows that nothing was sent.
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

    pub(super) fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Probe(reply) => {
                put_bytes(out, reply.name.as_bytes());
                out.put_u64_le(reply.raft_id.0);
                out.put_u8(u8::from(reply.formed.is_some()));
                if let Some(formed) = &reply.formed {
                    put_formed(out, formed);
                }
                put_members(out, &reply.configured);
            }
            Self::Join(JoinReply::Accepted(formed)) => {
                out.put_u8(0);
                put_formed(out, formed);
            }
            Self::Join(JoinReply::NotLeader(leader)) => {
                out.put_u8(1);
                out.put_u8(u8::from(leader.is_some()));
                if let Some(leader) = leader {
                    put_member(out, leader);
                }
            }
            Self::Join(JoinReply::Refused(reason)) => {
                out.put_u8(2);
                put_bytes(out, reason.as_bytes());
            }
            Self::Append(AppendReply::Stored(log_id)) => {
                out.put_u8(0);
                put_log_id(out, *log_id);
            }
            Self::Append(AppendReply::Conflict(log_id)) => {
                out.put_u8(1);
                put_log_id(out, Some(*log_id));
            }
            Self::Append(AppendReply::HigherVote(vote)) => {
                out.put_u8(2);
                put_vote(out, *vote);
            }
            Self::Vote(reply) | Self::PreVote(reply) => {
                put_vote(out, reply.vote);
                put_log_id(out, reply.last);
                out.put_u8(u8::from(reply.granted));
            }
            Self::Transfer(TransferReply::Accepted) => out.put_u8(0),
            Self::Transfer(TransferReply::VoteChanged { expected, actual }) => {
                out.put_u8(1);
                put_vote(out, *expected);
                put_vote(out, *actual);
            }
            Self::Transfer(TransferReply::LogNotFlushed { expected, actual }) => {
                out.put_u8(2);
                put_log_id(out, *expected);
                put_log_id(out, *actual);
            }
            Self::Snapshot(vote) => put_vote(out, *vote),
            Self::Forward(ForwardReply::Done(outcomes)) => {
                out.put_u8(0);
                put_varint(out, outcomes.len() as u64);
                for outcome in outcomes {
                    put_outcome(out, *outcome);
                }
            }
            Self::Forward(ForwardReply::NotLeader) | Self::ReadIndex(ReadIndexReply::NotLeader) => out.put_u8(1),
            Self::Forward(ForwardReply::Unknown(reason)) | Self::ReadIndex(ReadIndexReply::Failed(reason)) => {
                out.put_u8(2);
                put_bytes(out, reason.as_bytes());
            }
            Self::ReadIndex(ReadIndexReply::Ready(log_id)) => {
                out.put_u8(0);
                put_log_id(out, *log_id);
            }
            Self::Refused(reason) => put_bytes(out, reason.as_bytes()),
        }
    }

    pub(super) fn read(tag: u8, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match tag {
            PROBE => Self::Probe(ProbeReply {
                name: reader.string("probe name")?,
                raft_id: RaftId(reader.u64("probe id")?),
                formed: if reader.flag("probe formed")? { Some(read_formed(reader)?) } else { None },
                configured: read_members(reader)?,
            }),
            JOIN => Self::Join(match reader.u8("join reply")? {
                0 => JoinReply::Accepted(read_formed(reader)?),
                1 => JoinReply::NotLeader(if reader.flag("join leader")? {
                    Some(read_member(reader)?)
                } else {
                    None
                }),
                2 => JoinReply::Refused(reader.string("join refusal")?),
                other => return Err(unknown("join reply", other)),
            }),
            APPEND => Self::Append(match reader.u8("append reply")? {
                0 => AppendReply::Stored(read_log_id(reader)?),
                1 => AppendReply::Conflict(
                    read_log_id(reader)?.ok_or_else(|| unknown("append conflict", 0))?,
                ),
                2 => AppendReply::HigherVote(read_vote(reader)?),
                other => return Err(unknown("append reply", other)),
            }),
            VOTE => Self::Vote(read_vote_reply(reader)?),
            PRE_VOTE => Self::PreVote(read_vote_reply(reader)?),
            TRANSFER => Self::Transfer(match reader.u8("transfer reply")? {
                0 => TransferReply::Accepted,
                1 => TransferReply::VoteChanged { expected: read_vote(reader)?, actual: read_vote(reader)? },
                2 => TransferReply::LogNotFlushed {
                    expected: read_log_id(reader)?,
                    actual: read_log_id(reader)?,
                },
                other => return Err(unknown("transfer reply", other)),
            }),
            SNAPSHOT => Self::Snapshot(read_vote(reader)?),
            FORWARD => Self::Forward(match reader.u8("forward reply")? {
                0 => ForwardReply::Done(read_list(reader, "forward outcomes", read_outcome)?),
                1 => ForwardReply::NotLeader,
                2 => ForwardReply::Unknown(reader.string("forward reason")?),
                other => return Err(unknown("forward reply", other)),
            }),
            READ_INDEX => Self::ReadIndex(match reader.u8("read index reply")? {
                0 => ReadIndexReply::Ready(read_log_id(reader)?),
                1 => ReadIndexReply::NotLeader,
                2 => ReadIndexReply::Failed(reader.string("read index reason")?),
                other => return Err(unknown("read index reply", other)),
            }),
            REFUSED => Self::Refused(reader.string("refusal")?),
            other => return Err(unknown("response kind", other)),
        })
    }
}

fn put_log_id(out: &mut BytesMut, log_id: Option<LogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        out.put_u64_le(log_id.term);
        out.put_u64_le(log_id.index);
    }
}

fn read_log_id(reader: &mut Reader) -> Result<Option<LogId>, DecodeError> {
    if !reader.flag("log id")? {
        return Ok(None);
    }
    Ok(Some(LogId { term: reader.u64("term")?, index: reader.u64("index")? }))
}

fn put_vote(out: &mut BytesMut, vote: Vote) {
    out.put_u64_le(vote.term);
    out.put_u64_le(vote.voted_for.0);
    out.put_u8(u8::from(vote.committed));
}

fn read_vote(reader: &mut Reader) -> Result<Vote, DecodeError> {
    Ok(Vote {
        term: reader.u64("vote term")?,
        voted_for: RaftId(reader.u64("voted for")?),
        committed: reader.flag("vote committed")?,
    })
}

fn read_vote_request(reader: &mut Reader) -> Result<VoteRequest, DecodeError> {
    Ok(VoteRequest {
        vote: read_vote(reader)?,
        last: read_log_id(reader)?,
        leadership_transfer: reader.flag("leadership transfer")?,
    })
}

fn read_vote_reply(reader: &mut Reader) -> Result<VoteReply, DecodeError> {
    Ok(VoteReply { vote: read_vote(reader)?, last: read_log_id(reader)?, granted: reader.flag("granted")? })
}

fn put_member(out: &mut BytesMut, member: &Member) {
    put_bytes(out, member.name.as_bytes());
    put_bytes(out, member.host.as_bytes());
    out.put_u16_le(member.port);
}

fn read_member(reader: &mut Reader) -> Result<Member, DecodeError> {
    Ok(Member {
        name: reader.string("member name")?,
        host: reader.string("member host")?,
        port: reader.u16("member port")?,
    })
}

fn put_members(out: &mut BytesMut, members: &[Member]) {
    put_varint(out, members.len() as u64);
    for member in members {
        put_member(out, member);
    }
}

fn read_members(reader: &mut Reader) -> Result<Vec<Member>, DecodeError> {
    read_list(reader, "members", read_member)
}

fn put_formed(out: &mut BytesMut, formed: &FormedCluster) {
    out.put_u128_le(formed.cluster_id.0);
    formed.founding.put(out);
}

fn read_formed(reader: &mut Reader) -> Result<FormedCluster, DecodeError> {
    Ok(FormedCluster {
        cluster_id: ClusterId(reader.u128("cluster id")?),
        founding: Membership::read(reader)?,
    })
}

fn put_outcome(out: &mut BytesMut, outcome: PublishOutcome) {
    match outcome {
        PublishOutcome::Published { offset, lamport } => {
            out.put_u8(0);
            put_varint(out, offset);
            put_varint(out, lamport);
        }
        PublishOutcome::Duplicate { offset } => {
            out.put_u8(1);
            put_varint(out, offset);
        }
        PublishOutcome::Conflict => out.put_u8(2),
    }
}

fn read_outcome(reader: &mut Reader) -> Result<PublishOutcome, DecodeError> {
    Ok(match reader.u8("outcome")? {
        0 => PublishOutcome::Published { offset: reader.varint("offset")?, lamport: reader.varint("lamport")? },
        1 => PublishOutcome::Duplicate { offset: reader.varint("offset")? },
        2 => PublishOutcome::Conflict,
        other => return Err(unknown("outcome", other)),
    })
}

fn read_list<T>(
    reader: &mut Reader,
    what: &'static str,
    mut read: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(what)?;
    let mut list = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        list.push(read(reader)?);
    }
    Ok(list)
}
