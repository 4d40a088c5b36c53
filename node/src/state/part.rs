//! Parts: the index over consecutive stretches of the log.
//!
//! What reading needs beside the entries' bytes is kept in parts. The newest part grows in memory; when the log
//! entries it covers reach a bound it is sealed, never changes again, and goes to a file. Where a part ends follows
//! from the log alone, so it ends at the same entry on every node: retention cuts there.
//!
//! A sealed part is three tables of fixed-width rows, the same bytes in memory and in its file:
//!
//! ```text
//! notes      for each entry: Lamport time of the last record before it, u64
//! rejected   for each record without an offset, rising: entry u32, ordinal u32
//! runs       topic by topic, rising: first offset u32, entry u32
//! ```
//!
//! Entries count from the part's first one, a run's first offset from the topic's first one in the part.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_protocol::{codec::DecodeError, ids::LogId};

use super::{
    checkpoint::Checkpoint,
    dedup::{Remembered, WindowLimits},
    recent::Recent,
};

/// What bounds the state. The same on every node of a cluster, or they would decide differently and their cuts would not
/// meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateLimits {
    /// A part is sealed after the entry with which it covers this many bytes of entries, or this many entries, whichever
    /// comes first. It bounds what a restart replays and what the index holds in memory.
    pub part_bytes: u64,
    pub part_entries: u32,
    pub window: WindowLimits,
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            part_bytes: 64 << 20,
            part_entries: 1 << 16,
            window: WindowLimits::default(),
        }
    }
}

const NOTE_BYTES: usize = 8;
const REJECTED_BYTES: usize = 8;
const RUN_BYTES: usize = 8;

/// What reading an entry needs beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryNote {
    pub log_index: u64,
    /// The Lamport time of the last record before this entry.
    pub lamport_before: u64,
    /// Ordinals of the records that got no offset, rising.
    pub rejected: Vec<u32>,
}

/// Where to read on: an entry and the first offset the topic has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub base_offset: u64,
    pub note: EntryNote,
}

/// Consecutive records of one topic in one log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub base_offset: u64,
    pub log_index: u64,
}

/// Which stretch of the log a part covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartMeta {
    pub first_index: u64,
    pub last: LogId,
    /// Of the entries, as they are stored.
    pub bytes: u64,
    /// The replicated clock after the last entry.
    pub clock_ms: u64,
}

/// One topic's share of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTopic {
    pub name: Arc<str>,
    /// The topic's first offset in the part.
    pub base_offset: u64,
    /// Of message bodies.
    pub bytes: u64,
    pub runs: RunRange,
}

/// Rows of the table of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRange {
    pub first: u32,
    pub count: u32,
}

/// The part that still grows: notes of all its entries. Its runs stand with the topics.
#[derive(Clone, Debug, Default)]
pub(super) struct GrowingPart {
    pub first_index: u64,
    pub bytes: u64,
    /// Ids that the dedup window took in since the part began.
    pub ids: usize,
    pub recent: Recent,
    lamport_before: Vec<u64>,
    rejected: Vec<(u64, u32)>,
}

impl GrowingPart {
    /// A part whose first entry is the next one applied.
    pub(super) fn starting_at(first_index: u64) -> Self {
        Self {
            first_index,
            recent: Recent::starting_at(first_index),
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lamport_before.is_empty()
    }

    pub(super) fn is_full(&self, limits: StateLimits) -> bool {
        self.bytes >= limits.part_bytes || self.lamport_before.len() >= limits.part_entries as usize
    }

    /// Takes in the next entry.
    pub(super) fn push(&mut self, log_index: u64, entry_bytes: u64, lamport_before: u64) {
        if self.is_empty() {
            self.first_index = log_index;
            self.recent = Recent::starting_at(log_index);
        }
        debug_assert_eq!(log_index, self.first_index + self.lamport_before.len() as u64);
        self.bytes += entry_bytes;
        self.lamport_before.push(lamport_before);
    }

    /// A record of the entry taken in last got no offset.
    pub(super) fn reject(&mut self, log_index: u64, ordinal: u32) {
        self.rejected.push((log_index, ordinal));
    }

    pub(super) fn note(&self, log_index: u64) -> Option<EntryNote> {
        let at = usize::try_from(log_index.checked_sub(self.first_index)?).ok()?;
        let lamport_before = *self.lamport_before.get(at)?;
        let first = self.rejected.partition_point(|(index, _)| *index < log_index);
        let of_entry = self.rejected[first..].iter();
        let rejected = of_entry.take_while(|(index, _)| *index == log_index);
        Some(EntryNote {
            log_index,
            lamport_before,
            rejected: rejected.map(|(_, ordinal)| *ordinal).collect(),
        })
    }

    /// The last entry whose records may be the first after `lamport`; `None` if that lies before this part.
    pub(super) fn entry_after(&self, lamport: u64) -> Option<u64> {
        let beyond = self.lamport_before.partition_point(|before| *before <= lamport);
        Some(self.first_index + beyond.checked_sub(1)? as u64)
    }

    /// The finished tables; `runs` are all topics' runs in the order of their ranges.
    pub(super) fn tables(&self, runs: impl ExactSizeIterator<Item = (u32, u64)>) -> Tables {
        let size = self.lamport_before.len() * NOTE_BYTES
            + self.rejected.len() * REJECTED_BYTES
            + runs.len() * RUN_BYTES;
        let mut out = BytesMut::with_capacity(size);
        for lamport in &self.lamport_before {
            out.put_u64_le(*lamport);
        }
        for (index, ordinal) in &self.rejected {
            out.put_u32_le(self.entry(*index));
            out.put_u32_le(*ordinal);
        }
        let run_count = runs.len();
        for (offset, index) in runs {
            out.put_u32_le(offset);
            out.put_u32_le(self.entry(index));
        }
        Tables {
            first_index: self.first_index,
            entry_count: self.lamport_before.len(),
            rejected_count: self.rejected.len(),
            run_count,
            bytes: out.freeze(),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a part's number of entries fits u32, as its limit does"
    )]
    fn entry(&self, log_index: u64) -> u32 {
        (log_index - self.first_index) as u32
    }
}

/// A sealed part's tables. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    first_index: u64,
    entry_count: usize,
    rejected_count: usize,
    run_count: usize,
    bytes: Bytes,
}

impl Tables {
    /// Tables read back; their checksum was verified, so only the lengths are checked here.
    pub fn new(
        first_index: u64,
        (entry_count, rejected_count, run_count): (usize, usize, usize),
        bytes: Bytes,
    ) -> Result<Self, DecodeError> {
        let need = entry_count
            .saturating_mul(NOTE_BYTES)
            .saturating_add(rejected_count.saturating_mul(REJECTED_BYTES))
            .saturating_add(run_count.saturating_mul(RUN_BYTES));
        if bytes.len() != need {
            return Err(DecodeError::Short {
                what: "index tables",
                need,
                have: bytes.len(),
            });
        }
        Ok(Self {
            first_index,
            entry_count,
            rejected_count,
            run_count,
            bytes,
        })
    }

    pub fn counts(&self) -> (usize, usize, usize) {
        (self.entry_count, self.rejected_count, self.run_count)
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The entries that hold a topic's records from `offset` on, at most `limit` of them. `runs` are the topic's,
    /// `base_offset` its first offset in the part. Rows beyond the tables are left out.
    pub fn positions(&self, runs: RunRange, base_offset: u64, offset: u64, limit: usize) -> Vec<Position> {
        let mut first = runs.first as usize;
        let end = first + self.rows_in(runs);
        // The last run that begins at or before the offset.
        let mut beyond = end;
        while first + 1 < beyond {
            let middle = usize::midpoint(first, beyond);
            if self.run(middle, base_offset).base_offset <= offset {
                first = middle;
            } else {
                beyond = middle;
            }
        }
        (first..end)
            .take(limit)
            .filter_map(|row| {
                let run = self.run(row, base_offset);
                Some(Position {
                    base_offset: run.base_offset,
                    note: self.note(run.log_index)?,
                })
            })
            .collect()
    }

    /// How many rows of this range there are.
    pub(super) fn rows_in(&self, runs: RunRange) -> usize {
        let left = self.run_count.saturating_sub(runs.first as usize);
        left.min(runs.count as usize)
    }

    /// The entry after the part's last one.
    pub(super) fn end_index(&self) -> u64 {
        self.first_index + self.entry_count as u64
    }

    pub(super) fn run(&self, row: usize, base_offset: u64) -> Run {
        let at = self.entry_count * NOTE_BYTES + self.rejected_count * REJECTED_BYTES + row * RUN_BYTES;
        let mut row = &self.bytes[at..at + RUN_BYTES];
        Run {
            base_offset: base_offset + u64::from(row.get_u32_le()),
            log_index: self.first_index + u64::from(row.get_u32_le()),
        }
    }

    fn rejected(&self, row: usize) -> (u32, u32) {
        let at = self.entry_count * NOTE_BYTES + row * REJECTED_BYTES;
        let mut row = &self.bytes[at..at + REJECTED_BYTES];
        (row.get_u32_le(), row.get_u32_le())
    }

    /// The Lamport time of the last record before the part's entry of this number.
    pub fn lamport_before(&self, entry: usize) -> Option<u64> {
        if entry >= self.entry_count {
            return None;
        }
        let mut note = &self.bytes[entry * NOTE_BYTES..][..NOTE_BYTES];
        Some(note.get_u64_le())
    }

    /// The last entry whose records may be the first after `lamport`, or the first entry, if that lies before.
    pub fn entry_after(&self, lamport: u64) -> u64 {
        let (mut first, mut beyond) = (0, self.entry_count);
        while first + 1 < beyond {
            let middle = first.midpoint(beyond);
            if self.lamport_before(middle) <= Some(lamport) {
                first = middle;
            } else {
                beyond = middle;
            }
        }
        self.first_index + first as u64
    }

    /// The note of an entry; `None` if it is not in the part.
    pub fn note(&self, log_index: u64) -> Option<EntryNote> {
        let entry = usize::try_from(log_index.checked_sub(self.first_index)?).ok()?;
        let lamport_before = self.lamport_before(entry)?;
        let (mut first, mut beyond) = (0, self.rejected_count);
        while first < beyond {
            let middle = usize::midpoint(first, beyond);
            if (self.rejected(middle).0 as usize) < entry {
                first = middle + 1;
            } else {
                beyond = middle;
            }
        }
        let rejected = (first..self.rejected_count)
            .map(|row| self.rejected(row))
            .take_while(|(of, _)| *of as usize == entry)
            .map(|(_, ordinal)| ordinal)
            .collect();
        Some(EntryNote {
            log_index,
            lamport_before,
            rejected,
        })
    }
}

/// A part that no longer changes, whole: what its file will hold.
#[derive(Clone, Debug)]
pub struct SealedPart {
    pub meta: PartMeta,
    /// Sorted by name.
    pub topics: Vec<PartTopic>,
    pub tables: Tables,
    /// The ids that the dedup window took in during this part and still remembered at its end, oldest first.
    pub ids: Vec<Remembered>,
    /// How many ids the dedup window remembered at its end, of this part and earlier ones.
    pub remembered: usize,
    /// The state after the part's last entry.
    pub after: Checkpoint,
}

impl SealedPart {
    /// What it takes in memory.
    pub fn size_bytes(&self) -> usize {
        size_of_val(&*self.ids)
            + self.tables.bytes().len()
            + size_of_val(&*self.topics)
            + size_of_val(&*self.after.topics)
            + self.after.groups.size_bytes()
            + self.after.producers.size_bytes()
    }
}
