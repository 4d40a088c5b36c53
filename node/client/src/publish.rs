//! One message, published once, whatever happens to the nodes meanwhile.
//!
//! Every attempt carries the same id, and the cluster remembers ids, so that sending again is always safe. What
//! decides between *unavailable* and *unknown* at the deadline is whether any attempt may have arrived.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};
use wiber_protocol::line::{Command, Reply};

use crate::{
    Client, Inner,
    backoff::Backoff,
    link::{Answer, Failure},
};

/// The record is committed: durable on a majority, under `id`, exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub id: String,
    /// Told when the leader itself was asked.
    pub offset: Option<u64>,
    /// Its Lamport time; told when the leader itself was asked.
    pub logical_time: Option<u64>,
    /// The cluster had the record before the attempt that was answered: it was published under this id earlier,
    /// perhaps by an attempt of this very call whose answer was lost.
    pub duplicate: bool,
    /// The node's answer.
    pub line: String,
}

/// Why a publish gave no [`Published`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("id_conflict {id}: the id was used for another message")]
    IdConflict { id: String },
    /// The request itself is wrong; nothing was published.
    #[error("{0}")]
    Rejected(String),
    /// The deadline passed and the message may or may not be committed, now or later. Publishing it again under
    /// the same id is safe.
    #[error("it is not known whether the message was published: {0}")]
    Unknown(String),
    /// The deadline passed and the message was certainly not published.
    #[error("no node could take the message: {0}")]
    Unavailable(String),
}

/// What follows from one attempt.
pub(crate) enum Outcome {
    Done(Result<Published, PublishError>),
    /// Nothing was published; perhaps that node can.
    NotPublished {
        reason: String,
        hint: Option<usize>,
    },
    /// It may have been published.
    Unknown {
        reason: String,
    },
}

impl Client {
    /// Publishes one line of text (it is trimmed, and must be neither empty nor have an LF in it) and returns when
    /// it is committed, or `deadline` from now at the latest. Without an `id` the client makes one.
    pub async fn publish(
        &self,
        topic: &str,
        text: &str,
        id: Option<String>,
        deadline: Duration,
    ) -> Result<Published, PublishError> {
        let until = Instant::now() + deadline;
        let id = id.unwrap_or_else(|| self.inner.make_id());
        let mut line = Vec::new();
        let command = Command::Pub {
            topic,
            id: Some(&id),
            text,
        };
        command
            .write(&mut line)
            .map_err(|e| PublishError::Rejected(e.to_string()))?;
        self.inner.publish_line(&id, line.into(), until).await
    }
}

impl Inner {
    async fn publish_line(&self, id: &str, line: Bytes, until: Instant) -> Result<Published, PublishError> {
        let mut backoff = Backoff::new(&self.options);
        let mut unknown = None;
        let mut not_published = "no time was given".to_owned();
        let mut node = self.preferred();
        for attempt in 1_usize.. {
            if Instant::now() >= until {
                break;
            }
            let mut next = self.after(node);
            match self.attempt(node, id, line.clone(), until).await {
                Outcome::Done(result) => {
                    self.prefer(node);
                    return result;
                }
                Outcome::NotPublished { reason, hint } => {
                    not_published = self.named(node, &reason);
                    next = hint.unwrap_or(next);
                }
                Outcome::Unknown { reason } => unknown = Some(self.named(node, &reason)),
            }
            node = next;
            if attempt % self.nodes.len() == 0 {
                let left = until.saturating_duration_since(Instant::now());
                sleep(backoff.next().min(left)).await;
            }
        }
        Err(match unknown {
            Some(reason) => PublishError::Unknown(reason),
            None => PublishError::Unavailable(not_published),
        })
    }

    async fn attempt(&self, node: usize, id: &str, line: Bytes, until: Instant) -> Outcome {
        let until = until.min(Instant::now() + self.options.attempt_timeout);
        match timeout_at(until, self.nodes[node].publishes.ask(line)).await {
            Ok(Ok(answer)) => self.judge(id, answer),
            Ok(Err(Failure::NotSent(reason))) => Outcome::NotPublished { reason, hint: None },
            Ok(Err(Failure::Lost(reason))) => Outcome::Unknown { reason },
            Err(_) => Outcome::Unknown {
                reason: "no answer in time".to_owned(),
            },
        }
    }

    pub(crate) fn judge(&self, id: &str, Answer { reply: line, .. }: Answer) -> Outcome {
        let published = |offset, logical_time, duplicate| {
            let line = line.clone();
            Outcome::Done(Ok(Published {
                id: id.to_owned(),
                offset,
                logical_time,
                duplicate,
                line,
            }))
        };
        let not_published = |hint| Outcome::NotPublished {
            reason: line.clone(),
            hint,
        };
        match Reply::parse(&line) {
            Some(Reply::Published {
                id: of,
                offset,
                logical_time,
            }) if of == id => published(offset, logical_time, false),
            Some(Reply::Redirected { id: of }) if of == id => published(None, None, false),
            Some(Reply::Duplicate { id: of, offset }) if of == id => published(offset, None, true),
            Some(Reply::Redirect { host, port }) => {
                let is_it = |node: &crate::Node| node.spec.port == port && node.spec.host == host;
                not_published(self.nodes.iter().position(is_it))
            }
            Some(Reply::NotLeader | Reply::Unavailable { .. }) => not_published(None),
            Some(Reply::TimeoutWaitingCommit) => Outcome::Unknown { reason: line },
            Some(Reply::IdConflict { .. }) => {
                Outcome::Done(Err(PublishError::IdConflict { id: id.to_owned() }))
            }
            Some(Reply::Refused { .. }) => Outcome::Done(Err(PublishError::Rejected(line))),
            // An answer to something else: whatever this node did with the command, it did not say.
            _ => Outcome::Unknown {
                reason: format!("an answer that does not fit: `{line}`"),
            },
        }
    }

    /// A reason and whose it is.
    pub(crate) fn named(&self, node: usize, reason: &str) -> String {
        format!("{}: {reason}", self.nodes[node].spec.id)
    }
}
