//! A conversation: its messages, who says what, and the delivery state of what you send.

use leptos::prelude::*;

#[component]
pub fn Conversation() -> impl IntoView {
    view! { <section class="conversation"></section> }
}
