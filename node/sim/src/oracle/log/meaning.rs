//! What a committed entry means, worked out independently of the nodes.

use wiber_protocol::{
    entry::{Cut, Entry, EntryKind},
    ids::LogId,
    record::{Batch, Record},
};
use wiber_storage::StoredEntry;

use super::super::{Ids, Inner, Known, key_of};
use crate::{count::Count, world::World};

impl Inner {
    pub(super) fn committed(&mut self, world: &World, who: &str, stored: &StoredEntry, crc: u32) {
        world.count(Count::LogEntry);
        while stored.index > self.log.len() {
            let len = self.log.len();
            let Some(missed) = self.log.missed(len, stored.term) else {
                return world.fail(format!(
                    "{who} has committed {} and nobody has committed {len}",
                    stored.index
                ));
            };
            let crc = self.log.matches(world, who, &missed);
            self.committed(world, who, &missed, crc);
        }
        if let Some(known) = usize::try_from(stored.index)
            .ok()
            .and_then(|at| self.log.entries.get(at))
        {
            if *known != (stored.term, crc) {
                world.fail(format!(
                    "{who} has committed another entry {} (term {}) than a node before (term {})",
                    stored.index, stored.term, known.0
                ));
            }
            return;
        }
        self.log.entries.push((stored.term, crc));
        self.log.sent.remove(&stored.index);
        self.log.bytes.push(stored.bytes.len() as u64);
        let entry = match Entry::decode(stored.bytes.clone()) {
            Ok(entry) => entry,
            Err(error) => {
                return world.fail(format!(
                    "{who} has committed an entry that nobody can read: {error}"
                ));
            }
        };
        if entry.kind == EntryKind::Cut {
            self.cut(world, who, &entry);
        }
        if entry.kind != EntryKind::Records {
            return;
        }
        match Batch::decode(entry.payload()) {
            Ok(batch) => {
                self.window.advance(batch.clock_ms);
                for record in batch.records {
                    self.record(world, entry.log_id, record);
                }
            }
            Err(error) => world.fail(format!(
                "{who} has committed a batch that nobody can read: {error}"
            )),
        }
    }

    /// What the log means, worked out independently of the nodes.
    fn record(&mut self, world: &World, at: LogId, record: Record) {
        if let Some(op) = &record.group_op {
            if self.group_op(world, &record, op) {
                self.log.store(at, record);
            }
            return;
        }
        let text = String::from_utf8_lossy(&record.body);
        let key = key_of(&record.body);
        let Some(known) = self
            .publishes
            .get_mut(key)
            .filter(|known| *known.publish.topic == *record.topic)
        else {
            return world.fail(format!("a phantom in {}: {text}", record.topic));
        };
        world.count(Count::RecordKnown);
        let asked_us = self.log.asked_us.entry(at.index).or_default();
        *asked_us = known.asked_us.max(*asked_us);
        if known.offset.is_some() {
            let is_retried = record.id == key || (known.publish.ids == Ids::Library && record.id == known.id);
            if !is_retried {
                world.fail(format!(
                    "twice in {}: {text}, which was not sent again",
                    record.topic
                ));
            }
            // The same id again: a retry, or other content under a used id. Either way no new record.
            let is_known = self.window.holds(&record.topic, &record.id)
                || self.window.is_too_old(&record.topic, &record.id);
            if record.client_id && !is_known {
                world.fail(format!(
                    "twice in {}: {text}, whose id is forgotten",
                    record.topic
                ));
            }
            return;
        }
        if self.window.is_too_old(&record.topic, &record.id) {
            return;
        }
        if known.publish.body != record.body {
            return world.fail(format!(
                "another content in {} than was asked for: {text}",
                record.topic
            ));
        }
        let offset = self.log.high_watermark(&record.topic) + 1;
        if let Some(expect) = record.expect {
            if expect + 1 != offset {
                return;
            }
            world.count(Count::Expected);
        }
        if !record.headers.is_empty() {
            world.count(Count::Headers);
        }
        if !known.publish.headers.are_of(&record) {
            return world.fail(format!(
                "{text} has other headers than it was sent with: {:?}",
                record.headers
            ));
        }
        if record.body.contains(&b'\n') || std::str::from_utf8(&record.body).is_err() {
            world.count(Count::OddBody);
        }
        if known.refused {
            return world.fail(format!("{text} is stored, and somebody was told that it is not"));
        }
        real_time(world, known, offset);
        known.offset = Some(offset);
        known.id.clone_from(&record.id);
        if record.client_id {
            self.window.remember(&record.topic, &record.id);
        }
        self.log.store(at, record);
    }
}

impl Inner {
    /// What is dropped is too old, or too much, whatever the nodes' wall clocks say.
    fn cut(&mut self, world: &World, who: &str, entry: &Entry) {
        let last = match Cut::decode(entry.payload()) {
            Ok(cut) => {
                self.window.advance(cut.clock_ms);
                cut.last_index
            }
            Err(error) => {
                return world.fail(format!("{who} has committed a cut that nobody can read: {error}"));
            }
        };
        self.log.cut = self.log.cut.max(Some(last));
        // Another cut may stand between: what it dropped is judged there.
        let asked_us = self
            .log
            .asked_us
            .range(..=last)
            .map(|(_, asked_us)| *asked_us)
            .max();
        let age_ms = asked_us.map_or(u64::MAX, |asked_us| (world.now_us() - asked_us) / 1000);
        // The leaders' clocks run up to a thousandth slow or fast.
        let at_most_ms = age_ms.saturating_add(age_ms / 1_000 + 1);
        let is_old = self.retention.max_age_ms.is_some_and(|max| at_most_ms >= max);
        let after = usize::try_from(last).map_or(usize::MAX, |last| last + 1);
        let kept_bytes: u64 = self.log.bytes.get(after..).unwrap_or_default().iter().sum();
        let is_much = self.retention.max_bytes.is_some_and(|max| kept_bytes >= max);
        if is_old {
            world.count(Count::CutByAge);
        }
        if is_much {
            world.count(Count::CutByBytes);
        }
        if !is_old && !is_much {
            world.fail(format!(
                "{who} drops entries up to {last}, the youngest of which is at most {age_ms} ms old, and keeps {kept_bytes} bytes; to \
                 be kept: {:?}",
                self.retention
            ));
        }
    }
}

/// What was asked for after another offset was known stands behind it.
fn real_time(world: &World, known: &Known, offset: u64) {
    world.count(Count::RealTime);
    if offset <= known.floor {
        world.fail(format!(
            "{} has offset {offset}, though {} was known before it was asked for",
            known.key(),
            known.floor
        ));
    }
}
