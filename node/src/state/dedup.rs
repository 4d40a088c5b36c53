//! Exactly once per id, within a window.
//!
//! The window is replicated state: `apply` decides with it, so a retry to a new leader is still one record.
//! It remembers at least the ids of the last ten minutes of replicated clock, up to a million of them. Keys
//! are 128-bit BLAKE3 hashes of topic and id, contents 64-bit ones: nobody can make two ids collide on purpose. Of ids
//! with a producer and a number, topic and producer are hashed to 64 bits and the number is kept as it is, so that
//! [`Forgotten`] can go on where the window ends.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use hashbrown::HashTable;
use wiber_protocol::{
    codec::{DecodeError, Reader},
    record::Record,
    rpc::PublishOutcome,
};

use super::forgotten::{Forgotten, numbered};

/// How much a window remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// The most ids; past it the oldest is forgotten.
    pub ids: usize,
    /// How long an id is remembered, milliseconds of replicated clock.
    pub age_ms: u64,
}

impl WindowLimits {
    /// What nodes keep.
    pub const DEFAULT: Self = Self {
        ids: 1_000_000,
        age_ms: 10 * 60 * 1000,
    };
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

type Key = [u64; 2];
/// Set in the second word of a key that is a producer and a number.
const NUMBERED: u64 = 1 << 63;

/// One id, and what its record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    key: Key,
    content: u64,
    offset: u64,
    /// The replicated clock when it was published.
    clock_ms: u64,
}

impl Remembered {
    /// Of its binary form.
    pub const BYTES: usize = 40;

    pub fn put(&self, out: &mut BytesMut) {
        for word in [self.key[0], self.key[1], self.content, self.offset, self.clock_ms] {
            out.put_u64_le(word);
        }
    }

    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: [reader.u64("id key")?, reader.u64("id key")?],
            content: reader.u64("id content")?,
            offset: reader.u64("id offset")?,
            clock_ms: reader.u64("id clock")?,
        })
    }

    /// Whether a window of so many milliseconds has no place for it any more at `clock_ms`.
    pub fn is_expired(&self, age_ms: u64, clock_ms: u64) -> bool {
        self.clock_ms.saturating_add(age_ms) < clock_ms
    }
}

/// The ids that a retry may repeat: a queue by age, and a table of places in it.
#[derive(Clone, Debug, Default)]
pub struct DedupWindow {
    limits: WindowLimits,
    /// Oldest first.
    queue: VecDeque<Remembered>,
    /// How many ids left the queue at its front: the id numbered `n` stands at `n - forgotten`.
    forgotten: u64,
    /// Numbers of the ids in the queue, by key.
    numbers: HashTable<u64>,
    /// What was forgotten of producers that number their messages.
    pub producers: Forgotten,
}

impl DedupWindow {
    pub fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// What a record with a known id is, or `None` if its id is new.
    pub fn verdict(&self, record: &Record) -> Option<PublishOutcome> {
        let key = key(record);
        let Some(number) = self
            .numbers
            .find(spread(key), |number| self.at(*number).key == key)
        else {
            let number = key[1] & !NUMBERED;
            let is_forgotten = key[1] != number && self.producers.covers(key[0], number);
            return is_forgotten.then_some(PublishOutcome::Expired);
        };
        let seen = self.at(*number);
        Some(if seen.content == content(record) {
            PublishOutcome::Duplicate { offset: seen.offset }
        } else {
            PublishOutcome::Conflict
        })
    }

    /// Takes in the id of a record that was given `offset`.
    pub fn remember(&mut self, record: &Record, offset: u64, clock_ms: u64) {
        self.put(Remembered {
            key: key(record),
            content: content(record),
            offset,
            clock_ms,
        });
    }

    /// Puts an id in as the newest.
    pub fn put(&mut self, id: Remembered) {
        let number = self.forgotten + self.queue.len() as u64;
        self.queue.push_back(id);
        let (queue, forgotten) = (&self.queue, self.forgotten);
        let at = |number: &u64| &queue[place(*number, forgotten)];
        self.numbers
            .insert_unique(spread(id.key), number, |number| spread(at(number).key));
        if self.queue.len() > self.limits.ids {
            self.forget_oldest();
        }
    }

    /// Forgets what is older than the window at `clock_ms`.
    pub fn expire(&mut self, clock_ms: u64) {
        while self
            .queue
            .front()
            .is_some_and(|id| id.is_expired(self.limits.age_ms, clock_ms))
        {
            self.forget_oldest();
        }
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The newest `count` ids, oldest first; all of them if there are fewer.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = Remembered> + '_ {
        let first = self.queue.len().saturating_sub(count);
        self.queue.range(first..).copied()
    }

    fn at(&self, number: u64) -> &Remembered {
        &self.queue[place(number, self.forgotten)]
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.queue.front() else { return };
        let number = self.forgotten;
        let key = oldest.key;
        if let Ok(place) = self.numbers.find_entry(spread(key), |known| *known == number) {
            place.remove();
        }
        if key[1] & NUMBERED != 0 {
            self.producers.put(key[0], key[1] & !NUMBERED);
        }
        self.queue.pop_front();
        self.forgotten += 1;
    }
}

/// Where in the queue an id stands. It is there, so the difference fits.
#[expect(clippy::cast_possible_truncation, reason = "the queue is in memory")]
fn place(number: u64, forgotten: u64) -> usize {
    (number - forgotten) as usize
}

fn key(record: &Record) -> Key {
    let numbered = numbered(&record.id);
    let named = numbered.map_or(record.id.as_str(), |(producer, _)| producer);
    let mut hasher = blake3::Hasher::new();
    hasher.update(record.topic.as_bytes());
    hasher.update(&[0]);
    hasher.update(named.as_bytes());
    let hash = hasher.finalize();
    let mut words = hash.as_bytes().chunks_exact(8).map(word);
    let (first, second) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    match numbered {
        Some((_, number)) => [first, number | NUMBERED],
        None => [first, second & !NUMBERED],
    }
}

/// A key as the table's hash: the first word alone is the same for all numbers of a producer.
fn spread(key: Key) -> u64 {
    key[0] ^ key[1].wrapping_mul(0x9e37_79b9_7f4a_7c15)
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
    word(&hasher.finalize().as_bytes()[..8])
}

fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
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
            ..Record::default()
        }
    }

    #[test]
    fn an_id_is_remembered_for_the_whole_window_and_no_longer() {
        let mut window = DedupWindow::default();
        window.remember(&record("a"), 1, 1_000);
        window.expire(1_000 + WindowLimits::DEFAULT.age_ms);
        assert_eq!(
            window.verdict(&record("a")),
            Some(PublishOutcome::Duplicate { offset: 1 })
        );
        window.expire(1_001 + WindowLimits::DEFAULT.age_ms);
        assert_eq!(window.verdict(&record("a")), None);
        assert!(window.is_empty());
    }

    #[test]
    fn a_number_that_was_forgotten_is_never_stored_again() {
        let id = |number: u64| record(&format!("e4db4a4bdd913d3d-{number}"));
        let mut window = DedupWindow::default();
        window.remember(&id(1), 1, 1_000);
        window.remember(&id(2), 2, 1_000);
        window.remember(&id(4), 3, 500_000);
        assert_eq!(
            window.verdict(&id(2)),
            Some(PublishOutcome::Duplicate { offset: 2 })
        );
        window.expire(1_001 + WindowLimits::DEFAULT.age_ms);
        assert_eq!(window.len(), 1);
        for forgotten in [1, 2] {
            assert_eq!(window.verdict(&id(forgotten)), Some(PublishOutcome::Expired));
        }
        assert_eq!(window.verdict(&id(3)), None, "nothing above was forgotten");
        assert_eq!(
            window.verdict(&id(4)),
            Some(PublishOutcome::Duplicate { offset: 3 })
        );
        let elsewhere = Record {
            topic: "u".into(),
            ..id(1)
        };
        assert_eq!(window.verdict(&elsewhere), None, "numbers belong to a topic");
    }

    #[test]
    fn past_the_bound_the_oldest_id_goes_first() {
        let mut window = DedupWindow::default();
        for n in 0..WindowLimits::DEFAULT.ids as u64 {
            window.remember(&record(&n.to_string()), n, 0);
        }
        window.remember(&record("a"), 7, 0);
        assert_eq!(window.len(), WindowLimits::DEFAULT.ids);
        assert_eq!(window.verdict(&record("0")), None);
        let known = |offset| Some(PublishOutcome::Duplicate { offset });
        assert_eq!(window.verdict(&record("1")), known(1));
        assert_eq!(window.verdict(&record("a")), known(7));
    }
}
