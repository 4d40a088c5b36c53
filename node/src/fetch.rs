//! Reading records of a topic: index → log entry → record.
//!
//! A reader is a cursor: it asks from an offset and gets a bounded page. What the log does not say (offsets,
//! final Lamport times, which records were rejected) is worked out again from the entry's note, the same way
//! `apply` did. What is in memory is read at once; the rest, index files and log, in one go on the blocking pool.

mod matching;
mod places;
mod seek;

use std::{io, sync::Arc};

use bytes::Bytes;
use wiber_protocol::{
    codec::DecodeError,
    entry::{Entry, EntryKind},
    ids::LogId,
    line::RecordView,
    record::{Batch, Record},
};
use wiber_storage::Log;

use crate::{
    group::Group,
    index::Index,
    runtime,
    state::{EntryNote, Found, Position, next_lamport},
};

pub use matching::{LogPlace, Matches};

/// Entries looked up in the index at a time.
const POSITIONS: usize = 256;
/// A page of a history or read is closed when its records have this many bytes.
pub const PAGE_BYTES: usize = 1 << 20;
/// One read of the log while filling a page.
const READ_BYTES: usize = 1 << 20;

/// A committed record with everything the log decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub record: Record,
    pub offset: u64,
    pub lamport: u64,
    pub log_id: LogId,
}

/// Why a page could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Retention dropped the record; offsets `start..=end` can be read.
    #[error("offsets {start} to {end} can be read")]
    OutOfRange { start: u64, end: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Committed {
    /// The record as the line protocol shows it.
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            topic: &self.record.topic,
            id: &self.record.id,
            offset: self.offset,
            ts_us: self.record.ts_us,
            corrected_us: self.record.corrected_us,
            bound_us: self.record.synchronised.then_some(self.record.error_bound_us),
            logical_time: self.lamport,
            node: &self.record.node,
            log_index: self.log_id.index,
            headers: &self.record.headers,
            body: &self.record.body,
            binary_safe: self.record.binary_safe,
        }
    }
}

/// A page while it fills.
struct Page {
    topic: String,
    /// The next offset it wants.
    next: u64,
    limit: usize,
    max_bytes: usize,
    records: Vec<Committed>,
    bytes: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.records.len() >= self.limit || self.bytes >= self.max_bytes
    }

    /// Takes what it wants of an entry.
    fn take(&mut self, entry: Bytes, position: &Position) -> io::Result<()> {
        let entry = Entry::decode(entry).map_err(damaged)?;
        for committed in expand(&entry, position, &self.topic).map_err(damaged)? {
            if committed.offset >= self.next && !self.is_full() {
                self.bytes += committed.record.size_bytes();
                self.next = committed.offset + 1;
                self.records.push(committed);
            }
        }
        Ok(())
    }

    /// Takes entries that are in memory, and returns how many of `positions` that were.
    fn take_hot(&mut self, log: &Log, positions: &[Position]) -> io::Result<usize> {
        for (taken, position) in positions.iter().enumerate() {
            let index = position.note.log_index;
            if self.is_full() {
                return Ok(positions.len());
            }
            let Some(entry) = log
                .read_hot(index, index + 1, READ_BYTES)
                .and_then(|mut read| read.pop())
            else {
                return Ok(taken);
            };
            self.take(entry.bytes, position)?;
        }
        Ok(positions.len())
    }

    /// Takes what is not in memory of `found`, whose first `taken` entries were; blocks.
    fn take_found(&mut self, index: &Index, log: &Log, found: Found, taken: usize) -> io::Result<()> {
        let positions = match found {
            Found::Positions(mut positions) => positions.split_off(taken),
            Found::InFile(share) => {
                let tables = index.tables(share.part)?;
                tables.positions(share.runs, share.base_offset, self.next, POSITIONS)
            }
        };
        self.take_cold(log, &positions)
    }

    /// Takes entries from files; blocks. Entries that follow each other are read together.
    fn take_cold(&mut self, log: &Log, positions: &[Position]) -> io::Result<()> {
        let mut rest = positions;
        while !rest.is_empty() && !self.is_full() {
            let first = rest[0].note.log_index;
            let row = (first..)
                .zip(rest)
                .take_while(|(index, position)| position.note.log_index == *index);
            let end = first + row.count() as u64;
            let read = log.read(first, end, READ_BYTES)?;
            if read.first().is_none_or(|entry| entry.index != first) {
                // Retention took it meanwhile.
                return Ok(());
            }
            let (now, later) = rest.split_at(read.len());
            for (entry, position) in read.into_iter().zip(now) {
                self.take(entry.bytes, position)?;
            }
            rest = later;
        }
        Ok(())
    }
}

impl Group {
    /// The records of `topic` from `offset` on: at most `limit`, and no more once they have `max_bytes`.
    /// Empty when there is none (yet).
    pub async fn fetch(
        &self,
        topic: &str,
        offset: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Committed>, FetchError> {
        let mut page = Page {
            topic: topic.to_owned(),
            next: offset.max(1),
            limit,
            max_bytes,
            records: Vec::new(),
            bytes: 0,
        };
        while !page.is_full() {
            let before = page.next;
            let found = {
                let state = self.state.read();
                let start = state.topics.log_start_offset(topic);
                if page.next < start {
                    if !page.records.is_empty() {
                        break;
                    }
                    let end = state.topics.high_watermark(topic);
                    return Err(FetchError::OutOfRange { start, end });
                }
                state.find(topic, page.next, POSITIONS)
            };
            let taken = match &found {
                Found::Positions(positions) => page.take_hot(self.log.log(), positions)?,
                Found::InFile(_) => 0,
            };
            if !matches!(&found, Found::Positions(positions) if positions.len() == taken) {
                let (index, log) = (self.index.clone(), self.log.log().clone());
                let cold = runtime::blocking(move || {
                    let read = page.take_found(&index, &log, found, taken);
                    (page, read)
                });
                let (back, read) = cold.await?;
                page = back;
                if let Err(error) = read
                    && !(error.kind() == io::ErrorKind::NotFound && self.was_cut(topic, before))
                {
                    return Err(error.into());
                }
            }
            if page.next == before && !self.was_cut(topic, before) {
                break;
            }
        }
        Ok(page.records)
    }

    fn was_cut(&self, topic: &str, offset: u64) -> bool {
        offset < self.state.read().topics.log_start_offset(topic)
    }

    /// The records of `topic` in the entry at `position`, if the entry is in memory.
    pub fn hot_records(
        &self,
        position: &Position,
        topic: &str,
    ) -> Result<Option<Vec<Committed>>, FetchError> {
        let index = position.note.log_index;
        let Some(stored) = self
            .log
            .log()
            .read_hot(index, index + 1, READ_BYTES)
            .and_then(|mut read| read.pop())
        else {
            return Ok(None);
        };
        let entry = Entry::decode(stored.bytes).map_err(damaged)?;
        Ok(Some(expand(&entry, position, topic).map_err(damaged)?))
    }
}

fn damaged(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The accepted records of `topic` in one entry, with their offsets and Lamport times.
pub fn expand(entry: &Entry, position: &Position, topic: &str) -> Result<Vec<Committed>, DecodeError> {
    let mut next = position.base_offset;
    expand_each(entry, &position.note, |of| {
        (**of == *topic).then(|| {
            next += 1;
            next - 1
        })
    })
}

/// The accepted records of an entry to which `offset` gives an offset by their topic, with their Lamport times.
fn expand_each(
    entry: &Entry,
    note: &EntryNote,
    mut offset: impl FnMut(&Arc<str>) -> Option<u64>,
) -> Result<Vec<Committed>, DecodeError> {
    if entry.kind != EntryKind::Records {
        return Ok(Vec::new());
    }
    let batch = Batch::decode(entry.payload())?;
    let mut lamport = note.lamport_before;
    let mut committed = Vec::new();
    for (ordinal, record) in (0_u32..).zip(batch.records) {
        if note.rejected.binary_search(&ordinal).is_ok() {
            continue;
        }
        lamport = next_lamport(lamport, record.lamport);
        if let Some(offset) = offset(&record.topic) {
            committed.push(Committed {
                record,
                offset,
                lamport,
                log_id: entry.log_id,
            });
        }
    }
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiber_protocol::{ids::GroupId, rpc::PublishOutcome};

    use super::*;
    use crate::state::{Change, State};

    proptest! {
        /// What a reader works out is what `apply` decided, whatever was rejected in between.
        #[test]
        fn reading_gives_what_apply_decided(
            batches in proptest::collection::vec(
                proptest::collection::vec(("[ab]", "[a-e]", "[xy]", 0_u64..40), 1..6), 1..12)
        ) {
            let mut state = State::default();
            let mut entries = Vec::new();
            let mut decided = Vec::new();
            for (index, batch) in (1_u64..).zip(batches) {
                let records: Vec<Record> = batch.into_iter().map(|(topic, id, body, lamport)| Record {
                    topic: topic.into(), id, client_id: true, node: "n1".into(), ts_us: 0, corrected_us: 0, error_bound_us: 0,
                    synchronised: false, lamport, headers: Vec::new(), body: body.into(), ..Record::default()
                }).collect();
                let log_id = LogId { term: 1, index };
                let batch = Batch { clock_ms: index, records };
                let applied = state.apply(log_id, 100, &Change::Records(batch.clone()));
                for (record, outcome) in batch.records.iter().zip(applied.outcomes) {
                    if let PublishOutcome::Published { offset, lamport } = outcome {
                        decided.push(Committed { record: record.clone(), offset, lamport, log_id });
                    }
                }
                entries.push(Entry::encode(GroupId(0), log_id, EntryKind::Records, (0, false), &batch.encode()));
            }
            for topic in ["a", "b"] {
                let Found::Positions(positions) = state.find(topic, 1, 1000) else { unreachable!("nothing is in files") };
                let read: Vec<Committed> = positions.iter().flat_map(|position| {
                    let at = usize::try_from(position.note.log_index).expect("a small index") - 1;
                    expand(&entries[at], position, topic).expect("the entry is whole")
                }).collect();
                let expected: Vec<Committed> =
                    decided.iter().filter(|committed| *committed.record.topic == *topic).cloned().collect();
                prop_assert_eq!(read, expected);
            }
        }
    }
}
