//! Invented traces for tests: nodes with proper Lamport clocks that exchange messages.

use proptest::prelude::*;
use wiber_protocol::event::{EventKind, Leg, RpcKind, RpcMessage, TraceEvent};

use super::trace::EventId;

pub(super) const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// When the invented processes started.
pub(super) const EPOCH_US: i64 = 1_729_459_200_000_000;

/// A run of some nodes.
#[derive(Default)]
pub(super) struct Sample {
    events: Vec<TraceEvent>,
    /// Per node: Lamport time and events so far.
    clocks: std::collections::BTreeMap<String, (u64, u64)>,
    rpcs: u64,
    now_us: i64,
}

impl Sample {
    /// The events in order of arrival.
    pub(super) fn events(&self) -> Vec<TraceEvent> {
        self.events.clone()
    }

    /// Lets time pass.
    pub(super) fn wait_us(&mut self, us: i64) {
        self.now_us += us;
    }

    pub(super) fn mark(&mut self, node: &str, kind: EventKind) -> EventId {
        self.push(node, kind, None, None, 0)
    }

    pub(super) fn role(&mut self, node: &str, detail: &str) -> EventId {
        let id = self.push(node, EventKind::Role, None, None, 0);
        if let Some(event) = self.events.last_mut() {
            event.detail = Some(detail.to_owned());
        }
        id
    }

    pub(super) fn entry(&mut self, node: &str, kind: EventKind, log_index: u64) -> EventId {
        let id = self.push(node, kind, None, None, 0);
        if let Some(event) = self.events.last_mut() {
            event.log_index = Some(log_index);
        }
        id
    }

    /// One leg of a new RPC, sent and received.
    pub(super) fn message(&mut self, from: &str, to: &str, kind: RpcKind, leg: Leg) -> (EventId, EventId) {
        self.rpcs += 1;
        let id = format!("{:016x}", self.rpcs);
        self.leg(from, to, RpcMessage { kind, id, leg })
    }

    /// A whole RPC: request and response.
    pub(super) fn rpc(&mut self, from: &str, to: &str, kind: RpcKind) {
        self.rpcs += 1;
        let id = format!("{:016x}", self.rpcs);
        self.leg(
            from,
            to,
            RpcMessage {
                kind,
                id: id.clone(),
                leg: Leg::Request,
            },
        );
        self.wait_us(60);
        self.leg(
            to,
            from,
            RpcMessage {
                kind,
                id,
                leg: Leg::Response,
            },
        );
    }

    /// A request that nobody receives.
    pub(super) fn lost(&mut self, from: &str, to: &str, kind: RpcKind) -> EventId {
        self.rpcs += 1;
        let rpc = RpcMessage {
            kind,
            id: format!("{:016x}", self.rpcs),
            leg: Leg::Request,
        };
        self.push(from, EventKind::Send, Some(to), Some(rpc), 0)
    }

    /// A round of heartbeats.
    pub(super) fn heartbeats(&mut self, leader: &str, rounds: usize) {
        for _ in 0..rounds {
            self.wait_us(100_000);
            for node in NODES.iter().filter(|node| **node != leader) {
                self.rpc(leader, node, RpcKind::Heartbeat);
            }
        }
    }

    pub(super) fn election(&mut self, candidate: &str, voters: &[&str]) {
        self.role(candidate, "candidate: no leader for 412 ms");
        for kind in [RpcKind::PreVote, RpcKind::Vote] {
            for voter in voters {
                self.rpc(candidate, voter, kind);
            }
        }
        self.role(candidate, "leader of term 2");
    }

    /// One message from its publish on `taker` to its commit on every node.
    pub(super) fn publish(&mut self, taker: &str, leader: &str, log_index: u64) {
        self.mark(taker, EventKind::Publish);
        if taker != leader {
            self.message(taker, leader, RpcKind::Forward, Leg::Request);
        }
        self.entry(leader, EventKind::Append, log_index);
        for node in NODES.iter().filter(|node| **node != leader) {
            self.wait_us(40);
            self.message(leader, node, RpcKind::Append, Leg::Request);
            self.entry(node, EventKind::Append, log_index);
        }
        self.wait_us(600);
        for node in NODES {
            self.entry(node, EventKind::Flush, log_index);
        }
        for node in NODES.iter().filter(|node| **node != leader) {
            self.wait_us(50);
            self.message(node, leader, RpcKind::Append, Leg::Response);
        }
        self.entry(leader, EventKind::Commit, log_index);
        self.entry(leader, EventKind::Apply, log_index);
    }

    fn leg(&mut self, from: &str, to: &str, rpc: RpcMessage) -> (EventId, EventId) {
        let send = self.push(from, EventKind::Send, Some(to), Some(rpc.clone()), 0);
        let carried = self.clocks.get(from).map_or(0, |clock| clock.0);
        self.wait_us(120);
        let receive = self.push(to, EventKind::Receive, Some(from), Some(rpc), carried);
        (send, receive)
    }

    fn push(
        &mut self,
        node: &str,
        kind: EventKind,
        peer: Option<&str>,
        rpc: Option<RpcMessage>,
        seen: u64,
    ) -> EventId {
        self.now_us += 7;
        let clock = self.clocks.entry(node.to_owned()).or_default();
        clock.0 = clock.0.max(seen) + 1;
        clock.1 += 1;
        let event = TraceEvent {
            node: node.to_owned(),
            seq: clock.1,
            epoch: EPOCH_US,
            lamport: clock.0,
            ts_us: EPOCH_US + self.now_us,
            corrected_us: EPOCH_US + self.now_us,
            kind,
            peer: peer.map(str::to_owned),
            rpc,
            term: 2,
            log_index: None,
            records: None,
            detail: None,
        };
        let id = EventId::of(&event);
        self.events.push(event);
        id
    }
}

/// One thing that happens in an invented run.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish(usize, usize),
    Election(usize),
    Heartbeats(usize, usize),
    Rpc(usize, usize),
    Lost(usize),
    Mark(usize),
    Wait(i64),
}

pub(super) fn script() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_usize, 0..3_usize).prop_map(|(taker, leader)| Step::Publish(taker, leader)),
        (0..3_usize).prop_map(Step::Election),
        (0..3_usize, 1..4_usize).prop_map(|(leader, rounds)| Step::Heartbeats(leader, rounds)),
        (0..3_usize, 0..2_usize).prop_map(|(from, to)| Step::Rpc(from, to)),
        (0..3_usize).prop_map(Step::Lost),
        (0..3_usize).prop_map(Step::Mark),
        (0..2_000_000_i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..25)
}

pub(super) fn play(steps: &[Step]) -> Sample {
    let mut sample = Sample::default();
    let other = |node: usize, skip: usize| NODES[(node + 1 + skip) % 3];
    for (index, step) in (1_u64..).zip(steps) {
        match *step {
            Step::Publish(taker, leader) => sample.publish(NODES[taker], NODES[leader], index),
            Step::Election(node) => sample.election(NODES[node], &[other(node, 0), other(node, 1)]),
            Step::Heartbeats(leader, rounds) => sample.heartbeats(NODES[leader], rounds),
            Step::Rpc(from, to) => sample.rpc(NODES[from], other(from, to), RpcKind::Append),
            Step::Lost(node) => _ = sample.lost(NODES[node], other(node, 0), RpcKind::Vote),
            Step::Mark(node) => _ = sample.entry(NODES[node], EventKind::Append, index),
            Step::Wait(us) => sample.wait_us(us),
        }
    }
    sample
}
