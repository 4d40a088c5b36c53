//! An answer as a client understands it.

use super::{Ended, Reply};
use crate::line::Consistency;

impl<'a> Reply<'a> {
    /// Understands one line, given without its line end. `None` if it is no answer of the protocol.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        match head {
            "PONG" => Some(Self::Pong),
            "OK" => Self::parse_ok(rest),
            "REDIRECT" => {
                let (host, port) = rest.split_once(' ')?;
                Some(Self::Redirect {
                    host,
                    port: port.parse().ok()?,
                })
            }
            "ERR" => Some(Self::parse_err(rest)),
            "LAG" => {
                let (pattern, records) = rest.split_once(' ')?;
                Some(Self::Lag {
                    pattern,
                    records: records.parse().ok()?,
                })
            }
            "ENDED" => {
                let (pattern, reason) = rest.split_once(' ')?;
                Some(Self::Ended {
                    pattern,
                    reason: Ended::parse(reason)?,
                })
            }
            "SKIPPED" => {
                let mut words = rest.split(' ');
                Some(Self::Skipped {
                    topic: words.next()?,
                    group: words.next()?,
                    first: words.next()?.parse().ok()?,
                    last: words.next()?.parse().ok()?,
                })
            }
            _ => None,
        }
    }

    fn parse_ok(rest: &'a str) -> Option<Self> {
        let mut words = rest.split(' ');
        let what = words.next()?;
        let mut word = || words.next().filter(|word| !word.is_empty());
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        let first = word();
        Some(match what {
            "bye" => Self::Bye,
            "history_end" => Self::HistoryEnd,
            "published" => Self::Published {
                id: first?,
                offset: number(word()),
                logical_time: number(word()),
            },
            "duplicate" => Self::Duplicate {
                id: first?,
                offset: number(word()),
            },
            "REDIRECTED" => Self::Redirected { id: first? },
            "subscribed" => match word() {
                Some("after") => Self::SubscribedAfter {
                    pattern: first?,
                    logical_time: number(word())?,
                },
                Some("group") => Self::Joined {
                    topic: first?,
                    group: word()?,
                },
                next => Self::Subscribed {
                    topic: first?,
                    next_offset: number(next),
                },
            },
            "unsubscribed" => Self::Unsubscribed { pattern: first? },
            "read_end" => Self::ReadEnd {
                high_watermark: number(first)?,
                log_start_offset: number(word())?,
                consistency: match word()? {
                    "strong" => Consistency::Strong,
                    "local" => Consistency::Local,
                    _ => return None,
                },
                next_offset: number(word())?,
            },
            "topics_end" => Self::TopicsEnd {
                count: number(first)?,
            },
            "groups_end" => Self::GroupsEnd {
                count: number(first)?,
            },
            "acked" => Self::Acked {
                topic: first?,
                group: word()?,
                offset: number(word())?,
            },
            "nacked" => Self::Nacked {
                topic: first?,
                group: word()?,
                offset: number(word())?,
            },
            "group_deleted" => Self::GroupDeleted {
                topic: first?,
                group: word()?,
            },
            "group_moved" => Self::GroupMoved {
                topic: first?,
                group: word()?,
                next_offset: number(word())?,
            },
            _ => return None,
        })
    }

    fn parse_err(text: &'a str) -> Self {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        let known = match (what, rest) {
            ("not_leader", "") => Some(Self::NotLeader),
            ("timeout_waiting_commit", "") => Some(Self::TimeoutWaitingCommit),
            ("id_conflict", id) if !id.is_empty() => Some(Self::IdConflict { id }),
            ("id_expired", id) if !id.is_empty() => Some(Self::IdExpired { id }),
            ("offset_mismatch", end) => end.parse().ok().map(|end| Self::OffsetMismatch { end }),
            ("too_many_topics", max) => max.parse().ok().map(|max| Self::TooManyTopics { max }),
            ("too_many_groups", max) => max.parse().ok().map(|max| Self::TooManyGroups { max }),
            ("not_subscribed", pattern) if !pattern.is_empty() => Some(Self::NotSubscribed { pattern }),
            ("no_group", names) => names
                .split_once(' ')
                .map(|(topic, group)| Self::NoSuchGroup { topic, group }),
            ("not_delivered", offset) => offset.parse().ok().map(|offset| Self::NotDelivered { offset }),
            ("offset_out_of_range", range) => {
                parse_range(range).map(|(start, end)| Self::OffsetOutOfRange { start, end })
            }
            ("unavailable", reason) => Some(Self::Unavailable { reason }),
            _ => None,
        };
        known.unwrap_or(Self::Refused { text })
    }
}

impl Ended {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("not_leader", "") => Some(Self::NotLeader),
            ("no_group", "") => Some(Self::NoSuchGroup),
            ("offset_out_of_range", range) => {
                parse_range(range).map(|(start, end)| Self::OffsetOutOfRange { start, end })
            }
            _ => None,
        }
    }
}

fn parse_range(range: &str) -> Option<(u64, u64)> {
    let (start, end) = range.split_once(' ')?;
    Some((start.parse().ok()?, end.parse().ok()?))
}
