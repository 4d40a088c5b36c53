//! The one log, as the nodes together hold it committed, and the records it means ([`meaning`]).

mod meaning;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use wiber_node::{fetch::FetchError, group::Group};
use wiber_protocol::{entry::Entry, ids::LogId, line::RecordLine, pattern::Pattern, record::Record};
use wiber_storage::StoredEntry;

use super::{Oracle, Shown};
use crate::{count::Count, world::World};

/// One read of a node's log.
const READ_BYTES: usize = 1 << 20;

/// How far one run of one node was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The next entry to compare as committed.
    next: u64,
    /// The first entry that was there when it was last looked at.
    start: u64,
}

/// A record, and what its lines are made of beside it.
pub(super) struct Stored {
    pub(super) line: RecordLine,
    pub(super) body: Bytes,
    pub(super) binary_safe: bool,
}

/// Every entry that some node held as committed, from the first on.
#[derive(Default)]
pub(super) struct CommittedLog {
    /// Term and checksum of each entry, by index.
    entries: Vec<(u64, u32)>,
    /// The checksum of every entry ever seen at an index with a term, committed or not.
    seen: BTreeMap<(u64, u64), u32>,
    topics: BTreeMap<String, Vec<Stored>>,
    lamport: u64,
    /// Topic and offset of each record, by Lamport time.
    places: BTreeMap<u64, (String, u64)>,
    /// For each entry that holds records: when the youngest of them was asked for, at the latest.
    asked_us: BTreeMap<u64, u64>,
    /// The last entry that retention dropped.
    cut: Option<u64>,
    /// Bytes of each entry.
    bytes: Vec<u64>,
    /// What leaders sent, by index: every version of the entries that are not known to be committed yet. What is committed and
    /// dropped by retention between two looks is found here.
    sent: BTreeMap<u64, Vec<Bytes>>,
}

impl CommittedLog {
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn record(&self, topic: &str, offset: u64) -> Option<&RecordLine> {
        self.stored(topic, offset).map(|stored| &stored.line)
    }

    pub(super) fn stored(&self, topic: &str, offset: u64) -> Option<&Stored> {
        let at = usize::try_from(offset.checked_sub(1)?).ok()?;
        self.topics.get(topic)?.get(at)
    }

    /// Whether retention dropped this record.
    pub(super) fn is_dropped(&self, topic: &str, offset: u64) -> bool {
        let record = self.record(topic, offset);
        record.is_some_and(|record| self.cut.is_some_and(|cut| record.log_index <= cut))
    }

    /// The Lamport time of the last record.
    pub(super) fn lamport(&self) -> u64 {
        self.lamport
    }

    /// The entry of the first record later than `after`.
    pub(super) fn index_after(&self, after: u64) -> u64 {
        let first = self.places.range(after + 1..).next();
        let record = first.and_then(|(_, (topic, offset))| self.record(topic, *offset));
        record.map_or(u64::MAX, |record| record.log_index)
    }

    /// Records of matching topics later than `after`, up to `until`.
    pub(super) fn matching<'a>(
        &'a self,
        pattern: &'a Pattern,
        after: u64,
        until: u64,
    ) -> impl Iterator<Item = &'a RecordLine> {
        let places = (after < until).then(|| self.places.range(after + 1..=until));
        places
            .into_iter()
            .flatten()
            .filter(|(_, (topic, _))| pattern.matches(topic))
            .filter_map(|(_, (topic, offset))| self.record(topic, *offset))
    }

    pub(super) fn topics(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    pub(super) fn high_watermark(&self, topic: &str) -> u64 {
        self.topics.get(topic).map_or(0, |records| records.len() as u64)
    }

    /// The entry at `index` under one of `term`, if it was sent: of several versions the one that the newest leader up to then
    /// sent.
    fn missed(&self, index: u64, term: u64) -> Option<StoredEntry> {
        let versions = self.sent.get(&index)?.iter();
        let read = versions.filter_map(|bytes| Some((Entry::decode(bytes.clone()).ok()?.log_id.term, bytes)));
        let (term, bytes) = read.filter(|(of, _)| *of <= term).max_by_key(|(of, _)| *of)?;
        Some(StoredEntry {
            term,
            index,
            bytes: bytes.clone(),
        })
    }

    /// The next record of its topic.
    fn store(&mut self, at: LogId, record: Record) {
        let records = self.topics.entry(record.topic.to_string()).or_default();
        let offset = records.len() as u64 + 1;
        self.lamport = record.lamport.max(self.lamport + 1);
        self.places
            .insert(self.lamport, (record.topic.to_string(), offset));
        let is_text = std::str::from_utf8(&record.body).is_ok();
        let line = RecordLine {
            topic: record.topic.to_string(),
            id: record.id,
            offset,
            ts_us: record.ts_us,
            corrected_us: record.corrected_us,
            logical_time: self.lamport,
            clock_type: "logical".to_owned(),
            node: record.node.to_string(),
            log_index: at.index,
            headers: record.headers.into_iter().collect(),
            bound_us: record
                .synchronised
                .then_some(i64::try_from(record.error_bound_us).unwrap_or(i64::MAX)),
            data: (!is_text).then(|| BASE64.encode(&record.body)),
            text: String::from_utf8_lossy(&record.body).into_owned(),
            ..RecordLine::default()
        };
        records.push(Stored {
            line,
            body: record.body,
            binary_safe: record.binary_safe,
        });
    }

    /// Two logs that hold an entry of one index and term hold the same entry.
    fn matches(&mut self, world: &World, who: &str, stored: &StoredEntry) -> u32 {
        let crc = crc32c::crc32c(&stored.bytes);
        let known = *self.seen.entry((stored.index, stored.term)).or_insert(crc);
        world.count(Count::LogMatching);
        if known != crc {
            world.fail(format!(
                "{who} holds another entry {}/{} than a node before",
                stored.term, stored.index
            ));
        }
        crc
    }
}

impl Oracle {
    /// A leader sends entries that follow `prev`.
    pub fn sent(&self, prev: Option<LogId>, entries: &[Bytes]) {
        let mut inner = self.0.lock();
        let known = inner.log.len();
        let first = prev.map_or(0, |prev| prev.index + 1);
        for (index, bytes) in (first..).zip(entries).filter(|(index, _)| *index >= known) {
            let versions = inner.log.sent.entry(index).or_default();
            if !versions.contains(bytes) {
                versions.push(bytes.clone());
            }
        }
    }

    /// Looks at what `who` holds, from where `cursor` left off.
    pub fn look(&self, world: &World, who: &str, group: &Group, cursor: &mut Cursor) {
        let mut inner = self.0.lock();
        let log = group.log.log();
        let applied = group.applied_index();
        let purged = log.purged().map_or(0, |(_, index)| index + 1);
        if purged > cursor.start {
            world.count(Count::Purged);
            cursor.start = purged;
        }
        // After a snapshot the log may hold other entries below the cut for a moment. Nobody reads them.
        let cut = group.state.read().cut.map_or(0, |cut| cut.index + 1);
        cursor.next = cursor.next.max(purged).max(cut);
        while cursor.next <= applied {
            // A log that ends in this moment cannot be read; another look will come.
            let Ok(part) = log.read(cursor.next, applied + 1, READ_BYTES) else {
                return;
            };
            if part.is_empty() {
                return;
            }
            for stored in part {
                cursor.next = stored.index + 1;
                let crc = inner.log.matches(world, who, &stored);
                inner.committed(world, who, &stored, crc);
            }
        }
        inner.compare_groups(world, who, group);
        let end = log.last().map_or(0, |(_, index)| index + 1);
        for stored in log.read(cursor.next, end, READ_BYTES).unwrap_or_default() {
            inner.log.matches(world, who, &stored);
        }
    }
}

/// Reads every record of a topic from one node and compares it.
pub async fn read_all(world: &World, who: &str, group: &Group, topic: &str) {
    let end = world.oracle().high_watermark(topic);
    let mut next = group.state.read().topics.log_start_offset(topic);
    while next <= end {
        let page = match group.fetch(topic, next, 1_000, READ_BYTES).await {
            Ok(page) => page,
            // Records grow old also while they are read.
            Err(FetchError::OutOfRange { start, .. }) if start > next => {
                next = start;
                continue;
            }
            Err(error) => return world.fail(format!("{who} cannot read {topic} at {next}: {error}")),
        };
        if page.is_empty() {
            return world.fail(format!(
                "{who} has no record {next} of {topic}, which ends at {end}"
            ));
        }
        for committed in page {
            let mut line = Vec::new();
            committed.view().write_record(&mut line);
            let line = String::from_utf8_lossy(&line);
            match Shown::record(line.trim_end()) {
                Ok(record) if record.offset == next => world.oracle().shown(world, record, who),
                Ok(_) | Err(_) => {
                    return world.fail(format!("{who} has {line} where {next} of {topic} belongs"));
                }
            }
            next += 1;
        }
    }
}
