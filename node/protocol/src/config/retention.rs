//! How much of the log is kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Unexpected, Visitor};

use super::seeds::Key;

/// The oldest records go when there are more bytes than `max_bytes`, or when they are older than `max_age_ms`. `None`
/// keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds of the cluster's running time: while no node leads, nothing grows older.
    pub max_age_ms: Option<u64>,
    /// Of the log as it is stored, on each node.
    pub max_bytes: Option<u64>,
}

const AGES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60 * 1_000),
    ("h", 3_600 * 1_000),
    ("d", 24 * 3_600 * 1_000),
];

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

pub(super) struct RetentionSeed;

impl<'de> DeserializeSeed<'de> for RetentionSeed {
    type Value = Retention;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RetentionSeed {
    type Value = Retention;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a mapping with `max_age` or `max_bytes`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut retention = Retention::default();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(Key {
            known: &["max_age", "max_bytes"],
            seen: &mut seen,
        })? {
            match key {
                "max_age" => retention.max_age_ms = Some(map.next_value_seed(Quantity::AGE)?),
                _ => retention.max_bytes = Some(map.next_value_seed(Quantity::SIZE)?),
            }
        }
        Ok(retention)
    }
}

/// A whole number with its unit, as `7d` or `10GiB`. Always with a unit: a bare number does not say what it counts.
#[derive(Clone, Copy)]
pub(super) struct Quantity {
    units: &'static [(&'static str, u64)],
    expected: &'static str,
}

impl Quantity {
    const AGE: Self = Self {
        units: &AGES,
        expected: "an age with its unit, such as 30m, 12h or 7d (ms, s, m, h, d)",
    };
    pub(super) const SIZE: Self = Self {
        units: &SIZES,
        expected: "a size with its unit, such as 500MB or 10GiB (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)",
    };
}

impl<'de> DeserializeSeed<'de> for Quantity {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let factor = self.units.iter().find(|(name, _)| *name == unit);
        number
            .parse::<u64>()
            .ok()
            .filter(|number| *number > 0)
            .zip(factor)
            .and_then(|(number, (_, factor))| number.checked_mul(*factor))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
