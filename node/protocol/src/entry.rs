//! A log entry as it travels and rests: encoded once by the leader, and the same bytes on the wire, on
//! every disk and in the hot tail.
//!
//! ```text
//! 0  version u8      currently 1
//! 1  kind u8         blank, records, membership
//! 2  flags u8        bit 0: sampled, this entry's way is worth tracing
//! 3  reserved u8     zero
//! 4  group u32
//! 8  term u64        the term of the leader that made the entry
//! 16 index u64
//! 24 trace_id u64
//! 32 payload_len u32
//! 36 crc32c u32      over bytes 0..36 and the payload
//! 40 payload
//! ```
//! All integers are little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    codec::{DecodeError, Reader},
    ids::{GroupId, LogId},
};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 40;
/// The largest payload an entry may carry; a batch is closed long before.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
const VERSION: u8 = 1;
const FLAG_TRACED: u8 = 1;

/// What an entry's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A leader's first entry in its term: no payload.
    Blank = 0,
    /// A batch of records, see [`crate::record`].
    Records = 1,
    /// A cluster membership, see [`crate::membership`].
    Membership = 2,
    /// Retention drops the oldest records, see [`Cut`].
    Cut = 3,
}

/// The payload of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last entry to drop. It has an effect only where a part of the index ends.
    pub last_index: u64,
    /// The replicated clock, as in a batch.
    pub clock_ms: u64,
}

impl Cut {
    pub fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_u64_le(self.last_index);
        out.put_u64_le(self.clock_ms);
        out.freeze()
    }

    pub fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let cut = Self {
            last_index: reader.u64("cut index")?,
            clock_ms: reader.u64("cut clock")?,
        };
        reader.finish("cut")?;
        Ok(cut)
    }
}

/// One log entry. Cloning shares `bytes`.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub log_id: LogId,
    pub kind: EntryKind,
    /// Correlates the trace events of everything this entry causes.
    pub trace_id: u64,
    pub traced: bool,
    bytes: Bytes,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?}@{}.{} ({} bytes)",
            self.kind,
            self.log_id.term,
            self.log_id.index,
            self.bytes.len()
        )
    }
}

impl Entry {
    /// Encodes a new entry.
    ///
    /// # Panics
    /// If `payload` is longer than [`MAX_PAYLOAD_BYTES`]: the batcher closes batches long before.
    pub fn encode(
        group: GroupId,
        log_id: LogId,
        kind: EntryKind,
        trace: (u64, bool),
        payload: &[u8],
    ) -> Self {
        assert!(
            payload.len() <= MAX_PAYLOAD_BYTES,
            "entry payload of {} bytes",
            payload.len()
        );
        let (trace_id, traced) = trace;
        let mut out = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        out.put_u8(VERSION);
        out.put_u8(kind as u8);
        out.put_u8(if traced { FLAG_TRACED } else { 0 });
        out.put_u8(0);
        out.put_u32_le(group.0);
        out.put_u64_le(log_id.term);
        out.put_u64_le(log_id.index);
        out.put_u64_le(trace_id);
        #[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_PAYLOAD_BYTES")]
        out.put_u32_le(payload.len() as u32);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out), payload);
        out.put_u32_le(crc);
        out.put_slice(payload);
        Self {
            log_id,
            kind,
            trace_id,
            traced,
            bytes: out.freeze(),
        }
    }

    /// Reads an entry that takes up all of `bytes`, and checks its checksum.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes.clone());
        let version = reader.u8("entry version")?;
        if version != VERSION {
            return Err(DecodeError::Unknown {
                what: "entry version",
                found: u64::from(version),
            });
        }
        let kind = match reader.u8("entry kind")? {
            0 => EntryKind::Blank,
            1 => EntryKind::Records,
            2 => EntryKind::Membership,
            3 => EntryKind::Cut,
            other => {
                return Err(DecodeError::Unknown {
                    what: "entry kind",
                    found: u64::from(other),
                });
            }
        };
        let flags = reader.u8("entry flags")?;
        if flags & !FLAG_TRACED != 0 {
            return Err(DecodeError::Unknown {
                what: "entry flags",
                found: u64::from(flags),
            });
        }
        reader.u8("entry reserved")?;
        reader.u32("entry group")?;
        let log_id = LogId {
            term: reader.u64("entry term")?,
            index: reader.u64("entry index")?,
        };
        let trace_id = reader.u64("entry trace id")?;
        let payload_len = reader.u32("entry payload length")? as usize;
        let expected = reader.u32("entry checksum")?;
        let payload = reader.take("entry payload", payload_len)?;
        reader.finish("entry")?;
        let found = crc32c::crc32c_append(crc32c::crc32c(&bytes[..HEADER_BYTES - 4]), &payload);
        if found != expected {
            return Err(DecodeError::Checksum {
                what: "entry",
                expected,
                found,
            });
        }
        Ok(Self {
            log_id,
            kind,
            trace_id,
            traced: flags & FLAG_TRACED != 0,
            bytes,
        })
    }

    /// The whole entry as it is stored and sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The payload alone, sharing the entry's memory.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// Which group's log the entry belongs to.
    pub fn group(&self) -> GroupId {
        GroupId(self.bytes.slice(4..8).get_u32_le())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        Entry::encode(
            GroupId(7),
            LogId { term: 3, index: 41 },
            EntryKind::Records,
            (99, true),
            b"payload",
        )
    }

    #[test]
    fn an_entry_reads_back_from_its_own_bytes() {
        let entry = sample();
        assert_eq!(Entry::decode(entry.bytes().clone()).as_ref(), Ok(&entry));
        assert_eq!(&entry.payload()[..], b"payload");
        assert_eq!(entry.group(), GroupId(7));
    }

    #[test]
    fn every_flipped_bit_but_the_reserved_byte_is_noticed() {
        let good = sample().bytes().to_vec();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Entry::decode(Bytes::from(bad)).is_err(),
                "bit {bit} flipped unnoticed"
            );
        }
    }

    #[test]
    fn a_cut_entry_is_refused() {
        let good = sample();
        for len in 0..good.bytes().len() {
            assert!(
                Entry::decode(good.bytes().slice(..len)).is_err(),
                "{len} bytes were enough"
            );
        }
    }
}
