//! The space-time diagram of what really happened: a lane per node, an arrow per RPC message.

use leptos::prelude::*;

#[component]
pub fn Timeline() -> impl IntoView {
    view! { <section class="timeline"></section> }
}
