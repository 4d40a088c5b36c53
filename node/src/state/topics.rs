//! Topics as indexes into the log: offset → log position.
//!
//! A topic keeps one [`Run`] for each log entry that holds accepted records of it: the first offset there and
//! the entry's index. What the log alone does not say about an entry (the Lamport time before it, and which of
//! its records were rejected) is kept once per entry in an [`EntryNote`]. Reading walks the entry's records
//! again with these two, so nothing is kept per record.

use std::collections::HashMap;

/// Consecutive records of one topic in one log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    base_offset: u64,
    log_index: u64,
}

/// One topic's index.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// The offset of the newest record; 0 before the first.
    pub high_watermark: u64,
    /// The first offset that can be read.
    pub log_start_offset: u64,
    /// Bytes of message bodies.
    pub bytes: u64,
    /// The log entry that last changed the topic.
    pub last_log_index: u64,
    runs: Vec<Run>,
}

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

/// All topics and the notes of the entries they point into.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    by_name: HashMap<String, Topic>,
    /// Rising by `log_index`: apply goes in log order.
    notes: Vec<EntryNote>,
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
        self.by_name.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    pub fn high_watermark(&self, name: &str) -> u64 {
        self.by_name.get(name).map_or(0, |topic| topic.high_watermark)
    }

    pub fn next_offset(&self, name: &str) -> u64 {
        self.high_watermark(name) + 1
    }

    /// Adds the record at `offset`, the next one of its topic.
    pub(super) fn add(&mut self, name: &str, offset: u64, log_index: u64, bytes: u64) {
        if !self.by_name.contains_key(name) {
            let first = Topic {
                log_start_offset: offset,
                ..Topic::default()
            };
            self.by_name.insert(name.to_owned(), first);
        }
        let topic = self
            .by_name
            .get_mut(name)
            .expect("the topic was just made sure of");
        debug_assert_eq!(offset, topic.high_watermark + 1, "offsets are gapless");
        topic.high_watermark = offset;
        topic.bytes += bytes;
        if topic.last_log_index != log_index || topic.runs.is_empty() {
            topic.runs.push(Run {
                base_offset: offset,
                log_index,
            });
            topic.last_log_index = log_index;
        }
    }

    pub(super) fn note(&mut self, note: EntryNote) {
        self.notes.push(note);
    }

    /// The entries that hold `name`'s records from `offset` on, at most `limit` of them.
    pub fn positions(&self, name: &str, offset: u64, limit: usize) -> Vec<Position> {
        let Some(topic) = self.by_name.get(name) else {
            return Vec::new();
        };
        let first = topic
            .runs
            .partition_point(|run| run.base_offset <= offset)
            .saturating_sub(1);
        topic.runs[first..]
            .iter()
            .take(limit)
            .filter_map(|run| {
                let at = self
                    .notes
                    .binary_search_by_key(&run.log_index, |note| note.log_index)
                    .ok()?;
                Some(Position {
                    base_offset: run.base_offset,
                    note: self.notes[at].clone(),
                })
            })
            .collect()
    }

    /// Puts a topic back without its records, as a snapshot brings it: what was before cannot be read here.
    pub fn restore(&mut self, name: String, high_watermark: u64, bytes: u64, last_log_index: u64) {
        let topic = Topic {
            high_watermark,
            log_start_offset: high_watermark + 1,
            bytes,
            last_log_index,
            runs: Vec::new(),
        };
        self.by_name.insert(name, topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_the_entry_that_holds_the_offset() {
        let mut topics = Topics::default();
        for (offset, log_index) in [(1, 10), (2, 10), (3, 12), (4, 15), (5, 15)] {
            topics.add("t", offset, log_index, 1);
        }
        for log_index in [10, 12, 15] {
            topics.note(EntryNote {
                log_index,
                ..EntryNote::default()
            });
        }
        let at = |offset| -> Vec<(u64, u64)> {
            topics
                .positions("t", offset, 9)
                .iter()
                .map(|p| (p.base_offset, p.note.log_index))
                .collect()
        };
        assert_eq!(at(1), [(1, 10), (3, 12), (4, 15)]);
        assert_eq!(at(2), [(1, 10), (3, 12), (4, 15)]);
        assert_eq!(at(3), [(3, 12), (4, 15)]);
        assert_eq!(at(5), [(4, 15)]);
        assert!(topics.positions("nothing", 1, 9).is_empty());
    }
}
