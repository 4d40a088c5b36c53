//! A follower's side: carries its clients' records to the leader and the outcomes back.
//!
//! A leader that hangs keeps what it was sent until its link gives it up. The leader of a later term has slots of its
//! own, and what was not sent yet is not sent to a leader of the past.

use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wiber_protocol::{
    record::Batch,
    rpc::{ForwardReply, ForwardRequest, PublishOutcome, Request, Response},
};

use super::{BATCH_BYTES, BATCH_RECORDS, FORWARDS_IN_FLIGHT, Fate, Forward, Submission};
use crate::{
    raft::Raft,
    rpc::{
        link::{Link, LinkError, Reply},
        links::Links,
    },
};

/// Sends submissions on, in the order of the queue.
pub struct Forwarder {
    pub links: Arc<Links>,
    pub raft: Raft,
}

/// Room for what the leader of one term has not answered.
struct Slots {
    term: u64,
    free: Arc<Semaphore>,
}

impl Slots {
    fn new(term: u64) -> Self {
        Self {
            term,
            free: Arc::new(Semaphore::new(FORWARDS_IN_FLIGHT)),
        }
    }
}

impl Forwarder {
    pub(super) async fn run(self: Arc<Self>, mut queue: mpsc::Receiver<Forward>) {
        let mut slots = Slots::new(0);
        let mut held_back: Option<Forward> = None;
        loop {
            let first = match held_back.take() {
                Some(forward) => forward,
                None => match queue.recv().await {
                    Some(forward) => forward,
                    None => return,
                },
            };
            let (leader, member, term) = (first.leader, first.member, first.submission.term);
            // The slot comes before the rest of the batch, which gathers while earlier ones are under way.
            let Some(slot) = self.slot(&mut slots, term).await else {
                first.submission.settle(Fate::NotLeader);
                continue;
            };
            let mut bytes = first.submission.bytes();
            let mut submissions = vec![first.submission];
            let mut count = submissions[0].records.len();
            while bytes < BATCH_BYTES && count < BATCH_RECORDS {
                match queue.try_recv() {
                    Ok(next) if next.leader == leader && next.submission.term == term => {
                        bytes += next.submission.bytes();
                        count += next.submission.records.len();
                        submissions.push(next.submission);
                    }
                    Ok(other) => {
                        held_back = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
            // Whoever has given up waiting must not be published.
            submissions.retain(|submission| !submission.reply.is_closed());
            if submissions.is_empty() {
                continue;
            }
            let link = self.links.to(&member);
            if !link.is_connected() {
                for submission in submissions {
                    submission.settle(Fate::Unreachable(member.clone()));
                }
                continue;
            }
            let counts: Vec<usize> = submissions
                .iter()
                .map(|submission| submission.records.len())
                .collect();
            let records = submissions
                .iter_mut()
                .flat_map(|submission| std::mem::take(&mut submission.records));
            let batch = Batch {
                clock_ms: 0,
                records: records.collect(),
            };
            let forward = ForwardRequest {
                term,
                records: batch.encode(),
            };
            let reply = link.send(Request::Forward(forward), Some(leader)).await;
            tokio::spawn(async move {
                hand_out(link, reply, counts, submissions).await;
                drop(slot);
            });
        }
    }

    /// Waits for room to send to the leader of `term`; `None` when that term is over.
    async fn slot(&self, slots: &mut Slots, term: u64) -> Option<OwnedSemaphorePermit> {
        if slots.term != term {
            *slots = Slots::new(term);
        }
        tokio::select! {
            biased;
            () = self.later_than(term) => None,
            slot = slots.free.clone().acquire_owned() => slot.ok(),
        }
    }

    async fn later_than(&self, term: u64) {
        let mut metrics = self.raft.metrics();
        while metrics.borrow_watched().current_term <= term {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn hand_out(link: Link, reply: Reply, counts: Vec<usize>, submissions: Vec<Submission>) {
    let fate: Result<Vec<PublishOutcome>, Fate> = match link.answer(reply).await {
        Ok(Response::Forward(ForwardReply::Done(outcomes))) => Ok(outcomes),
        Ok(Response::Forward(ForwardReply::NotLeader))
        | Err(LinkError::Refused { .. } | LinkError::Full(_)) => Err(Fate::NotLeader),
        Err(LinkError::NotConnected(_)) => Err(Fate::Unreachable(link.member().clone())),
        // It was sent; whether it arrived and was appended nobody here can tell.
        Ok(_) | Err(LinkError::Broken(_) | LinkError::Timeout { .. } | LinkError::Mismatch(_)) => {
            Err(Fate::Unknown)
        }
    };
    match fate {
        Ok(outcomes) if outcomes.len() == counts.iter().sum::<usize>() => {
            let mut outcomes = outcomes.into_iter();
            for (count, submission) in counts.into_iter().zip(submissions) {
                submission.settle(Fate::Forwarded(outcomes.by_ref().take(count).collect()));
            }
        }
        Ok(_) => settle(submissions, &Fate::Unknown),
        Err(fate) => settle(submissions, &fate),
    }
}

fn settle(submissions: Vec<Submission>, fate: &Fate) {
    for submission in submissions {
        submission.settle(fate.clone());
    }
}
