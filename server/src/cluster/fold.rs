//! Folds what arrives into a [`ClusterView`], and decides what is due to be sent when. No I/O, no clock.

use std::collections::VecDeque;

use tokio::time::Instant;
use wiber_app::view::{Change, ClusterView, HAPPENINGS, Happening, NodeView, ProcessState, TRACE_EVENTS};
use wiber_protocol::{
    config::NodeSpec,
    event::{TraceBatch, TraceEvent},
    status::{NodeStatus, Role},
};

use super::{
    STATUS_EVERY, TRACE_EVERY,
    happenings::{Deed, Scene, Sentence, of_event, of_status},
    rate::Rate,
};

/// What is known of one node, ahead of what was sent.
#[derive(Debug, Default)]
struct NodeFold {
    view: NodeView,
    /// Whether `view` differs from what was sent.
    is_changed: bool,
    /// Whether it must go out without waiting for its turn.
    is_urgent: bool,
    sent_at: Option<Instant>,
    /// The newest trace event taken in: (epoch, seq). A new stream repeats what is still in the node's ring.
    trace_mark: (i64, u64),
    rate: Rate,
}

/// The picture as sent, and what is to be sent next.
#[derive(Debug)]
pub(super) struct Fold {
    /// As every subscriber has it.
    sent: ClusterView,
    nodes: Vec<NodeFold>,
    happenings: Vec<Happening>,
    next_happening: u64,
    trace: VecDeque<TraceEvent>,
    trace_sent_at: Option<Instant>,
}

impl Fold {
    pub(super) fn new(specs: &[NodeSpec], at_ms: i64) -> Self {
        let nodes: Vec<_> = specs
            .iter()
            .map(|spec| NodeFold {
                view: NodeView {
                    id: spec.id.clone(),
                    host: spec.host.clone(),
                    port: spec.port,
                    ..NodeView::default()
                },
                ..NodeFold::default()
            })
            .collect();
        let sent = ClusterView {
            at_ms,
            nodes: nodes.iter().map(|node| node.view.clone()).collect(),
            ..ClusterView::default()
        };
        Self {
            sent,
            nodes,
            happenings: Vec::new(),
            next_happening: 1,
            trace: VecDeque::new(),
            trace_sent_at: None,
        }
    }

    pub(super) fn view(&self) -> &ClusterView {
        &self.sent
    }

    pub(super) fn any_runs(&self) -> bool {
        self.nodes.iter().any(|node| node.view.process.is_running())
    }

    pub(super) fn status(&mut self, node: usize, status: NodeStatus, at_ms: i64, now: Instant) {
        let sentences = of_status(self.nodes[node].view.status.as_ref(), &status);
        let fold = &mut self.nodes[node];
        fold.rate.note(now, status.record_count);
        let stands = |status: &NodeStatus| {
            (
                status.role,
                status.term,
                status.leader.clone(),
                status.voted_for.clone(),
                status.formation.clone(),
            )
        };
        let live = fold.view.process.is_running();
        fold.is_urgent |=
            fold.view.live != live || fold.view.status.as_ref().map(stands) != Some(stands(&status));
        fold.is_changed = true;
        fold.view.live = live;
        fold.view.status = Some(status);
        fold.view.status_at_ms = Some(at_ms);
        for sentence in sentences {
            self.say(Some(node), at_ms, sentence);
        }
    }

    pub(super) fn trace(&mut self, node: usize, batch: TraceBatch) {
        let mark = self.nodes[node].trace_mark;
        for event in batch.events {
            let place = (event.epoch, event.seq);
            if place <= mark {
                continue;
            }
            self.nodes[node].trace_mark = place;
            if let Some(sentence) = of_event(&event) {
                self.say(Some(node), event.ts_us.div_euclid(1_000), sentence);
            }
            if self.trace.len() == TRACE_EVENTS {
                self.trace.pop_front();
            }
            self.trace.push_back(event);
        }
        let fold = &mut self.nodes[node];
        if fold.view.rpcs_left_out != batch.rpcs_left_out {
            fold.view.rpcs_left_out = batch.rpcs_left_out;
            fold.is_changed = true;
        }
    }

    pub(super) fn lost(&mut self, node: usize) {
        let fold = &mut self.nodes[node];
        if fold.view.live {
            fold.view.live = false;
            fold.is_urgent = true;
        }
    }

    pub(super) fn process(&mut self, node: usize, state: ProcessState) {
        let fold = &mut self.nodes[node];
        if fold.view.process == state {
            return;
        }
        // What ended can't be live, whatever its socket's last bytes say.
        fold.view.live &= state.is_running();
        fold.view.process = state;
        fold.is_urgent = true;
    }

    /// Notes a deed and returns its sentence.
    pub(super) fn deed(&mut self, node: usize, deed: &Deed, at_ms: i64) -> String {
        let sentence = self.scene().deed(node, deed);
        let text = sentence.text.clone();
        self.say(Some(node), at_ms, sentence);
        text
    }

    /// When the next change is due; `None` when there is nothing to send.
    pub(super) fn due(&self) -> Option<Instant> {
        let at_once = Instant::now();
        let node_due = |node: &NodeFold| {
            if node.is_urgent {
                return Some(at_once);
            }
            node.is_changed
                .then(|| node.sent_at.map_or(at_once, |at| at + STATUS_EVERY))
        };
        let has_trace = !(self.trace.is_empty() && self.happenings.is_empty());
        let trace_due = has_trace.then(|| self.trace_sent_at.map_or(at_once, |at| at + TRACE_EVERY));
        self.nodes.iter().filter_map(node_due).chain(trace_due).min()
    }

    /// Takes out what is due by `now`, already applied to the picture: its number, time and content.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        at_ms: i64,
        heartbeat: bool,
    ) -> Option<(u64, i64, Change)> {
        let mut change = Change::default();
        for node in &mut self.nodes {
            let its_turn = node.sent_at.is_none_or(|at| at + STATUS_EVERY <= now);
            if node.is_urgent || (node.is_changed && its_turn) {
                (node.is_changed, node.is_urgent, node.sent_at) = (false, false, Some(now));
                change.nodes.push(node.view.clone());
            }
        }
        if self.trace_sent_at.is_none_or(|at| at + TRACE_EVERY <= now) || !change.nodes.is_empty() {
            change.happenings = std::mem::take(&mut self.happenings);
            change.trace = std::mem::take(&mut self.trace).into();
            if !(change.happenings.is_empty() && change.trace.is_empty()) {
                self.trace_sent_at = Some(now);
            }
        }
        let is_empty = change.nodes.is_empty() && change.happenings.is_empty() && change.trace.is_empty();
        if is_empty && !heartbeat {
            return None;
        }
        let rate = self.records_per_s(now);
        if (rate - self.sent.records_per_s).abs() > f64::EPSILON {
            change.records_per_s = Some(rate);
        }
        let seq = self.sent.seq + 1;
        self.sent
            .apply(seq, at_ms, change.clone())
            .expect("the number is the next one");
        Some((seq, at_ms, change))
    }

    /// The leader's rate: a node that catches up counts faster than the cluster commits.
    fn records_per_s(&mut self, now: Instant) -> f64 {
        let leader = self
            .nodes
            .iter_mut()
            .filter(|node| node.view.live_role() == Some(Role::Leader))
            .max_by_key(|node| node.view.status.as_ref().map_or(0, |status| status.term));
        // Tenths: a number that flickers in its sixth digit is no news.
        leader.map_or(0.0, |node| (node.rate.per_second(now) * 10.0).round() / 10.0)
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            nodes: self.nodes.iter().map(|node| &node.view).collect(),
        }
    }

    fn say(&mut self, node: Option<usize>, at_ms: i64, sentence: Sentence) {
        let happening = Happening {
            seq: self.next_happening,
            at_ms,
            node: node.map(|node| self.nodes[node].view.id.clone()),
            term: sentence.term,
            text: sentence.text,
            alarm: sentence.alarm,
        };
        self.next_happening += 1;
        if self.happenings.len() == HAPPENINGS {
            self.happenings.remove(0);
        }
        self.happenings.push(happening);
    }
}
