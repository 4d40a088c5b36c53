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

use std::{collections::HashMap, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint, unzigzag, varint_len, zigzag},
    group_op::{GroupAction, GroupOp},
};

const VERSION: u8 = 1;
/// The id came from a client, so a retry may repeat it and the dedup window must remember it.
const FLAG_CLIENT_ID: u8 = 1;
/// The taking node's clock was synchronised when it stamped `corrected_ts`.
const FLAG_SYNCHRONISED: u8 = 2;
/// It came by a verb that carries any bytes.
const FLAG_BINARY_SAFE: u8 = 4;
/// It has a condition on where its topic ends.
const FLAG_EXPECT: u8 = 8;
/// It changes a consumer group.
const FLAG_GROUP_OP: u8 = 16;
const ALL_FLAGS: u8 = FLAG_CLIENT_ID | FLAG_SYNCHRONISED | FLAG_BINARY_SAFE | FLAG_EXPECT | FLAG_GROUP_OP;

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

/// The names of a batch, each once, in the order of their first use.
#[derive(Default)]
struct Names<'a> {
    all: Vec<&'a str>,
    refs: HashMap<&'a str, u64>,
    /// The last ones: records of one topic, taken by one node, tend to come together.
    topic: Option<(&'a str, u64)>,
    node: Option<(&'a str, u64)>,
}

impl<'a> Names<'a> {
    fn topic(&mut self, name: &'a str) -> u64 {
        match self.topic {
            Some((last, found)) if last == name => found,
            _ => {
                let found = self.find(name);
                self.topic = Some((name, found));
                found
            }
        }
    }

    fn node(&mut self, name: &'a str) -> u64 {
        match self.node {
            Some((last, found)) if last == name => found,
            _ => {
                let found = self.find(name);
                self.node = Some((name, found));
                found
            }
        }
    }

    fn find(&mut self, name: &'a str) -> u64 {
        *self.refs.entry(name).or_insert_with(|| {
            self.all.push(name);
            self.all.len() as u64 - 1
        })
    }
}

/// How many bytes [`put_record`] writes.
fn record_len(record: &Record, topic: u64, node: u64) -> usize {
    let bytes_len = |text: &str| varint_len(text.len() as u64) + text.len();
    let headers: usize = record
        .headers
        .iter()
        .map(|(key, value)| bytes_len(key) + bytes_len(value))
        .sum();
    1 + varint_len(topic)
        + varint_len(node)
        + bytes_len(&record.id)
        + varint_len(record.ts_us.cast_unsigned())
        + varint_len(zigzag(record.corrected_us.wrapping_sub(record.ts_us)))
        + varint_len(record.error_bound_us)
        + varint_len(record.lamport)
        + varint_len(record.headers.len() as u64)
        + headers
        + record.expect.map_or(0, varint_len)
        + record.group_op.as_ref().map_or(0, |op| {
            let len = op.encoded_len();
            varint_len(len as u64) + len
        })
        + record.body.len()
}

fn put_record(out: &mut BytesMut, record: &Record, topic: u64, node: u64) {
    let mut flags = 0;
    if record.client_id {
        flags |= FLAG_CLIENT_ID;
    }
    if record.synchronised {
        flags |= FLAG_SYNCHRONISED;
    }
    if record.binary_safe {
        flags |= FLAG_BINARY_SAFE;
    }
    if record.expect.is_some() {
        flags |= FLAG_EXPECT;
    }
    if record.group_op.is_some() {
        flags |= FLAG_GROUP_OP;
    }
    out.put_u8(flags);
    put_varint(out, topic);
    put_varint(out, node);
    put_bytes(out, record.id.as_bytes());
    put_varint(out, record.ts_us.cast_unsigned());
    put_varint(out, zigzag(record.corrected_us.wrapping_sub(record.ts_us)));
    put_varint(out, record.error_bound_us);
    put_varint(out, record.lamport);
    put_varint(out, record.headers.len() as u64);
    for (key, value) in &record.headers {
        put_bytes(out, key.as_bytes());
        put_bytes(out, value.as_bytes());
    }
    if let Some(expect) = record.expect {
        put_varint(out, expect);
    }
    if let Some(op) = &record.group_op {
        put_varint(out, op.encoded_len() as u64);
        op.put(out);
    }
    out.put_slice(&record.body);
}

fn read_record(mut reader: Reader, names: &[Arc<str>]) -> Result<Record, DecodeError> {
    let flags = reader.u8("record flags")?;
    if flags & !ALL_FLAGS != 0 {
        return Err(DecodeError::Unknown {
            what: "record flags",
            found: u64::from(flags),
        });
    }
    let topic = read_name(&mut reader, "record topic", names)?;
    let node = read_name(&mut reader, "record node", names)?;
    let id = reader.string("record id")?;
    let ts_us = reader.varint("record ts")?.cast_signed();
    let corrected_us = ts_us.wrapping_add(unzigzag(reader.varint("record corrected ts")?));
    let error_bound_us = reader.varint("record error bound")?;
    let lamport = reader.varint("record lamport")?;
    let mut headers = Vec::new();
    for _ in 0..reader.count("record headers")? {
        headers.push((reader.string("header key")?, reader.string("header value")?));
    }
    let expect = (flags & FLAG_EXPECT != 0)
        .then(|| reader.varint("record expectation"))
        .transpose()?;
    let group_op = (flags & FLAG_GROUP_OP != 0)
        .then(|| GroupOp::decode(reader.bytes("group op")?))
        .transpose()?;
    let body = reader.rest();
    Ok(Record {
        topic,
        id,
        client_id: flags & FLAG_CLIENT_ID != 0,
        node,
        ts_us,
        corrected_us,
        error_bound_us,
        synchronised: flags & FLAG_SYNCHRONISED != 0,
        lamport,
        headers,
        binary_safe: flags & FLAG_BINARY_SAFE != 0,
        expect,
        group_op,
        body,
    })
}

fn read_name(reader: &mut Reader, what: &'static str, names: &[Arc<str>]) -> Result<Arc<str>, DecodeError> {
    let found = reader.varint(what)?;
    usize::try_from(found)
        .ok()
        .and_then(|index| names.get(index))
        .cloned()
        .ok_or(DecodeError::Unknown { what, found })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::group_op::tests::group_op;

    fn record() -> impl Strategy<Value = Record> {
        (
            ("[a-z:]{1,9}", "[a-z0-9-]{0,20}", "n[1-5]"),
            (any::<i64>(), any::<i64>(), any::<u64>(), any::<u64>()),
            (any::<bool>(), any::<bool>()),
            proptest::collection::vec(("[a-z]{1,4}", ".{0,6}"), 0..3),
            (
                any::<bool>(),
                any::<Option<u64>>(),
                proptest::option::of(group_op()),
            ),
            proptest::collection::vec(any::<u8>(), 0..64),
        )
            .prop_map(
                |(
                    (topic, id, node),
                    (ts_us, corrected_us, error_bound_us, lamport),
                    flags,
                    headers,
                    (binary_safe, expect, group_op),
                    body,
                )| {
                    Record {
                        topic: topic.into(),
                        id,
                        client_id: flags.0,
                        node: node.into(),
                        ts_us,
                        corrected_us,
                        error_bound_us,
                        synchronised: flags.1,
                        lamport,
                        headers,
                        binary_safe,
                        expect,
                        group_op,
                        body: body.into(),
                    }
                },
            )
    }

    /// Batches rest on disks, so their bytes never change by accident.
    #[test]
    fn a_batch_has_these_bytes() {
        let record = |topic: &str, id: &str, node: &str| Record {
            topic: topic.into(),
            id: id.to_owned(),
            client_id: true,
            node: node.into(),
            ts_us: 300,
            corrected_us: 299,
            error_bound_us: 2,
            synchronised: true,
            lamport: 200,
            headers: vec![("k".to_owned(), "v".to_owned())],
            binary_safe: false,
            expect: None,
            group_op: None,
            body: Bytes::from_static(b"xy"),
        };
        let mut plain = record("u", "", "n1");
        (plain.client_id, plain.synchronised) = (false, false);
        (plain.ts_us, plain.corrected_us) = (0, 0);
        (plain.error_bound_us, plain.lamport) = (0, 0);
        plain.headers.clear();
        let batch = Batch {
            clock_ms: 7,
            records: vec![record("t", "a", "n1"), plain],
        };
        let mut expected = b"\x01\x07\0\0\0\0\0\0\0\x03\x01t\x02n1\x01u\x02".to_vec();
        expected.extend_from_slice(b"\x12\x03\0\x01\x01a\xac\x02\x01\x02\xc8\x01\x01\x01k\x01vxy");
        expected.extend_from_slice(b"\x0b\0\x02\x01\0\0\0\0\0\0xy");
        assert_eq!(batch.encode().to_vec(), expected);
    }

    #[test]
    fn what_only_changes_a_group_is_no_message() {
        let with = |action| Record {
            group_op: Some(GroupOp {
                group: "g".to_owned(),
                action,
            }),
            ..Record::default()
        };
        assert!(Record::default().is_message());
        assert!(!with(GroupAction::Ack { offsets: vec![1..=2] }).is_message());
        assert!(
            with(GroupAction::DeadLetter {
                topic: "t".to_owned(),
                offset: 1
            })
            .is_message()
        );
    }

    proptest! {
        #[test]
        fn a_batch_reads_back(clock_ms: u64, records in proptest::collection::vec(record(), 0..8)) {
            let batch = Batch { clock_ms, records };
            let bytes = batch.encode();
            prop_assert_eq!(Batch::count(bytes.clone()), Ok(batch.records.len() as u64));
            prop_assert_eq!(Batch::decode(bytes), Ok(batch));
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Batch::decode(bytes.clone().into());
            let _ = Batch::count(bytes.into());
        }
    }
}
