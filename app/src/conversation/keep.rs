//! Messages of one's own without a verdict, kept by the browser while the conversation is not on the page: who
//! comes back, or loads the page anew, goes on asking for their fate under the same ids.

use leptos::prelude::*;

use super::{Talking, delivery::Unsettled, state::Talk};

/// The first part of the key in the session's storage; the conversation's id follows.
const KEY: &str = "wiber outbox ";

/// Takes up what was kept, and keeps what has no verdict from now on. True if there is something to send.
pub(super) fn keep(talking: Talking) -> bool {
    let key = format!("{KEY}{}", talking.convo.get_value());
    let kept = storage()
        .and_then(|storage| storage.get_item(&key).ok()?)
        .and_then(|text| serde_json::from_str::<Vec<Unsettled>>(&text).ok())
        .unwrap_or_default();
    if !kept.is_empty() {
        talking.talk.update(|talk| talk.resume(kept));
    }
    let unsettled = Memo::new(move |_| talking.talk.with(Talk::unsettled));
    Effect::new(move |before: Option<()>| {
        let Some(storage) = storage() else { return };
        // A browser may forbid its storage; then nothing outlives the page.
        let _ = unsettled.with(|unsettled| match serde_json::to_string(unsettled) {
            Ok(text) if !unsettled.is_empty() => storage.set_item(&key, &text),
            _ if before.is_some() => storage.remove_item(&key),
            _ => Ok(()),
        });
    });
    talking.talk.with_untracked(Talk::has_unsent)
}

fn storage() -> Option<web_sys::Storage> {
    window().session_storage().ok()?
}
