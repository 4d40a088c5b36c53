//! The coordinator of one group at work, on the leader of one term, for as long as the group has members.
//!
//! One plan at a time is on its way through the log. It learns of acknowledgements by looking at the replicated state
//! whenever entries took effect, with a pause in between, so that a busy log does not cost a look for each entry.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use openraft::async_runtime::WatchReceiver;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use wiber_protocol::rpc::PublishOutcome;

use super::{
    Coordinators, JoinError, Key, MAX_MEMBERS, MemberId, Newcomer, Order, Over, Request, Running,
    coordinator::{Coordinator, Plan, View},
    dead_letter::dead_letter_topic,
    proposal::{Proposed, Proposer},
};
use crate::{
    group::{Group, Leader},
    line::Stamper,
    publish::Fate,
    state::State,
};

/// Between two looks at the state because of entries that took effect, for each group with members …
const PAUSE_PER_COORDINATOR: Duration = Duration::from_micros(20);
/// … and in any case.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
/// After a plan that was not put in the log: the disk is full, or leadership is about to be lost.
const REST: Duration = Duration::from_millis(200);
/// Looks are at least so frequent. Whoever a coordinator was started for joins it in this time, or never.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

type Underway = Pin<Box<dyn Future<Output = Proposed> + Send>>;

pub(super) struct Task {
    all: Arc<Coordinators>,
    proposer: Proposer,
    running: Running,
    core: Coordinator,
    members: BTreeMap<MemberId, Chair>,
    began: Instant,
    /// No plan is made before.
    rests_until: Duration,
    had_members: bool,
}

/// A member, and what it was not told yet.
struct Chair {
    member: Newcomer,
    skipped: Option<(u64, u64)>,
}

impl Chair {
    fn is_ready(&self) -> bool {
        !self.has_left() && self.member.orders.capacity() > 0
    }

    fn has_left(&self) -> bool {
        self.member.shared.left.load(Relaxed) || self.member.orders.is_closed()
    }
}

/// What a look at the state came to.
enum Look {
    NoSuchGroup,
    Plan(Plan),
}

impl Task {
    pub(super) fn new(
        all: Arc<Coordinators>,
        raft: Arc<Group>,
        stamper: Arc<Stamper>,
        key: Key,
        running: Running,
    ) -> Self {
        let proposer = Proposer {
            raft,
            stamper,
            term: running.term,
            key,
        };
        let core = Coordinator::new(all.led_for(running.term));
        Self {
            all,
            proposer,
            running,
            core,
            members: BTreeMap::new(),
            began: Instant::now(),
            rests_until: Duration::ZERO,
            had_members: false,
        }
    }

    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let over = self.coordinate(&mut requests).await;
        // Who joins in this moment gets no answer and finds another coordinator.
        drop(requests);
        self.all.forget(&self.proposer.key, &self.running.requests);
        for chair in self.members.into_values() {
            if let Some(over) = over {
                // Before the orders end, and nobody else sets it.
                let _ = chair.member.shared.over.set(over);
            }
        }
    }

    /// Until nobody is left (`None`), or there is nothing to coordinate any more.
    async fn coordinate(&mut self, requests: &mut mpsc::Receiver<Request>) -> Option<Over> {
        let raft = self.proposer.raft.clone();
        let mut applied = raft.watermarks.applied();
        let mut leadership = raft.raft.server_metrics();
        let mut underway: Option<Underway> = None;
        loop {
            // Seen before the state is read: what comes after wakes this task again.
            applied.mark_unchanged();
            if !self.leads() {
                return Some(Over::NotLeader);
            }
            self.part_with_those_who_left();
            if self.is_deserted() && requests.is_empty() {
                return None;
            }
            match self.look(underway.is_none()) {
                Look::NoSuchGroup => return Some(Over::NoSuchGroup),
                Look::Plan(plan) if plan.is_empty() => {}
                Look::Plan(plan) => underway = Some(Box::pin(self.proposer.clone().propose(plan))),
            }
            self.tell_skips();
            let (pause, deadline, wake) = (self.pause(), self.deadline(), self.running.wake.clone());
            let news = async {
                sleep(pause).await;
                applied.changed().await.is_ok()
            };
            let goes_on = tokio::select! {
                biased;
                request = requests.recv() => request.map(|request| self.answer(request)).is_some(),
                proposed = finished(&mut underway) => {
                    underway = None;
                    self.carry_out(&proposed);
                    true
                }
                changed = leadership.changed() => changed.is_ok(),
                () = wake.notified() => true,
                () = sleep_until(deadline) => true,
                goes_on = news => goes_on,
            };
            if !goes_on {
                return Some(Over::NotLeader);
            }
        }
    }

    fn leads(&self) -> bool {
        let term = self.proposer.term;
        self.proposer.raft.leader() == Leader::Own { term }
    }

    /// Time since it began.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn pause(&self) -> Duration {
        let coordinators = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        PAUSE_PER_COORDINATOR
            .saturating_mul(coordinators)
            .max(SHORTEST_PAUSE)
    }

    /// When to look again without any news.
    fn deadline(&self) -> Instant {
        let now = self.now();
        let rest = (self.rests_until > now).then_some(self.rests_until);
        let deadlines = self.core.next_deadline(now).into_iter().chain(rest);
        self.began + deadlines.fold(now + LONGEST_WAIT, Duration::min)
    }

    /// Nobody is left, or whoever it was started for never came.
    fn is_deserted(&self) -> bool {
        self.members.is_empty() && (self.had_members || self.now() >= LONGEST_WAIT)
    }

    fn part_with_those_who_left(&mut self) {
        let core = &mut self.core;
        self.members.retain(|id, chair| {
            let has_left = chair.has_left();
            if has_left {
                core.leave(*id);
            }
            !has_left
        });
        self.running.members.store(self.members.len(), Relaxed);
    }

    /// Takes in what the log says, and plans if no plan is under way.
    fn look(&mut self, may_plan: bool) -> Look {
        let now = self.began.elapsed();
        let state = self.proposer.raft.state.read();
        let Some(view) = view(&state, &self.proposer.key) else {
            return Look::NoSuchGroup;
        };
        self.core.observe(now, view);
        if !may_plan || now < self.rests_until {
            return Look::Plan(Plan::default());
        }
        let is_ready = |id| self.members.get(&id).is_some_and(Chair::is_ready);
        Look::Plan(self.core.plan(now, view, is_ready))
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Join { reply, .. } if self.members.len() >= MAX_MEMBERS => {
                let _ = reply.send(Err(JoinError::Full));
            }
            Request::Join { room, member, reply } => {
                let id = self.core.join(room);
                let chair = Chair {
                    member,
                    skipped: None,
                };
                self.members.insert(id, chair);
                self.had_members = true;
                self.running.members.store(self.members.len(), Relaxed);
                // Who is gone already has let go of its orders, which shows at the next look.
                let _ = reply.send(Ok(id));
            }
            Request::GiveBack {
                member,
                offset,
                reply,
            } => {
                // What was acknowledged just before is not held any more.
                self.look(false);
                let _ = reply.send(self.core.give_back(member, offset));
            }
        }
    }

    /// The plan's fate is known.
    fn carry_out(&mut self, proposed: &Proposed) {
        let now = self.now();
        let Fate::Committed(outcomes) = &proposed.fate else {
            self.rests_until = now + REST;
            return;
        };
        let dead_letters = outcomes.iter().rev().take(proposed.dead);
        let refused = dead_letters.filter(|outcome| **outcome == PublishOutcome::TooManyTopics);
        let refused = refused.count();
        if refused > 0 {
            let (topic, group) = &self.proposer.key;
            tracing::warn!(
                target: "publish",
                "{refused} records of {topic} stay with group {group}: there are too many topics for {}",
                dead_letter_topic(topic, group)
            );
        }
        if refused > 0 || proposed.lacks_dead {
            self.core.put_off_dead_letters(now);
        }
        let orders = {
            let state = self.proposer.raft.state.read();
            let Some(view) = view(&state, &self.proposer.key) else {
                return;
            };
            self.core.hand_out(now, view, &proposed.plan.deliver)
        };
        if let Some((first, last)) = proposed.plan.skip {
            for chair in self.members.values_mut() {
                let from = chair.skipped.map_or(first, |(from, _)| from);
                chair.skipped = Some((from, last));
            }
        }
        for (id, handed) in orders {
            if let Some(chair) = self.members.get_mut(&id) {
                let skipped = chair.skipped.take();
                // It was ready when the plan was made. One that is gone leaves at the next look.
                drop(chair.member.orders.try_send(Order { skipped, handed }));
            }
        }
    }

    fn tell_skips(&mut self) {
        for chair in self.members.values_mut() {
            if chair.skipped.is_some() && chair.is_ready() {
                let order = Order {
                    skipped: chair.skipped.take(),
                    handed: Vec::new(),
                };
                drop(chair.member.orders.try_send(order));
            }
        }
    }
}

/// A group as the log says. `None` if it was deleted.
fn view<'a>(state: &'a State, (topic, group): &Key) -> Option<View<'a>> {
    Some(View {
        group: state.groups.get(topic, group)?,
        log_start_offset: state.topics.log_start_offset(topic),
        high_watermark: state.topics.high_watermark(topic),
    })
}

/// Waits for the plan that is under way; for ever if there is none.
async fn finished(underway: &mut Option<Underway>) -> Proposed {
    match underway {
        Some(underway) => underway.await,
        None => std::future::pending().await,
    }
}
