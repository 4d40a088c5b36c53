//! Answers to publishes, when their fate is known.

use std::ops::RangeInclusive;

use tokio::{sync::mpsc, time::timeout_at};
use wiber_protocol::{
    event::EventKind,
    group_op::{GroupAction, GroupOp},
    line::Reply,
    rpc::PublishOutcome,
};

use super::{
    super::named::{Asked, Named},
    Delivery, Gone, OWN_WRITE_TOPICS, PublishStep, Responder,
};
use crate::{
    metrics::{count, count_many},
    publish::Fate,
    state::{MAX_GROUPS, MAX_TOPICS},
};

impl Responder {
    /// Waits for the fate of a submission; deliveries go on meanwhile.
    pub(super) async fn publish(
        &mut self,
        step: PublishStep,
        deliveries: &mut mpsc::Receiver<Delivery>,
    ) -> Result<(), Gone> {
        let PublishStep {
            named,
            mut fate,
            deadline,
        } = step;
        let fate = loop {
            if let Ok(fate) = fate.try_recv() {
                break fate;
            }
            // What is ready must not wait for a commit.
            self.flush().await?;
            tokio::select! {
                biased;
                fate = timeout_at(deadline, &mut fate) => match fate {
                    Ok(Ok(fate)) => break fate,
                    Ok(Err(_)) | Err(_) => break Fate::Unknown,
                },
                Some(delivery) = deliveries.recv() => self.deliver(&delivery)?,
            }
        };
        self.answer_publishes(&named, fate);
        Ok(())
    }

    fn answer_publishes(&mut self, named: &Named, fate: Fate) {
        let counters = self.clients.counters.clone();
        let (outcomes, forwarded) = match fate {
            Fate::Committed(outcomes) => (outcomes, false),
            Fate::Forwarded(outcomes) => {
                count_many(&counters.forwarded, named.len());
                (outcomes, true)
            }
            Fate::NoRoom => {
                let reason = "the leader's disk is full: nothing was published";
                return self.for_each(named, |_| Reply::Unavailable { reason });
            }
            Fate::NotLeader => return self.for_each(named, |_| Reply::NotLeader),
            Fate::Unreachable(member) => {
                return self.for_each(named, |_| Reply::Redirect {
                    host: &member.host,
                    port: member.port,
                });
            }
            Fate::Unknown => {
                count_many(&counters.timeouts, named.len());
                return self.for_each(named, |_| Reply::TimeoutWaitingCommit);
            }
        };
        for ((asked, (topic, id)), outcome) in named.asked().zip(named.iter()).zip(outcomes) {
            self.answer_publish(asked, topic, id, outcome, forwarded);
        }
        if self.clients.trace.allow_local(EventKind::Deliver) {
            self.clients.trace.local(EventKind::Deliver, 0, |event| {
                event.records = u32::try_from(named.len()).ok();
                event.detail = named
                    .iter()
                    .next()
                    .map(|(topic, id)| format!("answered {topic} {id}"));
            });
        }
    }

    fn answer_publish(
        &mut self,
        asked: Option<&Asked>,
        topic: &str,
        id: &str,
        outcome: PublishOutcome,
        forwarded: bool,
    ) {
        let counters = &self.clients.counters;
        let is_new_verb = asked.is_some();
        if forwarded
            && let PublishOutcome::Published { offset, .. } | PublishOutcome::Duplicate { offset } = outcome
        {
            remember_own_write(&mut self.own_writes, topic, offset);
        }
        let reply = match outcome {
            PublishOutcome::Published { offset, lamport } => {
                count(&counters.publishes);
                if forwarded && !is_new_verb {
                    Reply::Redirected { id }
                } else {
                    Reply::Published {
                        id,
                        offset: Some(offset),
                        logical_time: Some(lamport),
                    }
                }
            }
            PublishOutcome::Duplicate { offset } => {
                count(&counters.duplicates);
                let offset = is_new_verb.then_some(offset);
                Reply::Duplicate { id, offset }
            }
            PublishOutcome::Conflict => {
                count(&counters.conflicts);
                Reply::IdConflict { id }
            }
            PublishOutcome::Expired => Reply::IdExpired { id },
            PublishOutcome::OffsetMismatch { end } => Reply::OffsetMismatch { end },
            PublishOutcome::TooManyTopics => Reply::TooManyTopics {
                max: MAX_TOPICS as u64,
            },
            of_group => match asked {
                Some(Asked::Group(op)) => group_reply(topic, op, of_group),
                // No message is answered so.
                _ => Reply::TimeoutWaitingCommit,
            },
        };
        reply.write(&mut self.out);
    }

    fn for_each<'a>(&mut self, named: &'a Named, reply: impl Fn(&'a str) -> Reply<'a>) {
        for (_, id) in named.iter() {
            reply(id).write(&mut self.out);
        }
    }
}

fn remember_own_write(own_writes: &mut Vec<(String, u64)>, topic: &str, offset: u64) {
    if let Some((_, known)) = own_writes.iter_mut().find(|(known, _)| known == topic) {
        *known = offset.max(*known);
        return;
    }
    if own_writes.len() == OWN_WRITE_TOPICS {
        own_writes.remove(0);
    }
    own_writes.push((topic.to_owned(), offset));
}

/// The answer to a change of a group.
fn group_reply<'a>(topic: &'a str, op: &'a GroupOp, outcome: PublishOutcome) -> Reply<'a> {
    let group = &op.group;
    let last = |offsets: &[RangeInclusive<u64>]| offsets.last().map_or(0, |range| *range.end());
    match (outcome, &op.action) {
        (PublishOutcome::NoSuchGroup, _) => Reply::NoSuchGroup { topic, group },
        (PublishOutcome::TooManyGroups, _) => Reply::TooManyGroups {
            max: MAX_GROUPS as u64,
        },
        (PublishOutcome::OutOfGroupRange, GroupAction::Ack { offsets }) => Reply::NotDelivered {
            offset: last(offsets),
        },
        (_, GroupAction::Ack { offsets }) => Reply::Acked {
            topic,
            group,
            offset: last(offsets),
        },
        (_, GroupAction::Seek { next_offset }) => Reply::GroupMoved {
            topic,
            group,
            next_offset: *next_offset,
        },
        _ => Reply::GroupDeleted { topic, group },
    }
}
