//! A conversation: its messages, who says what, and the delivery state of what you send.

mod state;

use leptos::prelude::*;

#[component]
pub fn Conversation() -> impl IntoView {
    view! { <section class="conversation"></section> }
}
