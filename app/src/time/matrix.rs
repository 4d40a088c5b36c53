//! Who measures what: a row for each node that measures, a column for each clock that is measured.

use leptos::prelude::*;
use wiber_protocol::status::ClockPeer;

use super::{
    TimeFacts,
    cells::{Cell, phi, state_ink, state_word},
    icons::probe_icon,
};
use crate::{
    live::use_live,
    reactive::{derived, memo},
    view::NodeView,
    words::duration,
};

#[component]
pub fn Matrix(facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let ids = memo(move || live.node_ids());
    let alone = move || ids.with(Vec::len) < 2;
    view! {
        <section class="matrix-section" aria-labelledby="matrix">
            <div class="title">
                <h2 id="matrix">"Measured offsets"</h2>
                <p>"The column’s clock less the row’s, ms."</p>
            </div>
            <div class="set table-scroll" tabindex="0" role="region" aria-label="Measured offsets">
                <table class="matrix">
                    <thead>
                        <tr>
                            <td></td>
                            <For each=move || ids.get() key=String::clone let:id>
                                <th scope="col">{format!("{id} is off by")}</th>
                            </For>
                        </tr>
                    </thead>
                    <tbody>
                        <For each=move || ids.get() key=String::clone let:id>
                            <MatrixRow id ids facts />
                        </For>
                    </tbody>
                </table>
                <p class="nothing" hidden=move || !alone()>
                    "One node has nobody to measure."
                </p>
            </div>
            <p class="read">
                "The bound is half the best recent round trip, and what two clocks may drift apart since. Suspicion is phi: at 1 a silence this long is one in ten by chance, at 8 one in a hundred million."
            </p>
        </section>
    }
    .into_any()
}

/// A node's measurements as the row needs them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Measured {
    live: bool,
    /// Whole seconds since the node spoke, where it does not any more.
    as_of_ms: Option<u64>,
    peers: Vec<ClockPeer>,
}

fn measured(node: NodeView, now_ms: impl FnOnce() -> i64) -> Measured {
    let heard_at_ms = node.status_at_ms.filter(|_| !node.live && node.status.is_some());
    Measured {
        live: node.live,
        as_of_ms: heard_at_ms
            .and_then(|at_ms| u64::try_from(now_ms() - at_ms).ok())
            .map(|ms| ms / 1_000 * 1_000),
        peers: node.status.map_or_else(Vec::new, |status| status.clock.peers),
    }
}

#[component]
fn MatrixRow(#[prop(into)] id: String, ids: Memo<Vec<String>>, facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let by = StoredValue::new(id.clone());
    let row = {
        let id = id.clone();
        memo(move || measured(live.node(&id), move || live.now_ms()))
    };
    let as_of = memo(move || {
        row.with(|row| match (row.live, row.as_of_ms) {
            (true, _) => "says".to_owned(),
            (false, Some(ms)) => format!("as of {} ago", duration(ms)),
            (false, None) => "silent".to_owned(),
        })
    });
    view! {
        <tr class:ghost=move || row.with(|row| !row.live) data-by=id.clone()>
            <th scope="row">
                <b>{id.clone()}</b>
                " "
                <span class="small q">{as_of}</span>
            </th>
            <For each=move || ids.get() key=String::clone let:of>
                <MatrixCell by=by.get_value() of row facts />
            </For>
        </tr>
    }
    .into_any()
}

#[component]
fn MatrixCell(by: String, of: String, row: Memo<Measured>, facts: TimeFacts) -> impl IntoView {
    if by == of {
        return view! { <td class="itself">"itself"</td> }.into_any();
    }
    let name = of.clone();
    let peer = {
        let of = of.clone();
        memo(move || row.with(|row| row.peers.iter().find(|peer| peer.id == of).cloned()))
    };
    let is_outvoted = memo(move || facts.clocks.with(|clocks| clocks.is_outvoted(&of)));
    let cell = memo(move || peer.with(|peer| peer.as_ref().map(Cell::of).unwrap_or_default()));
    let state = memo(move || cell.with(|cell| cell.state));
    let is_measured = move || cell.with(|cell| cell.offset.is_some());
    let part = move |read: fn(&Cell) -> String| derived(move || cell.with(read));
    let suspicion = derived(move || {
        peer.with(|peer| phi(peer.as_ref()?.suspicion))
            .map(|phi| format!("φ {phi}"))
    });
    let alarm = move || is_outvoted.get() || state_ink(state.get()).class() == "alarm";
    view! {
        <td
            data-of=name
            data-state=move || state_word(state.get())
            title=move || cell.with(|cell| cell.title.clone())
        >
            <span class="num measured" class:alarm=alarm class:absent=move || !is_measured()>
                <span>{part(|cell| cell.offset.as_ref().map_or_else(|| "–".to_owned(), |offset| offset.0.clone()))}</span>
                " "
                <i>{part(|cell| cell.offset.as_ref().map_or_else(String::new, |offset| offset.1.clone()))}</i>
            </span>
            <span class=move || format!("probe-state small {}", state_ink(state.get()).class())>
                {move || probe_icon(state.get())}
                {derived(move || state_word(state.get()))}
            </span>
            <span class="num more truth">{part(|cell| cell.truth.clone().unwrap_or_default())}</span>
            <span class="num more">{part(|cell| cell.delay.clone())}</span>
            <span class="num more">{part(|cell| cell.drift.clone())}</span>
            <span class="num more">
                <span>{part(|cell| cell.age.clone())}</span>
                " "
                <span class="phi">{suspicion}</span>
            </span>
        </td>
    }
    .into_any()
}
