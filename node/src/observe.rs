//! Watches the engine and says what happens: role changes with their reason, commits, the leader lost and
//! found. Feeds the console, the trace, the counters and `/status`.

use std::sync::{Arc, atomic::Ordering};

use openraft::async_runtime::WatchReceiver;
use tokio::sync::mpsc;
use wiber_protocol::{event::EventKind, ids::RaftId, status::Role};

use crate::{
    group::Group,
    metrics::count,
    raft::{self, Metrics},
    status::{StatusBoard, role},
};

/// What was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    role: Role,
    term: u64,
    leader: Option<RaftId>,
    commit_index: u64,
}

/// Runs until the engine stops; a fatal end of it is sent to `fatal`.
pub async fn run(group: Arc<Group>, board: Arc<StatusBoard>, fatal: mpsc::Sender<String>) {
    let mut metrics = group.raft.metrics();
    let mut seen = Seen::default();
    let mut told: Vec<String> = Vec::new();
    loop {
        let now = metrics.borrow_watched().clone();
        if let Err(error) = &now.running_state {
            drop(fatal.send(error.to_string()).await);
            return;
        }
        board
            .names
            .learn_all(&raft::from_membership(now.membership_config.membership()));
        tell(&group, &board, &mut seen, &now);
        let differences = board.differences(&now);
        for difference in differences.iter().filter(|one| !told.contains(one)) {
            tracing::warn!(target: "node", "{difference}: the configuration changes nothing by itself");
        }
        told = differences;
        board.touch();
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

fn tell(group: &Group, board: &StatusBoard, seen: &mut Seen, metrics: &Metrics) {
    let now = Seen {
        role: role(metrics),
        term: metrics.current_term,
        leader: metrics
            .current_leader
            .filter(|leader| *leader == metrics.id || group.hears_leader())
            .map(RaftId),
        commit_index: metrics.local_committed.map_or(0, |at| at.index),
    };
    let name = |id: RaftId| board.names.of(id);
    if now.role != seen.role || (now.role == Role::Candidate && now.term != seen.term) {
        let text = match now.role {
            Role::Leader => format!("leads term {}", now.term),
            Role::Candidate => {
                count(&board.local.counters.elections_started);
                format!("asks for votes in term {}: {}", now.term, silence(group))
            }
            Role::Follower => match now.leader {
                Some(leader) => format!("follows {} in term {}", name(leader), now.term),
                None => format!("follows nobody yet in term {}", now.term),
            },
            Role::Learner => format!("learns, without a vote, in term {}", now.term),
        };
        tracing::info!(target: "raft", emphasis = now.role == Role::Leader, "{text}");
        board
            .local
            .trace
            .local(EventKind::Role, now.term, |event| event.detail = Some(text));
    }
    if now.leader != seen.leader {
        match now.leader {
            Some(leader) => {
                count(&board.local.counters.leader_changes);
                if now.role != Role::Leader && now.role == seen.role {
                    tracing::info!(target: "raft", "follows {} in term {}", name(leader), now.term);
                }
            }
            None if seen.role == Role::Leader => {
                tracing::warn!(target: "raft", "leads no longer");
            }
            None => {
                let lost = seen.leader.map_or_else(|| "its leader".to_owned(), name);
                tracing::warn!(target: "raft", "lost {lost}: {}", silence(group));
            }
        }
    }
    if now.commit_index > seen.commit_index && board.local.trace.allow_local(EventKind::Commit) {
        board.local.trace.local(EventKind::Commit, now.term, |event| {
            event.log_index = Some(now.commit_index);
        });
    }
    *seen = now;
}

/// The reason for an election, in words.
fn silence(group: &Group) -> String {
    match group.leader_heard_us.load(Ordering::Relaxed) {
        0 => "heard no leader since it started".to_owned(),
        heard_us => {
            let silent_ms = group.clock.monotonic_us().saturating_sub(heard_us) / 1000;
            format!("heard no leader for {silent_ms} ms")
        }
    }
}
