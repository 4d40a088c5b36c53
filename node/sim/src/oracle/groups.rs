//! Consumer groups, worked out independently of the nodes: one status for each record that a group did anything with.
//!
//! Whatever a member is handed must have been counted in the log before, under its number, once for each time it is
//! handed out. A record that is acknowledged is counted no more, so nobody can be handed it again.

use std::{collections::BTreeMap, ops::RangeInclusive};

use wiber_node::group::Group;
use wiber_protocol::{
    group_op::{GroupAction, GroupOp, GroupSettings},
    line::RecordLine,
    record::Record,
};

use super::{Inner, Oracle};
use crate::{count::Count, world::World};

/// Offsets from a group's oldest record that is not done on that may be handed out.
const WINDOW: u64 = 1_024;

/// A group, by topic and name.
type Name = (String, String);

/// One time that a record is handed to a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandOut {
    pub topic: String,
    pub group: String,
    pub offset: u64,
    pub delivery: u32,
}

/// All groups, and what clients were told of them.
#[derive(Default)]
pub(super) struct Book {
    groups: BTreeMap<Name, Model>,
    /// Groups that were moved, deleted or made again: what was acknowledged before says nothing about them.
    moved: Vec<Name>,
    /// How often the log counted this, and a member was shown it.
    counted: BTreeMap<HandOut, u64>,
    shown: BTreeMap<HandOut, u64>,
    /// Shown, and not found in the log yet, with who showed it.
    unproven: Vec<(HandOut, String)>,
    /// Acknowledged, as clients were told.
    acked: Vec<(Name, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Out(u32),
    Done,
}

struct Model {
    settings: GroupSettings,
    /// All before is done.
    start: u64,
    /// From `start` on. What is not in here waits.
    records: BTreeMap<u64, Status>,
    dead_letters: u64,
}

impl Model {
    fn is_done(&self, offset: u64) -> bool {
        offset < self.start || self.records.get(&offset) == Some(&Status::Done)
    }

    fn count(&self, offset: u64) -> u32 {
        match self.records.get(&offset) {
            Some(Status::Out(count)) => *count,
            _ => 0,
        }
    }

    fn next_offset(&self) -> u64 {
        let mut next = self.start;
        while self.is_done(next) {
            next += 1;
        }
        next
    }

    fn finish(&mut self, offset: u64) {
        if offset >= self.start {
            self.records.insert(offset, Status::Done);
        }
    }
}

impl Book {
    fn name(topic: &str, group: &str) -> Name {
        (topic.to_owned(), group.to_owned())
    }

    /// What a record that is no message does, in a topic with so many records.
    fn apply(&mut self, topic: &str, op: &GroupOp, high_watermark: u64) {
        let name = Self::name(topic, &op.group);
        if let GroupAction::Create {
            next_offset,
            settings,
        } = op.action
        {
            self.groups.entry(name).or_insert_with(|| Model {
                settings,
                start: next_offset.clamp(1, high_watermark + 1),
                records: BTreeMap::new(),
                dead_letters: 0,
            });
            return;
        }
        let Some(model) = self.groups.get_mut(&name) else {
            return;
        };
        match &op.action {
            GroupAction::Deliver { offsets } => {
                let end = high_watermark.min(model.next_offset() + WINDOW - 1);
                if offsets.iter().any(|range| *range.end() > end) {
                    return;
                }
                for offset in offsets.iter().flat_map(Clone::clone) {
                    if model.is_done(offset) {
                        continue;
                    }
                    let delivery = model.count(offset) + 1;
                    model.records.insert(offset, Status::Out(delivery));
                    let hand_out = HandOut {
                        topic: topic.to_owned(),
                        group: op.group.clone(),
                        offset,
                        delivery,
                    };
                    *self.counted.entry(hand_out).or_default() += 1;
                }
            }
            GroupAction::Ack { offsets } => {
                let last = model.records.keys().next_back().copied();
                let last = last.unwrap_or(0).max(model.start - 1);
                if offsets.iter().all(|range| *range.end() <= last) {
                    let all = offsets.iter().flat_map(Clone::clone);
                    all.for_each(|offset| model.finish(offset));
                }
            }
            GroupAction::Skip { next_offset } => {
                let end = (*next_offset).min(high_watermark + 1);
                (model.start..end).for_each(|offset| model.finish(offset));
            }
            GroupAction::Seek { next_offset } => {
                model.start = (*next_offset).clamp(1, high_watermark + 1);
                model.records.clear();
                self.moved.push(name);
            }
            GroupAction::Configure { settings } => model.settings = *settings,
            GroupAction::Delete => {
                self.groups.remove(&name);
                self.moved.push(name);
            }
            GroupAction::Create { .. } | GroupAction::DeadLetter { .. } => {}
        }
    }

    /// Looks for what was shown among what was counted.
    fn look_again(&mut self, world: &World) {
        let (counted, shown) = (&self.counted, &mut self.shown);
        self.unproven.retain(|(hand_out, _)| {
            let counted = counted.get(hand_out).copied().unwrap_or(0);
            let times = shown.entry(hand_out.clone()).or_default();
            if *times == counted {
                return true;
            }
            *times += 1;
            world.count(Count::HandedOut);
            if hand_out.delivery > 1 {
                world.count(Count::HandedOutAgain);
            }
            false
        });
    }
}

impl Oracle {
    /// A member was handed a record.
    pub fn handed_out(&self, hand_out: HandOut, who: &str) {
        self.0.lock().book.unproven.push((hand_out, who.to_owned()));
    }

    /// A client was told that this is acknowledged.
    pub fn group_acked(&self, topic: &str, group: &str, offset: u64) {
        self.0.lock().book.acked.push((Book::name(topic, group), offset));
    }

    /// Whether every record of every group's topic is done.
    pub fn groups_are_done(&self) -> bool {
        let inner = self.0.lock();
        let is_done =
            |((topic, _), model): (&Name, &Model)| model.next_offset() > inner.log.high_watermark(topic);
        inner.book.groups.iter().all(is_done)
    }

    /// What is not done, for people.
    pub fn undone(&self) -> String {
        let inner = self.0.lock();
        let groups = inner.book.groups.iter();
        let of = groups.map(|((topic, group), model)| {
            let (next, end) = (model.next_offset(), inner.log.high_watermark(topic));
            let count = model.count(next);
            format!("{group} of {topic} is at {next} of {end}, handed out {count} times")
        });
        of.collect::<Vec<_>>().join("; ")
    }
}

impl Inner {
    /// A record with a change of a group. Whether it is a message to be stored: a dead letter of a record that was handed out
    /// as often as its group allows, and is not done.
    pub(super) fn group_op(&mut self, world: &World, record: &Record, op: &GroupOp) -> bool {
        let GroupAction::DeadLetter { topic, offset } = &op.action else {
            let high_watermark = self.log.high_watermark(&record.topic);
            self.book.apply(&record.topic, op, high_watermark);
            return false;
        };
        let name = Book::name(topic, &op.group);
        let Some(model) = self.book.groups.get_mut(&name) else {
            return false;
        };
        if model.is_done(*offset) || model.count(*offset) < model.settings.max_deliveries {
            return false;
        }
        let deliveries = model.settings.max_deliveries..=model.count(*offset);
        model.finish(*offset);
        model.dead_letters += 1;
        world.count(Count::DeadLetter);
        let Some(original) = self.log.record(topic, *offset) else {
            world.fail(format!(
                "a dead letter of offset {offset} of {topic}, which nobody has"
            ));
            return false;
        };
        if !is_made_of(record, original, &op.group, deliveries) {
            world.fail(format!("{record:?} is no dead letter of {original:?}"));
        }
        true
    }

    /// Compares a node's groups with what the log up to the node's last entry says, which is all that is known.
    pub(super) fn compare_groups(&self, world: &World, who: &str, group: &Group) {
        let state = group.state.read();
        if state.applied.map_or(0, |at| at.index) + 1 != self.log.len() {
            return;
        }
        let mut found = 0;
        for (topic, name, of_node) in state.groups.iter() {
            found += 1;
            world.count(Count::GroupState);
            let Some(model) = self.book.groups.get(&Book::name(topic, name)) else {
                return world.fail(format!("{who} has a group {name} of {topic}, which there is not"));
            };
            let last = model.records.keys().next_back().copied().unwrap_or(0);
            let next = model.next_offset();
            let is_same = |offset: u64| {
                of_node.is_done(offset) == model.is_done(offset)
                    && of_node.deliveries(offset) == model.count(offset)
            };
            let differs = (next..=last).find(|offset| !is_same(*offset));
            if of_node.next_offset() != next
                || of_node.dead_letters() != model.dead_letters
                || of_node.settings != model.settings
                || differs.is_some()
            {
                return world.fail(format!(
                    "{who} has group {name} of {topic} as {of_node:?}; the log says it is at {next}, {:?}",
                    model.records.range(next..).collect::<Vec<_>>()
                ));
            }
        }
        if found != self.book.groups.len() {
            world.fail(format!("{who} has {found} groups of {}", self.book.groups.len()));
        }
    }

    pub(super) fn look_at_hand_outs(&mut self, world: &World) {
        self.book.look_again(world);
    }

    /// Nothing may be left open.
    pub(super) fn settle_groups(&self, world: &World) {
        if let Some((hand_out, who)) = self.book.unproven.first() {
            world.fail(format!("{who} handed out what was not counted: {hand_out:?}"));
        }
        for (name, offset) in &self.book.acked {
            if self.book.moved.contains(name) {
                continue;
            }
            world.count(Count::GroupAckKept);
            let is_done = self
                .book
                .groups
                .get(name)
                .is_some_and(|model| model.is_done(*offset));
            if !is_done {
                world.fail(format!(
                    "offset {offset} was acknowledged in {name:?} and is not done"
                ));
            }
        }
    }
}

/// Whether `record` has the body and the headers of `original`, and says where it comes from. Of the deliveries it need not
/// know what was counted while it was on its way to the log.
fn is_made_of(record: &Record, original: &RecordLine, group: &str, deliveries: RangeInclusive<u32>) -> bool {
    let mut expected = original.headers.clone();
    for (key, value) in [
        ("dead-topic", original.topic.clone()),
        ("dead-group", group.to_owned()),
        ("dead-offset", original.offset.to_string()),
    ] {
        expected.insert(key.to_owned(), value);
    }
    let mut headers: BTreeMap<String, String> = record.headers.iter().cloned().collect();
    let told = headers.remove("dead-deliveries");
    headers.remove("dead-reason").is_some()
        && told.is_some_and(|told| told.parse().is_ok_and(|told| deliveries.contains(&told)))
        && headers == expected
        && *record.topic == *format!("dead.{}.{group}", original.topic)
        && original.body().is_ok_and(|body| record.body == body)
}
