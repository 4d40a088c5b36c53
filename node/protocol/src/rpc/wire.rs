//! The bytes of the frames' bodies. Requests and responses of one RPC share its tag.

#![expect(
    clippy::match_same_arms,
    reason = "one arm for each variant, in the order of the wire"
)]

use bytes::{BufMut, BytesMut};

use super::{
    body::{
        AppendReply, AppendRequest, ForwardReply, ForwardRequest, JoinReply, JoinRequest, ProbeReply,
        ProbeRequest, ReadIndexReply, Request, Response, SnapshotChunk, TransferReply, TransferRequest,
    },
    fields::{
        put_formed, put_log_id, put_member, put_members, put_outcome, put_vote, read_formed, read_list,
        read_log_id, read_member, read_members, read_outcome, read_vote, read_vote_reply, read_vote_request,
        unknown,
    },
};
use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    ids::RaftId,
    membership::Membership,
};

const PROBE: u8 = 1;
const JOIN: u8 = 2;
const APPEND: u8 = 3;
const VOTE: u8 = 4;
const PRE_VOTE: u8 = 5;
const TRANSFER: u8 = 6;
const SNAPSHOT: u8 = 7;
const FORWARD: u8 = 8;
const READ_INDEX: u8 = 9;
const HEARTBEAT: u8 = 10;
const REFUSED: u8 = 255;

impl Request {
    pub(super) fn tag(&self) -> u8 {
        match self {
            Self::Probe(_) => PROBE,
            Self::Join(_) => JOIN,
            Self::Append(_) => APPEND,
            Self::Heartbeat(_) => HEARTBEAT,
            Self::Vote(_) => VOTE,
            Self::PreVote(_) => PRE_VOTE,
            Self::Transfer(_) => TRANSFER,
            Self::Snapshot(_) => SNAPSHOT,
            Self::Forward(_) => FORWARD,
            Self::ReadIndex => READ_INDEX,
        }
    }

    pub(super) fn size_hint(&self) -> usize {
        match self {
            Self::Append(append) => append.entries.iter().map(|entry| entry.len() + 8).sum::<usize>() + 128,
            Self::Snapshot(chunk) => chunk.data.len() + 512,
            Self::Forward(forward) => forward.records.len() + 16,
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
            Self::Append(append) | Self::Heartbeat(append) => {
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
            Self::Forward(forward) => {
                out.put_u64_le(forward.term);
                out.put_slice(&forward.records);
            }
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
            APPEND => Self::Append(read_append(reader)?),
            HEARTBEAT => Self::Heartbeat(read_append(reader)?),
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
            FORWARD => Self::Forward(ForwardRequest {
                term: reader.u64("forward term")?,
                records: reader.take("forward records", reader.remaining())?,
            }),
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
            Self::Forward(ForwardReply::NotLeader) | Self::ReadIndex(ReadIndexReply::NotLeader) => {
                out.put_u8(1);
            }
            Self::Forward(ForwardReply::Unknown(reason))
            | Self::ReadIndex(ReadIndexReply::Failed(reason)) => {
                out.put_u8(2);
                put_bytes(out, reason.as_bytes());
            }
            Self::Forward(ForwardReply::NoRoom) => out.put_u8(3),
            Self::ReadIndex(ReadIndexReply::Ready(log_id)) => {
                out.put_u8(0);
                put_log_id(out, Some(*log_id));
            }
            Self::Refused(reason) => put_bytes(out, reason.as_bytes()),
        }
    }

    pub(super) fn read(tag: u8, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match tag {
            PROBE => Self::Probe(ProbeReply {
                name: reader.string("probe name")?,
                raft_id: RaftId(reader.u64("probe id")?),
                formed: if reader.flag("probe formed")? {
                    Some(read_formed(reader)?)
                } else {
                    None
                },
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
                1 => {
                    AppendReply::Conflict(read_log_id(reader)?.ok_or_else(|| unknown("append conflict", 0))?)
                }
                2 => AppendReply::HigherVote(read_vote(reader)?),
                other => return Err(unknown("append reply", other)),
            }),
            VOTE => Self::Vote(read_vote_reply(reader)?),
            PRE_VOTE => Self::PreVote(read_vote_reply(reader)?),
            TRANSFER => Self::Transfer(match reader.u8("transfer reply")? {
                0 => TransferReply::Accepted,
                1 => TransferReply::VoteChanged {
                    expected: read_vote(reader)?,
                    actual: read_vote(reader)?,
                },
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
                3 => ForwardReply::NoRoom,
                other => return Err(unknown("forward reply", other)),
            }),
            READ_INDEX => Self::ReadIndex(match reader.u8("read index reply")? {
                0 => {
                    let absent = DecodeError::Unknown {
                        what: "read index",
                        found: 0,
                    };
                    ReadIndexReply::Ready(read_log_id(reader)?.ok_or(absent)?)
                }
                1 => ReadIndexReply::NotLeader,
                2 => ReadIndexReply::Failed(reader.string("read index reason")?),
                other => return Err(unknown("read index reply", other)),
            }),
            REFUSED => Self::Refused(reader.string("refusal")?),
            other => return Err(unknown("response kind", other)),
        })
    }
}

fn read_append(reader: &mut Reader) -> Result<AppendRequest, DecodeError> {
    Ok(AppendRequest {
        vote: read_vote(reader)?,
        prev: read_log_id(reader)?,
        leader_commit: read_log_id(reader)?,
        entries: read_list(reader, "append entries", |reader| reader.bytes("append entry"))?,
    })
}
