//! The node's `/status` document, put together from what each part knows about itself.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use openraft::{Instant, ServerState, async_runtime::WatchReceiver};
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::watch;
use wiber_protocol::{
    ids::RaftId,
    membership::Member,
    status::{
        ClockFault, ClockStatus, Formation, GroupStatus, InjectedFault, NodeStatus, PeerStatus, Role,
        STATUS_GROUPS, STATUS_TOPICS, StorageStatus, TopicStatus,
    },
};

use crate::{
    admin::StatusSource,
    group::{Group, GroupCell},
    metrics::Counters,
    raft::{self, Metrics},
    rpc::{link::Local, links::Links, names::Names},
    runtime,
    state::{GroupState, State},
    time::{FaultError, Voters},
    trace::Trace,
};
use wiber_time::Votes;

/// `/readyz` wants a flush not longer ago than this; when the log was quiet for longer, it makes one.
const FLUSH_AGE: Duration = Duration::from_mins(1);

/// Everything `/status` is made of.
pub struct StatusBoard {
    pub own: Member,
    pub configured: Vec<Member>,
    pub local: Arc<Local>,
    pub links: Arc<Links>,
    pub names: Arc<Names>,
    pub group: GroupCell,
    pub formation: Arc<Mutex<Formation>>,
    /// Moves on whenever something visible changed.
    pub changes: watch::Sender<u64>,
    pub started_us: u64,
    /// When a flush last succeeded, by the monotonic clock; 0 before the first.
    pub flushed_us: Arc<AtomicU64>,
}

impl StatusBoard {
    /// Something visible changed.
    pub fn touch(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Whose clocks count for a majority: the voters', in each voter set. Before the membership is known nobody's do, and the
    /// configured nodes are only measured: who they are is no proof that they are members.
    pub fn voters(&self) -> Voters {
        let members = self.group.get().map(|group| {
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow_watched();
            raft::from_membership(metrics.membership_config.membership())
        });
        let Some(membership) = members.filter(|membership| !membership.members.is_empty()) else {
            let others = self
                .configured
                .iter()
                .filter(|member| member.name != self.own.name);
            let others = others.map(|member| (member.clone(), Votes::default()));
            return (Votes::default(), others.collect());
        };
        let own = self.local.identity.raft_id();
        let votes = |id: &RaftId| Votes::of(membership.voter_sets.iter().map(|set| set.contains(id)));
        let others = membership.members.iter().filter(|(id, _)| **id != own);
        let others = others.map(|(id, member)| (member.clone(), votes(id)));
        (votes(&own), others.collect())
    }

    fn with_group(&self, status: &mut NodeStatus, group: &Group) {
        let metrics = group.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let vote = raft::from_vote(&metrics.vote);
        let index = |log_id: Option<u64>| log_id.unwrap_or(0);
        status.role = role(&metrics);
        status.term = metrics.current_term;
        let heard = |leader: &u64| *leader == metrics.id || group.hears_leader();
        status.leader = metrics
            .current_leader
            .filter(heard)
            .map(|id| self.names.of(RaftId(id)));
        status.quorum_ack_ms = metrics.last_quorum_acked.as_ref().map(|at| millis(at.elapsed()));
        status.voted_for = (vote.term > 0).then(|| self.names.of(vote.voted_for));
        let log = group.log.log();
        status.first_log_index = log.purged().map_or(0, |(_, index)| index + 1);
        status.last_log_index = log.last().map_or(0, |(_, index)| index);
        status.flushed_index = index(log.flushed_index());
        status.commit_index = index(metrics.local_committed.map(|at| at.index));
        status.tail = group.log.tail();
        Self::with_topics(status, group);
        // The engine tells its commit a moment after it let entries be applied.
        status.commit_index = status.commit_index.max(status.applied_index);
        status.peers = self.peers(&metrics);
        let figures = log.stats();
        let measured = |us: u64| (figures.fsync_count > 0).then_some(us);
        status.storage = StorageStatus {
            segments: figures.segments as u64,
            bytes: figures.bytes,
            fsync_p50_us: measured(figures.fsync_p50_us),
            fsync_p99_us: measured(figures.fsync_p99_us),
            fsync_max_us: measured(figures.fsync_max_us),
            fsync_count: figures.fsync_count,
        };
        status.warnings = self.differences(&metrics);
        if !log.has_room() {
            let full = "the disk is full: it takes no messages until there is room; reads go on";
            status.warnings.push(full.to_owned());
        }
    }

    fn with_topics(status: &mut NodeStatus, group: &Group) {
        let state = group.state.read();
        status.applied_index = state.applied.map_or(0, |at| at.index);
        status.record_count = state.record_count;
        status.topic_count = state.topics.len() as u64;
        let mut topics: Vec<_> = state.topics.iter().collect();
        let newest_first = |(name, topic): &(&str, &crate::state::Topic)| {
            (std::cmp::Reverse(topic.last_log_index), (*name).to_owned())
        };
        if topics.len() > STATUS_TOPICS {
            topics.select_nth_unstable_by_key(STATUS_TOPICS, newest_first);
            topics.truncate(STATUS_TOPICS);
        }
        topics.sort_by_cached_key(newest_first);
        let shown = topics.into_iter().map(|(name, topic)| TopicStatus {
            name: name.to_owned(),
            high_watermark: topic.high_watermark,
            log_start_offset: topic.log_start_offset,
            bytes: topic.bytes,
        });
        status.topics = shown.collect();
        status.group_count = state.groups.len() as u64;
        status.groups = lagging_groups(&state);
    }

    fn peers(&self, metrics: &Metrics) -> Vec<PeerStatus> {
        let membership = metrics.membership_config.membership();
        let own = self.local.identity.raft_id().0;
        let mut peers: Vec<PeerStatus> = membership
            .nodes()
            .filter(|(id, _)| **id != own)
            .map(|(id, member)| {
                let link = self.links.get(member);
                let matched = metrics.replication.as_ref().and_then(|all| all.get(id));
                let acked = metrics.heartbeat.as_ref().and_then(|all| all.get(id));
                PeerStatus {
                    id: member.name.clone(),
                    raft_id: RaftId(*id),
                    voter: membership.voter_ids().any(|voter| voter == *id),
                    connected: link.as_ref().is_some_and(crate::rpc::link::Link::is_connected),
                    match_index: matched.and_then(Option::as_ref).map(|at| at.index),
                    last_ack_ms: acked.and_then(Option::as_ref).map(|at| millis(at.elapsed())),
                    rtt_ms: link.and_then(|link| link.rtt_ms()),
                    suspicion: None,
                }
            })
            .collect();
        peers.sort_by(|a, b| a.id.cmp(&b.id));
        peers
    }

    /// Where `cluster.yaml` and the committed membership disagree. Nothing follows from it by itself.
    pub(crate) fn differences(&self, metrics: &Metrics) -> Vec<String> {
        let membership = metrics.membership_config.membership();
        let members: Vec<&Member> = membership.nodes().map(|(_, member)| member).collect();
        if members.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for configured in &self.configured {
            match members.iter().find(|member| member.name == configured.name) {
                None => found.push(format!("{} is in cluster.yaml and not a member", configured.name)),
                Some(member) if *member != configured => found.push(format!(
                    "{} is at {}:{} in cluster.yaml and at {}:{} in the membership",
                    configured.name, configured.host, configured.port, member.host, member.port
                )),
                Some(_) => {}
            }
        }
        for member in members {
            if !self
                .configured
                .iter()
                .any(|configured| configured.name == member.name)
            {
                found.push(format!("{} is a member and not in cluster.yaml", member.name));
            }
        }
        found
    }

    /// Before there is a group: the configured nodes and whether they answer.
    fn strangers(&self) -> Vec<PeerStatus> {
        let others = self
            .configured
            .iter()
            .filter(|member| member.name != self.own.name);
        others
            .map(|member| PeerStatus {
                id: member.name.clone(),
                connected: self.links.get(member).is_some_and(|link| link.is_connected()),
                ..PeerStatus::default()
            })
            .collect()
    }
}

impl StatusSource for StatusBoard {
    fn status(&self) -> NodeStatus {
        let local = &self.local;
        let (cluster_id, raft_id) = local.identity.ids();
        let mut status = NodeStatus {
            id: self.own.name.clone(),
            raft_id,
            cluster_id,
            formation: self.formation.lock().clone(),
            pid: std::process::id(),
            at_us: local.clock.wall_us(),
            uptime_ms: (local.clock.monotonic_us() - self.started_us) / 1000,
            clock: ClockStatus {
                lamport: local.lamport.now(),
                lamport_violations: local.lamport.behind(),
                ..local.cluster_clock.status()
            },
            ..NodeStatus::default()
        };
        match self.group.get() {
            Some(group) => self.with_group(&mut status, &group),
            None => status.peers = self.strangers(),
        }
        for peer in &mut status.peers {
            let measured = status.clock.peers.iter().find(|clock| clock.id == peer.id);
            peer.suspicion = measured.and_then(|clock| clock.suspicion);
        }
        status
    }

    fn role_and_term(&self) -> (Role, u64) {
        self.group.get().map_or((Role::default(), 0), |group| {
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow_watched();
            (role(&metrics), metrics.current_term)
        })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            let group = self.group.get().ok_or("this node is not in a cluster yet")?;
            if let Some(error) = group.log.log().failed() {
                return Err(error);
            }
            group
                .await_read_index()
                .await
                .map_err(|error| error.to_string())?;
            let flushed_us = self.flushed_us.load(Ordering::Relaxed);
            let age_us = self.local.clock.monotonic_us().saturating_sub(flushed_us);
            let is_recent = flushed_us > 0 && Duration::from_micros(age_us) <= FLUSH_AGE;
            if is_recent {
                return Ok(());
            }
            group.log.probe().await.map_err(|error| error.to_string())
        })
    }

    fn trace(&self) -> Trace {
        self.local.trace.clone()
    }

    fn inject_clock(&self, fault: ClockFault) -> Result<InjectedFault, FaultError> {
        let run = runtime::rng().next_u64();
        let injected = self.local.cluster_clock.inject(fault, run)?;
        let (skew_ms, drift_ppm) = (injected.skew_ms, injected.drift_ppm);
        if self.local.cluster_clock.injected().is_some() {
            tracing::warn!(target: "clock", "its clock was made false: {skew_ms:+} ms, {drift_ppm:+} ppm");
        } else {
            tracing::info!(target: "clock", "its clock is true again");
        }
        self.touch();
        Ok(injected)
    }

    fn counters(&self) -> &Counters {
        &self.local.counters
    }
}

/// Those that lag most, the most lag first.
fn lagging_groups(state: &State) -> Vec<GroupStatus> {
    let lag = |topic: &str, group: &GroupState| {
        let (start, end) = (
            state.topics.log_start_offset(topic),
            state.topics.high_watermark(topic),
        );
        group.lag(start, end)
    };
    let all = state.groups.iter();
    let mut groups: Vec<_> = all.map(|of| (std::cmp::Reverse(lag(of.0, of.2)), of)).collect();
    // Stable: those of the same lag stay sorted by name.
    groups.sort_by_key(|(lag, _)| *lag);
    groups.truncate(STATUS_GROUPS);
    let shown = groups
        .into_iter()
        .map(|(lag, (topic, group, state))| GroupStatus {
            topic: topic.to_owned(),
            group: group.to_owned(),
            next_offset: state.next_offset(),
            lag: lag.0,
            outstanding: state.outstanding(),
            redelivered: state.redelivered(),
            dead_letters: state.dead_letters(),
        });
    shown.collect()
}

/// The node's role. The engine calls a node leader a moment before its own disk has the vote that says so; until
/// then it cannot take publishes and is still a candidate.
pub fn role(metrics: &Metrics) -> Role {
    match metrics.state {
        ServerState::Leader if metrics.current_leader == Some(metrics.id) => Role::Leader,
        ServerState::Leader | ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
