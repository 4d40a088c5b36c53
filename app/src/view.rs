//! The one picture of the cluster that everybody looks at: the gateway folds every node's events into a
//! [`ClusterView`], renders it on the server, and sends it to browsers as a snapshot and then changes.

mod wire;

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use wiber_protocol::{
    event::{RpcKind, TraceEvent},
    status::{NodeStatus, Role},
};

/// The most trace events kept for the timeline, over all nodes.
pub const TRACE_EVENTS: usize = 2_000;
/// The most of them that are the nodes' steady beat (see [`is_beat`]): a pulse to see, not a crowd that pushes
/// the story out.
pub const TRACE_BEATS: usize = 240;
/// The most sentences kept for *what happened*.
pub const HAPPENINGS: usize = 100;
/// When nothing changed for this long the gateway sends an empty change all the same, so that a browser can
/// tell silence from a gateway that is gone.
pub const HEARTBEAT_MS: u64 = 1_000;

/// What the gateway knows of a node's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", try_from = "wire::FlatProcess")]
pub enum ProcessState {
    /// No process, and none that the gateway saw end.
    #[default]
    Stopped,
    /// Started, and its admin port does not answer yet.
    Starting { pid: u32 },
    /// Its admin port answers. `by_gateway` is false for a node somebody started by hand.
    Running { pid: u32, by_gateway: bool },
    /// It ended. `how` is a sentence: "killed (SIGKILL, through the gateway)", "exit status 2".
    Exited { how: String, at_ms: i64, expected: bool },
}

impl ProcessState {
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Running { .. })
    }
}

/// One node: its place in the configuration, its process, and the last thing it said about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    pub id: String,
    pub host: String,
    pub port: u16,
    pub process: ProcessState,
    /// The newest status; kept when the node dies, and then shown with its age.
    pub status: Option<NodeStatus>,
    /// When the gateway received `status`, milliseconds since the Unix epoch by the gateway's clock.
    pub status_at_ms: Option<i64>,
    /// Whether the node's event stream is connected now: `status` is live, not a memory.
    pub live: bool,
    /// Whole RPCs that this node's trace left out by sampling.
    pub rpcs_left_out: u64,
}

impl NodeView {
    /// The role, if the status is live.
    pub fn live_role(&self) -> Option<Role> {
        self.status
            .as_ref()
            .filter(|_| self.live)
            .map(|status| status.role)
    }
}

/// One sentence of *what happened*, made by the gateway from a node's own event or from its own deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Counts up from 1; the key of the list.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The node it is about, if one.
    pub node: Option<String>,
    pub term: u64,
    pub text: String,
    /// Whether a person should look.
    pub alarm: bool,
}

/// Everything the dashboard shows, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Counts the changes; a change with another number than the next means one was missed.
    pub seq: u64,
    /// The gateway's clock, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// In the order of `cluster.yaml`.
    pub nodes: Vec<NodeView>,
    /// Commits per second over the last second, from the newest commit positions and records.
    pub records_per_s: f64,
    /// Oldest first, at most [`HAPPENINGS`].
    pub happenings: VecDeque<Happening>,
    /// In order of arrival at the gateway, at most [`TRACE_EVENTS`] and at most [`TRACE_BEATS`] beats.
    pub trace: VecDeque<TraceEvent>,
}

/// One frame of `/live/cluster`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", try_from = "wire::FlatFrame")]
pub enum LiveFrame {
    /// The first frame, and whenever the receiver fell too far behind.
    Snapshot { view: ClusterView },
    /// What changed since the frame before. A node is sent whole.
    Change { seq: u64, at_ms: i64, change: Change },
}

/// What one [`LiveFrame::Change`] brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_per_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub happenings: Vec<Happening>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TraceEvent>,
}

/// A change did not follow the view it was applied to; ask for a new snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceGap;

impl ClusterView {
    /// Takes in one change. The gateway and the browser both use this, so they cannot disagree.
    pub fn apply(&mut self, seq: u64, at_ms: i64, change: Change) -> Result<(), SequenceGap> {
        if seq != self.seq + 1 {
            return Err(SequenceGap);
        }
        self.seq = seq;
        self.at_ms = at_ms;
        for node in change.nodes {
            match self.nodes.iter_mut().find(|known| known.id == node.id) {
                Some(known) => *known = node,
                None => self.nodes.push(node),
            }
        }
        if let Some(rate) = change.records_per_s {
            self.records_per_s = rate;
        }
        extend_bounded(&mut self.happenings, change.happenings, HAPPENINGS);
        self.trace.extend(change.trace);
        self.keep_newest_trace(TRACE_EVENTS, TRACE_BEATS);
        Ok(())
    }

    /// Drops the oldest trace events beyond these bounds: beats first, then those of the nodes that have most.
    /// A node that tells its whole past at once, or tells more than the others, leaves them their share.
    pub fn keep_newest_trace(&mut self, events: usize, beats: usize) {
        let mut excess_beats = self
            .trace
            .iter()
            .filter(|event| is_beat(event))
            .count()
            .saturating_sub(beats);
        if excess_beats > 0 {
            self.trace.retain(|event| {
                let goes = excess_beats > 0 && is_beat(event);
                excess_beats -= usize::from(goes);
                !goes
            });
        }
        if self.trace.len() > events {
            let mut excess = excess_per_node(&self.trace, events);
            self.trace.retain(|event| match excess.get_mut(&event.node) {
                Some(excess) if *excess > 0 => {
                    *excess -= 1;
                    false
                }
                _ => true,
            });
        }
    }

    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The live leader of the highest term, if any node claims to lead.
    pub fn leader(&self) -> Option<&NodeView> {
        self.nodes
            .iter()
            .filter(|node| node.live_role() == Some(Role::Leader))
            .max_by_key(|node| node.status.as_ref().map_or(0, |status| status.term))
    }

    pub fn alive(&self) -> usize {
        self.nodes.iter().filter(|node| node.live).count()
    }
}

/// How many events each node must give up so that `bound` are left: whoever has more than the common share
/// gives up what is above it.
fn excess_per_node(trace: &VecDeque<TraceEvent>, bound: usize) -> HashMap<String, usize> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for event in trace {
        match counts.get_mut(&event.node) {
            Some(count) => *count += 1,
            None => _ = counts.insert(event.node.clone(), 1),
        }
    }
    let mut ascending: Vec<usize> = counts.values().copied().collect();
    ascending.sort_unstable();
    let (mut room, mut share) = (bound, 0);
    for (place, count) in ascending.iter().enumerate() {
        share = room / (ascending.len() - place);
        if *count > share {
            break;
        }
        room -= count;
    }
    counts.retain(|_, count| {
        *count = count.saturating_sub(share);
        *count > 0
    });
    counts
}

/// Whether an event belongs to the steady beat that says only *I am here* or *who is there?*.
pub fn is_beat(event: &TraceEvent) -> bool {
    event
        .rpc
        .as_ref()
        .is_some_and(|rpc| matches!(rpc.kind, RpcKind::Heartbeat | RpcKind::Probe))
}

fn extend_bounded<T>(into: &mut VecDeque<T>, new: Vec<T>, bound: usize) {
    into.extend(new);
    let excess = into.len().saturating_sub(bound);
    into.drain(..excess);
}

#[cfg(test)]
mod tests {
    use wiber_protocol::event::{EventKind, Leg, RpcMessage};

    use super::*;

    fn event(seq: u64, kind: RpcKind) -> TraceEvent {
        TraceEvent {
            node: "n1".into(),
            seq,
            epoch: 0,
            lamport: seq,
            ts_us: 0,
            corrected_us: 0,
            kind: EventKind::Send,
            peer: None,
            rpc: Some(RpcMessage {
                kind,
                id: format!("{seq:016x}"),
                leg: Leg::Request,
            }),
            term: 1,
            log_index: None,
            records: None,
            detail: None,
        }
    }

    #[test]
    fn an_hour_of_heartbeats_leaves_the_story_in_the_trace() {
        let mut view = ClusterView::default();
        let mut trace = vec![event(1, RpcKind::Append)];
        trace.extend((2..5_000).map(|seq| event(seq, RpcKind::Heartbeat)));
        trace.push(event(5_000, RpcKind::Vote));
        view.apply(
            1,
            0,
            Change {
                trace,
                ..Change::default()
            },
        )
        .unwrap();
        let seqs: Vec<u64> = view.trace.iter().map(|event| event.seq).collect();
        assert_eq!(seqs.len(), TRACE_BEATS + 2);
        assert_eq!(
            (seqs[0], seqs[1], seqs[TRACE_BEATS + 1]),
            (1, 5_000 - TRACE_BEATS as u64, 5_000)
        );
    }

    #[test]
    fn the_oldest_events_go_at_the_bound() {
        let mut view = ClusterView::default();
        let trace: Vec<TraceEvent> = (1..=3_000).map(|seq| event(seq, RpcKind::Append)).collect();
        view.apply(
            1,
            0,
            Change {
                trace,
                ..Change::default()
            },
        )
        .unwrap();
        assert_eq!(view.trace.len(), TRACE_EVENTS);
        assert_eq!(view.trace.front().unwrap().seq, 1_001);
    }

    #[test]
    fn a_talkative_node_leaves_the_others_their_share() {
        let mut view = ClusterView::default();
        let told = |node: &str, count: u64| {
            (1..=count)
                .map(move |seq| TraceEvent {
                    node: node.into(),
                    ..event(seq, RpcKind::Append)
                })
                .collect::<Vec<_>>()
        };
        let trace = [told("n2", 300), told("n1", 4_000), told("n3", 4_000)].concat();
        view.apply(
            1,
            0,
            Change {
                trace,
                ..Change::default()
            },
        )
        .unwrap();
        let kept = |node: &str| -> Vec<u64> {
            view.trace
                .iter()
                .filter(|event| event.node == node)
                .map(|event| event.seq)
                .collect()
        };
        assert_eq!(kept("n2").len(), 300);
        assert_eq!((kept("n1").len(), kept("n3").len()), (850, 850));
        assert_eq!((kept("n1")[0], *kept("n1").last().unwrap()), (3_151, 4_000));
    }
}
