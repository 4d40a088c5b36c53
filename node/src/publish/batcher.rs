//! The leader's side: gathers submissions into batches and proposes them.
//!
//! The engine refuses a proposal while no majority has answered the leader for a lease's time, as when the disks of
//! a majority stall. Nothing was appended then, so the batch waits for the lease and is proposed again. The next
//! batch is only proposed once the engine has taken the one before: a batch that was refused cannot land behind a
//! later one.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use openraft::{
    ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, ForwardReason},
    impls::ProgressResponder,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::unconstrained,
};
use wiber_protocol::{entry::EntryKind, event::EventKind};
use wiber_storage::{Log, UNFLUSHED_BYTES};

use super::{BATCHES_IN_FLIGHT, Fate, Submission, Together};
use crate::{
    raft::{self, Proposal, Raft},
    retention::LeaderClock,
    trace::Trace,
};

/// Between two looks at whether a new leader may write.
const LEASE_PAUSE: Duration = Duration::from_millis(2);

/// Makes batches and proposes them, in the order of the queues.
pub struct Batcher {
    pub raft: Raft,
    pub log: Log,
    pub clock: Arc<LeaderClock>,
    pub trace: Trace,
    /// Moves with each flush of the log.
    pub flushed: watch::Receiver<Option<u64>>,
}

/// Both queues, in turn: neither waits for the other to run dry.
struct Intake {
    own: mpsc::Receiver<Submission>,
    of_followers: mpsc::Receiver<Submission>,
    followers_first: bool,
}

impl Intake {
    /// What waits already.
    fn waiting(&mut self) -> Option<Submission> {
        self.followers_first = !self.followers_first;
        let (first, second) = if self.followers_first {
            (&mut self.of_followers, &mut self.own)
        } else {
            (&mut self.own, &mut self.of_followers)
        };
        first.try_recv().or_else(|_| second.try_recv()).ok()
    }

    /// What waits, or comes next; `None` when nothing will.
    async fn next(&mut self) -> Option<Submission> {
        if let Some(submission) = self.waiting() {
            return Some(submission);
        }
        tokio::select! {
            biased;
            Some(submission) = self.of_followers.recv() => Some(submission),
            Some(submission) = self.own.recv() => Some(submission),
            else => None,
        }
    }
}

impl Batcher {
    pub(super) async fn run(self, own: mpsc::Receiver<Submission>, of_followers: mpsc::Receiver<Submission>) {
        let mut intake = Intake {
            own,
            of_followers,
            followers_first: false,
        };
        let slots = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
        let mut led: Option<u64> = None;
        let mut held_back: Option<Submission> = None;
        // The slot comes first, so that a batch gathers while earlier ones are under way.
        while let Ok(slot) = slots.clone().acquire_owned().await {
            let first = match held_back.take() {
                Some(submission) => Some(submission),
                None => intake.next().await,
            };
            let Some(first) = first else { return };
            let term = first.term;
            let mut batch = Together::default();
            batch.add(first);
            while !batch.is_full() {
                let Some(next) = intake.waiting() else { break };
                if next.term != term {
                    held_back = Some(next);
                    break;
                }
                batch.add(next);
            }
            if batch.is_empty() {
                continue;
            }
            if !self.log.has_room() {
                batch.settle(&Fate::NoRoom);
                continue;
            }
            self.await_disk().await;
            if led != Some(term) {
                self.await_lease(term, &batch).await;
                led = Some(term);
            }
            let clock_ms = self.clock.now_ms(term);
            let traced = self.trace.allow_local(EventKind::Append);
            let proposal = Proposal {
                kind: EntryKind::Records,
                records: u32::try_from(batch.records.len()).unwrap_or(u32::MAX),
                payload: batch.encode(clock_ms),
                trace: (self.trace.next_rpc_id(), traced),
            };
            let (answer, applied) = loop {
                let (responder, mut applied) = ProgressResponder::complete_only();
                let write = self
                    .raft
                    .write(proposal.clone())
                    .with_leader(raft::leader_of(term))
                    .responder(responder);
                // The engine takes one message after the other: once it has answered the second one, the batch is
                // either refused or in its log.
                if write.await.is_err() || self.raft.with_raft_state(|_| ()).await.is_err() {
                    batch.settle(&Fate::Unknown);
                    return;
                }
                let answer = unconstrained(&mut applied).now_or_never();
                match &answer {
                    Some(Ok(Err(ClientWriteError::ForwardToLeader(refused))))
                        if refused.reason == ForwardReason::LeaseExpired && !batch.is_abandoned() =>
                    {
                        self.await_lease(term, &batch).await;
                    }
                    _ => break (answer, applied),
                }
            };
            crate::runtime::spawn(async move {
                let answer = match answer {
                    Some(answer) => answer,
                    None => applied.await,
                };
                match answer {
                    Ok(Ok(response)) => batch.hand_out(response.data.outcomes, Fate::Committed),
                    Ok(Err(ClientWriteError::ForwardToLeader(_))) => batch.settle(&Fate::NotLeader),
                    Ok(Err(_)) | Err(_) => batch.settle(&Fate::Unknown),
                }
                drop(slot);
            });
        }
    }

    /// Waits while too much of this node's log waits for its disk: the majority may be faster, and what was taken in must fit
    /// the log's reserve should the disk be full.
    async fn await_disk(&self) {
        let mut flushed = self.flushed.clone();
        while self.log.unflushed_bytes() > UNFLUSHED_BYTES {
            if flushed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until the engine takes proposals again, or until there is no more sense in it. A leader that was just
    /// elected refuses to write until a majority has answered it once, some milliseconds later; and so does one whom
    /// no majority answers. Publishers need not hear of that.
    async fn await_lease(&self, term: u64, batch: &Together) {
        while self.raft.get_read_log_id(ReadPolicy::LeaseRead).await.is_err() {
            let leads = self.raft.server_metrics().borrow_watched().vote.leader_id.term == term;
            if !leads || batch.is_abandoned() {
                return;
            }
            tokio::time::sleep(LEASE_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn submission(term: u64) -> Submission {
        Submission::new(term, Vec::new()).0
    }

    /// Two busy followers could fill every batch before the leader's own clients are looked at.
    #[test]
    fn neither_queue_waits_for_the_other_to_run_dry() {
        let (own, own_queue) = mpsc::channel(8);
        let (of_followers, followers_queue) = mpsc::channel(8);
        let mut intake = Intake {
            own: own_queue,
            of_followers: followers_queue,
            followers_first: false,
        };
        for _ in 0..3 {
            assert!(own.try_send(submission(1)).is_ok() && of_followers.try_send(submission(2)).is_ok());
        }
        let taken: Vec<u64> = std::iter::from_fn(|| intake.waiting().map(|next| next.term)).collect();
        assert_eq!(taken.len(), 6);
        assert!(
            taken.chunks(2).all(|pair| pair.contains(&1) && pair.contains(&2)),
            "{taken:?}"
        );
        assert!(intake.next().now_or_never().is_none(), "more may come");
        drop((own, of_followers));
        assert!(matches!(intake.next().now_or_never(), Some(None)));
    }
}
