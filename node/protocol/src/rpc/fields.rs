//! The fields that the frames' bodies are made of.

use bytes::{BufMut, BytesMut};

use super::body::{FormedCluster, PublishOutcome, VoteReply, VoteRequest};
use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    ids::{ClusterId, LogId, RaftId, Vote},
    membership::{Member, Membership},
};

pub(super) fn unknown(what: &'static str, found: u8) -> DecodeError {
    DecodeError::Unknown {
        what,
        found: u64::from(found),
    }
}

pub(super) fn put_log_id(out: &mut BytesMut, log_id: Option<LogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        out.put_u64_le(log_id.term);
        out.put_u64_le(log_id.index);
    }
}

pub(super) fn read_log_id(reader: &mut Reader) -> Result<Option<LogId>, DecodeError> {
    if !reader.flag("log id")? {
        return Ok(None);
    }
    Ok(Some(LogId {
        term: reader.u64("term")?,
        index: reader.u64("index")?,
    }))
}

pub(super) fn put_vote(out: &mut BytesMut, vote: Vote) {
    out.put_u64_le(vote.term);
    out.put_u64_le(vote.voted_for.0);
    out.put_u8(u8::from(vote.committed));
}

pub(super) fn read_vote(reader: &mut Reader) -> Result<Vote, DecodeError> {
    Ok(Vote {
        term: reader.u64("vote term")?,
        voted_for: RaftId(reader.u64("voted for")?),
        committed: reader.flag("vote committed")?,
    })
}

pub(super) fn read_vote_request(reader: &mut Reader) -> Result<VoteRequest, DecodeError> {
    Ok(VoteRequest {
        vote: read_vote(reader)?,
        last: read_log_id(reader)?,
        leadership_transfer: reader.flag("leadership transfer")?,
    })
}

pub(super) fn read_vote_reply(reader: &mut Reader) -> Result<VoteReply, DecodeError> {
    Ok(VoteReply {
        vote: read_vote(reader)?,
        last: read_log_id(reader)?,
        granted: reader.flag("granted")?,
    })
}

pub(super) fn put_member(out: &mut BytesMut, member: &Member) {
    put_bytes(out, member.name.as_bytes());
    put_bytes(out, member.host.as_bytes());
    out.put_u16_le(member.port);
}

pub(super) fn read_member(reader: &mut Reader) -> Result<Member, DecodeError> {
    Ok(Member {
        name: reader.string("member name")?,
        host: reader.string("member host")?,
        port: reader.u16("member port")?,
    })
}

pub(super) fn put_members(out: &mut BytesMut, members: &[Member]) {
    put_varint(out, members.len() as u64);
    for member in members {
        put_member(out, member);
    }
}

pub(super) fn read_members(reader: &mut Reader) -> Result<Vec<Member>, DecodeError> {
    read_list(reader, "members", read_member)
}

pub(super) fn put_formed(out: &mut BytesMut, formed: &FormedCluster) {
    out.put_u128_le(formed.cluster_id.0);
    formed.founding.put(out);
    put_members(out, &formed.awaited);
}

pub(super) fn read_formed(reader: &mut Reader) -> Result<FormedCluster, DecodeError> {
    Ok(FormedCluster {
        cluster_id: ClusterId(reader.u128("cluster id")?),
        founding: Membership::read(reader)?,
        awaited: read_members(reader)?,
    })
}

pub(super) fn put_outcome(out: &mut BytesMut, outcome: PublishOutcome) {
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
        PublishOutcome::OffsetMismatch { end } => {
            out.put_u8(3);
            put_varint(out, end);
        }
        PublishOutcome::TooManyTopics => out.put_u8(4),
        PublishOutcome::GroupChanged => out.put_u8(5),
        PublishOutcome::NoSuchGroup => out.put_u8(6),
        PublishOutcome::TooManyGroups => out.put_u8(7),
        PublishOutcome::OutOfGroupRange => out.put_u8(8),
        PublishOutcome::Expired => out.put_u8(9),
    }
}

pub(super) fn read_outcome(reader: &mut Reader) -> Result<PublishOutcome, DecodeError> {
    Ok(match reader.u8("outcome")? {
        0 => PublishOutcome::Published {
            offset: reader.varint("offset")?,
            lamport: reader.varint("lamport")?,
        },
        1 => PublishOutcome::Duplicate {
            offset: reader.varint("offset")?,
        },
        2 => PublishOutcome::Conflict,
        3 => PublishOutcome::OffsetMismatch {
            end: reader.varint("topic end")?,
        },
        4 => PublishOutcome::TooManyTopics,
        5 => PublishOutcome::GroupChanged,
        6 => PublishOutcome::NoSuchGroup,
        7 => PublishOutcome::TooManyGroups,
        8 => PublishOutcome::OutOfGroupRange,
        9 => PublishOutcome::Expired,
        other => return Err(unknown("outcome", other)),
    })
}

pub(super) fn read_list<T>(
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
