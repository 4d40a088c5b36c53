//! What a fake node keeps: records in one order, and groups. Values only.

use std::collections::{BTreeMap, BTreeSet};

use wiber_protocol::line::{GroupLine, HandedOut, RecordView, TopicLine};

/// The stamp of a topic's first record, microseconds; each later one is a second on.
const FIRST_TS_US: i64 = 1_729_459_200_123_456;

pub(super) struct Stored {
    topic: String,
    id: String,
    pub(super) offset: u64,
    pub(super) logical_time: u64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    binary_safe: bool,
}

impl Stored {
    pub(super) fn corrected_us(&self) -> i64 {
        self.ts_us() + 250_000
    }

    fn ts_us(&self) -> i64 {
        FIRST_TS_US + 1_000_000 * (i64::try_from(self.offset).unwrap() - 1)
    }

    pub(super) fn write(&self, node: &str, group: Option<(&str, u32)>, out: &mut Vec<u8>) {
        let view = RecordView {
            topic: &self.topic,
            id: &self.id,
            offset: self.offset,
            ts_us: self.ts_us(),
            corrected_us: self.corrected_us(),
            bound_us: None,
            logical_time: self.logical_time,
            node,
            log_index: self.logical_time,
            headers: &self.headers,
            body: &self.body,
            binary_safe: self.binary_safe,
        };
        view.write_record_with(HandedOut { group, late: false }, out);
    }
}

/// A message before it is stored.
pub(super) struct Offered<'a> {
    pub(super) topic: &'a str,
    pub(super) id: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) expect: Option<u64>,
    pub(super) body: &'a [u8],
    pub(super) binary_safe: bool,
}

pub(super) enum Decided {
    Stored { offset: u64, logical_time: u64 },
    Duplicate { offset: u64 },
    Conflict,
    Mismatch { end: u64 },
}

/// One group of one topic; a connection is a number.
#[derive(Default)]
pub(super) struct Group {
    next: u64,
    done: BTreeSet<u64>,
    /// Who holds what.
    held: BTreeMap<u64, u64>,
    /// Handed out before, and nobody's now.
    loose: BTreeSet<u64>,
    deliveries: BTreeMap<u64, u32>,
    pub(super) members: BTreeSet<u64>,
}

impl Group {
    pub(super) fn new(next: u64) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// False if one of them was never handed out.
    pub(super) fn ack(&mut self, first: u64, last: u64) -> bool {
        if last >= self.next {
            return false;
        }
        for offset in first..=last {
            self.done.insert(offset);
            self.held.remove(&offset);
            self.loose.remove(&offset);
        }
        true
    }

    /// False if that connection does not hold it.
    pub(super) fn nack(&mut self, connection: u64, offset: u64) -> bool {
        let is_held = self.held.get(&offset) == Some(&connection);
        if is_held {
            self.held.remove(&offset);
            self.loose.insert(offset);
        }
        is_held
    }

    pub(super) fn leave(&mut self, connection: u64) {
        self.members.remove(&connection);
        let lost = self.held.extract_if(.., |_, holder| *holder == connection);
        self.loose.extend(lost.map(|(offset, _)| offset));
    }

    pub(super) fn seek(&mut self, next: u64) {
        let members = std::mem::take(&mut self.members);
        *self = Self {
            members,
            ..Self::new(next)
        };
    }

    /// The next offset for a member, and the how manieth time it is handed out.
    pub(super) fn hand_out(&mut self, connection: u64, max_in_flight: u32, end: u64) -> Option<(u64, u32)> {
        let holds = self.held.values().filter(|holder| **holder == connection).count();
        if holds >= usize::try_from(max_in_flight).unwrap() {
            return None;
        }
        let offset = match self.loose.pop_first() {
            Some(offset) => offset,
            None if self.next <= end => {
                self.next += 1;
                self.next - 1
            }
            None => return None,
        };
        self.held.insert(offset, connection);
        let deliveries = self.deliveries.entry(offset).or_default();
        *deliveries += 1;
        Some((offset, *deliveries))
    }

    fn line(&self, topic: &str, group: &str, end: u64) -> GroupLine {
        let outstanding = (self.held.len() + self.loose.len()) as u64;
        GroupLine {
            topic: topic.to_owned(),
            group: group.to_owned(),
            next_offset: self
                .held
                .keys()
                .chain(&self.loose)
                .min()
                .copied()
                .unwrap_or(self.next),
            outstanding,
            lag: end + 1 - self.next + outstanding,
            ack_timeout_ms: 30_000,
            max_deliveries: 5,
            members: Some(self.members.len() as u64),
            ..GroupLine::default()
        }
    }
}

#[derive(Default)]
pub(super) struct Log {
    /// In the order of their Lamport times.
    pub(super) records: Vec<Stored>,
    pub(super) groups: BTreeMap<(String, String), Group>,
}

impl Log {
    pub(super) fn of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Stored> {
        self.records.iter().filter(move |record| record.topic == topic)
    }

    pub(super) fn matching(&self, matches: impl Fn(&str) -> bool) -> impl Iterator<Item = &Stored> {
        self.records.iter().filter(move |record| matches(&record.topic))
    }

    /// The topic's newest offset.
    pub(super) fn end(&self, topic: &str) -> u64 {
        self.of(topic).count() as u64
    }

    pub(super) fn has(&self, topic: &str) -> bool {
        self.end(topic) > 0
    }

    pub(super) fn offer(&mut self, offered: &Offered<'_>) -> Decided {
        let end = self.end(offered.topic);
        if let Some(known) = self.of(offered.topic).find(|record| record.id == offered.id) {
            if known.body == offered.body && known.headers == offered.headers {
                return Decided::Duplicate { offset: known.offset };
            }
            return Decided::Conflict;
        }
        if offered.expect.is_some_and(|expect| expect != end) {
            return Decided::Mismatch { end };
        }
        let (offset, logical_time) = (end + 1, (self.records.len() as u64 + 1) * 10);
        self.records.push(Stored {
            topic: offered.topic.to_owned(),
            id: offered.id.to_owned(),
            offset,
            logical_time,
            headers: offered.headers.to_vec(),
            body: offered.body.to_vec(),
            binary_safe: offered.binary_safe,
        });
        Decided::Stored { offset, logical_time }
    }

    pub(super) fn topic_lines(&self, matches: impl Fn(&str) -> bool) -> Vec<TopicLine> {
        let names: BTreeSet<&str> = self.records.iter().map(|record| record.topic.as_str()).collect();
        let line = |topic: &str| TopicLine {
            topic: topic.to_owned(),
            high_watermark: self.end(topic),
            log_start_offset: 1,
            bytes: self.of(topic).map(|record| record.body.len() as u64).sum(),
            ..TopicLine::default()
        };
        names.into_iter().filter(|name| matches(name)).map(line).collect()
    }

    pub(super) fn group_lines(&self, matches: impl Fn(&str) -> bool) -> Vec<GroupLine> {
        let matching = self.groups.iter().filter(|((topic, _), _)| matches(topic));
        matching
            .map(|((topic, name), group)| group.line(topic, name, self.end(topic)))
            .collect()
    }
}
