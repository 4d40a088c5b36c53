//! Many messages in one order, many of them on their way at once.
//!
//! A node keeps the order of what one connection sends, and of what a leader that is lost had taken, only a beginning
//! survives. So messages that go out together on one connection, and again from the first that failed, are stored in
//! their order. One case would break it: a node that refuses the first of them, as it knows no leader, and finds one
//! before it comes to the last. Therefore a node gets a single message until it has taken one.
//!
//! That leaves one gap, which only the node could close: if the leader changes in the instant in which a proven node reads
//! one group, the first of the group may be lost with the old leader and the last be taken by the new one. Whoever cannot
//! bear that publishes one message at a time.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};
use wiber_protocol::line::{Command, LineError, PublishCommand, check_topic};

use crate::{
    Client, Inner, PublishError,
    attempts::Outcome,
    link::{self, Failure},
    publish::{PublishResult, with_body},
    reasons::{Reason, Reasons},
};

/// How many messages go out together at most.
pub const MAX_TOGETHER: usize = 256;

/// One message and the id under which it is published, however often that takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Of this message alone.
    pub id: String,
    /// One line, as for [`Client::publish`]; with headers any text.
    pub text: String,
    /// As for [`crate::Publish::header`].
    pub headers: Vec<(String, String)>,
}

impl Message {
    /// The whole command. A text alone goes the way that shows it unchanged in every form of a record.
    fn command(&self, topic: &str) -> Result<Bytes, LineError> {
        let (id, text) = (Some(self.id.as_str()), self.text.as_str());
        if self.headers.is_empty() {
            let mut line = Vec::new();
            Command::Pub { topic, id, text }.write(&mut line)?;
            return Ok(line.into());
        }
        let line = Command::Publish(PublishCommand {
            topic,
            body_bytes: text.len() as u64,
            id,
            headers: self.headers.clone(),
            expect: None,
        });
        with_body(&line, text.as_bytes())
    }
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
    command: Bytes,
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
    pub async fn publish(&mut self, messages: &[Message], patience: Duration) -> Vec<PublishResult> {
        let mut results: Vec<Option<PublishResult>> = vec![None; messages.len()];
        let mut pending = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            match message.command(&self.topic) {
                Ok(command) => pending.push(Pending {
                    at,
                    id: message.id.clone(),
                    command,
                    unknown: None,
                }),
                Err(error) => results[at] = Some(Err(PublishError::Rejected(error.to_string()))),
            }
        }
        let reasons = self.publish_pending(&mut pending, &mut results, patience).await;
        for left in pending {
            results[left.at] = Some(Err(match left.unknown {
                Some(_) => PublishError::Unknown(reasons.clone()),
                None => PublishError::Unavailable(reasons.clone()),
            }));
        }
        let each = results.into_iter();
        each.map(|result| result.expect("every message is done or was pending"))
            .collect()
    }

    /// Moves from `pending` to `results` what is done. If some are left, what the nodes came to is why.
    async fn publish_pending(
        &mut self,
        pending: &mut Vec<Pending>,
        results: &mut [Option<PublishResult>],
        patience: Duration,
    ) -> String {
        let inner = &self.client.inner;
        let mut backoff = inner.backoff();
        let mut reasons = Reasons::default();
        let mut until = Instant::now() + patience;
        let mut node = inner.preferred();
        let mut failures = 0_usize;
        while !pending.is_empty() && Instant::now() < until {
            let together = if self.proven == Some(node) {
                MAX_TOGETHER.min(pending.len())
            } else {
                1
            };
            let outcomes = inner.attempt_all(node, &pending[..together], until).await;
            let settled = inner.settle(node, pending, outcomes, results, &mut reasons);
            if settled.done > 0 {
                until = Instant::now() + patience;
            }
            let Some(next) = settled.failed else {
                inner.prefer(node);
                if settled.was_taken {
                    self.proven = Some(node);
                }
                backoff.reset();
                continue;
            };
            self.proven = None;
            node = next;
            failures += 1;
            if failures.is_multiple_of(inner.nodes.len()) {
                let left = until.saturating_duration_since(Instant::now());
                sleep(backoff.next().min(left)).await;
            }
        }
        inner.in_words(&reasons)
    }
}

/// What an attempt came to.
#[derive(Default)]
struct Settled {
    /// How many messages are no longer pending.
    done: usize,
    /// Whether one of them is stored.
    was_taken: bool,
    /// Which node to ask next, if some are still pending.
    failed: Option<usize>,
}

impl Inner {
    /// Takes what is done from the front of `pending`, where the outcomes' messages are; the others stay in their order.
    fn settle(
        &self,
        node: usize,
        pending: &mut Vec<Pending>,
        outcomes: Vec<Outcome<PublishResult>>,
        results: &mut [Option<PublishResult>],
        reasons: &mut Reasons,
    ) -> Settled {
        let mut settled = Settled::default();
        let is_done = |at| matches!(outcomes.get(at), Some(Outcome::Done(_)));
        if (0..outcomes.len()).any(is_done) {
            let mut left = pending.iter().enumerate().filter(|(at, _)| !is_done(*at));
            if left.any(|(_, message)| message.unknown.is_some()) {
                reasons.keep_open();
            } else {
                reasons.clear();
            }
        }
        let mut left = Vec::new();
        for (mut message, outcome) in pending.drain(..outcomes.len()).zip(outcomes) {
            let hint = match outcome {
                Outcome::Done(result) => {
                    settled.done += 1;
                    settled.was_taken |= result.is_ok();
                    results[message.at] = Some(match (result, message.unknown) {
                        // It may be that attempt which stored it before the id expired.
                        (Err(PublishError::IdExpired { .. }), Some(reason)) => {
                            Err(PublishError::Unknown(reason))
                        }
                        (result, _) => result,
                    });
                    continue;
                }
                Outcome::NotDone { reason, hint } => {
                    reasons.note(node, reason);
                    hint
                }
                Outcome::Unknown { reason } => {
                    message.unknown = Some(self.named(node, &reason.to_string()));
                    reasons.note_open(node, reason);
                    None
                }
            };
            settled
                .failed
                .get_or_insert(hint.unwrap_or_else(|| self.after(node)));
            left.push(message);
        }
        pending.splice(..0, left);
        settled
    }

    /// Sends the messages to one node, together; one outcome each.
    async fn attempt_all(
        &self,
        node: usize,
        messages: &[Pending],
        until: Instant,
    ) -> Vec<Outcome<PublishResult>> {
        let until = until.min(Instant::now() + self.options.attempt_timeout);
        let commands: Vec<&[u8]> = messages.iter().map(|message| &message.command[..]).collect();
        let commands = Bytes::from(commands.concat());
        let link = &self.nodes[node].publishes;
        let not_published = |reason: Reason| Outcome::NotDone { reason, hint: None };
        let answers = match timeout_at(until, link.ask_all(commands, messages.len())).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(failure)) => {
                let reason = Reason::from(failure);
                return messages.iter().map(|_| not_published(reason.clone())).collect();
            }
            // The queue was full all the time.
            Err(_) => {
                let reason = Reason::Silent("no room in time".to_owned());
                return messages.iter().map(|_| not_published(reason.clone())).collect();
            }
        };
        let mut outcomes = Vec::with_capacity(messages.len());
        for (message, answer) in messages.iter().zip(answers) {
            outcomes.push(match timeout_at(until, answer).await {
                Ok(Ok(Ok(answer))) => self.judge_publish(&message.id, &answer),
                Ok(Ok(Err(failure))) => failure.into(),
                Ok(Err(_)) => Failure::Lost(link::ENDED.to_owned()).into(),
                Err(_) => Outcome::Unknown {
                    reason: Reason::no_answer_in_time(),
                },
            });
        }
        outcomes
    }
}
