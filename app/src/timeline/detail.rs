//! What is pointed at, in a sentence; what is chosen, with everything known of it.

use leptos::prelude::*;
use wiber_protocol::event::TraceEvent;

use super::{
    hit::{Target, arrow_of},
    scale::Axis,
    state::State,
    tell::{flight, kind_name, leg_name, named, sentence},
    trace::EventId,
};
use crate::{live::Live, words::grouped};

/// One line under the figure: always there, so that nothing moves when it speaks.
#[component]
pub fn Readout(state: State) -> impl IntoView {
    let told = Memo::new(move |_| {
        let target = state.pointed.get()?;
        // The picture may have moved on since.
        state.figure.track();
        told_of(state, &target)
    });
    let hint = move || {
        if state.figure.with(super::figure::Figure::is_empty) {
            ""
        } else {
            "Point at an event or an arrow; choose one for its causes and effects."
        }
    };
    view! {
        <p class="readout" role="status">
            {move || match told.get() {
                Some((what, when)) => {
                    view! {
                        <span class="what">{what}</span>
                        <span class="m">{when}</span>
                    }
                    .into_any()
                }
                None => view! { <span class="hint">{hint}</span> }.into_any(),
            }}
        </p>
    }
    .into_any()
}

/// What it is, and when it was.
fn told_of(state: State, target: &Target) -> Option<(String, String)> {
    let event = state.event(target.event())?;
    let Target::Arrow(send) = target else {
        return Some((told(state, &event), when(state, &event)));
    };
    let arrow = state.figure.with(|figure| arrow_of(figure, send).cloned())?;
    let lamport = format!(
        "Lamport {} → {}",
        grouped(arrow.send_lamport),
        grouped(arrow.receive_lamport)
    );
    let axis = state.axis.get();
    let took = (axis != Axis::Lamport)
        .then(|| {
            let received = state.event(&arrow.receive)?;
            let clock = if axis == Axis::Raw {
                "between two raw clocks"
            } else {
                "under way"
            };
            Some(format!(
                ", {} {clock}",
                flight(axis.value(&received) - axis.value(&event))
            ))
        })
        .flatten()
        .unwrap_or_default();
    Some((told(state, &event), format!("{lamport}{took}")))
}

/// An event in a sentence, with other nodes by name.
fn told(state: State, event: &TraceEvent) -> String {
    named(&sentence(event), &untrack(|| state.names()))
}

fn when(state: State, event: &TraceEvent) -> String {
    let lamport = format!("Lamport {}", grouped(event.lamport));
    match state.axis.get() {
        Axis::Lamport => lamport,
        Axis::Corrected => format!("{}, {lamport}", precise(state.live(), event.corrected_us)),
        Axis::Raw => format!("{}, {lamport}", precise(state.live(), event.ts_us)),
    }
}

/// A time of day with its microseconds.
fn precise(live: Live, us: i64) -> String {
    format!(
        "{} {:03}",
        live.time_of_day(us.div_euclid(1_000)),
        us.rem_euclid(1_000)
    )
}

/// Everything about the chosen event.
#[component]
pub fn Chosen(state: State) -> impl IntoView {
    let event = Memo::new(move |_| {
        state.figure.track();
        state.chosen.get().and_then(|id| state.event(&id))
    });
    let is_missing = move || state.chosen.with(Option::is_some) && event.with(Option::is_none);
    view! {
        <div class="chosen-event">
            <p class="nothing" hidden=move || !is_missing()>
                "The chosen event is no longer in the trace."
            </p>
            {move || event.get().map(|event| details(state, &event))}
        </div>
    }
    .into_any()
}

fn details(state: State, event: &TraceEvent) -> AnyView {
    let live = state.live();
    let id = EventId::of(event);
    let across = state.figure.with_untracked(|figure| {
        let arrow = figure
            .arrows
            .iter()
            .find(|arrow| arrow.send == id || arrow.receive == id)?;
        Some(if arrow.send == id {
            format!(
                "received by {} at Lamport {}",
                arrow.to,
                grouped(arrow.receive_lamport)
            )
        } else {
            format!(
                "sent by {} at Lamport {}",
                arrow.from,
                grouped(arrow.send_lamport)
            )
        })
    });
    let rpc = event
        .rpc
        .as_ref()
        .map(|rpc| format!("{} {}, {}", kind_name(rpc.kind), leg_name(rpc.leg), rpc.id));
    let facts: Vec<(&'static str, Option<String>)> = vec![
        ("term", (event.term > 0).then(|| grouped(event.term))),
        ("entry", event.log_index.map(grouped)),
        (
            "records",
            event.records.map(|records| grouped(u64::from(records))),
        ),
        ("Lamport", Some(grouped(event.lamport))),
        ("RPC", rpc),
        ("other end", across),
        (
            "event",
            Some(format!("{} of run {}", grouped(event.seq), event.epoch)),
        ),
    ];
    let (corrected_us, ts_us) = (event.corrected_us, event.ts_us);
    let counts = move || {
        state.figure.with(|figure| {
            figure.counts.map(|counts| {
                format!(
                    "{} may have caused it, {} may depend on it, {} concurrent",
                    grouped(counts.past as u64),
                    grouped(counts.future as u64),
                    grouped(counts.concurrent as u64)
                )
            })
        })
    };
    view! {
        <div class="title">
            <h3>{told(state, event)}</h3>
            <button type="button" class="word needs-wasm end" on:click=move |_| state.choose(None)>
                "let go"
            </button>
        </div>
        <dl>
            {facts
                .into_iter()
                .filter_map(|(name, fact)| {
                    Some(
                        view! {
                            <div>
                                <dt>{name}</dt>
                                <dd class="m">{fact?}</dd>
                            </div>
                        },
                    )
                })
                .collect_view()} <div>
                <dt>"corrected"</dt>
                <dd class="m">{move || precise(live, corrected_us)}</dd>
            </div> <div>
                <dt>"raw clock"</dt>
                <dd class="m">{move || precise(live, ts_us)}</dd>
            </div> <div>
                <dt>"of the trace"</dt>
                <dd>{counts}</dd>
            </div>
        </dl>
    }
    .into_any()
}
