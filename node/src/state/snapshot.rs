//! The replicated state as bytes, for a follower that can no longer be brought up by the log alone.
//!
//! A snapshot is the state as of a retention cut: what the log up to it decided (Lamport time, clock, dedup
//! window, topic ends) and no records. Whoever installs it reads the log from there on.

use bytes::{BufMut, Bytes, BytesMut};
use wiber_protocol::codec::{DecodeError, Reader, put_varint};

use super::{checkpoint::Checkpoint, dedup::Remembered};

/// A checkpoint and the ids remembered at that position, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub checkpoint: Checkpoint,
    pub ids: Vec<Remembered>,
}

/// More than the positions, counts and the checksum that [`Snapshot::size_bytes`] does not see.
const SLACK_BYTES: usize = 64;

impl Snapshot {
    /// The most that a snapshot of `checkpoint` and so many ids takes when it is encoded, with or without records.
    pub fn size_bytes(checkpoint: &Checkpoint, ids: usize) -> u64 {
        (checkpoint.encode().len() + ids * Remembered::BYTES + SLACK_BYTES) as u64
    }

    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1024 + self.ids.len() * Remembered::BYTES);
        self.checkpoint.put(&mut out);
        put_varint(&mut out, self.ids.len() as u64);
        for id in &self.ids {
            id.put(&mut out);
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        out.freeze()
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let Some(body_len) = bytes.len().checked_sub(4) else {
            return Err(DecodeError::Short {
                what: "snapshot",
                need: 4,
                have: bytes.len(),
            });
        };
        let expected = Reader::new(bytes.slice(body_len..)).u32("snapshot checksum")?;
        let found = crc32c::crc32c(&bytes[..body_len]);
        if found != expected {
            return Err(DecodeError::Checksum {
                what: "snapshot",
                expected,
                found,
            });
        }
        let mut reader = Reader::new(bytes.slice(..body_len));
        let checkpoint = Checkpoint::read(&mut reader)?;
        let count = reader.count("snapshot ids")?;
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(Remembered::read(&mut reader)?);
        }
        reader.finish("snapshot")?;
        Ok(Self { checkpoint, ids })
    }
}
