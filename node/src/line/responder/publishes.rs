//! Answers to publishes, when their fate is known.

use tokio::{sync::mpsc, time::timeout_at};
use wiber_protocol::{event::EventKind, line::Reply, rpc::PublishOutcome};

use super::{super::named::Named, Delivery, Gone, OWN_WRITE_TOPICS, PublishStep, Responder};
use crate::{
    metrics::{count, count_many},
    publish::Fate,
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
        for ((topic, id), outcome) in named.iter().zip(outcomes) {
            match outcome {
                PublishOutcome::Published { offset, lamport } => {
                    count(&counters.publishes);
                    if forwarded {
                        self.remember_own_write(topic, offset);
                        Reply::Redirected { id }.write(&mut self.out);
                    } else {
                        let reply = Reply::Published {
                            id,
                            offset: Some(offset),
                            logical_time: Some(lamport),
                        };
                        reply.write(&mut self.out);
                    }
                }
                PublishOutcome::Duplicate { offset } => {
                    count(&counters.duplicates);
                    if forwarded {
                        self.remember_own_write(topic, offset);
                    }
                    Reply::Duplicate { id }.write(&mut self.out);
                }
                PublishOutcome::Conflict => {
                    count(&counters.conflicts);
                    Reply::IdConflict { id }.write(&mut self.out);
                }
            }
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

    fn for_each<'a>(&mut self, named: &'a Named, reply: impl Fn(&'a str) -> Reply<'a>) {
        for (_, id) in named.iter() {
            reply(id).write(&mut self.out);
        }
    }

    fn remember_own_write(&mut self, topic: &str, offset: u64) {
        if let Some((_, known)) = self.own_writes.iter_mut().find(|(known, _)| known == topic) {
            *known = offset.max(*known);
        } else {
            if self.own_writes.len() == OWN_WRITE_TOPICS {
                self.own_writes.remove(0);
            }
            self.own_writes.push((topic.to_owned(), offset));
        }
    }
}
