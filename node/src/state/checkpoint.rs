//! The replicated state at one position, without the index and without the remembered ids: small, and the same
//! bytes on every node.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use wiber_protocol::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    ids::LogId,
    membership::Membership,
};

use super::{forgotten::Forgotten, groups::Groups};

/// Earlier ones stand beside ids that were remembered by other keys, which nobody can make into these: a node that took them
/// would decide otherwise than one that has the ids from the log.
const VERSION: u8 = 3;

/// Where one topic ends. Where it begins, and how many bytes it has, follows from the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEnd {
    pub name: Arc<str>,
    pub high_watermark: u64,
    pub last_log_index: u64,
}

/// The state as of `applied`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub applied: Option<LogId>,
    pub membership: (Option<LogId>, Membership),
    /// The newest entry that retention dropped.
    pub cut: Option<LogId>,
    pub lamport: u64,
    pub clock_ms: u64,
    pub record_count: u64,
    /// Sorted by name.
    pub topics: Vec<TopicEnd>,
    pub groups: Groups,
    pub producers: Forgotten,
}

impl Checkpoint {
    /// The same state for one who has none of the log up to here.
    #[must_use]
    pub fn without_records(mut self) -> Self {
        self.cut = self.applied;
        self
    }

    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256 + self.topics.len() * 48);
        self.put(&mut out);
        out.freeze()
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        put_log_id(out, self.applied);
        put_log_id(out, self.membership.0);
        self.membership.1.put(out);
        put_log_id(out, self.cut);
        put_varint(out, self.lamport);
        put_varint(out, self.clock_ms);
        put_varint(out, self.record_count);
        put_varint(out, self.topics.len() as u64);
        for topic in &self.topics {
            put_bytes(out, topic.name.as_bytes());
            put_varint(out, topic.high_watermark);
            put_varint(out, topic.last_log_index);
        }
        self.groups.put(out);
        self.producers.encode(out);
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let checkpoint = Self::read(&mut reader)?;
        reader.finish("checkpoint")?;
        Ok(checkpoint)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let version = reader.u8("checkpoint version")?;
        if version != VERSION {
            return Err(DecodeError::Unknown {
                what: "checkpoint version",
                found: u64::from(version),
            });
        }
        let applied = read_log_id(reader, "applied position")?;
        let set_by = read_log_id(reader, "membership position")?;
        let mut checkpoint = Self {
            applied,
            membership: (set_by, Membership::read(reader)?),
            cut: read_log_id(reader, "retention cut")?,
            lamport: reader.varint("checkpoint lamport")?,
            clock_ms: reader.varint("checkpoint clock")?,
            record_count: reader.varint("checkpoint records")?,
            topics: Vec::new(),
            groups: Groups::default(),
            producers: Forgotten::default(),
        };
        for _ in 0..reader.count("checkpoint topics")? {
            checkpoint.topics.push(TopicEnd {
                name: reader.string("topic name")?.into(),
                high_watermark: reader.varint("topic high watermark")?,
                last_log_index: reader.varint("topic last index")?,
            });
        }
        checkpoint.groups = Groups::read(reader)?;
        checkpoint.producers = Forgotten::read(reader)?;
        Ok(checkpoint)
    }
}

fn put_log_id(out: &mut BytesMut, log_id: Option<LogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        put_varint(out, log_id.term);
        put_varint(out, log_id.index);
    }
}

fn read_log_id(reader: &mut Reader, what: &'static str) -> Result<Option<LogId>, DecodeError> {
    if !reader.flag(what)? {
        return Ok(None);
    }
    Ok(Some(LogId {
        term: reader.varint(what)?,
        index: reader.varint(what)?,
    }))
}
