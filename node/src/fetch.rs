//! Reading records of a topic: index → log entry → record.
//!
//! A reader is a cursor: it asks from an offset and gets a bounded page. What the log does not say (offsets,
//! final Lamport times, which records were rejected) is worked out again from the entry's note, the same way
//! `apply` did.

use std::io;

use wiber_protocol::{
    entry::{Entry, EntryKind},
    ids::LogId,
    line::RecordView,
    record::{Batch, Record},
};

use crate::{
    group::Group,
    state::{Position, next_lamport},
};

/// Entries looked up in the index at a time.
const POSITIONS: usize = 64;
/// A page of a history or read is closed when its bodies have this many bytes.
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

impl Committed {
    /// The record as the line protocol shows it.
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            topic: &self.record.topic,
            id: &self.record.id,
            offset: self.offset,
            ts_us: self.record.ts_us,
            corrected_us: self.record.corrected_us,
            logical_time: self.lamport,
            node: &self.record.node,
            log_index: self.log_id.index,
            body: &self.record.body,
            binary_safe: false,
        }
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
    ) -> io::Result<Vec<Committed>> {
        let mut page: Vec<Committed> = Vec::new();
        let mut bytes = 0;
        let mut next = offset;
        while page.len() < limit && bytes < max_bytes {
            let positions = self.state.read().topics.positions(topic, next, POSITIONS);
            let before = page.len();
            for position in positions {
                if page.len() == limit || bytes >= max_bytes {
                    return Ok(page);
                }
                let index = position.note.log_index;
                let stored = self.log.stored(index, index + 1, READ_BYTES).await?;
                let Some(stored) = stored.into_iter().next() else {
                    return Ok(page);
                };
                let entry = Entry::decode(stored.bytes).map_err(damaged)?;
                for committed in expand(&entry, &position, topic).map_err(damaged)? {
                    if committed.offset < next || page.len() == limit || bytes >= max_bytes {
                        continue;
                    }
                    bytes += committed.record.body.len() + committed.record.id.len();
                    next = committed.offset + 1;
                    page.push(committed);
                }
            }
            if page.len() == before {
                break;
            }
        }
        Ok(page)
    }

    /// The offset of the first record of `topic`, from offset `from` on, that an entry above `log_index` holds; the
    /// topic's next offset if there is none yet.
    pub fn first_above(&self, topic: &str, from: u64, log_index: u64) -> u64 {
        let state = self.state.read();
        let mut next = from;
        loop {
            let positions = state.topics.positions(topic, next, POSITIONS);
            if let Some(above) = positions.iter().find(|at| at.note.log_index > log_index) {
                return above.base_offset.max(from);
            }
            match positions.last() {
                Some(last) if positions.len() == POSITIONS => next = last.base_offset,
                _ => return state.topics.next_offset(topic),
            }
        }
    }
}

fn damaged(error: wiber_protocol::codec::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The accepted records of `topic` in one entry, with their offsets and Lamport times.
pub fn expand(
    entry: &Entry,
    position: &Position,
    topic: &str,
) -> Result<Vec<Committed>, wiber_protocol::codec::DecodeError> {
    if entry.kind != EntryKind::Records {
        return Ok(Vec::new());
    }
    let batch = Batch::decode(entry.payload())?;
    let note = &position.note;
    let mut lamport = note.lamport_before;
    let mut offset = position.base_offset;
    let mut committed = Vec::new();
    for (ordinal, record) in (0_u32..).zip(batch.records) {
        if note.rejected.binary_search(&ordinal).is_ok() {
            continue;
        }
        lamport = next_lamport(lamport, record.lamport);
        if record.topic == topic {
            committed.push(Committed {
                record,
                offset,
                lamport,
                log_id: entry.log_id,
            });
            offset += 1;
        }
    }
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiber_protocol::{ids::GroupId, rpc::PublishOutcome};

    use super::*;
    use crate::state::State;

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
                    topic, id, client_id: true, node: "n1".into(), ts_us: 0, corrected_us: 0, error_bound_us: 0,
                    synchronised: false, lamport, headers: Vec::new(), body: body.into(),
                }).collect();
                let log_id = LogId { term: 1, index };
                let batch = Batch { clock_ms: index, records };
                let applied = state.apply(log_id, &batch);
                for (record, outcome) in batch.records.iter().zip(applied.outcomes) {
                    if let PublishOutcome::Published { offset, lamport } = outcome {
                        decided.push(Committed { record: record.clone(), offset, lamport, log_id });
                    }
                }
                entries.push(Entry::encode(GroupId(0), log_id, EntryKind::Records, (0, false), &batch.encode()));
            }
            for topic in ["a", "b"] {
                let read: Vec<Committed> = state.topics.positions(topic, 1, 1000).iter().flat_map(|position| {
                    let at = usize::try_from(position.note.log_index).expect("a small index") - 1;
                    expand(&entries[at], position, topic).expect("the entry is whole")
                }).collect();
                let expected: Vec<Committed> =
                    decided.iter().filter(|committed| committed.record.topic == topic).cloned().collect();
                prop_assert_eq!(read, expected);
            }
        }
    }
}
