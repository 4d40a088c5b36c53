//! The space-time diagram of what really happened: a lane per node, an arrow per RPC message.

mod figure;
mod hit;
mod labels;
mod lanes;
mod marks;
mod scale;
mod tell;
mod trace;
mod writing;

#[cfg(test)]
mod sample;

use leptos::prelude::*;

#[component]
pub fn Timeline() -> impl IntoView {
    view! { <section class="timeline"></section> }
}
