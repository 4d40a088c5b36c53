//! Who measures what: a row for each node that measures, a column for each clock that is measured.

use leptos::prelude::*;

use super::{
    TimeFacts,
    cells::{Cell, state_ink, state_word},
    icons::{icon, probe_shape},
};
use crate::{
    live::use_live,
    reactive::{derived, each_name, memo},
    view::NodeView,
    words::duration,
};

#[component]
pub fn Matrix(facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let ids = memo(move || live.node_ids());
    view! {
        <section class="matrix-section" aria-labelledby="matrix">
            <div class="title">
                <h2 id="matrix">"Measured offsets"</h2>
                <p>"The column’s clock less the row’s, ms."</p>
            </div>
            <div class="set table-scroll" tabindex="0" role="region" aria-label="Table of measured offsets">
                <table class="matrix">
                    <thead>
                        <tr>
                            <td></td>
                            {each_name(ids, |id| view! { <th scope="col">{format!("{id} is off by")}</th> }.into_any())}
                        </tr>
                    </thead>
                    <tbody>
                        {each_name(ids, move |id| view! { <MatrixRow id ids facts /> }.into_any())}
                    </tbody>
                </table>
                <p class="nothing" hidden=derived(move || ids.with(Vec::len) > 1)>
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

/// How fresh a row is.
fn freshness(node: &NodeView, now_ms: impl FnOnce() -> i64) -> String {
    if node.live {
        return "says".to_owned();
    }
    match node.status_at_ms.filter(|_| node.status.is_some()) {
        Some(at_ms) => {
            let ms = u64::try_from(now_ms() - at_ms).unwrap_or(0);
            format!("as of {} ago", duration(ms))
        }
        None => "silent".to_owned(),
    }
}

#[component]
fn MatrixRow(#[prop(into)] id: String, ids: Memo<Vec<String>>, facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let by = id.clone();
    let node = memo(move || live.node(&id));
    let name = by.clone();
    let cells = each_name(ids, move |of| {
        view! { <MatrixCell by=by.clone() of node facts /> }.into_any()
    });
    view! {
        <tr class:ghost=derived(move || node.with(|node| !node.live)) data-by=name.clone()>
            <th scope="row">
                <b>{name.clone()}</b>
                " "
                <span class="small q">
                    {derived(move || node.with(|node| freshness(node, || live.now_ms())))}
                </span>
            </th>
            {cells}
        </tr>
    }
    .into_any()
}

#[component]
fn MatrixCell(by: String, of: String, node: Memo<NodeView>, facts: TimeFacts) -> impl IntoView {
    if by == of {
        return view! { <td class="itself">"itself"</td> }.into_any();
    }
    let name = of.clone();
    let cell = memo(move || {
        let is_outvoted = facts.picture.with(|picture| picture.clocks.is_outvoted(&of));
        node.with(|node| {
            let mut peers = node.status.iter().flat_map(|status| &status.clock.peers);
            let peer = peers.find(|peer| peer.id == of);
            peer.map(|peer| Cell::of(peer, is_outvoted)).unwrap_or_default()
        })
    });
    let part = move |read: fn(&Cell) -> String| derived(move || cell.with(read));
    view! {
        <td
            data-of=name
            data-state=part(|cell| state_word(cell.state).to_owned())
            title=part(|cell| cell.title.clone())
        >
            <span class=part(|cell| format!("num measured {}", cell.ink.class()))>
                <span>{part(|cell| cell.offset.0.clone())}</span>
                " "
                <i>{part(|cell| cell.offset.1.clone())}</i>
            </span>
            <span class=part(|cell| format!("probe-state small {}", state_ink(cell.state).class()))>
                {icon(part(|cell| probe_shape(cell.state).to_owned()))}
                {part(|cell| state_word(cell.state).to_owned())}
            </span>
            <span class="num more truth">{part(|cell| cell.truth.clone())}</span>
            <span class="num more">{part(|cell| cell.delay.clone())}</span>
            <span class="num more">{part(|cell| cell.drift.clone())}</span>
            <span class="num more">
                <span>{part(|cell| cell.age.clone())}</span>
                " "
                <span class="phi">{part(|cell| cell.phi.clone())}</span>
            </span>
        </td>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{blank, clocks_agree, gone};

    #[test]
    fn a_row_says_how_fresh_it_is() {
        assert_eq!(freshness(&clocks_agree()[0], || 0), "says");
        assert_eq!(freshness(&gone("n3", true), || 1_041_900), "as of 41\u{a0}s ago");
        assert_eq!(freshness(&blank("n3"), || 0), "silent");
    }
}
