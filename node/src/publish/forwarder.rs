//! A follower's side: carries its clients' records to the leader and the outcomes back.
//!
//! A leader that hangs keeps what it was sent until its link gives it up. The leader of a later term has slots of its
//! own, and what was not sent yet is not sent to a leader of the past.

use std::{sync::Arc, time::Duration};

use openraft::async_runtime::WatchReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wiber_protocol::rpc::{ForwardReply, ForwardRequest, Request, Response};

use super::{FORWARDS_IN_FLIGHT, Fate, Forward, Together};
use crate::{
    raft::Raft,
    rpc::{
        link::{Link, LinkError},
        links::Links,
    },
};

/// An answer of a leader whose term is over may take this long.
const LATE_ANSWER: Duration = Duration::from_millis(100);

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
            let mut batch = Together::default();
            batch.add(first.submission);
            while !batch.is_full() {
                match queue.try_recv() {
                    Ok(next) if next.leader == leader && next.submission.term == term => {
                        batch.add(next.submission);
                    }
                    Ok(other) => {
                        held_back = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
            if batch.is_empty() {
                continue;
            }
            let link = self.links.to(&member);
            if !link.is_connected() {
                batch.settle(&Fate::Unreachable(member));
                continue;
            }
            let forward = ForwardRequest {
                term,
                records: batch.encode(0),
            };
            let reply = link.send(Request::Forward(forward), Some(leader)).await;
            let forwarder = self.clone();
            crate::runtime::spawn(async move {
                let answer = tokio::select! {
                    biased;
                    answer = link.answer(reply) => answer,
                    () = forwarder.too_late(term) => Err(link.timed_out(LATE_ANSWER)),
                };
                hand_out(&link, answer, batch);
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

    /// Waits until an answer of the leader of `term` is not worth waiting for: it may hang, and there is another one.
    async fn too_late(&self, term: u64) {
        self.later_than(term).await;
        tokio::time::sleep(LATE_ANSWER).await;
    }

    /// Waits until `term` is over.
    async fn later_than(&self, term: u64) {
        let mut metrics = self.raft.metrics();
        while metrics.borrow_watched().current_term <= term {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

fn hand_out(link: &Link, answer: Result<Response, LinkError>, batch: Together) {
    match answer {
        Ok(Response::Forward(ForwardReply::Done(outcomes))) => batch.hand_out(outcomes, Fate::Forwarded),
        Ok(Response::Forward(ForwardReply::NoRoom)) => batch.settle(&Fate::NoRoom),
        Ok(Response::Forward(ForwardReply::NotLeader))
        | Err(LinkError::Refused { .. } | LinkError::Full(_)) => batch.settle(&Fate::NotLeader),
        Err(LinkError::NotConnected(_)) => batch.settle(&Fate::Unreachable(link.member().clone())),
        // It was sent; whether it arrived and was appended nobody here can tell.
        Ok(_) | Err(LinkError::Broken(_) | LinkError::Timeout { .. } | LinkError::Mismatch(_)) => {
            batch.settle(&Fate::Unknown);
        }
    }
}
