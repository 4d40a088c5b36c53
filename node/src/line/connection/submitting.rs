//! Publishes on their way to the leader: those that arrived together go together.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use wiber_protocol::{event::EventKind, record::Record};

use super::{
    super::{
        COMMIT_TIMEOUT,
        named::Named,
        responder::{PublishStep, Step},
        stamp::Stamper,
    },
    Reader,
};
use crate::{
    group::Leader,
    publish::{Fate, Forward, Submission},
    time::Moment,
};

/// One submission carries at most this many records or bytes of bodies.
const SUBMISSION_RECORDS: usize = 512;
const SUBMISSION_BYTES: usize = 256 << 10;

impl Reader {
    /// Stamps a record, to go out with what was said at the same time.
    pub(super) fn publish(&mut self, topic: &str, make: impl FnOnce(&Stamper, &Moment, Arc<str>) -> Record) {
        if *self.topic != *topic {
            self.topic = topic.into();
        }
        let stamper = &self.clients.stamper;
        let moment = self.moment.get_or_insert_with(|| stamper.moment());
        let record = make(stamper, moment, Arc::clone(&self.topic));
        if self.clients.trace.allow_local(EventKind::Publish) {
            self.clients.trace.local(EventKind::Publish, 0, |event| {
                event.records = Some(1);
                event.detail = Some(format!("{} {}", record.topic, record.id));
            });
        }
        self.waiting_bytes += record.size_bytes();
        self.waiting.push(record);
    }

    pub(super) async fn submit_if_full(&mut self) -> Option<()> {
        if self.waiting.len() >= SUBMISSION_RECORDS || self.waiting_bytes >= SUBMISSION_BYTES {
            self.submit().await
        } else {
            Some(())
        }
    }

    /// Queues a step behind everything said before it.
    pub(super) async fn step(&mut self, step: Step) -> Option<()> {
        self.submit().await?;
        self.steps.send(step).await.ok()
    }

    /// Hands the waiting publishes on; the answers come when their fate is known.
    pub(super) async fn submit(&mut self) -> Option<()> {
        if self.waiting.is_empty() {
            return Some(());
        }
        let bytes = std::mem::take(&mut self.waiting_bytes);
        self.moment = None;
        let room = self.clients.room.for_publishes(bytes).await?;
        let records = std::mem::take(&mut self.waiting);
        let named = Named::of(&records);
        let group = self.clients.group.get();
        let leader = group.as_ref().map_or(Leader::Unknown, |group| group.leader());
        let term = match leader {
            Leader::Own { term } | Leader::Other { term, .. } => term,
            Leader::Unknown => 0,
        };
        let (mut submission, fate) = Submission::new(term, records);
        submission.room = Some(room);
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        // The step first: a full queue of answers must hold the client back before it publishes more.
        let step = Step::Publish(PublishStep {
            named,
            fate,
            deadline,
        });
        self.steps.send(step).await.ok()?;
        let Some(group) = group else {
            drop(submission.reply.send(Fate::NotLeader));
            return Some(());
        };
        // Past the deadline the submission is dropped unsent, and its answer is "unknown".
        let handed_on = async {
            match leader {
                Leader::Own { .. } => group.publisher.lead(submission).await,
                Leader::Other { id, member, .. } => {
                    let forward = Forward {
                        leader: id,
                        member,
                        submission,
                    };
                    group.publisher.forward(forward).await;
                }
                Leader::Unknown => drop(submission.reply.send(Fate::NotLeader)),
            }
        };
        drop(timeout_at(deadline, handed_on).await);
        Some(())
    }
}
