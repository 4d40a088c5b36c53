//! The record that is made of one that nobody acknowledged.

use wiber_protocol::{
    group_op::{GroupAction, GroupOp},
    record::{MAX_TOPIC_BYTES, Record},
};

use super::coordinator::{Handed, Loss};
use crate::fetch::Committed;

/// Why it was put aside if nobody here knows how it was lost: an earlier leader handed it out.
const UNKNOWN_LOSS: &str = "not_acknowledged";
/// Hexadecimal digits that tell shortened names apart.
const HASH_DIGITS: usize = 16;

/// Where a group's dead letters go: `dead.<topic>.<group>`. What would be too long is cut, and a hash of the topic tells it
/// from others that begin alike.
pub(super) fn dead_letter_topic(topic: &str, group: &str) -> String {
    let name = format!("dead.{topic}.{group}");
    if name.len() <= MAX_TOPIC_BYTES {
        return name;
    }
    let hash = blake3::hash(topic.as_bytes()).to_hex();
    let kept = MAX_TOPIC_BYTES - "dead.".len() - "~".len() - HASH_DIGITS - ".".len() - group.len();
    let topic = &topic[..topic.floor_char_boundary(kept)];
    format!("dead.{topic}~{}.{group}", &hash[..HASH_DIGITS])
}

/// Makes a dead letter out of a `stamped` record with an id: the original's body and headers, where it comes from, and the
/// acknowledgement.
pub(super) fn dead_letter(
    stamped: Record,
    original: &Committed,
    group: &str,
    handed: Handed,
    loss: Option<Loss>,
) -> Record {
    let topic = original.record.topic.to_string();
    let own = [
        ("dead-topic", topic.clone()),
        ("dead-group", group.to_owned()),
        ("dead-offset", handed.offset.to_string()),
        ("dead-deliveries", handed.delivery.to_string()),
        ("dead-reason", loss.map_or(UNKNOWN_LOSS, Loss::as_str).to_owned()),
    ];
    // One that was put aside before tells of the last time.
    let is_own = |key: &str| own.iter().any(|(own, _)| *own == key);
    let mut headers = original.record.headers.clone();
    headers.retain(|(key, _)| !is_own(key));
    headers.extend(own.map(|(key, value)| (key.to_owned(), value)));
    Record {
        headers,
        binary_safe: original.record.binary_safe,
        group_op: Some(GroupOp {
            group: group.to_owned(),
            action: GroupAction::DeadLetter {
                topic,
                offset: handed.offset,
            },
        }),
        ..stamped
    }
}
