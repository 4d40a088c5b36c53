//! The bytes of a segment: a header, then frames. The tables stand in the crate's documentation.
//!
//! A checksum that starts from the segment's stamp and base and from the frame's own position makes a frame
//! valid in one place only. So an entry whose bytes happen to contain frames (a message about this very file,
//! say) is never taken for frames when a torn tail is searched for survivors.

use crate::api::{MAX_ENTRY_BYTES, Stamp};

pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"WIBERSEG";
pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER_BYTES: usize = 128;
pub(crate) const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"WFRM");
pub(crate) const FRAME_HEADER_BYTES: usize = 48;
/// Frames start at multiples of this; the search for survivors steps by it.
pub(crate) const ALIGN_BYTES: usize = 8;

/// What was expected somewhere and what was found, for the person who reads the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Flaw {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Why a segment header or a slot is not usable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFlaw {
    /// Not what was written, or never fully written.
    Torn(Flaw),
    /// Whole, and from a later version.
    Version(u32),
    /// Whole, and another cluster's or group's.
    Stamp(Stamp),
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) stamp: Stamp,
    pub(crate) base_index: u64,
    /// The term and the prefix hash of the entry before `base_index`, 0 where there is none.
    pub(crate) base_term: u64,
    pub(crate) prefix_hash: u64,
    /// The index the prefix hash counts from. Hashes of two logs compare only if this is equal.
    pub(crate) chain_from: u64,
    /// Entries below this were flushed when the segment was made.
    pub(crate) flushed_end: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[0..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.stamp.group.to_le_bytes());
        out[16..32].copy_from_slice(&self.stamp.cluster.to_le_bytes());
        out[32..40].copy_from_slice(&self.base_index.to_le_bytes());
        out[40..48].copy_from_slice(&self.base_term.to_le_bytes());
        out[48..56].copy_from_slice(&self.prefix_hash.to_le_bytes());
        out[56..64].copy_from_slice(&self.chain_from.to_le_bytes());
        out[64..72].copy_from_slice(&self.flushed_end.to_le_bytes());
        let crc = crc32c::crc32c(&out[..124]);
        out[124..128].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES], expected: Stamp) -> Result<Self, HeaderFlaw> {
        if bytes[0..8] != SEGMENT_MAGIC {
            let found = format!("{:02x?}", &bytes[0..8]);
            return Err(HeaderFlaw::Torn(Flaw::new("a segment header", found)));
        }
        check_crc(
            "segment header",
            crc32c::crc32c(&bytes[..124]),
            u32_at(bytes, 124),
        )
        .map_err(HeaderFlaw::Torn)?;
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(HeaderFlaw::Version(version));
        }
        let stamp = Stamp {
            cluster: u128_at(bytes, 16),
            group: u32_at(bytes, 12),
        };
        if stamp != expected {
            return Err(HeaderFlaw::Stamp(stamp));
        }
        Ok(Self {
            stamp,
            base_index: u64_at(bytes, 32),
            base_term: u64_at(bytes, 40),
            prefix_hash: u64_at(bytes, 48),
            chain_from: u64_at(bytes, 56),
            flushed_end: u64_at(bytes, 64),
        })
    }
}

/// What every frame checksum of one segment starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameSeed(u32);

impl FrameSeed {
    pub(crate) fn new(stamp: Stamp, base_index: u64) -> Self {
        let crc = crc32c::crc32c(&stamp.cluster.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &stamp.group.to_le_bytes());
        Self(crc32c::crc32c_append(crc, &base_index.to_le_bytes()))
    }

    fn header_crc(self, position: u64, header: &[u8]) -> u32 {
        let crc = crc32c::crc32c_append(self.0, &position.to_le_bytes());
        crc32c::crc32c_append(crc, &header[..44])
    }
}

/// The local header of one entry. It is this node's own: what other nodes get is the entry's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) entry_len: u32,
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// Entries below this were known flushed when the frame was written.
    pub(crate) flushed_end: u64,
    /// Of the log up to and including this entry, see [`chain`].
    pub(crate) prefix_hash: u64,
    pub(crate) entry_crc: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self, seed: FrameSeed, position: u64) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        out[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&self.entry_len.to_le_bytes());
        out[8..16].copy_from_slice(&self.index.to_le_bytes());
        out[16..24].copy_from_slice(&self.term.to_le_bytes());
        out[24..32].copy_from_slice(&self.flushed_end.to_le_bytes());
        out[32..40].copy_from_slice(&self.prefix_hash.to_le_bytes());
        out[40..44].copy_from_slice(&self.entry_crc.to_le_bytes());
        let crc = seed.header_crc(position, &out);
        out[44..48].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header off the front of `bytes`, which hold at least [`FRAME_HEADER_BYTES`].
    pub(crate) fn decode(bytes: &[u8], seed: FrameSeed, position: u64) -> Result<Self, Flaw> {
        let magic = u32_at(bytes, 0);
        if magic != FRAME_MAGIC {
            return Err(Flaw::new(
                format!("frame magic {FRAME_MAGIC:08x}"),
                format!("{magic:08x}"),
            ));
        }
        check_crc(
            "frame header",
            seed.header_crc(position, bytes),
            u32_at(bytes, 44),
        )?;
        let header = Self {
            entry_len: u32_at(bytes, 4),
            index: u64_at(bytes, 8),
            term: u64_at(bytes, 16),
            flushed_end: u64_at(bytes, 24),
            prefix_hash: u64_at(bytes, 32),
            entry_crc: u32_at(bytes, 40),
        };
        if header.entry_len as usize > MAX_ENTRY_BYTES {
            let found = format!("{} bytes", header.entry_len);
            return Err(Flaw::new(
                format!("an entry of at most {MAX_ENTRY_BYTES} bytes"),
                found,
            ));
        }
        Ok(header)
    }

    /// Header, entry and padding.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.entry_len as usize)
    }

    pub(crate) fn check_index(&self, expected: u64) -> Result<(), Flaw> {
        if self.index == expected {
            return Ok(());
        }
        Err(Flaw::new(
            format!("entry {expected}"),
            format!("entry {}", self.index),
        ))
    }

    pub(crate) fn check_entry(&self, found: u32) -> Result<(), Flaw> {
        check_crc("entry", self.entry_crc, found)
    }
}

/// The bytes a frame takes for an entry of `entry_len` bytes, padded with zeros to [`ALIGN_BYTES`].
pub(crate) fn frame_bytes(entry_len: usize) -> usize {
    (FRAME_HEADER_BYTES + entry_len).next_multiple_of(ALIGN_BYTES)
}

pub(crate) fn check_padding(padding: &[u8]) -> Result<(), Flaw> {
    if padding.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(Flaw::new("zeros after the entry", format!("{padding:02x?}")))
}

/// The hash of a log up to an entry, from the hash up to the one before. Equal hashes at one index mean equal
/// logs up to there, as far as 64 bits and the entries' checksums can tell. The mixing is `SplitMix64`'s
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) fn chain(previous: u64, index: u64, term: u64, entry_crc: u32) -> u64 {
    [index, term, u64::from(entry_crc)]
        .into_iter()
        .fold(previous, |hash, word| {
            let mut mixed = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
}

pub(crate) fn check_crc(what: &str, expected: u32, found: u32) -> Result<(), Flaw> {
    if expected == found {
        return Ok(());
    }
    Err(Flaw::new(
        format!("{what} checksum {expected:08x}"),
        format!("{found:08x}"),
    ))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { cluster: 7, group: 2 };

    #[test]
    fn a_segment_header_survives_and_no_flipped_byte_does() {
        let header = SegmentHeader {
            stamp: STAMP,
            base_index: 9,
            base_term: 3,
            prefix_hash: 77,
            chain_from: 1,
            flushed_end: 9,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes, STAMP), Ok(header));
        for at in 0..bytes.len() {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert!(
                matches!(SegmentHeader::decode(&flipped, STAMP), Err(HeaderFlaw::Torn(_))),
                "byte {at}"
            );
        }
        let other = Stamp { cluster: 8, group: 2 };
        assert_eq!(
            SegmentHeader::decode(&bytes, other),
            Err(HeaderFlaw::Stamp(STAMP))
        );
    }

    #[test]
    fn a_frame_is_valid_only_where_it_was_written() {
        let frame = FrameHeader {
            entry_len: 5,
            index: 4,
            term: 2,
            flushed_end: 3,
            prefix_hash: 1,
            entry_crc: 9,
        };
        let seed = FrameSeed::new(STAMP, 1);
        let bytes = frame.encode(seed, 128);
        assert_eq!(FrameHeader::decode(&bytes, seed, 128), Ok(frame));
        assert!(FrameHeader::decode(&bytes, seed, 136).is_err());
        assert!(FrameHeader::decode(&bytes, FrameSeed::new(STAMP, 2), 128).is_err());
        assert!(FrameHeader::decode(&bytes, FrameSeed::new(Stamp { cluster: 8, group: 2 }, 1), 128).is_err());
        assert_eq!(frame.frame_bytes(), 56);
    }

    #[test]
    fn the_prefix_hash_depends_on_every_part() {
        let hash = chain(1, 2, 3, 4);
        for other in [
            chain(0, 2, 3, 4),
            chain(1, 0, 3, 4),
            chain(1, 2, 0, 4),
            chain(1, 2, 3, 0),
            chain(1, 3, 2, 4),
        ] {
            assert_ne!(hash, other);
        }
    }

    /// The bytes on disk are decided once: these never change under version 1.
    #[test]
    fn version_1_is_these_bytes() {
        let frame = FrameHeader {
            entry_len: 5,
            index: 4,
            term: 2,
            flushed_end: 3,
            prefix_hash: chain(0, 4, 2, 9),
            entry_crc: 9,
        };
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        };
        assert_eq!(
            hex(&frame.encode(FrameSeed::new(STAMP, 4), 128)),
            "5746524d0500000004000000000000000200000000000000030000000000000077186a23179d809609000000021e620f"
        );
        let header = SegmentHeader {
            stamp: STAMP,
            base_index: 4,
            base_term: 3,
            prefix_hash: 77,
            chain_from: 1,
            flushed_end: 4,
        };
        assert_eq!(
            hex(&header.encode()),
            concat!(
                "574942455253454701000000020000000700000000000000000000000000000004000000000000000300000000000000",
                "4d0000000000000001000000000000000400000000000000000000000000000000000000000000000000000000000000",
                "0000000000000000000000000000000000000000000000000000000053148e94"
            )
        );
    }
}
