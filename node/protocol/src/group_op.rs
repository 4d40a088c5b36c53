//! What a record does to a consumer group.
//!
//! A group's place in a topic is replicated state, so whatever changes it goes through the log, in records like
//! messages and in one order with them: a group is created, records are handed out and acknowledged, and one that was
//! handed out too often is put aside. `apply` decides; a record that had no effect is told why.
//!
//! ```text
//! op = action u8 · group bytes · by action:
//!      create, configure   settings, create: next_offset varint
//!      deliver, ack        ranges varint, { first varint, length - 1 varint }*
//!      dead letter         topic bytes, offset varint
//!      seek, skip          next_offset varint
//! settings = ack_timeout_ms varint · max_deliveries varint
//! ```

use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{DecodeError, Reader, put_bytes, put_varint, varint_len};

/// The longest name of a group in bytes. Names are words, as topics' are.
pub const MAX_GROUP_BYTES: usize = 64;
/// The most ranges of offsets in one action.
pub const MAX_OP_RANGES: usize = 1_024;

const CREATE: u8 = 0;
const CONFIGURE: u8 = 1;
const DELETE: u8 = 2;
const DELIVER: u8 = 3;
const ACK: u8 = 4;
const DEAD_LETTER: u8 = 5;
const SEEK: u8 = 6;
const SKIP: u8 = 7;

/// How a group treats what is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// A record that is not acknowledged for so long is handed to another member.
    pub ack_timeout_ms: u64,
    /// A record handed out so often without an acknowledgement is put aside instead of once more.
    pub max_deliveries: u32,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            ack_timeout_ms: 30_000,
            max_deliveries: 5,
        }
    }
}

/// One change of one group. Its topic is the record's, but for a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOp {
    pub group: String,
    pub action: GroupAction,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAction {
    /// Makes the group; without effect if there is one.
    Create {
        /// The first offset that it gets.
        next_offset: u64,
        settings: GroupSettings,
    },
    Configure {
        settings: GroupSettings,
    },
    Delete,
    /// These are about to be handed to members: counted before it happens.
    Deliver {
        offsets: Vec<RangeInclusive<u64>>,
    },
    /// These are done.
    Ack {
        offsets: Vec<RangeInclusive<u64>>,
    },
    /// The record that carries this is a message of the dead-letter topic, made of the one at `offset` of `topic`, which
    /// is done with it.
    DeadLetter {
        topic: String,
        offset: u64,
    },
    /// Everything below is done, everything from here on is not.
    Seek {
        next_offset: u64,
    },
    /// Retention dropped what is below before the group had it: that is as good as done. What is done or was handed out from
    /// here on stays so.
    Skip {
        next_offset: u64,
    },
}

impl GroupOp {
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.tag());
        put_bytes(out, self.group.as_bytes());
        match &self.action {
            GroupAction::Create {
                next_offset,
                settings,
            } => {
                put_settings(out, *settings);
                put_varint(out, *next_offset);
            }
            GroupAction::Configure { settings } => put_settings(out, *settings),
            GroupAction::Delete => {}
            GroupAction::Deliver { offsets } | GroupAction::Ack { offsets } => {
                put_varint(out, offsets.len() as u64);
                for range in offsets {
                    put_varint(out, *range.start());
                    put_varint(out, range.end().saturating_sub(*range.start()));
                }
            }
            GroupAction::DeadLetter { topic, offset } => {
                put_bytes(out, topic.as_bytes());
                put_varint(out, *offset);
            }
            GroupAction::Seek { next_offset } | GroupAction::Skip { next_offset } => {
                put_varint(out, *next_offset);
            }
        }
    }

    /// How many bytes [`Self::put`] writes.
    pub fn encoded_len(&self) -> usize {
        let bytes_len = |text: &str| varint_len(text.len() as u64) + text.len();
        let settings_len = |settings: &GroupSettings| {
            varint_len(settings.ack_timeout_ms) + varint_len(u64::from(settings.max_deliveries))
        };
        let action = match &self.action {
            GroupAction::Create {
                next_offset,
                settings,
            } => settings_len(settings) + varint_len(*next_offset),
            GroupAction::Configure { settings } => settings_len(settings),
            GroupAction::Delete => 0,
            GroupAction::Deliver { offsets } | GroupAction::Ack { offsets } => {
                let each = offsets.iter().map(|range| {
                    varint_len(*range.start()) + varint_len(range.end().saturating_sub(*range.start()))
                });
                varint_len(offsets.len() as u64) + each.sum::<usize>()
            }
            GroupAction::DeadLetter { topic, offset } => bytes_len(topic) + varint_len(*offset),
            GroupAction::Seek { next_offset } | GroupAction::Skip { next_offset } => varint_len(*next_offset),
        };
        1 + bytes_len(&self.group) + action
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8("group action")?;
        let group = reader.string("group name")?;
        let action = match tag {
            CREATE => GroupAction::Create {
                settings: read_settings(&mut reader)?,
                next_offset: reader.varint("group offset")?,
            },
            CONFIGURE => GroupAction::Configure {
                settings: read_settings(&mut reader)?,
            },
            DELETE => GroupAction::Delete,
            DELIVER => GroupAction::Deliver {
                offsets: read_ranges(&mut reader)?,
            },
            ACK => GroupAction::Ack {
                offsets: read_ranges(&mut reader)?,
            },
            DEAD_LETTER => GroupAction::DeadLetter {
                topic: reader.string("dead letter topic")?,
                offset: reader.varint("dead letter offset")?,
            },
            SEEK => GroupAction::Seek {
                next_offset: reader.varint("group offset")?,
            },
            SKIP => GroupAction::Skip {
                next_offset: reader.varint("group offset")?,
            },
            other => {
                return Err(DecodeError::Unknown {
                    what: "group action",
                    found: u64::from(other),
                });
            }
        };
        reader.finish("group op")?;
        Ok(Self { group, action })
    }

    fn tag(&self) -> u8 {
        match self.action {
            GroupAction::Create { .. } => CREATE,
            GroupAction::Configure { .. } => CONFIGURE,
            GroupAction::Delete => DELETE,
            GroupAction::Deliver { .. } => DELIVER,
            GroupAction::Ack { .. } => ACK,
            GroupAction::DeadLetter { .. } => DEAD_LETTER,
            GroupAction::Seek { .. } => SEEK,
            GroupAction::Skip { .. } => SKIP,
        }
    }
}

fn put_settings(out: &mut BytesMut, settings: GroupSettings) {
    put_varint(out, settings.ack_timeout_ms);
    put_varint(out, u64::from(settings.max_deliveries));
}

fn read_settings(reader: &mut Reader) -> Result<GroupSettings, DecodeError> {
    let ack_timeout_ms = reader.varint("group ack timeout")?;
    let found = reader.varint("group max deliveries")?;
    let max_deliveries = u32::try_from(found).map_err(|_| DecodeError::TooLarge {
        what: "group max deliveries",
        found,
        limit: u64::from(u32::MAX),
    })?;
    Ok(GroupSettings {
        ack_timeout_ms,
        max_deliveries,
    })
}

fn read_ranges(reader: &mut Reader) -> Result<Vec<RangeInclusive<u64>>, DecodeError> {
    let count = reader.count("group ranges")?;
    let mut ranges = Vec::with_capacity(count.min(MAX_OP_RANGES));
    for _ in 0..count {
        let first = reader.varint("group range")?;
        let more = reader.varint("group range length")?;
        ranges.push(first..=first.saturating_add(more));
    }
    Ok(ranges)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn group_op() -> impl Strategy<Value = GroupOp> {
        let settings =
            (any::<u64>(), any::<u32>()).prop_map(|(ack_timeout_ms, max_deliveries)| GroupSettings {
                ack_timeout_ms,
                max_deliveries,
            });
        let ranges = proptest::collection::vec(
            (any::<u64>(), 0_u64..1_000).prop_map(|(first, more)| first..=first.saturating_add(more)),
            0..4,
        );
        let action = prop_oneof![
            (any::<u64>(), settings.clone()).prop_map(|(next_offset, settings)| GroupAction::Create {
                next_offset,
                settings
            }),
            settings.prop_map(|settings| GroupAction::Configure { settings }),
            Just(GroupAction::Delete),
            ranges
                .clone()
                .prop_map(|offsets| GroupAction::Deliver { offsets }),
            ranges.prop_map(|offsets| GroupAction::Ack { offsets }),
            ("[a-z]{1,9}", any::<u64>())
                .prop_map(|(topic, offset)| GroupAction::DeadLetter { topic, offset }),
            any::<u64>().prop_map(|next_offset| GroupAction::Seek { next_offset }),
            any::<u64>().prop_map(|next_offset| GroupAction::Skip { next_offset }),
        ];
        ("[a-z]{1,9}", action).prop_map(|(group, action)| GroupOp { group, action })
    }

    proptest! {
        #[test]
        fn an_op_reads_back(op in group_op()) {
            let mut out = BytesMut::new();
            op.put(&mut out);
            prop_assert_eq!(out.len(), op.encoded_len());
            prop_assert_eq!(GroupOp::decode(out.freeze()), Ok(op));
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = GroupOp::decode(bytes.into());
        }
    }
}
