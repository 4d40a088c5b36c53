//! One line of an answer, records aside: written by a node, read by a client.

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
    Duplicate {
        id: &'a str,
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
    HistoryEnd,
    /// Closes the records of a `READ`. A reader that has `high_watermark` has all there was.
    ReadEnd {
        high_watermark: u64,
        log_start_offset: u64,
        consistency: Consistency,
    },
    /// The node asked knows no leader: nothing was published.
    NotLeader,
    /// No commit in time: the record may still be committed later.
    TimeoutWaitingCommit,
    /// The id was published to the topic before, with other content.
    IdConflict {
        id: &'a str,
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

impl<'a> Reply<'a> {
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
            Self::Duplicate { id } => push_fmt(out, format_args!("OK duplicate {id}")),
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
            Self::HistoryEnd => push_fmt(out, format_args!("OK history_end")),
            Self::ReadEnd {
                high_watermark,
                log_start_offset,
                consistency,
            } => push_fmt(
                out,
                format_args!(
                    "OK read_end {high_watermark} {log_start_offset} {}",
                    consistency.as_str()
                ),
            ),
            Self::NotLeader => push_fmt(out, format_args!("ERR not_leader")),
            Self::TimeoutWaitingCommit => push_fmt(out, format_args!("ERR timeout_waiting_commit")),
            Self::IdConflict { id } => push_fmt(out, format_args!("ERR id_conflict {id}")),
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
            _ => None,
        }
    }

    fn parse_ok(rest: &'a str) -> Option<Self> {
        let mut words = rest.split(' ');
        let what = words.next()?;
        let first = words.next().filter(|word| !word.is_empty());
        let mut number = || words.next().and_then(|word| word.parse().ok());
        Some(match what {
            "bye" => Self::Bye,
            "history_end" => Self::HistoryEnd,
            "published" => Self::Published {
                id: first?,
                offset: number(),
                logical_time: number(),
            },
            "duplicate" => Self::Duplicate { id: first? },
            "REDIRECTED" => Self::Redirected { id: first? },
            "subscribed" => Self::Subscribed {
                topic: first?,
                next_offset: number(),
            },
            "read_end" => Self::ReadEnd {
                high_watermark: first?.parse().ok()?,
                log_start_offset: number()?,
                consistency: match words.next()? {
                    "strong" => Consistency::Strong,
                    "local" => Consistency::Local,
                    _ => return None,
                },
            },
            _ => return None,
        })
    }

    fn parse_err(text: &'a str) -> Self {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("not_leader", "") => Self::NotLeader,
            ("timeout_waiting_commit", "") => Self::TimeoutWaitingCommit,
            ("id_conflict", id) if !id.is_empty() => Self::IdConflict { id },
            ("offset_out_of_range", range) => {
                match range.split_once(' ').map(|(a, b)| (a.parse(), b.parse())) {
                    Some((Ok(start), Ok(end))) => Self::OffsetOutOfRange { start, end },
                    _ => Self::Refused { text },
                }
            }
            ("unavailable", reason) => Self::Unavailable { reason },
            _ => Self::Refused { text },
        }
    }
}

/// An answer is one line, whatever an error's text was made from.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
