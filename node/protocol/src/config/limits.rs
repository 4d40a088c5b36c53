//! What a node takes at most.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::{retention::Quantity, seeds::Key};
use crate::record::MAX_BODY_BYTES;

/// Bounds that a cluster may set tighter than they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message body in bytes that a node takes from a publisher, at most [`MAX_BODY_BYTES`].
    pub max_message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: MAX_BODY_BYTES,
        }
    }
}

pub(super) struct LimitsSeed;

impl<'de> DeserializeSeed<'de> for LimitsSeed {
    type Value = Limits;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LimitsSeed {
    type Value = Limits;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a mapping with `max_message`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut limits = Limits::default();
        let mut seen = Vec::new();
        while map
            .next_key_seed(Key {
                known: &["max_message"],
                seen: &mut seen,
            })?
            .is_some()
        {
            let bytes = map.next_value_seed(Quantity::SIZE)?;
            limits.max_message_bytes = usize::try_from(bytes)
                .ok()
                .filter(|bytes| *bytes <= MAX_BODY_BYTES)
                .ok_or_else(|| A::Error::custom("`max_message` is at most 1MiB"))?;
        }
        Ok(limits)
    }
}
