//! The Cluster page: the state of the world in a sentence, the log of every node, what happened.

use leptos::prelude::*;

use crate::{conversation::Conversation, terminal::Terminals};

#[component]
pub fn ClusterPage() -> impl IntoView {
    view! {
        <Conversation />
        <Terminals />
    }
}
