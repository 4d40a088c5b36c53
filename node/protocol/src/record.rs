//! Records and the batches they are logged in.
//!
//! A batch is the payload of one [`crate::entry::EntryKind::Records`] entry. It may mix topics; topic and
//! node names stand once in the batch's dictionary and records refer to them.
//!
//! ```text
//! batch  = version u8 (1) · clock_ms u64 · names varint, { name bytes }* · records varint, { record bytes }*
//! record = flags u8 · topic ref · node ref · id bytes · ts_us varint · corrected - ts zigzag varint
//!        · error_bound_us varint · lamport varint · headers varint, { key bytes, value bytes }*
//!        · [expect varint] · [group op bytes] · body (the rest)
//! ```
//! What stands in brackets is there if a flag says so. `bytes` is a varint length and that many bytes; a `ref` is a varint index into the names.

mod form;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use self::form::{Names, put_record, read_record, record_len};
use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    group_op::{GroupAction, GroupOp},
};

const VERSION: u8 = 1;
/// The longest topic name in bytes.
pub const MAX_TOPIC_BYTES: usize = 249;
/// The longest message id in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// The largest message body in bytes; a cluster may be configured to take less.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The most headers of a message.
pub const MAX_HEADERS: usize = 32;
/// The longest key of a header in bytes.
pub const MAX_HEADER_KEY_BYTES: usize = 64;
/// The most bytes that the keys and values of a message's headers have together.
pub const MAX_HEADERS_BYTES: usize = 8 << 10;

/// One published message as its taking node stamped it. What `apply` adds (offset, final Lamport time)
/// is not stored here: it follows from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Shared by the records of a batch, as is `node`: few names, many records.
    pub topic: Arc<str>,
    pub id: String,
    /// Whether a client chose `id`; ids made by a node are never retried and skip the dedup window.
    pub client_id: bool,
    /// The node that took the record from its publisher.
    pub node: Arc<str>,
    /// The taking node's own clock, microseconds since the Unix epoch.
    pub ts_us: i64,
    /// The taking node's estimate of cluster time, microseconds since the Unix epoch.
    pub corrected_us: i64,
    /// How far `corrected_us` may be off, microseconds; meaningful when `synchronised`.
    pub error_bound_us: u64,
    pub synchronised: bool,
    /// The taking node's Lamport time at the stamp: a lower bound of the record's final one.
    pub lamport: u64,
    /// In the publisher's order; no key twice.
    pub headers: Vec<(String, String)>,
    /// Whether it came by a verb that carries any bytes, so that a nine-field line must escape some.
    pub binary_safe: bool,
    /// It is stored only if the topic's newest offset is this one (0: the topic has no record yet).
    pub expect: Option<u64>,
    /// What it does to a consumer group. Most such records are no messages, see [`Record::is_message`].
    pub group_op: Option<GroupOp>,
    pub body: Bytes,
}

impl Record {
    /// What it takes in a batch and in memory, but for some bytes of numbers and its share of the names.
    pub fn size_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(key, value)| key.len() + value.len());
        let group_op = self.group_op.as_ref().map_or(0, GroupOp::encoded_len);
        self.body.len() + self.id.len() + headers.sum::<usize>() + group_op
    }

    /// Whether it gets an offset and can be read. A record that only changes a group is decided on and left out.
    pub fn is_message(&self) -> bool {
        self.group_op
            .as_ref()
            .is_none_or(|op| matches!(op.action, GroupAction::DeadLetter { .. }))
    }
}

/// What one log entry carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The replicated clock, milliseconds: driven by the leader's monotonic time, it ages the dedup
    /// window and nothing else.
    pub clock_ms: u64,
    pub records: Vec<Record>,
}

impl Batch {
    pub fn encode(&self) -> Bytes {
        let mut names = Names::default();
        let mut size = 64;
        let mut refs = Vec::with_capacity(self.records.len());
        for record in &self.records {
            refs.push((names.topic(&record.topic), names.node(&record.node)));
            size += record.body.len() + record.id.len() + 64;
        }
        let mut out = BytesMut::with_capacity(size);
        out.put_u8(VERSION);
        out.put_u64_le(self.clock_ms);
        put_varint(&mut out, names.all.len() as u64);
        for name in &names.all {
            put_bytes(&mut out, name.as_bytes());
        }
        put_varint(&mut out, self.records.len() as u64);
        for (record, (topic, node)) in self.records.iter().zip(refs) {
            put_varint(&mut out, record_len(record, topic, node) as u64);
            put_record(&mut out, record, topic, node);
        }
        out.freeze()
    }

    /// Reads a batch; bodies share the input's memory.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("batch version")?;
        if version != VERSION {
            return Err(DecodeError::Unknown {
                what: "batch version",
                found: u64::from(version),
            });
        }
        let clock_ms = reader.u64("batch clock")?;
        let mut names = Vec::new();
        for _ in 0..reader.count("batch names")? {
            names.push(reader.string("batch name")?.into());
        }
        let count = reader.count("batch records")?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(read_record(Reader::new(reader.bytes("record")?), &names)?);
        }
        reader.finish("batch")?;
        Ok(Self { clock_ms, records })
    }

    /// The number of records in an encoded batch, without reading them.
    pub fn count(bytes: Bytes) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.u8("batch version")?;
        reader.u64("batch clock")?;
        for _ in 0..reader.count("batch names")? {
            reader.bytes("batch name")?;
        }
        reader.varint("batch records")
    }
}
