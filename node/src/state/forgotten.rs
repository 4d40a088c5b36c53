//! What the dedup window has forgotten of producers that number their messages.
//!
//! An id such as `e4db4a4bdd913d3d-17` (as the client library makes them) says who made it and the how manieth it is. When
//! the window has no place for it any more, its number is kept instead, one for each producer and topic. Whatever comes
//! under that number or a lower one and is not in the window was stored long ago, or never was: nobody can tell any more,
//! so it is refused, and is never stored a second time.

use std::collections::{BTreeMap, HashMap};

use bytes::BytesMut;
use wiber_protocol::codec::{DecodeError, Reader, put_varint};

/// Producers of a topic remembered; past it the one of which nothing was forgotten for longest goes.
const MAX_PRODUCERS: usize = 10_000;

/// Who made an id, for which topic: a hash of both.
pub(super) type Producer = u64;

/// The producer and the number in an id of the form that has both: 16 hexadecimal digits, `-`, and a number without
/// leading zeros.
pub(super) fn numbered(id: &str) -> Option<(&str, u64)> {
    let (producer, number) = id.split_once('-')?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    if producer.len() != 16 || !producer.bytes().all(is_hex) || !is_plain {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    (number < 1 << 63).then_some((producer, number))
}

/// The highest forgotten number of each producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    through: HashMap<Producer, Entry>,
    /// By age.
    oldest_first: BTreeMap<u64, Producer>,
    /// The youngest age given.
    age: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    number: u64,
    age: u64,
}

impl Forgotten {
    /// Whether nobody can tell any more if this number was stored.
    pub(super) fn covers(&self, producer: Producer, number: u64) -> bool {
        self.through
            .get(&producer)
            .is_some_and(|entry| number <= entry.number)
    }

    /// The window lets go of a number.
    pub(super) fn put(&mut self, producer: Producer, number: u64) {
        let known = self.through.get_mut(&producer);
        if let Some(entry) = known {
            entry.number = entry.number.max(number);
            if entry.age == self.age {
                return;
            }
            self.oldest_first.remove(&entry.age);
        }
        self.age += 1;
        let age = self.age;
        let entry = self.through.entry(producer).or_insert(Entry { number, age });
        entry.age = age;
        self.oldest_first.insert(age, producer);
        if self.through.len() > MAX_PRODUCERS
            && let Some((_, oldest)) = self.oldest_first.pop_first()
        {
            self.through.remove(&oldest);
        }
    }

    /// What it takes in memory, roughly.
    pub fn size_bytes(&self) -> usize {
        const BYTES_PER_PRODUCER: usize = 64;
        self.through.len() * BYTES_PER_PRODUCER
    }

    /// The same bytes for the same state: producers by age, and no ages.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        put_varint(out, self.through.len() as u64);
        for producer in self.oldest_first.values() {
            let number = self.through.get(producer).map_or(0, |entry| entry.number);
            put_varint(out, *producer);
            put_varint(out, number);
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut forgotten = Self::default();
        for _ in 0..reader.count("forgotten producers")? {
            forgotten.put(reader.varint("producer")?, reader.varint("producer number")?);
        }
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_library_s_form_has_a_number() {
        assert_eq!(numbered("e4db4a4bdd913d3d-17"), Some(("e4db4a4bdd913d3d", 17)));
        for id in [
            "e4db4a4bdd913d3d-0",
            "e4db4a4bdd913d3d-017",
            "e4db4a4bdd913d3d-",
            "e4db4a4bdd913d3d-1x",
            "e4db4a4bdd913d3d-9223372036854775808",
            "E4DB4A4BDD913D3D-1",
            "e4db4a4bdd913d3-1",
            "m-1",
            "e4db4a4bdd913d3d",
        ] {
            assert_eq!(numbered(id), None, "{id}");
        }
    }

    #[test]
    fn the_highest_number_counts_and_the_oldest_producer_goes() {
        let mut forgotten = Forgotten::default();
        forgotten.put(1, 5);
        forgotten.put(2, 9);
        forgotten.put(1, 3);
        assert!(forgotten.covers(1, 5) && !forgotten.covers(1, 6) && forgotten.covers(2, 1));
        for producer in 3..3 + MAX_PRODUCERS as u64 - 1 {
            forgotten.put(producer, 1);
        }
        assert!(!forgotten.covers(2, 1), "the one that is oldest now");
        assert!(forgotten.covers(1, 1));
        assert_eq!(forgotten.through.len(), MAX_PRODUCERS);
        assert_eq!(forgotten.oldest_first.len(), MAX_PRODUCERS);
    }

    #[test]
    fn it_reads_back_with_its_order() {
        let mut forgotten = Forgotten::default();
        for (producer, number) in [(7, 1), (8, 2), (7, 9), (9, 4)] {
            forgotten.put(producer, number);
        }
        let encoded = |forgotten: &Forgotten| {
            let mut out = BytesMut::new();
            forgotten.encode(&mut out);
            out.freeze()
        };
        let bytes = encoded(&forgotten);
        let read = Forgotten::read(&mut Reader::new(bytes.clone())).expect("reads back");
        assert_eq!(encoded(&read), bytes);
        assert!(read.covers(7, 9) && !read.covers(8, 3));
        let order: Vec<Producer> = read.oldest_first.into_values().collect();
        assert_eq!(order, [8, 7, 9]);
    }
}
