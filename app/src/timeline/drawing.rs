//! From a trace to a figure. Pure.
//!
//! Only so much is drawn that it stays smooth: the newest [`ARROWS_DRAWN`] arrows and [`EVENTS_DRAWN`] events.
//! Everything has its place by the [`super::scale`], which keeps what was drawn before where it was, so that
//! the page repaints little more than what is new.

mod cone;
mod messages;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
};

use wiber_protocol::{
    event::{EventKind, TraceEvent},
    status::Role,
};

use super::{
    figure::{Figure, LaneLine, Layer, Marks, Quiet, Spot, Wish, to_px},
    labels::{Board, Rect},
    lanes::{Lane, Look, names, stretches},
    marks::Mark,
    scale::{Axis, Places, Scale},
    tell::role_in,
    trace::{EventId, Relation, Trace},
    writing,
};
use crate::view::is_beat;

/// The most arrows drawn at once.
pub const ARROWS_DRAWN: usize = 150;
/// The most events drawn at once, sends and receives included.
pub const EVENTS_DRAWN: usize = 600;
/// Room left of the first and right of the last event, pixels.
const LEFT_PX: i64 = 20;
const RIGHT_PX: i64 = 96;

/// What the next drawing takes over from the last, so that nothing jumps.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    scale: Scale,
    ticks: BTreeSet<i64>,
    axis: Axis,
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
        // In half seconds: a clock that ticks faster would only be a reason to draw.
        let us = (self.newest_us - last_us) / 500_000 * 500_000;
        (self.newest_us > last_us).then_some(Quiet {
            x: self.places.right() + 14,
            us,
        })
    }
}

#[cfg(test)]
#[path = "drawing_tests.rs"]
mod tests;
