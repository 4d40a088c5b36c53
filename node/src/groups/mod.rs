//! Consumer groups at work: who shares a topic's records, and who holds which.
//!
//! What a group has done is replicated ([`crate::state::GroupState`]). Who holds a record, and until when, is known to the
//! leader alone, and forgotten with its leadership: one task for each group that has members ([`task`]) asks the pure
//! [`Coordinator`] what to do, puts it in the log, and hands records out once it is committed there. So no count of
//! deliveries is ever lost, and a record that was acknowledged meanwhile is not handed out again.
//!
//! Nothing here knows a wire: a member is a [`Seat`] that gets [`Order`]s.

mod coordinator;
mod dead_letter;
mod opening;
mod proposal;
mod task;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use self::task::Task;
pub use self::{
    coordinator::{Coordinator, Handed, MemberId, MemberRoom, View},
    opening::{OpenError, Wanted, open},
};
use crate::{group::Group, line::Stamper};

/// Members of one group; past it nobody more is let in.
pub const MAX_MEMBERS: usize = 1_024;
/// Requests to one coordinator that wait; past it connections wait.
const PENDING_REQUESTS: usize = 64;
/// Orders to one member that wait. It gets no further records before it has taken these, so a member that does not read
/// holds up nobody, and has no more than its own in memory.
const PENDING_ORDERS: usize = 1;
/// A coordinator that ends in the moment somebody wants in is replaced; so often.
const JOIN_ATTEMPTS: usize = 8;

/// What a member is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Retention dropped these before the group had them, first and last.
    pub skipped: Option<(u64, u64)>,
    /// It holds these from now on, by offset.
    pub handed: Vec<Handed>,
}

/// Why a membership is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// This node does not lead any more.
    NotLeader,
    /// The group was deleted.
    NoSuchGroup,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    Full,
    NotLeader,
}

/// What coordinator and member share of a membership.
#[derive(Debug)]
struct Shared {
    /// The member is gone. Set at once, so that nothing more is put in the log for it.
    left: AtomicBool,
    /// Set before the orders end.
    over: OnceLock<Over>,
    /// Wakes the coordinator.
    wake: Arc<Notify>,
}

/// Where a member gets its orders.
pub struct Seat {
    id: MemberId,
    orders: mpsc::Receiver<Order>,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Seat {
    /// The next order; why there is none any more.
    pub async fn next(&mut self) -> Result<Order, Over> {
        match self.orders.recv().await {
            Some(order) => {
                // There is room for one more.
                self.shared.wake.notify_one();
                Ok(order)
            }
            None => Err(self.shared.over.get().copied().unwrap_or(Over::NotLeader)),
        }
    }

    /// Gives a record back that cannot be read.
    pub async fn give_back(&self, offset: u64) {
        give_back(&self.requests, self.id, offset).await;
    }
}

/// Whether the member held it.
async fn give_back(requests: &mpsc::Sender<Request>, member: MemberId, offset: u64) -> bool {
    let (reply, answer) = oneshot::channel();
    let request = Request::GiveBack {
        member,
        offset,
        reply,
    };
    // A coordinator that has ended holds nothing for anybody.
    requests.send(request).await.is_ok() && answer.await.unwrap_or(false)
}

/// One's being a member. Dropping it leaves the group.
pub struct Membership {
    id: MemberId,
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Membership {
    /// Gives a record back; whether this member held it.
    pub async fn give_back(&self, offset: u64) -> bool {
        give_back(&self.requests, self.id, offset).await
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shared.left.store(true, Relaxed);
        self.shared.wake.notify_one();
    }
}

enum Request {
    Join {
        room: MemberRoom,
        member: Newcomer,
        reply: oneshot::Sender<Result<MemberId, JoinError>>,
    },
    GiveBack {
        member: MemberId,
        offset: u64,
        reply: oneshot::Sender<bool>,
    },
}

/// A member as its coordinator has it.
struct Newcomer {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
}

/// A group, by topic and name.
type Key = (Arc<str>, Arc<str>);

/// The coordinators that run on this node: at most one for each group of a term.
#[derive(Default)]
pub struct Coordinators {
    running: Mutex<BTreeMap<Key, Running>>,
    /// The newest term in which a coordinator was started, and when the first one was.
    leads: Mutex<Option<(u64, Instant)>>,
}

/// How to reach a coordinator.
#[derive(Clone)]
struct Running {
    term: u64,
    requests: mpsc::Sender<Request>,
    wake: Arc<Notify>,
    members: Arc<AtomicUsize>,
}

impl Coordinators {
    /// How many members a group has on this node.
    pub fn members(&self, topic: &str, group: &str) -> usize {
        let key = (topic.into(), group.into());
        let running = self.running.lock();
        running
            .get(&key)
            .map_or(0, |running| running.members.load(Relaxed))
    }

    /// How long there have been coordinators of this term, with or without members at any moment: what an earlier leader
    /// handed out was handed out before.
    fn led_for(&self, term: u64) -> Duration {
        let mut leads = self.leads.lock();
        match *leads {
            Some((of, since)) if of >= term => since.elapsed(),
            _ => {
                *leads = Some((term, Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// How many groups have members here.
    fn len(&self) -> usize {
        self.running.lock().len()
    }

    /// Joins a group that there is, on the leader of `term`.
    pub async fn join(
        self: &Arc<Self>,
        raft: &Arc<Group>,
        stamper: &Arc<Stamper>,
        term: u64,
        (topic, group): (&str, &str),
        room: MemberRoom,
    ) -> Result<(Membership, Seat), JoinError> {
        let key: Key = (topic.into(), group.into());
        for _ in 0..JOIN_ATTEMPTS {
            let running = self.running(raft, stamper, term, &key);
            let (orders, received) = mpsc::channel(PENDING_ORDERS);
            let shared = Arc::new(Shared {
                left: AtomicBool::new(false),
                over: OnceLock::new(),
                wake: running.wake,
            });
            let (reply, answer) = oneshot::channel();
            let request = Request::Join {
                room,
                member: Newcomer {
                    orders,
                    shared: shared.clone(),
                },
                reply,
            };
            if running.requests.send(request).await.is_err() {
                continue;
            }
            // Without an answer the coordinator ended first.
            let Ok(answer) = answer.await else { continue };
            let id = answer?;
            let membership = Membership {
                id,
                requests: running.requests.clone(),
                shared: shared.clone(),
            };
            let seat = Seat {
                id,
                orders: received,
                requests: running.requests,
                shared,
            };
            return Ok((membership, seat));
        }
        Err(JoinError::NotLeader)
    }

    /// The group's coordinator in this term; started if there is none.
    fn running(self: &Arc<Self>, raft: &Arc<Group>, stamper: &Arc<Stamper>, term: u64, key: &Key) -> Running {
        let mut all = self.running.lock();
        if let Some(running) = all.get(key)
            && running.term == term
            && !running.requests.is_closed()
        {
            return running.clone();
        }
        let (requests, received) = mpsc::channel(PENDING_REQUESTS);
        let running = Running {
            term,
            requests,
            wake: Arc::default(),
            members: Arc::default(),
        };
        let task = Task::new(
            self.clone(),
            raft.clone(),
            stamper.clone(),
            key.clone(),
            running.clone(),
        );
        crate::runtime::spawn(task.run(received));
        all.insert(key.clone(), running.clone());
        running
    }

    /// A coordinator has ended.
    fn forget(&self, key: &Key, requests: &mpsc::Sender<Request>) {
        let mut all = self.running.lock();
        let is_it = |running: &Running| running.requests.same_channel(requests);
        if all.get(key).is_some_and(is_it) {
            all.remove(key);
        }
    }
}
