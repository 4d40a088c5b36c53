//! What the parts of the timeline share: what is wanted, what is drawn, what is pointed at.

use std::collections::BTreeSet;

use leptos::prelude::*;
use wiber_protocol::event::TraceEvent;

use super::{
    drawing::{Memory, draw},
    figure::{Figure, Layer, Wish},
    hit::Target,
    lanes::{Lane, names},
    scale::Axis,
    trace::{EventId, Trace},
};
use crate::live::Live;

/// Everything about one timeline on the page. Cheap to copy.
#[derive(Clone, Copy)]
pub struct State {
    live: StoredValue<Live>,
    pub docked: bool,
    pub axis: RwSignal<Axis>,
    pub hidden: RwSignal<BTreeSet<Layer>>,
    pub chosen: RwSignal<Option<EventId>>,
    pub pointed: RwSignal<Option<Target>>,
    /// The events as they were when the reader paused.
    frozen: RwSignal<Option<Frozen>>,
    lanes: Memo<Vec<Lane>>,
    memory: StoredValue<Memory>,
    pub figure: RwSignal<Figure>,
}

/// The picture at one moment.
#[derive(Clone, Debug, PartialEq)]
struct Frozen {
    events: Vec<TraceEvent>,
    lanes: Vec<Lane>,
    at_ms: i64,
}

impl State {
    pub fn new(live: Live, docked: bool, axis: Axis, chosen: Option<EventId>) -> Self {
        let state = Self {
            live: StoredValue::new(live),
            docked,
            axis: RwSignal::new(axis),
            hidden: RwSignal::new(Wish::default().hidden),
            chosen: RwSignal::new(chosen),
            pointed: RwSignal::new(None),
            frozen: RwSignal::new(None),
            lanes: Memo::new(move |_| lanes_of(live)),
            memory: StoredValue::new(Memory::default()),
            figure: RwSignal::new(Figure::default()),
        };
        state.redraw();
        state
    }

    pub fn live(self) -> Live {
        self.live.get_value()
    }

    /// Follows what the reader asked for, and how the nodes stand.
    pub fn track_wishes(self) {
        self.axis.track();
        self.hidden.track();
        self.chosen.track();
        self.frozen.track();
        self.lanes.track();
    }

    /// Follows what happens, while it is drawn as it comes.
    pub fn track_trace(self) {
        if self.is_live() {
            self.live().trace_mark();
        }
    }

    /// The newest event that is more than a beat.
    pub fn newest(self) -> Option<EventId> {
        self.live().with_trace(|trace| {
            trace
                .iter()
                .rev()
                .find(|event| !crate::view::is_beat(event))
                .map(EventId::of)
        })
    }

    /// Draws from what is known now.
    pub fn redraw(self) {
        let figure = untrack(|| {
            let wish = Wish {
                axis: self.axis.get(),
                compact: self.docked,
                hidden: self.hidden.get(),
                chosen: self.chosen.get(),
            };
            self.with_picture(|events, lanes| {
                let trace = Trace::read(events.iter().copied());
                self.memory
                    .try_update_value(|memory| draw(&trace, lanes, &wish, memory))
                    .unwrap_or_default()
            })
        });
        if self.figure.try_with_untracked(|drawn| *drawn != figure) == Some(true) {
            self.figure.set(figure);
        }
    }

    fn with_picture<R>(self, read: impl FnOnce(&[&TraceEvent], &[Lane]) -> R) -> R {
        self.frozen.with(|frozen| {
            if let Some(frozen) = frozen {
                return read(&frozen.events.iter().collect::<Vec<_>>(), &frozen.lanes);
            }
            let lanes = self.lanes.get();
            self.live()
                .with_trace(|trace| read(&trace.iter().collect::<Vec<_>>(), &lanes))
        })
    }

    /// Raft ids and the names they belong to.
    pub fn names(self) -> Vec<(String, String)> {
        self.with_picture(|_, lanes| names(lanes))
    }

    /// One event of the picture.
    pub fn event(self, id: &EventId) -> Option<TraceEvent> {
        let is_it =
            |event: &TraceEvent| event.seq == id.seq && event.epoch == id.epoch && event.node == id.node;
        self.with_picture(|events, _| {
            events
                .iter()
                .find(|event| is_it(event))
                .map(|event| (*event).clone())
        })
    }

    /// The event nearest to a moment of cluster time, if the trace goes back that far.
    pub fn event_near(self, at_us: i64) -> Option<EventId> {
        self.with_picture(|events, _| {
            let oldest_us = events.iter().map(|event| event.corrected_us).min()?;
            let nearest = events
                .iter()
                .filter(|event| !crate::view::is_beat(event))
                .min_by_key(|event| (event.corrected_us - at_us).unsigned_abs())?;
            (oldest_us <= at_us).then(|| EventId::of(nearest))
        })
    }

    /// Whether new events are drawn as they come.
    pub fn is_live(self) -> bool {
        self.frozen.with(Option::is_none) && !self.live().paused()
    }

    /// When the picture was frozen, milliseconds since the Unix epoch.
    pub fn frozen_at_ms(self) -> Option<i64> {
        self.frozen
            .with(|frozen| frozen.as_ref().map(|frozen| frozen.at_ms))
    }

    /// Holds the picture as it is.
    pub fn freeze(self) {
        untrack(|| {
            if self.frozen.with(Option::is_some) {
                return;
            }
            let (events, lanes) = self.with_picture(|events, lanes| {
                let events = events.iter().map(|event| (*event).clone()).collect();
                (events, lanes.to_vec())
            });
            self.frozen.set(Some(Frozen {
                events,
                lanes,
                at_ms: self.live().heard_at_ms(),
            }));
        });
    }

    /// Goes on with the newest.
    pub fn go_live(self) {
        self.chosen.set(None);
        self.pointed.set(None);
        self.frozen.set(None);
        if untrack(|| self.live().paused()) {
            self.live().set_paused(false);
        }
    }

    /// Chooses an event, or none. What is chosen is looked at, so the picture holds still.
    pub fn choose(self, id: Option<EventId>) {
        if id.is_some() {
            self.freeze();
        }
        self.chosen.set(id);
    }
}

fn lanes_of(live: Live) -> Vec<Lane> {
    let lane = |node: crate::view::NodeView| Lane {
        raft_id: node.status.as_ref().map(|status| status.raft_id.to_string()),
        role: node.live_role(),
        alive: node.live,
        name: node.id,
    };
    live.nodes().into_iter().map(lane).collect()
}
