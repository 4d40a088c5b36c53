//! What was acknowledged, to be found again on every node.
//!
//! Ten million publishes are remembered as one number each: a fingerprint of the id the node gave and of the number
//! in the text that was sent, at the offset the answer told.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::bench::{Ack, Observer};

/// A record's fingerprint; never 0, which stands for "none".
pub(super) fn fingerprint(id: &[u8], number: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    number.hash(&mut hasher);
    hasher.finish().max(1)
}

/// By topic.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    topics: BTreeMap<String, TopicLedger>,
}

impl Ledger {
    pub(super) fn topic(&mut self, name: &str) -> &mut TopicLedger {
        self.topics.entry(name.to_owned()).or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &TopicLedger)> {
        self.topics.iter().map(|(name, topic)| (name.as_str(), topic))
    }
}

/// The acknowledged publishes of one topic.
#[derive(Debug, Default)]
pub(super) struct TopicLedger {
    /// The fingerprint at each offset from 1 on, where an answer told the offset; 0 elsewhere.
    at_offset: Vec<u64>,
    /// Acknowledged by a node that did not lead, and so without an offset.
    somewhere: HashSet<u64>,
    /// Offsets that two answers told.
    told_twice: Vec<u64>,
    /// Publishes that nobody learned the fate of.
    unknown: bool,
}

impl TopicLedger {
    /// Some publishes were given up without an answer: they may be there or not.
    pub(super) fn has_unknown(&mut self) {
        self.unknown = true;
    }

    pub(super) fn is_complete(&self) -> bool {
        !self.unknown
    }

    pub(super) fn len(&self) -> usize {
        self.at_offset
            .iter()
            .filter(|fingerprint| **fingerprint != 0)
            .count()
            + self.somewhere.len()
    }

    pub(super) fn at_offset(&self, offset: u64) -> Option<u64> {
        let at = usize::try_from(offset.checked_sub(1)?).ok()?;
        self.at_offset
            .get(at)
            .copied()
            .filter(|fingerprint| *fingerprint != 0)
    }

    /// The highest offset an answer told.
    pub(super) fn last_offset(&self) -> u64 {
        self.at_offset.len() as u64
    }

    pub(super) fn somewhere(&self) -> &HashSet<u64> {
        &self.somewhere
    }

    pub(super) fn told_twice(&self) -> &[u64] {
        &self.told_twice
    }
}

impl Observer for TopicLedger {
    fn acknowledged(&mut self, number: u64, ack: &Ack<'_>) {
        let fingerprint = fingerprint(ack.id, number);
        let Some(offset) = ack.offset else {
            self.somewhere.insert(fingerprint);
            return;
        };
        let at = usize::try_from(offset.saturating_sub(1)).unwrap_or(usize::MAX);
        if at >= self.at_offset.len() {
            self.at_offset.resize(at + 1, 0);
        }
        if std::mem::replace(&mut self.at_offset[at], fingerprint) != 0 {
            self.told_twice.push(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_remembered_where_they_said_they_are() {
        let mut topic = TopicLedger::default();
        let ack = |id: &'static str, offset| Ack {
            id: id.as_bytes(),
            offset,
        };
        topic.acknowledged(0, &ack("a", Some(3)));
        topic.acknowledged(1, &ack("b", Some(1)));
        topic.acknowledged(2, &ack("c", None));
        assert_eq!((topic.len(), topic.last_offset()), (3, 3));
        assert_eq!(topic.at_offset(3), Some(fingerprint(b"a", 0)));
        assert_eq!([0, 2, 4].map(|offset| topic.at_offset(offset)), [None; 3]);
        assert!(topic.somewhere().contains(&fingerprint(b"c", 2)));
        assert!(topic.told_twice().is_empty());
        topic.acknowledged(3, &ack("d", Some(3)));
        assert_eq!(topic.told_twice(), [3]);
    }
}
