//! One record as bytes.

use std::{collections::HashMap, sync::Arc};

use bytes::{BufMut, BytesMut};

use super::Record;
use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint, unzigzag, varint_len, zigzag},
    group_op::GroupOp,
};

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

/// The names of a batch, each once, in the order of their first use.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) all: Vec<&'a str>,
    refs: HashMap<&'a str, u64>,
    /// The last ones: records of one topic, taken by one node, tend to come together.
    topic: Option<(&'a str, u64)>,
    node: Option<(&'a str, u64)>,
}

impl<'a> Names<'a> {
    pub(super) fn topic(&mut self, name: &'a str) -> u64 {
        match self.topic {
            Some((last, found)) if last == name => found,
            _ => {
                let found = self.find(name);
                self.topic = Some((name, found));
                found
            }
        }
    }

    pub(super) fn node(&mut self, name: &'a str) -> u64 {
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
pub(super) fn record_len(record: &Record, topic: u64, node: u64) -> usize {
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

pub(super) fn put_record(out: &mut BytesMut, record: &Record, topic: u64, node: u64) {
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

pub(super) fn read_record(mut reader: Reader, names: &[Arc<str>]) -> Result<Record, DecodeError> {
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
