//! Folds what arrives into a [`ClusterView`], and decides what is due to be sent when. No I/O, no clock.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;
use wiber_app::view::{Change, ClusterView, HAPPENINGS, Happening, NodeView, ProcessState, TRACE_EVENTS};
use wiber_protocol::{
    config::NodeSpec,
    event::{TraceBatch, TraceEvent},
    ids::ClusterId,
    status::{NodeStatus, Role},
};

use super::{
    clock_news,
    happenings::{self, Deed, Scene, Sentence},
    pace::{self, FRAME_EVERY, HEARTBEAT, Haste, STATUS_EVERY, Turn},
    rate::Rate,
};

/// What is known of one node, ahead of what was sent.
#[derive(Debug)]
struct NodeFold {
    view: NodeView,
    turn: Turn,
    /// The newest trace event taken in: (epoch, seq). A new stream repeats what is still in the node's ring. Epochs
    /// come from the node's wall clock and may go back.
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
    /// The turn of trace and happenings.
    trace_turn: Turn,
    sent_at: Option<Instant>,
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
                turn: Turn::new(STATUS_EVERY),
                trace_mark: (0, 0),
                rate: Rate::default(),
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
            trace_turn: Turn::new(FRAME_EVERY),
            sent_at: None,
        }
    }

    pub(super) fn view(&self) -> &ClusterView {
        &self.sent
    }

    /// The clusters that live nodes say they belong to; more than one only when something is wrong.
    pub(super) fn cluster_ids(&self) -> BTreeSet<ClusterId> {
        let live = self.nodes.iter().filter(|node| node.view.live);
        live.filter_map(|node| node.view.status.as_ref()?.cluster_id)
            .collect()
    }

    pub(super) fn any_runs(&self) -> bool {
        self.nodes.iter().any(|node| node.view.process.is_running())
    }

    pub(super) fn status(&mut self, node: usize, status: NodeStatus, at_ms: i64, now: Instant) {
        let before = self.nodes[node].view.status.as_ref();
        let sentences = happenings::of_status(before, &status);
        let news = clock_news::of_clock(before, &status, &self.live_besides(node));
        let fold = &mut self.nodes[node];
        fold.rate.note(now, status.record_count);
        let live = fold.view.process.is_running();
        let haste = pace::of_status(fold.view.status.as_ref(), &status);
        fold.turn
            .raise(if fold.view.live == live { haste } else { Haste::Now });
        fold.view.live = live;
        fold.view.status = Some(status);
        fold.view.status_at_ms = Some(at_ms);
        for sentence in sentences {
            self.say(Some(node), at_ms, sentence);
        }
        for (about, sentence) in news {
            let about = self.nodes.iter().position(|node| node.view.id == about);
            self.say(about, at_ms, sentence);
        }
    }

    /// What the other live nodes said last.
    fn live_besides(&self, node: usize) -> Vec<&NodeStatus> {
        let others = self.nodes.iter().enumerate().filter(|(place, _)| *place != node);
        others
            .filter(|(_, other)| other.view.live)
            .filter_map(|(_, other)| other.view.status.as_ref())
            .collect()
    }

    pub(super) fn trace(&mut self, node: usize, batch: TraceBatch) {
        for event in batch.events {
            let (epoch, seq) = self.nodes[node].trace_mark;
            if event.epoch == epoch && event.seq <= seq {
                continue;
            }
            self.nodes[node].trace_mark = (event.epoch, event.seq);
            if let Some(sentence) = happenings::of_event(&event) {
                // Cluster time: by a false clock the sentence would stand at a moment that never was.
                self.say(Some(node), event.corrected_us.div_euclid(1_000), sentence);
            }
            self.trace_turn.raise(pace::of_event(&event));
            if self.trace.len() == TRACE_EVENTS {
                self.trace.pop_front();
            }
            self.trace.push_back(event);
        }
        let fold = &mut self.nodes[node];
        if fold.view.rpcs_left_out != batch.rpcs_left_out {
            fold.view.rpcs_left_out = batch.rpcs_left_out;
            fold.turn.raise(Haste::Quiet);
        }
    }

    pub(super) fn lost(&mut self, node: usize) {
        let fold = &mut self.nodes[node];
        if fold.view.live {
            fold.view.live = false;
            fold.turn.raise(Haste::Now);
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
        fold.turn.raise(Haste::Now);
    }

    /// Notes a deed and returns its sentence.
    pub(super) fn deed(&mut self, node: usize, deed: &Deed, at_ms: i64) -> String {
        let sentence = self.scene().deed(node, deed);
        let text = sentence.text.clone();
        self.say(Some(node), at_ms, sentence);
        text
    }

    /// When the next change is due, `now` if that was earlier. Without any news a heartbeat is.
    pub(super) fn due(&self, now: Instant) -> Instant {
        if self.is_urgent() {
            return now;
        }
        let Some(sent_at) = self.sent_at else { return now };
        let heartbeat = sent_at + HEARTBEAT;
        let news = self.turns().filter_map(|turn| turn.due(now)).min();
        news.map_or(heartbeat, |news| news.max(sent_at + FRAME_EVERY).min(heartbeat))
            .max(now)
    }

    /// Whether something waits that must go at once.
    pub(super) fn is_urgent(&self) -> bool {
        self.turns().any(Turn::is_urgent)
    }

    /// Takes out what is due by `now`, already applied to the picture: its number, time and content.
    pub(super) fn take_due(&mut self, now: Instant, at_ms: i64) -> Option<(u64, i64, Change)> {
        if self.due(now) > now {
            return None;
        }
        let mut change = Change::default();
        for node in &mut self.nodes {
            if node.turn.take(now) {
                change.nodes.push(node.view.clone());
            }
        }
        if !change.nodes.is_empty() || self.trace_turn.due(now).is_some_and(|due| due <= now) {
            self.trace_turn.sent(now);
            change.happenings = std::mem::take(&mut self.happenings);
            change.trace = std::mem::take(&mut self.trace).into();
        }
        self.sent_at = Some(now);
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

    fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.nodes.iter().map(|node| &node.turn).chain([&self.trace_turn])
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
        self.trace_turn.raise(Haste::Moving);
        if self.happenings.len() == HAPPENINGS {
            self.happenings.remove(0);
        }
        self.happenings.push(happening);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wiber_protocol::event::EventKind;

    use super::*;

    fn fold() -> Fold {
        let spec = |id: &str| NodeSpec {
            id: id.into(),
            host: "127.0.0.1".into(),
            port: 9101,
        };
        let mut fold = Fold::new(&[spec("n1"), spec("n2")], 0);
        for node in 0..2 {
            fold.process(
                node,
                ProcessState::Running {
                    pid: 9,
                    by_gateway: true,
                },
            );
        }
        fold
    }

    fn status(role: Role, commit_index: u64) -> NodeStatus {
        NodeStatus {
            id: "n1".into(),
            role,
            term: 3,
            commit_index,
            record_count: commit_index,
            ..NodeStatus::default()
        }
    }

    fn event(epoch: i64, seq: u64) -> TraceEvent {
        TraceEvent {
            node: "n1".into(),
            seq,
            epoch,
            lamport: seq,
            ts_us: 0,
            corrected_us: 0,
            kind: EventKind::Commit,
            peer: None,
            rpc: None,
            term: 3,
            log_index: Some(seq),
            records: None,
            detail: None,
        }
    }

    fn batch(events: Vec<TraceEvent>) -> TraceBatch {
        TraceBatch {
            events,
            ..TraceBatch::default()
        }
    }

    #[test]
    fn positions_wait_for_their_turn_and_a_role_does_not() {
        let mut fold = fold();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        fold.status(0, status(Role::Follower, 1), 0, at(0));
        assert!(fold.take_due(at(0), 0).is_some());
        assert_eq!(fold.due(at(1)), at(1_000), "a heartbeat");

        fold.status(0, status(Role::Follower, 2), 0, at(10));
        assert_eq!(fold.due(at(10)), at(100));
        assert!(fold.take_due(at(10), 0).is_none());
        fold.status(0, status(Role::Follower, 3), 0, at(20));
        let (_, _, change) = fold.take_due(at(100), 0).unwrap();
        assert_eq!(change.nodes.len(), 1, "the other node did not change");
        assert_eq!(
            change.nodes[0].status.as_ref().unwrap().commit_index,
            3,
            "the newest alone"
        );

        fold.status(0, status(Role::Leader, 3), 0, at(110));
        assert_eq!(fold.due(at(110)), at(110));
        assert_eq!(
            fold.take_due(at(110), 0).unwrap().2.nodes[0].live_role(),
            Some(Role::Leader)
        );
        fold.lost(0);
        assert_eq!(fold.take_due(at(111), 0).unwrap().2.nodes[0].live_role(), None);
    }

    #[test]
    fn what_is_sent_and_what_is_kept_never_differ() {
        let mut fold = fold();
        let now = Instant::now();
        let mut browser = fold.view().clone();
        for step in 0..50 {
            fold.status(step % 2, status(Role::Follower, step as u64), 7, now);
            fold.trace(0, batch(vec![event(1, step as u64)]));
            fold.deed(1, &Deed::Started { pid: 4 }, 7);
            let now = now + Duration::from_millis(step as u64 * 30);
            if let Some((seq, at_ms, change)) = fold.take_due(now, 7) {
                browser.apply(seq, at_ms, change).unwrap();
            }
            assert_eq!(&browser, fold.view());
        }
        assert!(
            fold.take_due(now + Duration::from_mins(1), 9).is_some(),
            "a heartbeat is sent without news"
        );
    }

    #[test]
    fn a_repeated_trace_is_taken_in_once_and_a_new_run_anew() {
        let mut fold = fold();
        fold.trace(0, batch(vec![event(1, 1), event(1, 2)]));
        fold.trace(0, batch(vec![event(1, 1), event(1, 2), event(1, 5)]));
        fold.trace(0, batch(vec![event(3, 1)]));
        // The node's wall clock was set back before it started again.
        fold.trace(0, batch(vec![event(2, 1), event(2, 2)]));
        let (_, _, change) = fold.take_due(Instant::now(), 0).unwrap();
        let places: Vec<_> = change
            .trace
            .iter()
            .map(|event| (event.epoch, event.seq))
            .collect();
        assert_eq!(places, [(1, 1), (1, 2), (1, 5), (3, 1), (2, 1), (2, 2)]);
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_is_kept() {
        let mut fold = fold();
        let many = TRACE_EVENTS as u64 + 10;
        fold.trace(0, batch((1..=many).map(|seq| event(1, seq)).collect()));
        for _ in 0..HAPPENINGS + 10 {
            fold.deed(0, &Deed::Started { pid: 4 }, 0);
        }
        let (_, _, change) = fold.take_due(Instant::now(), 0).unwrap();
        assert_eq!((change.trace.len(), change.trace[0].seq), (TRACE_EVENTS, 11));
        assert_eq!(
            (change.happenings.len(), change.happenings[0].seq),
            (HAPPENINGS, 11)
        );
    }

    #[test]
    fn a_sentence_stands_at_its_moment_of_cluster_time_whatever_the_nodes_clock_says() {
        let mut fold = fold();
        let voted = TraceEvent {
            kind: EventKind::Vote,
            peer: Some("n2".into()),
            ts_us: 9_000_000,
            corrected_us: 4_000_000,
            ..event(1, 1)
        };
        fold.trace(0, batch(vec![voted]));
        let (_, _, change) = fold.take_due(Instant::now(), 0).unwrap();
        assert_eq!(change.happenings[0].at_ms, 4_000);
    }

    #[test]
    fn an_outvoted_clock_is_news_at_once_and_about_its_own_node() {
        let mut fold = fold();
        let now = Instant::now();
        fold.status(0, status(Role::Leader, 1), 0, now);
        fold.take_due(now, 0);
        let mut outvoted = status(Role::Leader, 1);
        outvoted.clock.falsetickers = vec![wiber_protocol::status::Falseticker {
            id: "n2".into(),
            ..Default::default()
        }];
        fold.status(0, outvoted, 0, now);
        let (_, _, change) = fold.take_due(now, 0).unwrap();
        assert_eq!(change.happenings[0].node.as_deref(), Some("n2"));
        assert!(change.happenings[0].alarm);
    }

    #[test]
    fn a_status_of_a_dead_process_is_not_live() {
        let mut fold = fold();
        fold.process(
            0,
            ProcessState::Exited {
                how: "exit status 1".into(),
                at_ms: 0,
                expected: false,
            },
        );
        fold.status(0, status(Role::Leader, 1), 0, Instant::now());
        fold.take_due(Instant::now(), 0);
        assert!(!fold.view().nodes[0].live);
    }
}
