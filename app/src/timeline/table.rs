//! The arrows as a table: for whoever cannot see the figure, or wants to read the numbers.

use leptos::{html, prelude::*};

use super::{figure::DrawnArrow, state::State};
use crate::words::{counted, grouped};

#[component]
pub fn Table(state: State) -> impl IntoView {
    let is_open = RwSignal::new(false);
    let count = Memo::new(move |_| state.figure.with(|figure| figure.arrows.len()));
    // A closed table is not kept current: what the server rendered stays until it is opened.
    let rows = Memo::new(move |before: Option<&Vec<DrawnArrow>>| match before {
        Some(before) if !is_open.get() => before.clone(),
        _ => state
            .figure
            .with(|figure| figure.arrows.iter().rev().cloned().collect()),
    });
    let element = NodeRef::<html::Details>::new();
    let toggled = move |_| is_open.set(element.get_untracked().is_some_and(|details| details.open()));
    view! {
        <details class="as-table" node_ref=element on:toggle=toggled>
            <summary>
                {move || format!("{} as a table", counted(count.get() as u64, "arrow", "arrows"))}
            </summary>
            <div class="table-scroll" tabindex="0" role="region" aria-label="Arrows as a table">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"message"</th>
                            <th scope="col">"from"</th>
                            <th scope="col">"to"</th>
                            <th scope="col">"sent at Lamport"</th>
                            <th scope="col">"received at"</th>
                            <th scope="col">"RPC"</th>
                        </tr>
                    </thead>
                    <tbody>
                        <For each=move || rows.get() key=|arrow| (arrow.rpc_id.clone(), arrow.kind, arrow.leg) let:arrow>
                            <tr>
                                <th scope="row">{arrow.word}</th>
                                <td>{arrow.from}</td>
                                <td>{arrow.to}</td>
                                <td class="m">{grouped(arrow.send_lamport)}</td>
                                <td class="m">{grouped(arrow.receive_lamport)}</td>
                                <td class="m">{format!("{} {} {}", arrow.kind, arrow.leg, arrow.rpc_id)}</td>
                            </tr>
                        </For>
                    </tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}
