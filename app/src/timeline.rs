//! The space-time diagram of what really happened: a lane per node, an arrow per RPC message, a mark per event.
//!
//! The way of an event: [`trace`] pairs sends with receives and knows causality, [`scale`] gives each event its
//! place, [`drawing`] makes the [`figure`] ([`lanes`], [`marks`], [`labels`], [`writing`]), [`svg`] draws it,
//! [`hit`] and [`tell`] answer what a reader points at. All but the drawing is pure.

pub mod detail;
pub mod drawing;
pub mod figure;
pub mod hit;
pub mod labels;
pub mod lanes;
pub mod marks;
pub mod scale;
pub mod state;
pub mod svg;
pub mod table;
pub mod tell;
pub mod trace;
pub mod writing;

#[cfg(feature = "hydrate")]
mod browser;
#[cfg(test)]
mod sample;

use detail::{Chosen, Readout};
use figure::Layer;
use leptos::{html, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use marks::Mark;
use scale::Axis;
use state::State;
use svg::{Drawing, LaneNames, inline_mark};
use table::Table;
use trace::EventId;

use crate::{live::use_live, words::grouped};

/// `/timeline`: the diagram by itself. The address keeps the axis and the chosen event; `?at=` opens a moment.
#[component]
pub fn TimelinePage() -> impl IntoView {
    view! {
        <Title text="Timeline · Wiber" />
        <div class="lede">
            <h1>"What really happened"</h1>
            <p class="gloss">
                "A lane for each node; time flows to the right. Every arrow is one message, as its sender and its receiver tell it; every mark is one event of one node."
            </p>
        </div>
        <Timeline />
    }
    .into_any()
}

/// The diagram, docked among other things or by itself.
#[component]
pub fn Timeline(
    /// Lower, and without an address of its own.
    #[prop(optional)]
    docked: bool,
) -> impl IntoView {
    let query = use_query_map();
    let (axis, chosen) = query.with_untracked(|query| {
        let axis = query.get("axis").and_then(|axis| Axis::of_str(&axis));
        (
            axis.unwrap_or_default(),
            query.get("event").and_then(|event| event.parse::<EventId>().ok()),
        )
    });
    let state = State::new(use_live(), docked, axis, chosen.filter(|_| !docked));
    let frame = NodeRef::<html::Div>::new();
    #[cfg(feature = "hydrate")]
    browser::attend(state, frame);
    view! {
        <section
            class="timeline"
            class:docked=docked
            aria-labelledby="timeline"
            data-axis=move || state.axis.get().as_str()
            data-live=move || state.is_live().to_string()
        >
            <div class="title">
                <h2 id="timeline" class:vh=!docked>
                    "Timeline"
                </h2>
                {docked
                    .then(|| {
                        view! {
                            <p>"A lane for each node. Time flows to the right, an arrow is a message."</p>
                            <div class="end">
                                <a href="/timeline">"by itself"</a>
                            </div>
                        }
                    })}
            </div>
            <Bar state />
            <div class="set stage">
                <div class="frame">
                    <LaneNames state />
                    <Scroll state frame />
                </div>
                <p class="nothing" hidden=move || !state.figure.with(figure::Figure::is_empty)>
                    "Nothing has happened yet. Start the cluster, and its first messages will be drawn here."
                </p>
                <Readout state />
            </div>
            <Chosen state />
            <Legend />
            <Table state />
        </section>
    }
    .into_any()
}

/// What one can ask of the figure.
#[component]
fn Bar(state: State) -> impl IntoView {
    let live = state.live();
    let moment = move || state.frozen_at_ms().map(|at_ms| live.time_of_day(at_ms));
    let toggle_live = move |_| {
        if state.is_live() {
            state.freeze();
        } else {
            state.go_live();
        }
    };
    view! {
        <div class="bar">
            <div class="pace needs-wasm">
                <button type="button" class="word go" on:click=toggle_live>
                    {move || if state.is_live() { "pause" } else { "go live" }}
                </button>
                <span class="m">{move || moment().map(|moment| format!("paused at {moment}"))}</span>
            </div>
            <div role="group" aria-label="Axis">
                <span class="k" aria-hidden="true">
                    "axis"
                </span>
                {Axis::ALL.map(|axis| axis_choice(state, axis))}
            </div>
            <div role="group" aria-label="Show" class="needs-wasm">
                <span class="k" aria-hidden="true">
                    "show"
                </span>
                {Layer::ALL.map(|layer| layer_choice(state, layer))}
            </div>
        </div>
    }
    .into_any()
}

/// One axis: a link that works without wasm; with it, only the drawing changes.
fn axis_choice(state: State, axis: Axis) -> AnyView {
    let is_chosen = move || state.axis.get() == axis;
    let choose = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        state.axis.set(axis);
    };
    view! {
        <a
            class="tab"
            href=format!("?axis={}", axis.as_str())
            aria-current=move || is_chosen().then_some("true")
            on:click=choose
        >
            {axis.name()}
        </a>
    }
    .into_any()
}

fn layer_choice(state: State, layer: Layer) -> AnyView {
    let is_shown = move || state.hidden.with(|hidden| !hidden.contains(&layer));
    let toggle = move |_| {
        state.hidden.update(|hidden| {
            if !hidden.remove(&layer) {
                hidden.insert(layer);
            }
        });
    };
    view! {
        <button type="button" class="tab" aria-pressed=move || is_shown().to_string() on:click=toggle>
            {layer.name()}
        </button>
    }
    .into_any()
}

/// The part that scrolls. It is written from right to left, so that its end, where the newest is, is in sight
/// from the first moment and stays there.
#[component]
fn Scroll(state: State, frame: NodeRef<html::Div>) -> impl IntoView {
    let label = move || {
        state.figure.with(|figure| {
            format!(
                "Space-time diagram: {} messages between {} nodes. Arrow keys go from event to event, Enter chooses one.",
                grouped(figure.arrows.len() as u64),
                figure.lanes.len()
            )
        })
    };
    let label = Memo::new(move |_| label());
    view! {
        <div
            class="scroll"
            dir="rtl"
            tabindex="0"
            role="group"
            aria-label=move || label.get()
            node_ref=frame
        >
            <Drawing state />
        </div>
    }
    .into_any()
}

#[component]
fn Legend() -> impl IntoView {
    view! {
        <p class="read">
            {inline_mark(Mark::Publish)} " taken from a client, " {inline_mark(Mark::Append)}
            " appended in memory, the bar under a lane: bytes on their way to the disk, "
            {inline_mark(Mark::Flush)} " flushed, " {inline_mark(Mark::Commit)} " committed, "
            {inline_mark(Mark::Apply)} " applied, " {inline_mark(Mark::Deliver)} " answered or delivered, "
            {inline_mark(Mark::Vote)} " voted, " {inline_mark(Mark::Fault)}
            " a fault. A thick ochre lane leads, a broken violet one asks for votes, a dotted one has no process. "
            "Clients keep no trace, so their ends ("{inline_mark(Mark::Client)}
            ") are placed one hop from the node that saw them. Heartbeats fold into the hatched bands. Choose an event to "
            "see what may have caused it and what may depend on it, followed along arrows."
        </p>
    }
    .into_any()
}
