//! Consumer groups as the log says: where each stands in its topic, what is done above that, and how often what is not
//! done was handed out.
//!
//! Who holds a record, and until when, is not in here: that is for the leader's coordinator to know, and to know anew
//! after every change of leader. What retention dropped plays no part either, because a node that starts from a snapshot
//! knows of a cut earlier than the others: the leader says with [`GroupAction::Skip`] what a group will never get.

mod form;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use wiber_protocol::{
    group_op::{GroupAction, GroupOp, GroupSettings},
    rpc::PublishOutcome,
};

/// The most consumer groups of a cluster. It decides what is made, so it is the same on every node.
pub const MAX_GROUPS: usize = 1_000;
/// From a group's oldest record that is not done, only so many offsets on may be handed out: the rest waits for that one.
/// It bounds what is kept of a group, and is the same on every node.
pub const GROUP_WINDOW: u64 = 1_024;

/// One group's place in its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub settings: GroupSettings,
    /// Everything below is done, this one is not.
    next_offset: u64,
    /// Done above `next_offset`; within the window.
    done: BTreeSet<u64>,
    /// How often what was handed out and is not done was handed out; within the window.
    deliveries: BTreeMap<u64, u32>,
    /// How often a record was handed out again.
    redelivered: u64,
    /// How many records were put aside.
    dead_letters: u64,
}

impl GroupState {
    fn new(next_offset: u64, settings: GroupSettings) -> Self {
        Self {
            settings,
            next_offset,
            done: BTreeSet::new(),
            deliveries: BTreeMap::new(),
            redelivered: 0,
            dead_letters: 0,
        }
    }

    /// Everything below is done.
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    pub fn is_done(&self, offset: u64) -> bool {
        offset < self.next_offset || self.done.contains(&offset)
    }

    /// How often a record that is not done was handed out; 0 for one that is done.
    pub fn deliveries(&self, offset: u64) -> u32 {
        self.deliveries.get(&offset).copied().unwrap_or(0)
    }

    /// Records handed out and not done, and records done before an earlier one.
    pub fn outstanding(&self) -> u64 {
        (self.deliveries.len() + self.done.len()) as u64
    }

    /// Records of the topic, which can be read from `log_start_offset` on, that are not done.
    pub fn lag(&self, log_start_offset: u64, high_watermark: u64) -> u64 {
        let first = self.next_offset.max(log_start_offset);
        let done = self.done.range(first..).count() as u64;
        (high_watermark + 1).saturating_sub(first).saturating_sub(done)
    }

    pub fn redelivered(&self) -> u64 {
        self.redelivered
    }

    pub fn dead_letters(&self) -> u64 {
        self.dead_letters
    }

    /// The last offset that may be handed out now, in a topic that ends at `high_watermark`.
    pub fn window_end(&self, high_watermark: u64) -> u64 {
        high_watermark.min(self.next_offset + (GROUP_WINDOW - 1))
    }

    /// The highest offset that was handed out or is done.
    fn highest(&self) -> u64 {
        let handed_out = self.deliveries.last_key_value().map(|(offset, _)| *offset);
        let done = self.done.last().copied();
        handed_out.max(done).unwrap_or(self.next_offset.saturating_sub(1))
    }

    /// What is done already is not handed out again, whoever decided so.
    fn deliver(&mut self, offsets: &[RangeInclusive<u64>], high_watermark: u64) -> PublishOutcome {
        let end = self.window_end(high_watermark);
        if offsets.iter().any(|range| *range.end() > end) {
            return PublishOutcome::OutOfGroupRange;
        }
        for range in offsets {
            for offset in (*range.start()).max(self.next_offset)..=*range.end() {
                if !self.done.contains(&offset) {
                    let count = self.deliveries.entry(offset).or_default();
                    self.redelivered += u64::from(*count > 0);
                    *count = count.saturating_add(1);
                }
            }
        }
        PublishOutcome::GroupChanged
    }

    fn ack(&mut self, offsets: &[RangeInclusive<u64>]) -> PublishOutcome {
        let highest = self.highest();
        if offsets.iter().any(|range| *range.end() > highest) {
            return PublishOutcome::OutOfGroupRange;
        }
        for range in offsets {
            for offset in (*range.start()).max(self.next_offset)..=*range.end() {
                self.finish(offset);
            }
        }
        self.close_up();
        PublishOutcome::GroupChanged
    }

    fn finish(&mut self, offset: u64) {
        self.deliveries.remove(&offset);
        self.done.insert(offset);
    }

    /// Everything below `next_offset` is done.
    fn skip(&mut self, next_offset: u64) {
        if next_offset > self.next_offset {
            self.next_offset = next_offset;
            self.done = self.done.split_off(&next_offset);
            self.deliveries = self.deliveries.split_off(&next_offset);
            self.close_up();
        }
    }

    /// Takes up what is done without a gap.
    fn close_up(&mut self) {
        while self.done.first() == Some(&self.next_offset) {
            self.done.pop_first();
            self.next_offset += 1;
        }
    }

    fn seek(&mut self, next_offset: u64) {
        self.next_offset = next_offset;
        self.done.clear();
        self.deliveries.clear();
    }

    /// Why a record can't be put aside, if it can't.
    fn dead_letter_refusal(&self, offset: u64) -> Option<PublishOutcome> {
        if self.is_done(offset) {
            Some(PublishOutcome::GroupChanged)
        } else if self.deliveries(offset) < self.settings.max_deliveries {
            Some(PublishOutcome::OutOfGroupRange)
        } else {
            None
        }
    }
}

/// All groups, by topic and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Ordered, so that the encoding is the same on every node. No topic without a group.
    by_topic: BTreeMap<Arc<str>, BTreeMap<Arc<str>, GroupState>>,
    count: usize,
}

impl Groups {
    pub fn get(&self, topic: &str, group: &str) -> Option<&GroupState> {
        self.by_topic.get(topic)?.get(group)
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Topic, name and state of each, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &GroupState)> {
        let of_topic = |(topic, groups)| named(topic, groups);
        self.by_topic.iter().flat_map(of_topic)
    }

    /// What they take in memory, roughly.
    pub fn size_bytes(&self) -> usize {
        const BYTES_PER_OFFSET: usize = 16;
        self.iter()
            .map(|(topic, group, state)| {
                let offsets = state.done.len() + state.deliveries.len();
                topic.len() + group.len() + size_of::<GroupState>() + offsets * BYTES_PER_OFFSET
            })
            .sum()
    }

    /// A change that is no message takes effect, or is told why it has none. `high_watermark` is the topic's.
    pub(super) fn change(&mut self, topic: &str, op: &GroupOp, high_watermark: u64) -> PublishOutcome {
        let end = high_watermark + 1;
        if let GroupAction::Create {
            next_offset,
            settings,
        } = op.action
        {
            return self.create(topic, &op.group, next_offset.clamp(1, end), settings);
        }
        if op.action == GroupAction::Delete {
            return self.delete(topic, &op.group);
        }
        let Some(group) = self.get_mut(topic, &op.group) else {
            return PublishOutcome::NoSuchGroup;
        };
        match &op.action {
            GroupAction::Deliver { offsets } => return group.deliver(offsets, high_watermark),
            GroupAction::Ack { offsets } => return group.ack(offsets),
            GroupAction::Configure { settings } => group.settings = *settings,
            GroupAction::Seek { next_offset } => group.seek((*next_offset).clamp(1, end)),
            GroupAction::Skip { next_offset } => group.skip((*next_offset).min(end)),
            // The first two are done above; the last one is a message.
            GroupAction::Create { .. } | GroupAction::Delete | GroupAction::DeadLetter { .. } => {}
        }
        PublishOutcome::GroupChanged
    }

    /// Why a dead letter is not stored, if it is not, as far as its group has a say.
    pub(super) fn dead_letter_refusal(
        &self,
        topic: &str,
        group: &str,
        offset: u64,
    ) -> Option<PublishOutcome> {
        match self.get(topic, group) {
            Some(group) => group.dead_letter_refusal(offset),
            None => Some(PublishOutcome::NoSuchGroup),
        }
    }

    /// The dead letter is stored: the record it was made of is done.
    pub(super) fn dead_lettered(&mut self, topic: &str, group: &str, offset: u64) {
        if let Some(group) = self.get_mut(topic, group) {
            group.dead_letters += 1;
            group.finish(offset);
            group.close_up();
        }
    }

    fn get_mut(&mut self, topic: &str, group: &str) -> Option<&mut GroupState> {
        self.by_topic.get_mut(topic)?.get_mut(group)
    }

    fn create(
        &mut self,
        topic: &str,
        group: &str,
        next_offset: u64,
        settings: GroupSettings,
    ) -> PublishOutcome {
        if self.get(topic, group).is_none() {
            if self.count >= MAX_GROUPS {
                return PublishOutcome::TooManyGroups;
            }
            self.insert(topic.into(), group.into(), GroupState::new(next_offset, settings));
        }
        PublishOutcome::GroupChanged
    }

    fn insert(&mut self, topic: Arc<str>, group: Arc<str>, state: GroupState) {
        let groups = self.by_topic.entry(topic).or_default();
        self.count += usize::from(groups.insert(group, state).is_none());
    }

    fn delete(&mut self, topic: &str, group: &str) -> PublishOutcome {
        let Some(groups) = self.by_topic.get_mut(topic) else {
            return PublishOutcome::NoSuchGroup;
        };
        if groups.remove(group).is_none() {
            return PublishOutcome::NoSuchGroup;
        }
        self.count -= 1;
        if groups.is_empty() {
            self.by_topic.remove(topic);
        }
        PublishOutcome::GroupChanged
    }
}

fn named<'a>(
    topic: &'a Arc<str>,
    groups: &'a BTreeMap<Arc<str>, GroupState>,
) -> impl Iterator<Item = (&'a str, &'a str, &'a GroupState)> {
    groups
        .iter()
        .map(move |(group, state)| (&**topic, &**group, state))
}
