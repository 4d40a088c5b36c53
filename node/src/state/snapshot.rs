//! The replicated state as bytes, for a follower that can no longer be brought up by the log alone.
//!
//! A snapshot carries what the log up to it decided (Lamport time, clock, dedup window, topic ends) and no
//! records: whoever installs it reads records from there on.

use bytes::{BufMut, Bytes, BytesMut};
use wiber_protocol::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    ids::LogId,
    membership::Membership,
};

use super::State;

const VERSION: u8 = 1;

/// Encodes everything but the position and the membership, which travel in the snapshot's metadata.
pub fn encode(state: &State) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_varint(&mut out, state.lamport);
    put_varint(&mut out, state.clock_ms);
    put_varint(&mut out, state.record_count);
    // Sorted, so that the same state is the same bytes on every node.
    let mut topics: Vec<_> = state.topics.iter().collect();
    topics.sort_unstable_by_key(|(name, _)| *name);
    put_varint(&mut out, topics.len() as u64);
    for (name, topic) in topics {
        put_bytes(&mut out, name.as_bytes());
        put_varint(&mut out, topic.high_watermark);
        put_varint(&mut out, topic.bytes);
        put_varint(&mut out, topic.last_log_index);
    }
    put_varint(&mut out, state.dedup.len() as u64);
    for (clock_ms, key, content, offset) in state.dedup.entries() {
        put_varint(&mut out, clock_ms);
        out.put_u128_le(key);
        out.put_u64_le(content);
        put_varint(&mut out, offset);
    }
    let crc = crc(&out);
    out.put_u32_le(crc);
    out.freeze()
}

/// Reads what [`encode`] wrote, as the state after `applied`.
pub fn decode(
    bytes: &Bytes,
    applied: Option<LogId>,
    membership: (Option<LogId>, Membership),
) -> Result<State, DecodeError> {
    let Some(body_len) = bytes.len().checked_sub(4) else {
        return Err(DecodeError::Short {
            what: "snapshot",
            need: 4,
            have: bytes.len(),
        });
    };
    let expected = Reader::new(bytes.slice(body_len..)).u32("snapshot checksum")?;
    let found = crc(&bytes[..body_len]);
    if found != expected {
        return Err(DecodeError::Checksum {
            what: "snapshot",
            expected,
            found,
        });
    }
    let mut reader = Reader::new(bytes.slice(..body_len));
    let version = reader.u8("snapshot version")?;
    if version != VERSION {
        return Err(DecodeError::Unknown {
            what: "snapshot version",
            found: u64::from(version),
        });
    }
    let mut state = State {
        applied,
        membership,
        ..State::default()
    };
    state.lamport = reader.varint("snapshot lamport")?;
    state.clock_ms = reader.varint("snapshot clock")?;
    state.record_count = reader.varint("snapshot records")?;
    for _ in 0..reader.count("snapshot topics")? {
        let name = reader.string("snapshot topic")?;
        let high_watermark = reader.varint("topic high watermark")?;
        let body_bytes = reader.varint("topic bytes")?;
        let last_log_index = reader.varint("topic last index")?;
        state
            .topics
            .restore(name, high_watermark, body_bytes, last_log_index);
    }
    for _ in 0..reader.count("snapshot ids")? {
        let clock_ms = reader.varint("id clock")?;
        let key = reader.u128("id key")?;
        let content = reader.u64("id content")?;
        let offset = reader.varint("id offset")?;
        state.dedup.restore(clock_ms, key, content, offset);
    }
    reader.finish("snapshot")?;
    Ok(state)
}

fn crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    use wiber_protocol::record::{Batch, Record};

    use super::*;

    #[test]
    fn a_snapshot_reads_back_and_damage_is_noticed() {
        let mut state = State::default();
        let record = |topic: &str, id: &str| Record {
            topic: topic.into(),
            id: id.into(),
            client_id: true,
            node: "n1".into(),
            ts_us: 1,
            corrected_us: 1,
            error_bound_us: 0,
            synchronised: false,
            lamport: 4,
            headers: Vec::new(),
            body: "x".into(),
        };
        let records = vec![record("b", "1"), record("a", "2"), record("a", "2")];
        state.apply(
            LogId { term: 1, index: 3 },
            &Batch {
                clock_ms: 50,
                records,
            },
        );
        let bytes = encode(&state);
        let read = decode(&bytes, state.applied, state.membership.clone()).expect("it reads back");
        assert_eq!(encode(&read), bytes);
        assert_eq!(
            (read.lamport, read.record_count, read.topics.high_watermark("a")),
            (5, 2, 1)
        );
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            assert!(
                decode(&bad.into(), None, Default::default()).is_err(),
                "byte {at} flipped unnoticed"
            );
        }
    }
}
