//! Many messages in one order, many of them on their way at once.
//!
//! A node keeps the order of what one connection sends, and of what a leader that is lost had taken, only a beginning
//! survives. So messages that go out together on one connection, and again from the first that failed, are stored in
//! their order. One case would break it: a node that refuses the first of them, as it knows no leader, and finds one
//! before it comes to the last. Therefore a node gets a single message until it has taken one.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};
use wiber_protocol::line::{Command, LineError, check_topic};

use crate::{
    Client, Inner, PublishError, Published,
    backoff::Backoff,
    link::{self, Failure},
    publish::Outcome,
};

/// How many messages go out together at most.
pub const MAX_TOGETHER: usize = 256;

/// One message and the id under which it is published, however often that takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub text: String,
}

/// Publishes to one topic, in order.
#[derive(Debug)]
pub struct OrderedPublisher {
    client: Client,
    topic: String,
    /// The node that took the last message; `None` after a failure.
    proven: Option<usize>,
}

/// A message that has not been acknowledged.
struct Pending {
    /// Its position among the messages.
    at: usize,
    id: String,
    line: Vec<u8>,
    /// Why it may have been published nevertheless.
    unknown: Option<String>,
}

impl Client {
    /// A publisher for messages whose order matters.
    pub fn publish_in_order(&self, topic: &str) -> Result<OrderedPublisher, LineError> {
        check_topic(topic)?;
        Ok(OrderedPublisher {
            client: self.clone(),
            topic: topic.to_owned(),
            proven: None,
        })
    }
}

impl OrderedPublisher {
    /// Publishes messages (each as for [`Client::publish`]) and gives what became of each. They are in memory together, so
    /// it is for the caller to bound them. Gives up when for `patience` none was acknowledged; then those that are left
    /// are unknown or unavailable, and whatever is published afterwards may come to stand before them.
    #[expect(clippy::missing_panics_doc, reason = "every message is done or was pending")]
    pub async fn publish(
        &mut self,
        messages: &[Message],
        patience: Duration,
    ) -> Vec<Result<Published, PublishError>> {
        let mut results: Vec<Option<Result<Published, PublishError>>> = vec![None; messages.len()];
        let mut pending = Vec::new();
        for (at, Message { id, text }) in messages.iter().enumerate() {
            let mut line = Vec::new();
            let command = Command::Pub {
                topic: &self.topic,
                id: Some(id),
                text,
            };
            match command.write(&mut line) {
                Ok(()) => pending.push(Pending {
                    at,
                    id: id.clone(),
                    line,
                    unknown: None,
                }),
                Err(error) => results[at] = Some(Err(PublishError::Rejected(error.to_string()))),
            }
        }
        let reason = self.publish_pending(&mut pending, &mut results, patience).await;
        for left in pending {
            results[left.at] = Some(Err(match left.unknown {
                Some(reason) => PublishError::Unknown(reason),
                None => PublishError::Unavailable(reason.clone()),
            }));
        }
        let each = results.into_iter();
        each.map(|result| result.expect("every message is done or was pending"))
            .collect()
    }

    /// Moves from `pending` to `results` what is done. If some are left, the last reason is why.
    async fn publish_pending(
        &mut self,
        pending: &mut Vec<Pending>,
        results: &mut [Option<Result<Published, PublishError>>],
        patience: Duration,
    ) -> String {
        let inner = &self.client.inner;
        let mut backoff = Backoff::new(&inner.options);
        let mut reason = "no time was given".to_owned();
        let mut until = Instant::now() + patience;
        let mut node = inner.preferred();
        let mut failures = 0_usize;
        while !pending.is_empty() && Instant::now() < until {
            let together = if self.proven == Some(node) {
                MAX_TOGETHER
            } else {
                1
            };
            let together = together.min(pending.len());
            let outcomes = inner.attempt_all(node, &pending[..together], until).await;
            let mut next = None;
            let mut left = Vec::new();
            let mut was_taken = false;
            for (mut message, outcome) in pending.drain(..together).zip(outcomes) {
                let (why, hint) = match outcome {
                    Outcome::Done(result) => {
                        was_taken |= result.is_ok();
                        until = Instant::now() + patience;
                        results[message.at] = Some(result);
                        continue;
                    }
                    Outcome::NotPublished { reason, hint } => (inner.named(node, &reason), hint),
                    Outcome::Unknown { reason } => {
                        let reason = inner.named(node, &reason);
                        message.unknown = Some(reason.clone());
                        (reason, None)
                    }
                };
                next = next.or(Some(hint.unwrap_or_else(|| inner.after(node))));
                reason = why;
                left.push(message);
            }
            pending.splice(..0, left);
            match next {
                None => {
                    inner.prefer(node);
                    self.proven = self.proven.filter(|proven| *proven == node);
                    if was_taken {
                        self.proven = Some(node);
                    }
                    backoff.reset();
                }
                Some(next) => {
                    self.proven = None;
                    node = next;
                    failures += 1;
                    if failures.is_multiple_of(inner.nodes.len()) {
                        let left = until.saturating_duration_since(Instant::now());
                        sleep(backoff.next().min(left)).await;
                    }
                }
            }
        }
        reason
    }
}

impl Inner {
    /// Sends the messages to one node, together; one outcome each.
    async fn attempt_all(&self, node: usize, messages: &[Pending], until: Instant) -> Vec<Outcome> {
        let until = until.min(Instant::now() + self.options.attempt_timeout);
        let lines: Vec<&[u8]> = messages.iter().map(|message| &message.line[..]).collect();
        let lines = Bytes::from(lines.concat());
        let link = &self.nodes[node].publishes;
        let unknown = |reason: &str| Outcome::Unknown {
            reason: reason.to_owned(),
        };
        let not_published = |reason: &str| Outcome::NotPublished {
            reason: reason.to_owned(),
            hint: None,
        };
        let answers = match timeout_at(until, link.ask_all(lines, messages.len())).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(Failure::NotSent(reason) | Failure::Lost(reason))) => {
                return messages.iter().map(|_| not_published(&reason)).collect();
            }
            // The queue was full all the time.
            Err(_) => {
                return messages
                    .iter()
                    .map(|_| not_published("no room in time"))
                    .collect();
            }
        };
        let mut outcomes = Vec::with_capacity(messages.len());
        for (message, answer) in messages.iter().zip(answers) {
            outcomes.push(match timeout_at(until, answer).await {
                Ok(Ok(Ok(answer))) => self.judge(&message.id, answer),
                Ok(Ok(Err(Failure::NotSent(reason)))) => not_published(&reason),
                Ok(Ok(Err(Failure::Lost(reason)))) => unknown(&reason),
                Ok(Err(_)) => unknown(link::ENDED),
                Err(_) => unknown("no answer in time"),
            });
        }
        outcomes
    }
}
