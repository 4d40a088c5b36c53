//! The running head: the places, how fresh the picture is, the theme, the keys.

use leptos::prelude::*;
use leptos_router::components::A;

use crate::{
    keys::KeysButton,
    live::{Connection, use_live},
    reactive::{derived, memo},
    theme::ThemeSwitch,
    words::{age, duration},
};

/// The places of the dashboard, with the letter that follows `g`.
pub const PLACES: [(&str, &str, &str); 4] = [
    ("c", "/", "Cluster"),
    ("t", "/timeline", "Timeline"),
    ("i", "/time", "Time"),
    ("l", "/terminals", "Terminals"),
];

#[component]
pub fn Head() -> impl IntoView {
    view! {
        <div class="head-wrap">
            <header class="head">
                <a class="brand" href="/" aria-label="Wiber, the cluster">
                    <svg viewBox="0 0 24 18" aria-hidden="true" focusable="false">
                        <path class="lanes" d="M0 2.5H24M0 9H24M0 15.5H24" />
                        <path class="arrows" d="M4 2.5 10 15.5M12 15.5 18 2.5" />
                    </svg>
                    "Wiber"
                </a>
                <nav class="places" aria-label="Places">
                    {PLACES.map(|(_, href, name)| view! { <A href=href exact=true>{name}</A> })}
                </nav>
                <div class="head-end">
                    <Freshness />
                    <ThemeSwitch />
                    <KeysButton />
                </div>
            </header>
        </div>
    }
    .into_any()
}

/// How fresh the picture is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fresh {
    /// The CSS class; also what tests look for.
    state: &'static str,
    words: String,
}

/// `age_ms` since the newest frame; `as_of` is the time of day of what is shown.
fn fresh(connection: Connection, paused: bool, age_ms: i64, as_of: &str) -> Fresh {
    let age_ms = u64::try_from(age_ms).unwrap_or(0);
    let (state, words) = match (connection, paused) {
        (Connection::Rendered, _) => ("rendered", format!("as of {as_of}")),
        (Connection::Lost, _) => ("lost", format!("gateway lost, as of {} ago", duration(age_ms))),
        (Connection::Live, true) => ("paused", "paused".to_owned()),
        (Connection::Live, false) => ("live", format!("live, {} old", age(age_ms))),
    };
    Fresh { state, words }
}

#[component]
fn Freshness() -> impl IntoView {
    let live = use_live();
    let shown = memo(move || {
        // Whole seconds: what is shown was painted then, and the milliseconds would only flicker.
        let as_of = live.time_of_day(live.heard_at_ms());
        fresh(
            live.connection(),
            live.paused(),
            live.age_ms(),
            as_of.get(..8).unwrap_or(&as_of),
        )
    });
    let state = memo(move || shown.with(|shown| shown.state));
    let pause = move |_| live.set_paused(!live.paused_untracked());
    view! {
        <span class="freshness" data-connection=move || state.get()>
            <i aria-hidden="true"></i>
            <span class="tabular">{derived(move || shown.with(|shown| shown.words.clone()))}</span>
        </span>
        // Said only when it changes, never the age.
        <span class="vh" role="status">
            {derived(move || match state.get() {
                "lost" => "The gateway is lost. Trying again.",
                "paused" => "Paused.",
                _ => "",
            })}
        </span>
        <button type="button" class="word needs-wasm" on:click=pause>
            {derived(move || if live.paused() { "resume" } else { "pause" })}
        </button>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_gateway_outweighs_a_pause() {
        assert_eq!(
            fresh(Connection::Lost, true, 12_400, "").words,
            "gateway lost, as of 12\u{a0}s ago"
        );
        assert_eq!(fresh(Connection::Live, true, 12_400, "").words, "paused");
    }

    #[test]
    fn a_live_picture_tells_its_age_and_a_still_one_its_time() {
        assert_eq!(
            fresh(Connection::Live, false, 130, "").words,
            "live, 0.1\u{a0}s old"
        );
        assert_eq!(
            fresh(Connection::Rendered, false, 0, "11:58:41").words,
            "as of 11:58:41"
        );
        assert_eq!(
            fresh(Connection::Live, false, -30, "").words,
            "live, 0.0\u{a0}s old"
        );
    }
}
