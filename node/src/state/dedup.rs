//! Exactly once per id, within a window.
//!
//! The window is replicated state: `apply` decides with it, so a retry to a new leader is still one record.
//! It remembers at least the ids of the last ten minutes of replicated clock, up to a million of them. Keys
//! are 128-bit BLAKE3 hashes of topic and id, contents 64-bit ones: nobody can make two ids collide on purpose.

use std::collections::{HashMap, VecDeque};

use wiber_protocol::{record::Record, rpc::PublishOutcome};

/// The most ids remembered; past it the oldest is forgotten.
pub const WINDOW_IDS: usize = 1_000_000;
/// How long an id is remembered, milliseconds of replicated clock.
pub const WINDOW_MS: u64 = 10 * 60 * 1000;

type Key = u128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    content: u64,
    offset: u64,
}

/// The ids that a retry may repeat.
#[derive(Clone, Debug, Default)]
pub struct DedupWindow {
    seen: HashMap<Key, Seen>,
    /// In the order they were published, so that the oldest goes first.
    order: VecDeque<(u64, Key)>,
}

impl DedupWindow {
    /// What a record with a known id is, or `None` if its id is new.
    pub fn verdict(&self, record: &Record) -> Option<PublishOutcome> {
        let seen = self.seen.get(&key(record))?;
        Some(if seen.content == content(record) {
            PublishOutcome::Duplicate { offset: seen.offset }
        } else {
            PublishOutcome::Conflict
        })
    }

    pub fn remember(&mut self, record: &Record, offset: u64, clock_ms: u64) {
        let key = key(record);
        self.seen.insert(
            key,
            Seen {
                content: content(record),
                offset,
            },
        );
        self.order.push_back((clock_ms, key));
        if self.order.len() > WINDOW_IDS {
            self.forget_oldest();
        }
    }

    /// Forgets what is older than the window at `clock_ms`.
    pub fn expire(&mut self, clock_ms: u64) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| at.saturating_add(WINDOW_MS) < clock_ms)
        {
            self.forget_oldest();
        }
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Every remembered id, oldest first: (clock, key, content, offset).
    pub fn entries(&self) -> impl Iterator<Item = (u64, u128, u64, u64)> + '_ {
        self.order.iter().map(|(at, key)| {
            let seen = self.seen[key];
            (*at, *key, seen.content, seen.offset)
        })
    }

    /// Puts back what [`Self::entries`] listed, in the same order.
    pub fn restore(&mut self, clock_ms: u64, key: u128, content: u64, offset: u64) {
        self.seen.insert(key, Seen { content, offset });
        self.order.push_back((clock_ms, key));
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.seen.remove(&key);
        }
    }
}

fn key(record: &Record) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(record.topic.as_bytes());
    hasher.update(&[0]);
    hasher.update(record.id.as_bytes());
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    u128::from_le_bytes(first)
}

fn content(record: &Record) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in &record.headers {
        for part in [name, value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.update(&record.body);
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        Record {
            topic: "t".into(),
            id: id.into(),
            client_id: true,
            node: "n1".into(),
            ts_us: 0,
            corrected_us: 0,
            error_bound_us: 0,
            synchronised: false,
            lamport: 0,
            headers: Vec::new(),
            body: "x".into(),
        }
    }

    #[test]
    fn an_id_is_remembered_for_the_whole_window_and_no_longer() {
        let mut window = DedupWindow::default();
        window.remember(&record("a"), 1, 1_000);
        window.expire(1_000 + WINDOW_MS);
        assert_eq!(
            window.verdict(&record("a")),
            Some(PublishOutcome::Duplicate { offset: 1 })
        );
        window.expire(1_001 + WINDOW_MS);
        assert_eq!(window.verdict(&record("a")), None);
        assert!(window.is_empty());
    }

    #[test]
    fn past_the_bound_the_oldest_id_goes_first() {
        let mut window = DedupWindow::default();
        for n in 0..WINDOW_IDS as u64 {
            window.restore(0, u128::from(n), n, n);
        }
        window.remember(&record("a"), 7, 0);
        assert_eq!(window.entries().next(), Some((0, 1, 1, 1)));
        assert_eq!(window.len(), WINDOW_IDS);
    }
}
