//! From a publisher's records to a log entry, and from the applied entry back to the publishers.
//!
//! On the leader one task makes batches out of whatever waits. There is no timer: while earlier batches are on
//! their way to a majority's disks, the next one gathers. On a follower another task does the same towards
//! the leader. Records of one submitter keep their order all the way, because each step is one queue.

mod batcher;
mod forwarder;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use wiber_protocol::{
    ids::RaftId,
    membership::Member,
    record::{Batch, Record},
    rpc::PublishOutcome,
};

pub use batcher::Batcher;
pub use forwarder::Forwarder;

/// Submissions waiting on the leader; past it connections wait.
pub const QUEUED_SUBMISSIONS: usize = 1_024;
/// Submissions of followers waiting on the leader. Each follower has at most [`FORWARDS_IN_FLIGHT`] under way,
/// so the queue holds those of eight followers and never makes a peer's connection wait.
pub const QUEUED_FORWARDS: usize = 64;
/// Forwarded batches of one follower that the leader of one term has not answered.
pub const FORWARDS_IN_FLIGHT: usize = 8;
/// Batches of the leader that are not applied yet.
pub const BATCHES_IN_FLIGHT: usize = 4;
/// A batch is closed at this many records or bytes of them, whichever comes first; one submission is
/// never split.
pub const BATCH_RECORDS: usize = 4_096;
pub const BATCH_BYTES: usize = 1 << 20;

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Committed by this node: one outcome for each record.
    Committed(Vec<PublishOutcome>),
    /// Committed by the leader, to whom this node forwarded the records.
    Forwarded(Vec<PublishOutcome>),
    /// Nothing was appended: this node knows no leader, or the leader of that term lost leadership before.
    NotLeader,
    /// Nothing was sent: the leader is known and cannot be reached from here.
    Unreachable(Member),
    /// Nothing was appended: the leader's disk is full.
    NoRoom,
    /// It may or may not be committed some day.
    Unknown,
}

/// Records of one submitter, and whom to tell.
///
/// A submission is for the leader of one term. Were it taken by a later one, records that the same submitter sent
/// after it, to a leader in between, could stand before it.
pub struct Submission {
    pub term: u64,
    pub records: Vec<Record>,
    pub reply: oneshot::Sender<Fate>,
    /// The memory it may take; given back when its fate is known.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Submission {
    pub fn new(term: u64, records: Vec<Record>) -> (Self, oneshot::Receiver<Fate>) {
        let (reply, fate) = oneshot::channel();
        let submission = Self {
            term,
            records,
            reply,
            room: None,
        };
        (submission, fate)
    }

    fn bytes(&self) -> usize {
        self.records.iter().map(Record::size_bytes).sum()
    }

    /// Tells the submitter, if it still listens.
    fn settle(self, fate: Fate) {
        drop(self.reply.send(fate));
    }
}

/// Submissions that share a batch.
#[derive(Default)]
struct Together {
    /// Each with how many of the batch's records are its own.
    submissions: Vec<(usize, Submission)>,
    records: Vec<Record>,
    /// Of the records.
    bytes: usize,
}

impl Together {
    /// Takes a submission in, unless its submitter has given up waiting: then it must not be published.
    fn add(&mut self, mut submission: Submission) {
        if submission.reply.is_closed() {
            return;
        }
        self.bytes += submission.bytes();
        let records = std::mem::take(&mut submission.records);
        self.submissions.push((records.len(), submission));
        self.records.extend(records);
    }

    fn is_empty(&self) -> bool {
        self.submissions.is_empty()
    }

    fn is_full(&self) -> bool {
        self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool {
        self.submissions
            .iter()
            .all(|(_, submission)| submission.reply.is_closed())
    }

    /// The batch, encoded. The records are in it and not in here any more.
    fn encode(&mut self, clock_ms: u64) -> Bytes {
        let records = std::mem::take(&mut self.records);
        Batch { clock_ms, records }.encode()
    }

    /// The same for all.
    fn settle(self, fate: &Fate) {
        for (_, submission) in self.submissions {
            submission.settle(fate.clone());
        }
    }

    /// To each its own outcomes.
    fn hand_out(self, outcomes: Vec<PublishOutcome>, fate: impl Fn(Vec<PublishOutcome>) -> Fate) {
        if outcomes.len() != self.submissions.iter().map(|(count, _)| count).sum::<usize>() {
            return self.settle(&Fate::Unknown);
        }
        let mut outcomes = outcomes.into_iter();
        for (count, submission) in self.submissions {
            submission.settle(fate(outcomes.by_ref().take(count).collect()));
        }
    }
}

/// A submission for another node's leadership.
pub struct Forward {
    pub leader: RaftId,
    pub member: Member,
    pub submission: Submission,
}

/// The ends of the queues.
#[derive(Clone)]
pub struct Publisher {
    own: mpsc::Sender<Submission>,
    of_followers: mpsc::Sender<Submission>,
    to_leader: mpsc::Sender<Forward>,
}

/// The other ends, for the tasks that [`Batcher`] and [`Forwarder`] run.
pub struct Queues {
    own: mpsc::Receiver<Submission>,
    of_followers: mpsc::Receiver<Submission>,
    to_leader: mpsc::Receiver<Forward>,
}

impl Publisher {
    pub fn new() -> (Self, Queues) {
        let (own, own_queue) = mpsc::channel(QUEUED_SUBMISSIONS);
        let (of_followers, followers_queue) = mpsc::channel(QUEUED_FORWARDS);
        let (to_leader, forward_queue) = mpsc::channel(QUEUED_SUBMISSIONS);
        let queues = Queues {
            own: own_queue,
            of_followers: followers_queue,
            to_leader: forward_queue,
        };
        let publisher = Self {
            own,
            of_followers,
            to_leader,
        };
        (publisher, queues)
    }

    /// On the leader: waits for room, then queues. Calls of one task keep their order.
    pub async fn lead(&self, submission: Submission) {
        if let Err(mpsc::error::SendError(refused)) = self.own.send(submission).await {
            refused.settle(Fate::NotLeader);
        }
    }

    /// On a follower: the same, towards the leader.
    pub async fn forward(&self, forward: Forward) {
        if let Err(mpsc::error::SendError(refused)) = self.to_leader.send(forward).await {
            refused.submission.settle(Fate::NotLeader);
        }
    }

    /// On the leader, for a follower: never waits, because a peer's connection also carries votes.
    pub fn accept_forwarded(&self, submission: Submission) {
        if let Err(error) = self.of_followers.try_send(submission) {
            error.into_inner().settle(Fate::NotLeader);
        }
    }
}

impl Queues {
    /// Starts both tasks; they end with `stop` or with the last [`Publisher`].
    pub fn start(self, batcher: Batcher, forwarder: Forwarder, stop: &tokio_util::sync::CancellationToken) {
        let Self {
            own,
            of_followers,
            to_leader,
        } = self;
        for task in [
            Box::pin(batcher.run(own, of_followers)) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
            Box::pin(Arc::new(forwarder).run(to_leader)),
        ] {
            let stop = stop.clone();
            crate::runtime::spawn(async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = task => {}
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_headers_is_closed_long_before_an_entry_is_full() {
        let header = ("k".to_owned(), "v".repeat(8_000));
        let record = Record {
            headers: vec![header],
            ..Record::default()
        };
        let mut batch = Together::default();
        let mut fates = Vec::new();
        while !batch.is_full() {
            let (submission, fate) = Submission::new(1, vec![record.clone(); 32]);
            batch.add(submission);
            fates.push(fate);
        }
        let bytes = batch.encode(0).len();
        assert!((BATCH_BYTES..2 * BATCH_BYTES).contains(&bytes), "{bytes}");
    }
}
