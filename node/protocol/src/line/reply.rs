//! One line of an answer, records aside: written by a node, read by a client.

mod parse;

use std::fmt;

use super::{Consistency, push_fmt};

/// One line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    Pong,
    Bye,
    /// Committed by the node asked. A node of ours always tells both positions.
    Published {
        id: &'a str,
        offset: Option<u64>,
        logical_time: Option<u64>,
    },
    /// The id was published before with the same content: still one record.
    /// `offset` is told for `PUBLISH` alone.
    Duplicate {
        id: &'a str,
        offset: Option<u64>,
    },
    /// Committed by the leader, to which the node asked forwarded it.
    Redirected {
        id: &'a str,
    },
    /// The leader is there, but the node asked cannot reach it.
    Redirect {
        host: &'a str,
        port: u16,
    },
    /// `next_offset` is told for `SUBSCRIBE` alone: the offset of the first record to come.
    Subscribed {
        topic: &'a str,
        next_offset: Option<u64>,
    },
    /// A pattern is followed: records come whose Lamport times are later than this.
    SubscribedAfter {
        pattern: &'a str,
        logical_time: u64,
    },
    /// This connection is a member of the group.
    Joined {
        topic: &'a str,
        group: &'a str,
    },
    Unsubscribed {
        pattern: &'a str,
    },
    /// There was nothing to end.
    NotSubscribed {
        pattern: &'a str,
    },
    /// Not an answer: the subscription is so many records behind the topic's end.
    Lag {
        pattern: &'a str,
        records: u64,
    },
    /// Not an answer: the subscription is over, for a reason a client can act on.
    Ended {
        pattern: &'a str,
        reason: Ended,
    },
    /// Not an answer: retention dropped these records before the group had them; it goes on behind them.
    Skipped {
        topic: &'a str,
        group: &'a str,
        first: u64,
        last: u64,
    },
    HistoryEnd,
    /// Closes the records of a `READ`. A reader that has `high_watermark` has all there was.
    ReadEnd {
        high_watermark: u64,
        log_start_offset: u64,
        consistency: Consistency,
        /// Where to read on.
        next_offset: u64,
    },
    /// Closes a list of so many lines.
    TopicsEnd {
        count: u64,
    },
    GroupsEnd {
        count: u64,
    },
    Acked {
        topic: &'a str,
        group: &'a str,
        offset: u64,
    },
    Nacked {
        topic: &'a str,
        group: &'a str,
        offset: u64,
    },
    GroupDeleted {
        topic: &'a str,
        group: &'a str,
    },
    GroupMoved {
        topic: &'a str,
        group: &'a str,
        next_offset: u64,
    },
    /// The node asked knows no leader: nothing was published.
    NotLeader,
    /// No commit in time: the record may still be committed later.
    TimeoutWaitingCommit,
    /// The id was published to the topic before, with other content.
    IdConflict {
        id: &'a str,
    },
    /// The id is too old to tell whether it was stored once; nothing was published now.
    IdExpired {
        id: &'a str,
    },
    /// The topic does not end where the publisher expected it; nothing was published.
    OffsetMismatch {
        end: u64,
    },
    /// There are as many topics as there may be; nothing was published.
    TooManyTopics {
        max: u64,
    },
    TooManyGroups {
        max: u64,
    },
    NoSuchGroup {
        topic: &'a str,
        group: &'a str,
    },
    /// The group did not hand that record out, so it cannot be acknowledged or given back.
    NotDelivered {
        offset: u64,
    },
    /// Retention dropped the records asked for; those from `start` to `end` can be read (none if `end` is before it).
    OffsetOutOfRange {
        start: u64,
        end: u64,
    },
    /// Nothing was done, for a reason that may pass.
    Unavailable {
        reason: &'a str,
    },
    /// Any other error: what stands behind `ERR `.
    Refused {
        text: &'a str,
    },
}

impl Reply<'_> {
    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Pong => push_fmt(out, format_args!("PONG")),
            Self::Bye => push_fmt(out, format_args!("OK bye")),
            Self::Published {
                id,
                offset: Some(offset),
                logical_time: Some(logical_time),
            } => push_fmt(out, format_args!("OK published {id} {offset} {logical_time}")),
            Self::Published { id, .. } => push_fmt(out, format_args!("OK published {id}")),
            Self::Duplicate { id, offset: None } => push_fmt(out, format_args!("OK duplicate {id}")),
            Self::Duplicate {
                id,
                offset: Some(offset),
            } => push_fmt(out, format_args!("OK duplicate {id} {offset}")),
            Self::Redirected { id } => push_fmt(out, format_args!("OK REDIRECTED {id}")),
            Self::Redirect { host, port } => push_fmt(out, format_args!("REDIRECT {host} {port}")),
            Self::Subscribed {
                topic,
                next_offset: Some(next),
            } => push_fmt(out, format_args!("OK subscribed {topic} {next}")),
            Self::Subscribed {
                topic,
                next_offset: None,
            } => push_fmt(out, format_args!("OK subscribed {topic}")),
            Self::SubscribedAfter {
                pattern,
                logical_time,
            } => push_fmt(out, format_args!("OK subscribed {pattern} after {logical_time}")),
            Self::Joined { topic, group } => {
                push_fmt(out, format_args!("OK subscribed {topic} group {group}"));
            }
            Self::Unsubscribed { pattern } => push_fmt(out, format_args!("OK unsubscribed {pattern}")),
            Self::NotSubscribed { pattern } => push_fmt(out, format_args!("ERR not_subscribed {pattern}")),
            Self::Lag { pattern, records } => push_fmt(out, format_args!("LAG {pattern} {records}")),
            Self::Ended { pattern, reason } => push_fmt(out, format_args!("ENDED {pattern} {reason}")),
            Self::Skipped {
                topic,
                group,
                first,
                last,
            } => push_fmt(out, format_args!("SKIPPED {topic} {group} {first} {last}")),
            Self::HistoryEnd => push_fmt(out, format_args!("OK history_end")),
            Self::ReadEnd {
                high_watermark,
                log_start_offset,
                consistency,
                next_offset,
            } => push_fmt(
                out,
                format_args!(
                    "OK read_end {high_watermark} {log_start_offset} {} {next_offset}",
                    consistency.as_str()
                ),
            ),
            Self::TopicsEnd { count } => push_fmt(out, format_args!("OK topics_end {count}")),
            Self::GroupsEnd { count } => push_fmt(out, format_args!("OK groups_end {count}")),
            Self::Acked { topic, group, offset } => {
                push_fmt(out, format_args!("OK acked {topic} {group} {offset}"));
            }
            Self::Nacked { topic, group, offset } => {
                push_fmt(out, format_args!("OK nacked {topic} {group} {offset}"));
            }
            Self::GroupDeleted { topic, group } => {
                push_fmt(out, format_args!("OK group_deleted {topic} {group}"));
            }
            Self::GroupMoved {
                topic,
                group,
                next_offset,
            } => push_fmt(out, format_args!("OK group_moved {topic} {group} {next_offset}")),
            Self::NotLeader => push_fmt(out, format_args!("ERR not_leader")),
            Self::TimeoutWaitingCommit => push_fmt(out, format_args!("ERR timeout_waiting_commit")),
            Self::IdConflict { id } => push_fmt(out, format_args!("ERR id_conflict {id}")),
            Self::IdExpired { id } => push_fmt(out, format_args!("ERR id_expired {id}")),
            Self::OffsetMismatch { end } => push_fmt(out, format_args!("ERR offset_mismatch {end}")),
            Self::TooManyTopics { max } => push_fmt(out, format_args!("ERR too_many_topics {max}")),
            Self::TooManyGroups { max } => push_fmt(out, format_args!("ERR too_many_groups {max}")),
            Self::NoSuchGroup { topic, group } => push_fmt(out, format_args!("ERR no_group {topic} {group}")),
            Self::NotDelivered { offset } => push_fmt(out, format_args!("ERR not_delivered {offset}")),
            Self::OffsetOutOfRange { start, end } => {
                push_fmt(out, format_args!("ERR offset_out_of_range {start} {end}"));
            }
            Self::Unavailable { reason } => {
                push_fmt(out, format_args!("ERR unavailable {}", one_line(reason)));
            }
            Self::Refused { text } => push_fmt(out, format_args!("ERR {}", one_line(text))),
        }
        out.push(b'\n');
    }
}

/// Why a subscription is over although the connection is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Retention dropped what came next; `start` to `end` can be read (none if `end` is before it).
    OffsetOutOfRange { start: u64, end: u64 },
    /// The node does not lead any more, and groups are led: join where the leader is.
    NotLeader,
    /// The group was deleted.
    NoSuchGroup,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetOutOfRange { start, end } => write!(f, "offset_out_of_range {start} {end}"),
            Self::NotLeader => f.write_str("not_leader"),
            Self::NoSuchGroup => f.write_str("no_group"),
        }
    }
}

/// An answer is one line, whatever an error's text was made from.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
