//! The keyboard: `g` and a letter goes to a place, `m` to the publish box, `p` pauses, `?` lists the keys.
//! What a key means is decided without the browser; a small listener does it.

use leptos::{html::Dialog, prelude::*};

use crate::head::PLACES;

/// After `g`, its letter must come within this time.
pub const SEQUENCE_MS: f64 = 1_200.0;
/// Where `m` goes.
pub const PUBLISH_BOX: &str = "[data-focus=\"publish\"]";

/// What a key press asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Go(&'static str),
    Publish,
    Pause,
    ListKeys,
}

/// Remembers a `g` that waits for its letter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys {
    g_at_ms: Option<f64>,
}

impl Keys {
    /// A key was pressed outside of any text field, without Ctrl, Alt or Meta.
    pub fn press(&mut self, key: &str, now_ms: f64) -> Option<Deed> {
        let after_g = self
            .g_at_ms
            .take()
            .is_some_and(|g_at_ms| now_ms - g_at_ms <= SEQUENCE_MS);
        if after_g && let Some((_, href, _)) = PLACES.iter().find(|(letter, ..)| *letter == key) {
            return Some(Deed::Go(href));
        }
        match key {
            "g" => {
                self.g_at_ms = Some(now_ms);
                None
            }
            "m" => Some(Deed::Publish),
            "p" => Some(Deed::Pause),
            "?" => Some(Deed::ListKeys),
            _ => None,
        }
    }
}

/// A handle on the list of keys.
#[derive(Clone, Copy)]
struct KeyList(NodeRef<Dialog>);

/// Listens, and holds the list of keys. Must stand inside the router.
#[component]
pub fn KeyBoard() -> impl IntoView {
    let dialog = expect_context::<KeyList>().0;
    #[cfg(feature = "hydrate")]
    listener::listen(dialog);
    view! {
        <dialog class="keys" node_ref=dialog aria-labelledby="keys">
            <h2 id="keys">"Keys"</h2>
            <dl>
                {PLACES
                    .map(|(letter, _, name)| {
                        view! {
                            <dt>
                                <kbd>"g"</kbd>
                                " "
                                <kbd>{letter}</kbd>
                            </dt>
                            <dd>{name}</dd>
                        }
                    })}
                <dt>
                    <kbd>"m"</kbd>
                </dt>
                <dd>"write a message"</dd>
                <dt>
                    <kbd>"p"</kbd>
                </dt>
                <dd>"pause and resume"</dd>
                <dt>
                    <kbd>"Tab"</kbd>
                </dt>
                <dd>"to the next control; a control tells what it will do"</dd>
                <dt>
                    <kbd>"?"</kbd>
                </dt>
                <dd>"this list"</dd>
            </dl>
            <form method="dialog">
                <button class="btn">"Close"</button>
            </form>
        </dialog>
    }
    .into_any()
}

/// Makes the list of keys known to the head's button and to the listener.
pub fn provide_keys() {
    provide_context(KeyList(NodeRef::new()));
}

#[component]
pub fn KeysButton() -> impl IntoView {
    let dialog = expect_context::<KeyList>().0;
    let open = move |_| show(dialog);
    view! {
        <button type="button" class="word keys-button needs-wasm" on:click=open>
            <kbd>"?"</kbd>
            <span>"keys"</span>
        </button>
    }
}

fn show(dialog: NodeRef<Dialog>) {
    if let Some(dialog) = dialog.get_untracked()
        && !dialog.open()
    {
        // It fails only for a dialog that has left the page.
        let _ = dialog.show_modal();
    }
}

#[cfg(feature = "hydrate")]
mod listener {
    use gloo_timers::future::TimeoutFuture;
    use leptos::{
        ev, html::Dialog, leptos_dom::helpers::window_event_listener, prelude::*, task::spawn_local,
    };
    use leptos_router::hooks::use_navigate;
    use wasm_bindgen::JsCast;
    use web_sys::{HtmlElement, KeyboardEvent};

    use super::{Deed, Keys, PUBLISH_BOX, show};
    use crate::live::use_live;

    pub(super) fn listen(dialog: NodeRef<Dialog>) {
        let live = use_live();
        let navigate = use_navigate();
        let keys = StoredValue::new(Keys::default());
        let handle = window_event_listener(ev::keydown, move |event| {
            if event.ctrl_key() || event.alt_key() || event.meta_key() || is_typing(&event) {
                return;
            }
            let key = event.key();
            let deed = keys
                .try_update_value(|keys| keys.press(&key, event.time_stamp()))
                .flatten();
            let Some(deed) = deed else { return };
            event.prevent_default();
            match deed {
                Deed::Go(href) => navigate(href, leptos_router::NavigateOptions::default()),
                Deed::Pause => live.set_paused(!live.paused_untracked()),
                Deed::ListKeys => show(dialog),
                Deed::Publish => {
                    if !focus_publish() {
                        navigate("/", leptos_router::NavigateOptions::default());
                        spawn_local(focus_publish_when_there());
                    }
                }
            }
        });
        on_cleanup(move || handle.remove());
    }

    fn is_typing(event: &KeyboardEvent) -> bool {
        event
            .target()
            .and_then(|target| target.dyn_into::<HtmlElement>().ok())
            .is_some_and(|element| {
                matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
                    || element.is_content_editable()
            })
    }

    /// The page of the publish box is being made: looks for it until it is there, for a second at most.
    async fn focus_publish_when_there() {
        for _ in 0..20 {
            TimeoutFuture::new(50).await;
            if focus_publish() {
                return;
            }
        }
    }

    fn focus_publish() -> bool {
        document()
            .query_selector(PUBLISH_BOX)
            .ok()
            .flatten()
            .and_then(|element| element.dyn_into::<HtmlElement>().ok())
            .is_some_and(|element| element.focus().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_and_a_letter_go_to_a_place() {
        let mut keys = Keys::default();
        assert_eq!(keys.press("g", 0.0), None);
        assert_eq!(keys.press("t", 300.0), Some(Deed::Go("/timeline")));
        assert_eq!(keys.press("t", 400.0), None);
    }

    #[test]
    fn a_letter_that_comes_too_late_is_on_its_own() {
        let mut keys = Keys::default();
        keys.press("g", 0.0);
        assert_eq!(keys.press("c", SEQUENCE_MS + 1.0), None);
        keys.press("g", 5_000.0);
        assert_eq!(keys.press("p", 5_100.0), Some(Deed::Pause));
    }

    #[test]
    fn every_place_has_its_own_letter() {
        let letters: std::collections::HashSet<_> = PLACES.iter().map(|(letter, ..)| letter).collect();
        assert_eq!(letters.len(), PLACES.len());
    }
}
