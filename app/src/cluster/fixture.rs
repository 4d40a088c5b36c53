//! Invented nodes for tests.

use std::collections::VecDeque;

use wiber_protocol::status::{
    ClockPeer, ClockState, ClockStatus, EntryMark, Falseticker, InjectedFault, NodeStatus, OffsetRange,
    PeerStatus, ProbeState, Role,
};

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

/// Three nodes on one machine, n2 leading, whose clocks agree within microseconds.
pub(crate) fn clocks_agree() -> Vec<NodeView> {
    clocks([0.0; 3])
}

/// The same with n3's clock set five seconds ahead.
pub(crate) fn one_outvoted() -> Vec<NodeView> {
    let mut nodes = clocks([0.0, 0.0, 5_000.0]);
    for node in &mut nodes {
        if let Some(status) = &mut node.status {
            status.clock.falsetickers = vec![Falseticker {
                id: "n3".into(),
                off_ms: 4_999.97,
                reason: "n3 is 5.000 s ahead of the two clocks that agree".into(),
            }];
            for peer in &mut status.clock.peers {
                if peer.id == "n3" {
                    peer.state = ProbeState::False;
                }
            }
            if node.id == "n3" {
                status.clock.injected = Some(InjectedFault {
                    skew_ms: 5_000.0,
                    drift_ppm: 0.0,
                    offset_ms: 5_000.0,
                });
            }
        }
    }
    nodes
}

/// n1 runs alone and has no majority to ask.
pub(crate) fn unsynchronised() -> Vec<NodeView> {
    let mut n1 = live("n1", Role::Candidate, 8);
    if let Some(status) = &mut n1.status {
        status.uptime_ms = 60_000;
        status.clock.reason = Some("Too few clocks answer".into());
        status.clock.peers = ["n2", "n3"]
            .map(|id| ClockPeer {
                id: id.into(),
                sent: 12,
                ..ClockPeer::default()
            })
            .into();
    }
    vec![n1, gone("n2", true), gone("n3", true)]
}

/// The offsets that the measurements below are wrong by, milliseconds.
const MEASURED_WRONG_MS: [[f64; 3]; 3] = [[0.0, 0.004, -0.006], [0.003, 0.0, 0.002], [-0.005, 0.001, 0.0]];

/// Three nodes whose clocks were set ahead by so much.
fn clocks(injected_ms: [f64; 3]) -> Vec<NodeView> {
    let ids = ["n1", "n2", "n3"];
    let roles = [Role::Follower, Role::Leader, Role::Follower];
    (0..3)
        .map(|own| {
            let mut node = live(ids[own], roles[own], 7);
            let peers = (0..3).filter(|other| *other != own).map(|other| {
                let truth_ms = injected_ms[other] - injected_ms[own];
                ClockPeer {
                    id: ids[other].into(),
                    state: ProbeState::Good,
                    offset_ms: Some(truth_ms + MEASURED_WRONG_MS[own][other]),
                    error_bound_ms: Some(0.011),
                    cluster_offset_ms: Some(0.001),
                    delay_ms: Some(0.021),
                    drift_ppm: Some(-0.1),
                    drift_bound_ppm: Some(0.3),
                    age_ms: Some(400),
                    interval_ms: 1_000,
                    sent: 600,
                    answered: 598,
                    suspicion: Some(0.24),
                    truth_ms: Some(truth_ms),
                    truth_checked: 598,
                    truth_inside: 598,
                    ..ClockPeer::default()
                }
            });
            let peers = peers.collect();
            if let Some(status) = &mut node.status {
                status.at_us = 1_041_000_250_000;
                status.clock = ClockStatus {
                    lamport: 94_564_218,
                    offset_ms: Some(injected_ms[own] + MEASURED_WRONG_MS[0][own]),
                    error_bound_ms: Some(0.012 + 0.001 * [1.0, 0.0, 2.0][own]),
                    drift_ppm: Some(0.2),
                    state: ClockState::Synchronised,
                    cluster_us: Some(1_041_000_250_000),
                    tolerance_ms: 1.0,
                    agreement: Some(OffsetRange {
                        from_ms: -0.005 - injected_ms[own],
                        to_ms: 0.006 - injected_ms[own],
                    }),
                    peers,
                    ..ClockStatus::default()
                };
            }
            node
        })
        .collect()
}
