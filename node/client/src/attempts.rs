//! One command that changes something, said to one node after the other until one settles it or time is up.
//!
//! What is repeated behind an attempt of unknown fate must change nothing if that one took effect: a publish carries its
//! id, and what is acknowledged is acknowledged. What else there is, is given up then. What decides between *unavailable*
//! and *unknown* at the end is whether any attempt may have arrived.

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};
use wiber_protocol::line::Reply;

use crate::{
    Inner,
    link::{Answer, Failure},
};

/// Whether a command may be said again when an attempt of it may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A second time changes nothing.
    Harmless,
    /// A second time may undo what was done since the first.
    Harmful,
}

/// What follows from one attempt.
pub(crate) enum Outcome<T> {
    Done(T),
    /// Nothing was done; perhaps that node can.
    NotDone {
        reason: String,
        hint: Option<usize>,
    },
    /// It may have been done.
    Unknown {
        reason: String,
    },
}

/// Nothing settled it in time; the last reason of the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GaveUp {
    /// Certainly nothing was done.
    Unavailable(String),
    /// It may have been done, or may still be.
    Unknown(String),
}

impl Inner {
    /// `command` is a whole command, the body of a publish included. `judge` says what an answer means; it is told whether an
    /// earlier attempt may still take effect.
    pub(crate) async fn settle_by<T>(
        &self,
        command: &Bytes,
        repeat: Repeat,
        until: Instant,
        judge: impl Fn(&Answer, bool) -> Outcome<T>,
    ) -> Result<T, GaveUp> {
        let mut backoff = self.backoff();
        let mut unknown = None;
        let mut not_done = "no time was given".to_owned();
        let mut node = self.preferred();
        for attempt in 1_usize.. {
            if Instant::now() >= until {
                break;
            }
            let mut next = self.after(node);
            let is_open = unknown.is_some();
            let judge = |answer: &Answer| judge(answer, is_open);
            match self.attempt(node, command.clone(), until, judge).await {
                Outcome::Done(result) => {
                    self.prefer(node);
                    return Ok(result);
                }
                Outcome::NotDone { reason, hint } => {
                    not_done = self.named(node, &reason);
                    next = hint.unwrap_or(next);
                }
                Outcome::Unknown { reason } => {
                    unknown = Some(self.named(node, &reason));
                    if repeat == Repeat::Harmful {
                        break;
                    }
                }
            }
            node = next;
            if attempt % self.nodes.len() == 0 {
                let left = until.saturating_duration_since(Instant::now());
                sleep(backoff.next().min(left)).await;
            }
        }
        Err(match unknown {
            Some(reason) => GaveUp::Unknown(reason),
            None => GaveUp::Unavailable(not_done),
        })
    }

    async fn attempt<T>(
        &self,
        node: usize,
        command: Bytes,
        until: Instant,
        judge: impl Fn(&Answer) -> Outcome<T>,
    ) -> Outcome<T> {
        let until = until.min(Instant::now() + self.options.attempt_timeout);
        match timeout_at(until, self.nodes[node].publishes.ask(command)).await {
            Ok(Ok(answer)) => judge(&answer),
            Ok(Err(Failure::NotSent(reason))) => Outcome::NotDone { reason, hint: None },
            Ok(Err(Failure::Lost(reason))) => Outcome::Unknown { reason },
            Err(_) => Outcome::Unknown {
                reason: "no answer in time".to_owned(),
            },
        }
    }

    /// What an answer means that any change can get: that another node is to be asked, or nothing that is known.
    pub(crate) fn judge_failure<T>(&self, line: &str) -> Outcome<T> {
        let not_done = |hint| Outcome::NotDone {
            reason: line.to_owned(),
            hint,
        };
        match Reply::parse(line) {
            Some(Reply::Redirect { host, port }) => not_done(self.position_of(host, port)),
            Some(Reply::NotLeader | Reply::Unavailable { .. }) => not_done(None),
            Some(Reply::TimeoutWaitingCommit) => Outcome::Unknown {
                reason: line.to_owned(),
            },
            // An answer to something else: whatever this node did with the command, it did not say.
            _ => Outcome::Unknown {
                reason: format!("an answer that does not fit: `{line}`"),
            },
        }
    }

    /// The node of the configuration that listens there.
    pub(crate) fn position_of(&self, host: &str, port: u16) -> Option<usize> {
        let is_it = |node: &crate::Node| node.spec.port == port && node.spec.host == host;
        self.nodes.iter().position(is_it)
    }

    /// A reason and whose it is.
    pub(crate) fn named(&self, node: usize, reason: &str) -> String {
        format!("{}: {reason}", self.nodes[node].spec.id)
    }
}
