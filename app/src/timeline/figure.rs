//! The diagram as values: what is drawn, where, and in which ink. [`super::drawing`] makes it from a trace, the
//! page turns it into SVG.

use std::collections::BTreeSet;

use wiber_protocol::event::{EventKind, RpcKind, TraceEvent};

use super::{
    labels::Line,
    lanes::{Look, Stretch},
    marks::Mark,
    scale::{Axis, Fold},
    trace::{EventId, Relation},
    writing::Label,
};
use crate::view::is_beat;

/// What can be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    Append,
    Flush,
    Commit,
    Apply,
    Vote,
    Heartbeat,
}

impl Layer {
    pub const ALL: [Self; 6] = [
        Self::Append,
        Self::Flush,
        Self::Commit,
        Self::Apply,
        Self::Vote,
        Self::Heartbeat,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Flush => "flush",
            Self::Commit => "commit",
            Self::Apply => "apply",
            Self::Vote => "vote",
            Self::Heartbeat => "heartbeats",
        }
    }

    /// The layer of a mark on a lane; an arrow belongs to one only if it is about votes or heartbeats.
    pub fn of(event: &TraceEvent) -> Option<Self> {
        match event.kind {
            EventKind::Append => Some(Self::Append),
            EventKind::Flush => Some(Self::Flush),
            EventKind::Commit => Some(Self::Commit),
            EventKind::Apply => Some(Self::Apply),
            EventKind::Vote => Some(Self::Vote),
            EventKind::Send | EventKind::Receive => match event.rpc.as_ref()?.kind {
                RpcKind::Vote | RpcKind::PreVote => Some(Self::Vote),
                _ if is_beat(event) => Some(Self::Heartbeat),
                _ => None,
            },
            EventKind::Role | EventKind::Publish | EventKind::Deliver | EventKind::Fault => None,
        }
    }
}

/// How the figure is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub axis: Axis,
    /// Lower, to be docked under other things.
    pub compact: bool,
    pub hidden: BTreeSet<Layer>,
    pub chosen: Option<EventId>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            axis: Axis::default(),
            compact: false,
            hidden: BTreeSet::from([Layer::Heartbeat]),
            chosen: None,
        }
    }
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnArrow {
    pub rpc_id: String,
    pub kind: &'static str,
    pub leg: &'static str,
    pub word: &'static str,
    pub from: String,
    pub to: String,
    pub send_lamport: u64,
    pub receive_lamport: u64,
    pub send: EventId,
    pub receive: EventId,
    pub path: String,
    pub line: Line,
    pub relation: Option<Relation>,
    /// On this axis it arrives before it was sent: two clocks disagree.
    pub backwards: bool,
}

impl DrawnArrow {
    /// The same while the arrow need not be repainted.
    pub fn key(&self) -> (String, &'static str, &'static str, String, Option<Relation>) {
        (
            self.rpc_id.clone(),
            self.kind,
            self.leg,
            self.path.clone(),
            self.relation,
        )
    }
}

/// A message of which one end is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Stub {
    pub event: EventId,
    pub path: String,
    pub end: StubEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StubEnd {
    /// Its receive may yet come, or was told before what is still known of its receiver.
    InFlight,
    /// Sent, and its receiver tells of no receive.
    Lost,
    /// Received; the send is not known.
    Unsent,
}

/// A message to or from a client. Clients keep no trace, so their end is placed beside the node's.
#[derive(Clone, Debug, PartialEq)]
pub struct Hops {
    pub lines: String,
    pub ends: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LaneLine {
    pub name: String,
    pub y: i64,
    pub look: Look,
    pub stretches: Vec<Stretch>,
}

/// All marks of one shape and one shade, as one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    pub mark: Mark,
    /// Outside the cone of the chosen event.
    pub faint: bool,
    pub path: String,
}

/// Where an event is, to be pointed at.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    pub event: EventId,
    pub lane: usize,
    pub x: f64,
    pub y: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    pub x: i64,
    pub text: String,
}

/// The past and the future of the chosen event, as areas.
#[derive(Clone, Debug, PartialEq)]
pub struct Cone {
    pub past: String,
    pub future: String,
    /// Where the two fronts meet the last lane, for the words beneath.
    pub past_x: i64,
    pub future_x: i64,
}

/// How many of the known events stand how to the chosen one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub past: usize,
    pub future: usize,
    pub concurrent: usize,
}

/// What has happened since the last drawn event: only the steady beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    pub x: i64,
    /// In steps of half a second.
    pub us: i64,
}

/// The whole drawing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    pub left: i64,
    pub right: i64,
    pub height: i64,
    pub clients_y: i64,
    pub lanes: Vec<LaneLine>,
    pub cone: Option<Cone>,
    /// Of the chosen event, if it is known.
    pub counts: Option<Counts>,
    pub folds: Vec<Fold>,
    pub quiet: Option<Quiet>,
    pub writes: String,
    pub hops: Option<Hops>,
    pub arrows: Vec<DrawnArrow>,
    pub stubs: Vec<Stub>,
    pub marks: Vec<Marks>,
    pub labels: Vec<Label>,
    pub ticks: Vec<Tick>,
    pub spots: Vec<Spot>,
}

impl Figure {
    /// Whether nothing is known to have happened.
    pub fn is_empty(&self) -> bool {
        self.spots.is_empty() && self.quiet.is_none()
    }
}

/// A whole number of pixels as the fraction that SVG takes.
#[expect(clippy::cast_precision_loss, reason = "2^52 pixels are a wide figure")]
pub(super) fn to_px(px: i64) -> f64 {
    px as f64
}
