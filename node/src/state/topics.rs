//! Topics as indexes into the log: offset → log position.
//!
//! A topic keeps one [`Run`] for each log entry of the growing part that holds accepted records of it, and one
//! [`Share`] for each sealed part: 40 bytes for all its records in 64 MiB of log. Reading walks the entry's records
//! again with the entry's note, so nothing is kept per record.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    checkpoint::TopicEnd,
    part::{PartTopic, Run, RunRange},
};

/// The most topics of a cluster. Each takes some memory and a place in every checkpoint, and none ever goes, so that its
/// offsets keep their meaning. It decides what is stored, so it is the same on every node.
pub const MAX_TOPICS: usize = 10_000;

/// Where a sealed part holds records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which part: its first entry.
    pub part: u64,
    /// The topic's first offset there.
    pub base_offset: u64,
    /// Of message bodies.
    pub bytes: u64,
    pub runs: RunRange,
}

/// One topic's index.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// The offset of the newest record; 0 before the first.
    pub high_watermark: u64,
    /// The first offset that can be read; one past `high_watermark` when none can.
    pub log_start_offset: u64,
    /// Bytes of the message bodies that can be read.
    pub bytes: u64,
    /// The log entry that last changed the topic.
    pub last_log_index: u64,
    /// Oldest first.
    shares: VecDeque<Share>,
    runs: Vec<Run>,
    /// Bytes of message bodies in the growing part.
    growing_bytes: u64,
}

impl Topic {
    /// The sealed part that holds `offset`; the first one there is, if it lies before; `None` if it is in the
    /// growing part.
    pub(super) fn share(&self, offset: u64) -> Option<Share> {
        if self.runs.first().is_some_and(|run| run.base_offset <= offset) {
            return None;
        }
        let at = self.shares.partition_point(|share| share.base_offset <= offset);
        self.shares.get(at.saturating_sub(1)).copied()
    }

    /// The share in the first sealed part, from `part` on, that holds records of the topic.
    pub(super) fn share_from(&self, part: u64) -> Option<Share> {
        let at = self.shares.partition_point(|share| share.part < part);
        self.shares.get(at).copied()
    }

    /// The offset of the topic's first record after a part.
    pub(super) fn offset_after(&self, part: u64) -> u64 {
        let share = self.share_from(part + 1).map(|share| share.base_offset);
        let run = || self.runs.first().map(|run| run.base_offset);
        share.or_else(run).unwrap_or(self.high_watermark + 1)
    }

    /// The offset of the topic's first record in the growing part's entries from `log_index` on.
    pub(super) fn first_offset_in_growing(&self, log_index: u64) -> u64 {
        let at = self.runs.partition_point(|run| run.log_index < log_index);
        let run = self.runs.get(at).map(|run| run.base_offset);
        run.unwrap_or(self.high_watermark + 1)
    }

    pub(super) fn growing_runs(&self) -> &[Run] {
        &self.runs
    }

    /// Runs in the growing part from the one that holds `offset`, or from the first.
    pub(super) fn runs_from(&self, offset: u64) -> &[Run] {
        let first = self.runs.partition_point(|run| run.base_offset <= offset);
        &self.runs[first.saturating_sub(1)..]
    }
}

/// All topics.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    by_name: HashMap<Arc<str>, Topic>,
}

impl Topics {
    pub fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.by_name.iter().map(|(name, topic)| (&**name, topic))
    }

    /// Whether a record of this topic would make one topic more than there may be.
    pub fn are_full_for(&self, name: &str) -> bool {
        self.by_name.len() >= MAX_TOPICS && !self.by_name.contains_key(name)
    }

    pub fn high_watermark(&self, name: &str) -> u64 {
        self.by_name.get(name).map_or(0, |topic| topic.high_watermark)
    }

    pub fn next_offset(&self, name: &str) -> u64 {
        self.high_watermark(name) + 1
    }

    pub fn log_start_offset(&self, name: &str) -> u64 {
        self.by_name.get(name).map_or(1, |topic| topic.log_start_offset)
    }

    /// As [`Self::iter`], with names to keep.
    pub(super) fn shared(&self) -> impl Iterator<Item = (&Arc<str>, &Topic)> {
        self.by_name.iter()
    }

    /// Adds the topic's next record and returns its offset, and the topic's name if it is the first of its entry.
    pub(super) fn add(&mut self, name: &str, log_index: u64, bytes: u64) -> (u64, Option<Arc<str>>) {
        let topic = match self.by_name.get_mut(name) {
            Some(topic) => topic,
            None => self.by_name.entry(name.into()).or_insert_with(|| Topic {
                log_start_offset: 1,
                ..Topic::default()
            }),
        };
        topic.high_watermark += 1;
        topic.bytes += bytes;
        topic.growing_bytes += bytes;
        let is_first = topic.runs.last().is_none_or(|run| run.log_index != log_index);
        if is_first {
            topic.runs.push(Run {
                base_offset: topic.high_watermark,
                log_index,
            });
        }
        topic.last_log_index = log_index;
        let offset = topic.high_watermark;
        let known = is_first.then(|| self.by_name.get_key_value(name));
        (offset, known.flatten().map(|(name, _)| name.clone()))
    }

    /// Takes the growing part's runs out: each topic's place in the table of runs, sorted by name, and the table's
    /// rows as (offset from the topic's first one, log index).
    pub(super) fn seal(&mut self, part: u64) -> (Vec<PartTopic>, Vec<(u32, u64)>) {
        let mut touched: Vec<_> = self
            .by_name
            .iter_mut()
            .filter(|(_, topic)| !topic.runs.is_empty())
            .collect();
        touched.sort_unstable_by_key(|(name, _)| *name);
        let (mut topics, mut rows) = (Vec::with_capacity(touched.len()), Vec::new());
        for (name, topic) in touched {
            let runs = std::mem::take(&mut topic.runs);
            let base_offset = runs[0].base_offset;
            let share = Share {
                part,
                base_offset,
                bytes: std::mem::take(&mut topic.growing_bytes),
                runs: RunRange {
                    first: count(rows.len()),
                    count: count(runs.len()),
                },
            };
            topic.shares.push_back(share);
            rows.extend(runs.iter().map(|run| {
                let offset = u32::try_from(run.base_offset - base_offset);
                (
                    offset.expect("a part has far fewer records than 2^32"),
                    run.log_index,
                )
            }));
            topics.push(PartTopic {
                name: name.clone(),
                base_offset,
                bytes: share.bytes,
                runs: share.runs,
            });
        }
        (topics, rows)
    }

    /// Puts a topic back as a checkpoint has it, without records.
    pub(super) fn restore(&mut self, end: &TopicEnd) {
        let topic = Topic {
            high_watermark: end.high_watermark,
            log_start_offset: end.high_watermark + 1,
            last_log_index: end.last_log_index,
            ..Topic::default()
        };
        self.by_name.insert(end.name.clone(), topic);
    }

    /// Puts the shares of the next sealed part back. Every topic in it is in the checkpoint after it.
    pub(super) fn restore_part(&mut self, part: u64, topics: &[PartTopic]) {
        for of_part in topics {
            if let Some(topic) = self.by_name.get_mut(&of_part.name) {
                topic.log_start_offset = topic.log_start_offset.min(of_part.base_offset);
                topic.bytes += of_part.bytes;
                topic.shares.push_back(Share {
                    part,
                    base_offset: of_part.base_offset,
                    bytes: of_part.bytes,
                    runs: of_part.runs,
                });
            }
        }
    }

    /// Drops what lies in parts that end at or before `log_index`, which is where a part ends.
    pub(super) fn cut(&mut self, log_index: u64) {
        for topic in self.by_name.values_mut() {
            while let Some(share) = topic.shares.front().filter(|share| share.part <= log_index) {
                topic.bytes = topic.bytes.saturating_sub(share.bytes);
                topic.shares.pop_front();
            }
            let first_share = topic.shares.front().map(|share| share.base_offset);
            let first_run = topic.runs.first().map(|run| run.base_offset);
            topic.log_start_offset = first_share.or(first_run).unwrap_or(topic.high_watermark + 1);
        }
    }

    /// Every topic's end, sorted by name.
    pub(super) fn ends(&self) -> Vec<TopicEnd> {
        let mut ends: Vec<TopicEnd> = self
            .by_name
            .iter()
            .map(|(name, topic)| TopicEnd {
                name: name.clone(),
                high_watermark: topic.high_watermark,
                last_log_index: topic.last_log_index,
            })
            .collect();
        ends.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        ends
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).expect("a part has far fewer runs than 2^32")
}
