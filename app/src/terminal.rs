//! One terminal per node, side by side: what the processes print.

mod lines;
mod sgr;

use leptos::prelude::*;

/// The terminals of all nodes: the page `/terminals`, and docked below the Cluster page.
#[component]
pub fn Terminals() -> impl IntoView {
    view! { <section class="terminals"></section> }
}
