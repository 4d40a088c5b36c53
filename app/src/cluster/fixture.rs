//! Invented nodes for tests.

use std::collections::VecDeque;

use wiber_protocol::status::{EntryMark, NodeStatus, PeerStatus, Role};

use crate::view::{ClusterView, NodeView, ProcessState};

pub(crate) fn live(id: &str, role: Role, term: u64) -> NodeView {
    NodeView {
        id: id.into(),
        host: "127.0.0.1".into(),
        port: 7001,
        process: ProcessState::Running {
            pid: 41_000,
            by_gateway: true,
        },
        status: Some(status(id, role, term)),
        status_at_ms: Some(1_000_000),
        live: true,
        rpcs_left_out: 0,
    }
}

pub(crate) fn gone(id: &str, expected: bool) -> NodeView {
    NodeView {
        process: ProcessState::Exited {
            how: "killed (SIGKILL)".into(),
            at_ms: 1_000_000,
            expected,
        },
        live: false,
        ..live(id, Role::Follower, 7)
    }
}

/// A node that was never started.
pub(crate) fn blank(id: &str) -> NodeView {
    NodeView {
        id: id.into(),
        host: "127.0.0.1".into(),
        port: 7001,
        ..NodeView::default()
    }
}

pub(crate) fn status(id: &str, role: Role, term: u64) -> NodeStatus {
    let peers = ["n1", "n2", "n3"].into_iter().filter(|peer| *peer != id);
    NodeStatus {
        id: id.into(),
        role,
        term,
        leader: (role == Role::Leader).then(|| id.into()),
        peers: peers
            .map(|peer| PeerStatus {
                id: peer.into(),
                voter: true,
                ..PeerStatus::default()
            })
            .collect(),
        ..NodeStatus::default()
    }
}

/// A status whose positions are given, with a tail of entries up to `last` of ten records each.
pub(crate) fn at_positions(mut node: NodeView, [applied, commit, flushed, last]: [u64; 4]) -> NodeView {
    if let Some(status) = &mut node.status {
        status.applied_index = applied;
        status.commit_index = commit;
        status.flushed_index = flushed;
        status.last_log_index = last;
        status.tail = (last.saturating_sub(63)..=last)
            .map(|index| EntryMark {
                index,
                term: status.term,
                records: 10,
                bytes: 1_000,
            })
            .collect();
    }
    node
}

pub(crate) fn cluster(nodes: &[NodeView]) -> ClusterView {
    ClusterView {
        seq: 1,
        at_ms: 1_041_000,
        nodes: nodes.to_vec(),
        records_per_s: 0.0,
        happenings: VecDeque::new(),
        trace: VecDeque::new(),
    }
}
