//! What is to be answered: the commands that the reader leaves to the responder, with texts of their own.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};
use wiber_protocol::line::{Command, Consistency, ReadStart, Reply, SubscribeStart};

use crate::{line::named::Named, publish::Fate};

/// One thing to answer.
pub(in crate::line) enum Step {
    Line(Vec<u8>),
    Publish(PublishStep),
    Sub {
        topic: String,
    },
    Subscribe(SubscribeStep),
    Unsub {
        pattern: String,
    },
    History {
        topic: String,
        count: u64,
    },
    Read(ReadStep),
    Nack {
        topic: String,
        group: String,
        offset: u64,
    },
    Topics {
        pattern: Option<String>,
        after: Option<String>,
        limit: u64,
    },
    Groups {
        pattern: Option<String>,
    },
    Quit,
}

/// A `READ`, see [`wiber_protocol::line::ReadCommand`].
pub(in crate::line) struct ReadStep {
    pub topic: String,
    pub start: ReadStart,
    pub limit: u64,
    pub max_bytes: usize,
    pub consistency: Consistency,
    pub json: bool,
}

/// A `SUBSCRIBE`, see [`wiber_protocol::line::SubscribeCommand`].
pub(in crate::line) struct SubscribeStep {
    pub pattern: String,
    pub start: SubscribeStart,
    pub order: Option<Duration>,
    pub member: Option<MemberStep>,
}

pub(in crate::line) struct MemberStep {
    pub group: String,
    pub ack_timeout: Option<Duration>,
    pub max_deliveries: Option<u32>,
    pub max_in_flight: Option<u32>,
    pub limit: Option<u64>,
}

/// Publishes that were submitted together.
pub(in crate::line) struct PublishStep {
    pub named: Named,
    pub fate: oneshot::Receiver<Fate>,
    pub deadline: Instant,
}

impl Step {
    /// What the responder does; `None` for what the reader does itself.
    pub(in crate::line) fn of(command: &Command<'_>) -> Option<Self> {
        let owned = |text: &str| text.to_owned();
        Some(match command {
            Command::Ping => Self::line(Reply::Pong),
            Command::Sub { topic } => Self::Sub { topic: owned(topic) },
            Command::Subscribe(subscribe) => Self::Subscribe(SubscribeStep {
                pattern: owned(subscribe.pattern),
                start: subscribe.start,
                order: subscribe.order,
                member: subscribe.group.as_ref().map(|member| MemberStep {
                    group: owned(member.group),
                    ack_timeout: member.ack_timeout,
                    max_deliveries: member.max_deliveries,
                    max_in_flight: member.max_in_flight,
                    limit: member.limit,
                }),
            }),
            Command::Unsub { pattern } => Self::Unsub {
                pattern: owned(pattern),
            },
            Command::History { topic, count } => Self::History {
                topic: owned(topic),
                count: *count,
            },
            Command::Read(read) => Self::Read(ReadStep {
                topic: owned(read.topic),
                start: read.start,
                limit: read.limit,
                max_bytes: read.max_bytes,
                consistency: read.consistency,
                json: read.json,
            }),
            Command::Nack { topic, group, offset } => Self::Nack {
                topic: owned(topic),
                group: owned(group),
                offset: *offset,
            },
            Command::Topics {
                pattern,
                after,
                limit,
            } => Self::Topics {
                pattern: pattern.map(owned),
                after: after.map(owned),
                limit: *limit,
            },
            Command::Groups { pattern } => Self::Groups {
                pattern: pattern.map(owned),
            },
            Command::Quit => Self::Quit,
            Command::Pub { .. }
            | Command::Publish(_)
            | Command::Ack { .. }
            | Command::DeleteGroup { .. }
            | Command::SeekGroup { .. } => return None,
        })
    }

    pub(in crate::line) fn line(reply: Reply<'_>) -> Self {
        let mut line = Vec::new();
        reply.write(&mut line);
        Self::Line(line)
    }
}
