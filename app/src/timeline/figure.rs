//! The diagram as values: what is drawn, where, and in which ink. Pure; the page turns it into SVG.
//!
//! Only so much is drawn that it stays smooth: the newest [`ARROWS_DRAWN`] arrows and [`EVENTS_DRAWN`] events.
//! Everything has its place by the [`super::scale`], which keeps what was drawn before where it was, so that
//! the page repaints little more than what is new.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
};

use wiber_protocol::{
    event::{EventKind, RpcKind, TraceEvent},
    status::Role,
};

use super::{
    labels::{Board, Line, Rect},
    lanes::{Lane, Look, Stretch, names, stretches},
    marks::{Mark, arrow_path},
    scale::{Axis, Fold, Places, Scale},
    tell::{kind_name, leg_name, role_in},
    trace::{Arrow, EventId, Relation, Trace},
    writing::{self, Label},
};
use crate::view::is_beat;

/// The most arrows drawn at once.
pub const ARROWS_DRAWN: usize = 150;
/// The most events drawn at once, sends and receives included.
pub const EVENTS_DRAWN: usize = 600;
/// A send whose receive is still unknown after this long is drawn as lost.
pub const IN_FLIGHT_US: i64 = 1_000_000;

/// Room left of the first and right of the last event, pixels.
const LEFT_PX: i64 = 20;
const RIGHT_PX: i64 = 96;
/// A client's end of a hop lies so far before or after the node that saw it.
const HOP_PX: f64 = 9.0;

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
    fn of(event: &TraceEvent) -> Option<Self> {
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

/// What the next drawing takes over from the last, so that nothing jumps.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    scale: Scale,
    ticks: BTreeSet<i64>,
    axis: Axis,
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

/// Heights of one drawing, pixels.
struct Heights {
    clients_y: i64,
    first_y: i64,
    gap: i64,
}

impl Heights {
    fn of(wish: &Wish) -> Self {
        if wish.compact {
            Self {
                clients_y: 52,
                first_y: 108,
                gap: 78,
            }
        } else {
            Self {
                clients_y: 60,
                first_y: 152,
                gap: 114,
            }
        }
    }

    fn lane_y(&self, lane: usize) -> i64 {
        i64::try_from(lane).map_or(self.first_y, |lane| self.first_y + self.gap * lane)
    }
}

/// What the parts of the drawing have in common.
struct Drawing<'a> {
    trace: &'a Trace<'a>,
    lanes: &'a [Lane],
    wish: &'a Wish,
    heights: Heights,
    /// Places of drawn events in the trace, in its order.
    drawn: Vec<usize>,
    /// Per event of the trace, its x if it is drawn.
    xs: Vec<Option<i64>>,
    relations: Option<Vec<Relation>>,
    places: Places,
    newest_us: i64,
}

/// Draws the newest part of a trace.
pub fn draw(trace: &Trace<'_>, lanes: &[Lane], wish: &Wish, memory: &mut Memory) -> Figure {
    if memory.axis != wish.axis {
        *memory = Memory {
            axis: wish.axis,
            ..Memory::default()
        };
    }
    let drawn = newest(trace, lanes, wish);
    let mut is_drawn = vec![false; trace.events.len()];
    for place in &drawn {
        is_drawn[*place] = true;
    }
    let events: Vec<&TraceEvent> = drawn.iter().map(|place| trace.events[*place]).collect();
    let mut quiet: Vec<i64> = (0..trace.events.len())
        .filter(|place| !is_drawn[*place] && is_beat(trace.events[*place]))
        .map(|place| wish.axis.value(trace.events[place]))
        .collect();
    quiet.sort_unstable();
    let places = memory.scale.place(wish.axis, &events, &quiet);
    let mut xs = vec![None; trace.events.len()];
    for (place, x) in drawn.iter().zip(&places.xs) {
        xs[*place] = Some(*x);
    }
    let chosen = wish.chosen.as_ref().and_then(|chosen| trace.find(chosen));
    let drawing = Drawing {
        trace,
        lanes,
        wish,
        heights: Heights::of(wish),
        drawn,
        xs,
        relations: chosen.map(|chosen| trace.cone(chosen)),
        places,
        newest_us: trace
            .events
            .iter()
            .map(|event| event.corrected_us)
            .max()
            .unwrap_or(0),
    };
    drawing.figure(memory)
}

/// The newest events by the wanted axis that are drawn, in trace order.
fn newest(trace: &Trace<'_>, lanes: &[Lane], wish: &Wish) -> Vec<usize> {
    let names: HashSet<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
    let sends: HashSet<usize> = trace.arrows.iter().map(|arrow| arrow.send).collect();
    let is_wanted = |place: &usize| {
        let event = trace.events[*place];
        names.contains(event.node.as_str())
            && Layer::of(event).is_none_or(|layer| !wish.hidden.contains(&layer))
    };
    let mut wanted: Vec<usize> = (0..trace.events.len()).filter(is_wanted).collect();
    wanted.sort_by_key(|place| wish.axis.value(trace.events[*place]));
    let mut arrows = 0;
    let mut drawn: Vec<usize> = wanted
        .into_iter()
        .rev()
        .take(EVENTS_DRAWN)
        .take_while(|place| {
            arrows += usize::from(sends.contains(place));
            arrows <= ARROWS_DRAWN
        })
        .collect();
    drawn.sort_unstable();
    drawn
}

impl Drawing<'_> {
    fn figure(&self, memory: &mut Memory) -> Figure {
        let (left, right) = (self.places.left() - LEFT_PX, self.places.right() + RIGHT_PX);
        let arrows = self.arrows();
        let last_y = self.heights.lane_y(self.lanes.len().saturating_sub(1));
        let spots = self.spots();
        let mut board = Board::default();
        for y in (0..self.lanes.len())
            .map(|lane| self.heights.lane_y(lane))
            .chain([self.heights.clients_y])
        {
            board.take_band(y);
        }
        for spot in &spots {
            board.take(Rect::around(spot.x, spot.y, 7.0));
        }
        for arrow in &arrows {
            board.draw_line(arrow.line);
        }
        let mut labels = writing::notes(&mut board, &spots, &names(self.lanes), |id| self.event(id));
        labels.extend(writing::arrow_words(&mut board, &arrows));
        Figure {
            left,
            right,
            height: last_y + 66,
            clients_y: self.heights.clients_y,
            lanes: self.lane_lines((left, right)),
            cone: self.cone((left, right), last_y),
            counts: self.counts(),
            folds: self.places.folds.clone(),
            quiet: self.quiet(),
            writes: self.writes(),
            hops: self.hops(),
            stubs: self.stubs(),
            marks: self.marks(),
            ticks: writing::ticks(&self.places, self.wish.axis, &mut memory.ticks),
            labels,
            spots,
            arrows,
        }
    }

    fn event(&self, id: &EventId) -> Option<&TraceEvent> {
        self.trace.find(id).map(|place| self.trace.events[place])
    }

    fn lane_of(&self, node: &str) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.name == node)
    }

    /// Where an event is drawn, if it is.
    fn point(&self, place: usize) -> Option<(f64, f64)> {
        let lane = self.lane_of(&self.trace.events[place].node)?;
        Some((to_px(self.xs[place]?), to_px(self.heights.lane_y(lane))))
    }

    fn relation(&self, place: usize) -> Option<Relation> {
        self.relations.as_ref().map(|relations| relations[place])
    }

    fn is_faint(&self, place: usize) -> bool {
        self.relation(place) == Some(Relation::Concurrent)
    }

    fn lane_lines(&self, edges: (i64, i64)) -> Vec<LaneLine> {
        self.lanes
            .iter()
            .enumerate()
            .map(|(index, lane)| {
                let events: Vec<&TraceEvent> = self
                    .trace
                    .lane(&lane.name)
                    .map(|place| self.trace.events[place])
                    .collect();
                let stretches = stretches(lane, &events, self.wish.axis, &self.places, edges);
                LaneLine {
                    name: lane.name.clone(),
                    y: self.heights.lane_y(index),
                    look: stretches.last().map_or(Look::Unknown, |stretch| stretch.look),
                    stretches,
                }
            })
            .collect()
    }

    fn arrows(&self) -> Vec<DrawnArrow> {
        self.trace
            .arrows
            .iter()
            .filter_map(|arrow| self.arrow(*arrow))
            .collect()
    }

    fn arrow(&self, arrow: Arrow) -> Option<DrawnArrow> {
        let (send, receive) = (self.trace.events[arrow.send], self.trace.events[arrow.receive]);
        let line = Line {
            from: self.point(arrow.send)?,
            to: self.point(arrow.receive)?,
        };
        let rpc = send.rpc.as_ref()?;
        let relation = self.relations.as_ref().map(|relations| {
            match (relations[arrow.send], relations[arrow.receive]) {
                (Relation::Concurrent, _) | (_, Relation::Concurrent) => Relation::Concurrent,
                (Relation::Past, _) => Relation::Past,
                _ => Relation::Future,
            }
        });
        let detail = send.detail.as_deref().or(receive.detail.as_deref());
        Some(DrawnArrow {
            rpc_id: rpc.id.clone(),
            kind: kind_name(rpc.kind),
            leg: leg_name(rpc.leg),
            word: super::tell::arrow_word(rpc, detail),
            from: send.node.clone(),
            to: receive.node.clone(),
            send_lamport: send.lamport,
            receive_lamport: receive.lamport,
            send: EventId::of(send),
            receive: EventId::of(receive),
            path: arrow_path(line),
            line,
            relation,
            backwards: line.to.0 < line.from.0,
        })
    }

    fn stubs(&self) -> Vec<Stub> {
        self.trace
            .alone
            .iter()
            .filter_map(|place| self.stub(*place))
            .collect()
    }

    fn stub(&self, place: usize) -> Option<Stub> {
        let event = self.trace.events[place];
        let (x, y) = self.point(place)?;
        let peer = self.lane_of(event.peer.as_deref()?)?;
        let towards = (to_px(self.heights.lane_y(peer)) - y).signum() * to_px(self.heights.gap) * 0.36;
        let event_id = EventId::of(event);
        if event.kind == EventKind::Receive {
            let path = arrow_path(Line {
                from: (x - 8.0, y + towards),
                to: (x, y),
            });
            return Some(Stub {
                event: event_id,
                path,
                end: StubEnd::Unsent,
            });
        }
        let (end_x, end_y) = (x + 8.0, y + towards);
        let lost = self.is_lost(event);
        let mut path = format!("M{x:.1} {y:.1}L{end_x:.1} {end_y:.1}");
        if lost {
            // Writing to a string cannot fail.
            let _ = write!(path, "M{:.1} {:.1}l8 8m0-8l-8 8", end_x - 4.0, end_y - 4.0);
        }
        Some(Stub {
            event: event_id,
            path,
            end: if lost { StubEnd::Lost } else { StubEnd::InFlight },
        })
    }

    /// Whether the receive of a send should be known by now: it was sent a while ago, and what its receiver has
    /// told reaches back that far.
    fn is_lost(&self, send: &TraceEvent) -> bool {
        let Some(peer) = send.peer.as_deref() else {
            return false;
        };
        let mut told = self
            .trace
            .lane(peer)
            .map(|place| self.trace.events[place].corrected_us);
        let reaches_back = match told.next() {
            Some(oldest_us) => oldest_us <= send.corrected_us,
            None => self.lanes.iter().any(|lane| lane.name == peer && !lane.alive),
        };
        reaches_back && self.newest_us - send.corrected_us > IN_FLIGHT_US
    }

    fn hops(&self) -> Option<Hops> {
        let (mut lines, mut ends) = (String::new(), String::new());
        let clients_y = to_px(self.heights.clients_y);
        for place in &self.drawn {
            let Some((x, y)) = self.point(*place) else {
                continue;
            };
            let line = match self.trace.events[*place].kind {
                EventKind::Publish => Line {
                    from: (x - HOP_PX, clients_y),
                    to: (x, y),
                },
                EventKind::Deliver => Line {
                    from: (x, y),
                    to: (x + HOP_PX, clients_y),
                },
                _ => continue,
            };
            lines.push_str(&arrow_path(line));
            let client = if line.from.1 < line.to.1 {
                line.from
            } else {
                line.to
            };
            ends.push_str(&Mark::Client.path(client.0, client.1));
        }
        (!lines.is_empty()).then_some(Hops { lines, ends })
    }

    fn marks(&self) -> Vec<Marks> {
        let mut paths: BTreeMap<(Mark, bool), String> = BTreeMap::new();
        for place in &self.drawn {
            let event = self.trace.events[*place];
            let Some((x, y)) = self.point(*place) else {
                continue;
            };
            let mark = Mark::of(event.kind, event.detail.as_deref().and_then(role_in));
            paths
                .entry((mark, self.is_faint(*place)))
                .or_default()
                .push_str(&mark.path(x, y));
        }
        paths
            .into_iter()
            .map(|((mark, faint), path)| Marks { mark, faint, path })
            .collect()
    }

    /// Bytes on their way to the disk: from an append to the first flush that covers it, under the lane.
    fn writes(&self) -> String {
        let mut path = String::new();
        if self.wish.hidden.contains(&Layer::Flush) {
            return path;
        }
        for (index, lane) in self.lanes.iter().enumerate() {
            let below = if lane.role == Some(Role::Leader) { 9 } else { 8 };
            let y = self.heights.lane_y(index) + below;
            let mut writing: Option<(i64, u64)> = None;
            for place in self.trace.lane(&lane.name) {
                let (event, Some(x)) = (self.trace.events[place], self.xs[place]) else {
                    continue;
                };
                match (event.kind, event.log_index, writing) {
                    (EventKind::Append, Some(index), None) => writing = Some((x, index)),
                    (EventKind::Append, Some(index), Some((from, _))) => writing = Some((from, index)),
                    (EventKind::Flush, Some(flushed), Some((from, index))) => {
                        let _ = write!(path, "M{from} {y}H{x}");
                        writing = (flushed < index).then_some((x, index));
                    }
                    _ => {}
                }
            }
        }
        path
    }

    fn spots(&self) -> Vec<Spot> {
        self.drawn
            .iter()
            .filter_map(|place| {
                let event = self.trace.events[*place];
                let (x, y) = self.point(*place)?;
                Some(Spot {
                    event: EventId::of(event),
                    lane: self.lane_of(&event.node)?,
                    x,
                    y,
                })
            })
            .collect()
    }

    /// The time since the last drawn event, if only quiet ones came after it.
    fn quiet(&self) -> Option<Quiet> {
        let last_us = match self.places.last() {
            Some((_, last_us)) => last_us,
            None => self.trace.events.iter().map(|event| event.corrected_us).min()?,
        };
        let us = self.newest_us - last_us;
        (us > 0).then_some(Quiet {
            x: self.places.right() + 14,
            us,
        })
    }

    fn counts(&self) -> Option<Counts> {
        let mut counts = Counts::default();
        for relation in self.relations.as_ref()? {
            match relation {
                Relation::Chosen => {}
                Relation::Past => counts.past += 1,
                Relation::Future => counts.future += 1,
                Relation::Concurrent => counts.concurrent += 1,
            }
        }
        Some(counts)
    }

    fn cone(&self, (left, right): (i64, i64), last_y: i64) -> Option<Cone> {
        let relations = self.relations.as_ref().filter(|_| self.wish.axis != Axis::Raw)?;
        let front = |wanted: Relation, edge: i64, nearer: fn(i64, i64) -> i64| -> Vec<i64> {
            let mut xs = vec![None; self.lanes.len()];
            for place in &self.drawn {
                let relation = relations[*place];
                if relation != wanted && relation != Relation::Chosen {
                    continue;
                }
                if let (Some(lane), Some(x)) =
                    (self.lane_of(&self.trace.events[*place].node), self.xs[*place])
                {
                    xs[lane] = Some(xs[lane].map_or(x, |known| nearer(known, x)));
                }
            }
            xs.into_iter().map(|x| x.unwrap_or(edge)).collect()
        };
        let (past, future) = (
            front(Relation::Past, left, i64::max),
            front(Relation::Future, right, i64::min),
        );
        let (top, bottom) = (self.heights.clients_y + 14, last_y + 34);
        let area = |front: &[i64], edge: i64| {
            let mut path = format!("M{edge} {top}");
            for (lane, x) in front.iter().enumerate() {
                let y = if lane == 0 { top } else { self.heights.lane_y(lane) };
                let _ = write!(path, "L{x} {y}");
                if lane == 0 {
                    let _ = write!(path, "L{x} {}", self.heights.lane_y(0));
                }
            }
            let _ = write!(
                path,
                "L{} {bottom}L{edge} {bottom}Z",
                front.last().copied().unwrap_or(edge)
            );
            path
        };
        Some(Cone {
            past: area(&past, left),
            future: area(&future, right),
            past_x: past.last().copied().unwrap_or(left),
            future_x: future.last().copied().unwrap_or(right),
        })
    }
}

/// A whole number of pixels as the fraction that SVG takes.
#[expect(clippy::cast_precision_loss, reason = "2^52 pixels are a wide figure")]
pub(super) fn to_px(px: i64) -> f64 {
    px as f64
}

#[cfg(test)]
#[path = "figure_tests.rs"]
mod tests;
