//! The figure as SVG. Arrows and labels are elements of their own, kept while they do not change; marks of one
//! shape and shade are one path.

mod ground;

use ground::{ground, lanes};
use leptos::prelude::*;

use super::{
    figure::{DrawnArrow, Figure, StubEnd},
    hit::{Target, arrow_of},
    marks::Mark,
    state::State,
    trace::Relation,
};
use crate::{reactive::derived, words::duration};

/// The drawing, wide as it is; its frame scrolls.
#[component]
pub fn Drawing(state: State) -> impl IntoView {
    let figure = state.figure;
    let width = Memo::new(move |_| figure.with(|figure| figure.right - figure.left));
    let height = Memo::new(move |_| figure.with(|figure| figure.height));
    let view_box = move || {
        figure.with(|figure| {
            format!(
                "{} 0 {} {}",
                figure.left,
                figure.right - figure.left,
                figure.height
            )
        })
    };
    view! {
        <svg
            class="st"
            width=move || width.get()
            height=move || height.get()
            viewBox=view_box
            // A short story stands at the right end, where the newest is.
            preserveAspectRatio="xMaxYMin meet"
            aria-hidden="true"
            focusable="false"
        >
            {ground(figure)}
            {lanes(figure)}
            {messages(figure)}
            {marks(figure)}
            {writing(figure)}
            {looking(state)}
        </svg>
    }
    .into_any()
}

fn messages(figure: RwSignal<Figure>) -> AnyView {
    let arrows = Memo::new(move |_| figure.with(|figure| figure.arrows.clone()));
    let stubs = Memo::new(move |_| figure.with(|figure| figure.stubs.clone()));
    let hops = Memo::new(move |_| figure.with(|figure| figure.hops.clone()));
    view! {
        <g class="hops">
            <path class="hop" d=move || hops.get().map(|hops| hops.lines) />
            <path class="mark client" d=move || hops.get().map(|hops| hops.ends) />
        </g>
        <g class="arrows">
            <For each=move || arrows.get() key=DrawnArrow::key let:arrow>
                {arrow_view(arrow)}
            </For>
            <For
                each=move || stubs.get()
                key=|stub| (stub.event.to_string(), stub.path.clone(), stub.end as u8)
                let:stub
            >
                <path
                    class=match stub.end {
                        StubEnd::InFlight => "stub in-flight",
                        StubEnd::Lost => "stub lost",
                        StubEnd::Unsent => "stub unsent",
                    }
                    data-stub=stub.event.to_string()
                    d=stub.path
                />
            </For>
        </g>
    }
    .into_any()
}

fn arrow_view(arrow: DrawnArrow) -> AnyView {
    let relation = match arrow.relation {
        None => "",
        Some(Relation::Concurrent) => " faint",
        Some(_) => " related",
    };
    let backwards = if arrow.backwards { " backwards" } else { "" };
    view! {
        <path
            class=format!("arrow {} {}{relation}{backwards}", arrow.kind, arrow.leg)
            data-rpc-id=arrow.rpc_id
            data-kind=arrow.kind
            data-leg=arrow.leg
            data-from=arrow.from
            data-to=arrow.to
            data-send-lamport=arrow.send_lamport
            data-receive-lamport=arrow.receive_lamport
            d=arrow.path
        />
    }
    .into_any()
}

fn marks(figure: RwSignal<Figure>) -> AnyView {
    let marks = Memo::new(move |_| figure.with(|figure| figure.marks.clone()));
    let path_of = move |mark: Mark, faint: bool| {
        marks.with(|marks| {
            marks
                .iter()
                .find(|marks| marks.mark == mark && marks.faint == faint)
                .map(|marks| marks.path.clone())
        })
    };
    let layer = move |faint: bool| {
        Mark::ON_LANES
            .map(|mark| {
                let path = Memo::new(move |_| path_of(mark, faint).unwrap_or_default());
                view! { <path class=format!("mark {}", mark.class()) d=move || path.get() /> }
            })
            .collect_view()
    };
    view! {
        <g class="marks faint">{layer(true)}</g>
        <g class="marks">{layer(false)}</g>
    }
    .into_any()
}

fn writing(figure: RwSignal<Figure>) -> AnyView {
    let labels = Memo::new(move |_| figure.with(|figure| figure.labels.clone()));
    let quiet = Memo::new(move |_| figure.with(|figure| figure.quiet));
    let middle_y = Memo::new(move |_| {
        figure.with(|figure| figure.lanes.first().map_or(figure.clients_y, |lane| lane.y) - 24)
    });
    let since = move || {
        let ms = u64::try_from(quiet.get()?.us / 1_000).unwrap_or(0);
        (ms >= 1_000).then(|| duration(ms))
    };
    let since = Memo::new(move |_| since());
    view! {
        <g class="labels">
            <For each=move || labels.get() key=super::writing::Label::key let:label>
                <text
                    class=format!("label {}{}", label.tone.class(), if label.faint { " faint" } else { "" })
                    x=format!("{:.1}", label.x)
                    y=format!("{:.1}", label.y)
                >
                    {label.word.clone()}
                    {(!label.number.is_empty())
                        .then(|| {
                            let gap = if label.word.is_empty() { "0" } else { "4" };
                            view! {
                                <tspan class="m" dx=gap>
                                    {label.number}
                                </tspan>
                            }
                        })}
                </text>
            </For>
            <text class="since" x=move || quiet.get().map(|quiet| quiet.x) y=move || middle_y.get()>
                {move || since.get().map(|since| format!("quiet for {since}"))}
            </text>
        </g>
    }
    .into_any()
}

/// Rings around what is chosen and what is pointed at.
fn looking(state: State) -> AnyView {
    let spot_of = move |id: &super::trace::EventId| {
        state.figure.with(|figure| {
            figure
                .spots
                .iter()
                .find(|spot| spot.event == *id)
                .map(|spot| (spot.x, spot.y))
        })
    };
    let chosen = Memo::new(move |_| state.chosen.get().and_then(|id| spot_of(&id)));
    let pointed = Memo::new(move |_| match state.pointed.get() {
        Some(Target::Event(id)) if state.chosen.with(|chosen| chosen.as_ref() != Some(&id)) => spot_of(&id),
        _ => None,
    });
    let along = Memo::new(move |_| match state.pointed.get() {
        Some(Target::Arrow(send)) => state
            .figure
            .with(|figure| arrow_of(figure, &send).map(|arrow| arrow.path.clone())),
        _ => None,
    });
    // Tenths are enough; and writing a number to its last digit would be the only use of some kilobytes of code.
    let tenths = |px: Option<f64>| format!("{:.1}", px.unwrap_or(0.0));
    let ring = |at: Memo<Option<(f64, f64)>>, class: &'static str, radius: &'static str| {
        view! {
            <circle
                class=class
                r=radius
                cx=derived(move || tenths(at.get().map(|at| at.0)))
                cy=derived(move || tenths(at.get().map(|at| at.1)))
                visibility=move || if at.get().is_some() { "visible" } else { "hidden" }
            />
        }
    };
    view! {
        <g class="looking">
            <path class="along" d=move || along.get() />
            {ring(pointed, "pointed", "8.5")}
            {ring(chosen, "chosen", "10.5")}
        </g>
    }
    .into_any()
}

/// The names at the left of the lanes, which stay while the figure scrolls.
#[component]
pub fn LaneNames(state: State) -> impl IntoView {
    let figure = state.figure;
    let clients_y = Memo::new(move |_| figure.with(|figure| figure.clients_y));
    let height = Memo::new(move |_| figure.with(|figure| figure.height));
    let lanes = Memo::new(move |_| {
        figure.with(|figure| {
            figure
                .lanes
                .iter()
                .map(|lane| (lane.name.clone(), lane.y, lane.look))
                .collect::<Vec<_>>()
        })
    });
    view! {
        <ul class="lane-names" style:height=move || format!("{}px", height.get())>
            <li class="clients" style:top=move || format!("{}px", clients_y.get())>
                <b>"clients"</b>
                <i>"no clock"</i>
            </li>
            <For each=move || lanes.get() key=|lane| lane.clone() let:lane>
                <li class=lane.2.class() style:top=format!("{}px", lane.1)>
                    <b>{lane.0}</b>
                    <i>{lane.2.word()}</i>
                </li>
            </For>
            <li class="axis-name" style:top=move || format!("{}px", height.get() - 24)>
                <i>{move || state.axis.get().name()}</i>
            </li>
        </ul>
    }
}

/// A small mark in a sentence.
pub fn inline_mark(mark: Mark) -> AnyView {
    view! {
        <svg class="inline-mark" width="12" height="12" viewBox="-6 -6 12 12" aria-hidden="true">
            <path class=format!("mark {}", mark.class()) d=mark.path(0.0, 0.0) />
        </svg>
    }
    .into_any()
}
