//! One Raft group as the rest of the node uses it: its engine, its log, its applied state, and who waits on
//! them. A process has one group today; nothing here assumes that it is the only one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use openraft::{
    ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{LinearizableReadError, RaftError},
};
use parking_lot::RwLock;
use tokio::sync::watch;
use wiber_protocol::{
    ids::{LogId, RaftId},
    membership::Member,
    rpc::{ReadIndexReply, Request, Response},
};

use crate::{
    clock::Clock,
    index::Index,
    publish::Publisher,
    raft::{self, LogStore, Raft},
    rates::Rates,
    retention::LeaderClock,
    rpc::{inbound::Inbound, link::Presence, links::Links},
    state::State,
    time::ClusterClock,
    watermark::Watermarks,
};

/// A leader that says nothing for this long is taken for none: three of the longest election timeouts.
const LEADER_SILENCE: Duration = Duration::from_millis(3 * raft::ELECTION_TIMEOUT_MS.end);
/// A leader whose heartbeats stay away for this long may be gone …
const SUSPICIOUS_SILENCE: Duration = Duration::from_millis(3 * raft::HEARTBEAT_MS);
/// … and is taken for gone when its silence towards time probes is so suspicious: one chance in a hundred million.
const SUSPICIOUS: f64 = 8.0;
const LOOK_AT_SUSPICION: Duration = Duration::from_millis(20);

/// A strong read gives up after this long without a read index.
pub const READ_INDEX_PATIENCE: Duration = Duration::from_secs(1);

/// Why a leader is taken for gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gone {
    /// Its process has let go of its port and its connections.
    Process,
    /// It says nothing, in any way.
    Silent { suspicion: f64 },
}

/// Everything that belongs to one group.
pub struct Group {
    pub own: RaftId,
    pub raft: Raft,
    pub log: LogStore,
    pub index: Arc<Index>,
    pub state: Arc<RwLock<State>>,
    pub watermarks: Arc<Watermarks>,
    /// What topics get of late.
    pub rates: Arc<Rates>,
    pub publisher: Publisher,
    pub links: Arc<Links>,
    pub inbound: Inbound,
    pub clock: Arc<dyn Clock>,
    pub cluster_clock: Arc<ClusterClock>,
    /// Whether local reads show at least what was committed when this process started.
    pub caught_up: watch::Sender<bool>,
    /// Stamps what this node appends while it leads.
    pub leader_clock: Arc<LeaderClock>,
    /// When a leader was last heard, by the monotonic clock.
    pub leader_heard_us: AtomicU64,
    /// The node is about to stop the engine: peers are turned away.
    pub stopping: AtomicBool,
}

/// Empty until the node is a member and has loaded its log, then set once.
#[derive(Clone)]
pub struct GroupCell(Arc<watch::Sender<Option<Arc<Group>>>>);

impl Default for GroupCell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl GroupCell {
    pub fn get(&self) -> Option<Arc<Group>> {
        self.0.borrow().clone()
    }

    pub fn set(&self, group: Arc<Group>) {
        self.0.send_replace(Some(group));
    }

    /// The group, once there is one; `None` if that takes longer than `patience`.
    pub async fn wait(&self, patience: Duration) -> Option<Arc<Group>> {
        let mut cell = self.0.subscribe();
        let there = cell.wait_for(Option::is_some);
        let group = tokio::time::timeout(patience, there).await.ok()?.ok()?;
        group.clone()
    }
}

/// Whom the node takes for the leader right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leader {
    Own { term: u64 },
    Other { id: RaftId, member: Member, term: u64 },
    Unknown,
}

/// Why a strong read was not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    #[error("no leader is known")]
    NoLeader,
    #[error("{0}")]
    Failed(String),
}

impl Group {
    /// Whom to send clients to.
    pub fn leader(&self) -> Leader {
        match self.followed() {
            // That one may be dead, or this process have just started.
            Leader::Other { .. } if !self.hears_leader() => Leader::Unknown,
            leader => leader,
        }
    }

    /// Whom the engine follows: the leader it last knew, heard or not.
    pub fn followed(&self) -> Leader {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let term = metrics.current_term;
        match metrics.current_leader {
            Some(id) if id == self.own.0 => Leader::Own { term },
            Some(id) => match metrics.membership_config.membership().get_node(&id) {
                Some(member) => Leader::Other {
                    id: RaftId(id),
                    member: member.clone(),
                    term,
                },
                None => Leader::Unknown,
            },
            None => Leader::Unknown,
        }
    }

    /// Whether the leader said something lately.
    pub fn hears_leader(&self) -> bool {
        let heard_us = self.leader_heard_us.load(Ordering::Relaxed);
        let silent_us = self.clock.monotonic_us().saturating_sub(heard_us);
        heard_us > 0 && u128::from(silent_us) <= LEADER_SILENCE.as_micros()
    }

    /// A frame of the term's leader arrived and was accepted.
    pub fn heard_from_leader(&self) {
        self.leader_heard_us
            .store(self.clock.monotonic_us(), Ordering::Relaxed);
    }

    /// Waits until this node has applied everything that was committed when the call began, as a majority
    /// confirms. Works on the leader and on followers.
    pub async fn await_read_index(&self) -> Result<(), ReadIndexError> {
        let answered = async {
            let read_index = self.read_index().await?;
            self.await_applied(read_index.index).await;
            Ok(())
        };
        tokio::time::timeout(READ_INDEX_PATIENCE, answered)
            .await
            .unwrap_or_else(|_| Err(ReadIndexError::Failed("no majority answered in time".to_owned())))
    }

    /// The newest entry that is known to be committed, as a majority confirms: everything committed before the
    /// call is at or below it.
    pub async fn read_index(&self) -> Result<LogId, ReadIndexError> {
        match self.leader() {
            Leader::Own { .. } => self.own_read_index().await,
            Leader::Other { id, member, .. } => self.leaders_read_index(id, &member).await,
            Leader::Unknown => Err(ReadIndexError::NoLeader),
        }
    }

    /// A read index round of this node as the leader.
    pub async fn own_read_index(&self) -> Result<LogId, ReadIndexError> {
        let round = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
        let (read_log_id, _) = round.map_err(|error| match error {
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => {
                ReadIndexError::Failed("no majority answered".to_owned())
            }
            other => ReadIndexError::Failed(other.to_string()),
        })?;
        Ok(raft::from_log_id(read_log_id.log_id()))
    }

    async fn leaders_read_index(&self, id: RaftId, member: &Member) -> Result<LogId, ReadIndexError> {
        let link = self.links.to(member);
        let answer = link.call(Request::ReadIndex, Some(id), READ_INDEX_PATIENCE).await;
        match answer.map_err(|error| ReadIndexError::Failed(error.to_string()))? {
            Response::ReadIndex(ReadIndexReply::Ready(log_id)) => Ok(log_id),
            Response::ReadIndex(ReadIndexReply::NotLeader) => Err(ReadIndexError::NoLeader),
            Response::ReadIndex(ReadIndexReply::Failed(reason)) => Err(ReadIndexError::Failed(reason)),
            _ => Err(ReadIndexError::Failed(link.mismatch().to_string())),
        }
    }

    /// Waits until the entry at `index` has taken effect here.
    pub async fn await_applied(&self, index: u64) {
        let mut applied = self.watermarks.applied();
        // The sender lives as long as the group.
        drop(
            applied
                .wait_for(|at| *at >= index && self.applied_index() >= index)
                .await,
        );
    }

    /// Waits until the leader is gone, as far as this node can see. `None` when the node stops.
    pub async fn await_gone(&self, id: RaftId, member: &Member) -> Option<Gone> {
        tokio::select! {
            biased;
            ended = self.await_no_process(id, member) => ended.map(|()| Gone::Process),
            suspicion = self.await_suspected(&member.name) => Some(Gone::Silent { suspicion }),
        }
    }

    /// Waits until the leader is silent in every way: it has sent nothing for three heartbeats, and by its answers to
    /// time probes its silence is no accident.
    async fn await_suspected(&self, name: &str) -> f64 {
        loop {
            let heard_us = self.leader_heard_us.load(Ordering::Relaxed);
            let silent = Duration::from_micros(self.clock.monotonic_us().saturating_sub(heard_us));
            let suspicion = self.cluster_clock.suspicion(name).unwrap_or(0.0);
            if heard_us > 0 && silent >= SUSPICIOUS_SILENCE && suspicion >= SUSPICIOUS {
                return suspicion;
            }
            let rest = SUSPICIOUS_SILENCE.saturating_sub(silent);
            tokio::time::sleep(rest.max(LOOK_AT_SUSPICION)).await;
        }
    }

    /// Waits until nobody listens at a peer's address, and no connection from it is open.
    async fn await_no_process(&self, id: RaftId, member: &Member) -> Option<()> {
        let mut presence = self.links.to(member).presence();
        loop {
            presence
                .wait_for(|presence| *presence == Presence::Refused)
                .await
                .ok()?;
            self.inbound.await_none_from(id).await;
            if *presence.borrow() == Presence::Refused {
                return Some(());
            }
        }
    }

    /// Waits while this node has just started and is still learning what is committed.
    pub async fn await_caught_up(&self) {
        // The sender lives as long as the group.
        drop(self.caught_up.subscribe().wait_for(|caught_up| *caught_up).await);
    }

    /// Waits until `topic` has a record at `offset` here.
    pub async fn await_offset(&self, topic: &str, offset: u64) {
        let mut changed = self.watermarks.topic(topic);
        while self.state.read().topics.high_watermark(topic) < offset {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    pub fn applied_index(&self) -> u64 {
        self.state.read().applied.map_or(0, |at| at.index)
    }
}
