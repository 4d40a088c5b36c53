//! Small records that must not tear: the vote, the log's start, the commit hint.
//!
//! Each has a file of two slots, written in turn under a rising sequence number. A write that tears spoils the
//! slot that held the older record, so the newer of the two valid slots is always what was last saved, or what
//! was saved before it. The slots lie in different pages. The file is born whole under another name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    api::{MAX_VOTE_BYTES, Stamp},
    disk::{Disk, DiskFile},
    error::OpenError,
    failure::{Failure, tried},
    format::{FORMAT_VERSION, Flaw, HeaderFlaw, check_crc, u32_at, u64_at, u128_at},
};

const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"WSLT");
pub(crate) const SLOT_BYTES: usize = 128;
const SLOT_SPACING_BYTES: u64 = 4096;
const FILE_BYTES: u64 = 2 * SLOT_SPACING_BYTES;
const PAYLOAD_AT: usize = 48;

/// Which record a file holds. The number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SlotKind {
    Vote = 1,
    Start = 2,
    Committed = 3,
}

impl SlotKind {
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Start => "start",
            Self::Committed => "committed",
        }
    }
}

/// An open two-slot file and what it holds.
pub(crate) struct Slots {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    kind: SlotKind,
    stamp: Stamp,
    sequence: u64,
}

impl Slots {
    /// Makes the file with `payload` in both slots, durably but for the folder: its owner syncs that.
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        kind: SlotKind,
        stamp: Stamp,
        payload: &[u8],
    ) -> Result<Self, Failure> {
        let path = dir.join(kind.file_name());
        let temp = dir.join(format!("{}.tmp", kind.file_name()));
        let file = tried("create", &temp, disk.create(&temp))?;
        tried("grow", &temp, file.set_len(FILE_BYTES))?;
        for sequence in [1, 2] {
            let slot = encode(kind, stamp, sequence, payload);
            tried("write", &temp, file.write_at(&slot, position(sequence)))?;
        }
        tried("sync", &temp, file.sync_all())?;
        tried("rename", &temp, disk.rename(&temp, &path))?;
        Ok(Self {
            file,
            path,
            kind,
            stamp,
            sequence: 2,
        })
    }

    /// Opens the file and returns the newest record that is whole.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        kind: SlotKind,
        stamp: Stamp,
    ) -> Result<(Self, Bytes), OpenError> {
        let path = dir.join(kind.file_name());
        let io = |op, source| OpenError::Io {
            op,
            file: path.clone(),
            source,
        };
        let file = disk.open(&path).map_err(|error| io("open", error))?;
        let size = file.size_bytes().map_err(|error| io("size", error))?;
        let mut newest: Option<(u64, Bytes)> = None;
        let mut flaw = Flaw::new(format!("{FILE_BYTES} bytes"), format!("{size} bytes"));
        for slot in [0, 1] {
            let at = slot * SLOT_SPACING_BYTES;
            let mut bytes = [0; SLOT_BYTES];
            if size < at + SLOT_BYTES as u64 {
                continue;
            }
            file.read_at(&mut bytes, at).map_err(|error| io("read", error))?;
            match decode(&bytes, kind, stamp) {
                Ok((sequence, payload)) if newest.as_ref().is_none_or(|(best, _)| *best < sequence) => {
                    newest = Some((sequence, payload));
                }
                Ok(_) => {}
                Err(HeaderFlaw::Torn(found)) => flaw = found,
                Err(HeaderFlaw::Version(found)) => {
                    return Err(OpenError::UnknownVersion {
                        file: path,
                        expected: FORMAT_VERSION,
                        found,
                    });
                }
                Err(HeaderFlaw::Stamp(found)) => {
                    return Err(OpenError::WrongStamp {
                        file: path,
                        expected: stamp.to_string(),
                        found: found.to_string(),
                    });
                }
            }
        }
        let Some((sequence, payload)) = newest else {
            let expected = format!("one whole slot of two ({})", flaw.expected);
            return Err(OpenError::Damaged {
                file: path,
                position: 0,
                expected,
                found: flaw.found,
            });
        };
        Ok((
            Self {
                file,
                path,
                kind,
                stamp,
                sequence,
            },
            payload,
        ))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the next slot; it is durable after [`Slots::sync`].
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.sequence += 1;
        let slot = encode(self.kind, self.stamp, self.sequence, payload);
        tried(
            "write",
            &self.path,
            self.file.write_at(&slot, position(self.sequence)),
        )
    }

    pub(crate) fn sync(&self) -> Result<(), Failure> {
        tried("fdatasync", &self.path, self.file.sync_data())
    }
}

fn position(sequence: u64) -> u64 {
    (sequence % 2) * SLOT_SPACING_BYTES
}

fn encode(kind: SlotKind, stamp: Stamp, sequence: u64, payload: &[u8]) -> [u8; SLOT_BYTES] {
    debug_assert!(payload.len() <= MAX_VOTE_BYTES, "the log refuses larger votes");
    let mut out = [0; SLOT_BYTES];
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out[0..4].copy_from_slice(&SLOT_MAGIC.to_le_bytes());
    out[4..8].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&sequence.to_le_bytes());
    out[16..32].copy_from_slice(&stamp.cluster.to_le_bytes());
    out[32..36].copy_from_slice(&stamp.group.to_le_bytes());
    out[36..40].copy_from_slice(&(kind as u32).to_le_bytes());
    out[40..44].copy_from_slice(&len.to_le_bytes());
    out[PAYLOAD_AT..PAYLOAD_AT + payload.len()].copy_from_slice(payload);
    let crc = crc32c::crc32c(&out[..124]);
    out[124..128].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode(bytes: &[u8; SLOT_BYTES], kind: SlotKind, expected: Stamp) -> Result<(u64, Bytes), HeaderFlaw> {
    let torn = |expected: &str, found: u32| HeaderFlaw::Torn(Flaw::new(expected, format!("{found:08x}")));
    let magic = u32_at(bytes, 0);
    if magic != SLOT_MAGIC {
        return Err(torn(&format!("slot magic {SLOT_MAGIC:08x}"), magic));
    }
    check_crc("slot", crc32c::crc32c(&bytes[..124]), u32_at(bytes, 124)).map_err(HeaderFlaw::Torn)?;
    let version = u32_at(bytes, 4);
    if version != FORMAT_VERSION {
        return Err(HeaderFlaw::Version(version));
    }
    let stamp = Stamp {
        cluster: u128_at(bytes, 16),
        group: u32_at(bytes, 32),
    };
    if stamp != expected {
        return Err(HeaderFlaw::Stamp(stamp));
    }
    let found_kind = u32_at(bytes, 36);
    if found_kind != kind as u32 {
        return Err(torn(&format!("a {} slot", kind.file_name()), found_kind));
    }
    let len = u32_at(bytes, 40) as usize;
    if len > MAX_VOTE_BYTES {
        return Err(torn("a record of at most 64 bytes", u32_at(bytes, 40)));
    }
    Ok((
        u64_at(bytes, 8),
        Bytes::copy_from_slice(&bytes[PAYLOAD_AT..PAYLOAD_AT + len]),
    ))
}

/// Where the log begins, as the `start` file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// The first index that is not purged.
    pub(crate) first_index: u64,
    /// The term of the entry before, if the log was ever purged.
    pub(crate) purged_term: Option<u64>,
    /// The end of the log when the start was set. Beyond `first_index`, entries must be there; at or below it,
    /// the log was to become empty.
    pub(crate) log_end: u64,
}

impl Start {
    pub(crate) fn encode(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out[0..8].copy_from_slice(&self.first_index.to_le_bytes());
        out[8..16].copy_from_slice(&u64::from(self.purged_term.is_some()).to_le_bytes());
        out[16..24].copy_from_slice(&self.purged_term.unwrap_or(0).to_le_bytes());
        out[24..32].copy_from_slice(&self.log_end.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 32 || u64_at(bytes, 8) > 1 {
            return None;
        }
        Some(Self {
            first_index: u64_at(bytes, 0),
            purged_term: (u64_at(bytes, 8) == 1).then(|| u64_at(bytes, 16)),
            log_end: u64_at(bytes, 24),
        })
    }

    /// `(term, index)` of the last purged entry.
    pub(crate) fn purged(&self) -> Option<(u64, u64)> {
        self.purged_term.zip(self.first_index.checked_sub(1))
    }
}

/// What the `committed` file says. It is not synced, so it may be older than the log; it is never ahead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) term: u64,
    pub(crate) index: u64,
    /// Entries below were committed and durable here when it was written. They are never cut, so a log without them has
    /// lost what it had.
    pub(crate) durable_end: u64,
}

impl Committed {
    /// `flushed_end`: entries below are durable.
    pub(crate) fn new(term: u64, index: u64, flushed_end: u64) -> Self {
        Self {
            term,
            index,
            durable_end: flushed_end.min(index.saturating_add(1)),
        }
    }

    pub(crate) fn encode(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.term.to_le_bytes());
        out[8..16].copy_from_slice(&self.index.to_le_bytes());
        out[16..].copy_from_slice(&self.durable_end.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 24).then(|| Self {
            term: u64_at(bytes, 0),
            index: u64_at(bytes, 8),
            durable_end: u64_at(bytes, 16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { cluster: 7, group: 2 };

    /// The bytes on disk are decided once: these never change under version 1.
    #[test]
    fn version_1_is_these_bytes() {
        let bytes = encode(SlotKind::Vote, STAMP, 6, b"ABCD");
        let hex = bytes
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(
            hex,
            concat!(
                "57534c540100000006000000000000000700000000000000000000000000000002000000010000000400000000000000",
                "414243440000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
                "000000000000000000000000000000000000000000000000000000001da4e3b5"
            )
        );
    }

    #[test]
    fn a_slot_survives_and_no_flipped_byte_does() {
        let bytes = encode(SlotKind::Vote, STAMP, 6, b"ABCD");
        assert_eq!(
            decode(&bytes, SlotKind::Vote, STAMP),
            Ok((6, Bytes::from_static(b"ABCD")))
        );
        assert!(matches!(
            decode(&bytes, SlotKind::Start, STAMP),
            Err(HeaderFlaw::Torn(_))
        ));
        for at in 0..bytes.len() {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert!(
                matches!(decode(&flipped, SlotKind::Vote, STAMP), Err(HeaderFlaw::Torn(_))),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_start_is_read_back() {
        for purged_term in [None, Some(0), Some(9)] {
            let start = Start {
                first_index: 4,
                purged_term,
                log_end: 7,
            };
            assert_eq!(Start::decode(&start.encode()), Some(start));
        }
        assert_eq!(Start::decode(&[0; 31]), None);
        assert_eq!(
            Start {
                first_index: 4,
                purged_term: Some(2),
                log_end: 7
            }
            .purged(),
            Some((2, 3))
        );
    }
}
