//! The space-time diagram of what really happened: a lane per node, an arrow per RPC message.

mod trace;

#[cfg(test)]
mod sample;

use leptos::prelude::*;

#[component]
pub fn Timeline() -> impl IntoView {
    view! { <section class="timeline"></section> }
}
