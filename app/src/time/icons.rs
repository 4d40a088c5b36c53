//! A shape for each state of a clock; colour is never the only sign.

use leptos::prelude::*;
use wiber_protocol::status::ProbeState;

use super::clocks::Agreement;
use crate::cluster::standing::Ink;

const DISC: &str = "M6 1.6a4.4 4.4 0 1 0 .01 0Z";
const WARNING: &str = "M6 .6 11.4 11H.6ZM6 4.4v3.2M6 8.9v.6";
const CLOCK: &str = "M6 1.6a4.4 4.4 0 1 0 .01 0ZM6 3.4V6l2 1.2";
const DASHES: &str = "M1.5 6h1.5M5.2 6h1.6M9 6h1.5";

/// A small drawing whose shape follows what it stands for; it goes with a word.
pub fn icon(shape: Signal<String>) -> AnyView {
    // The disc alone is filled.
    let class = crate::reactive::derived(move || {
        let fill = if shape.with(|shape| shape == DISC) {
            "solid"
        } else {
            "line"
        };
        format!("icon {fill}")
    });
    view! {
        <svg class=class viewBox="0 0 12 12" aria-hidden="true" focusable="false">
            <path d=shape />
        </svg>
    }
    .into_any()
}

pub fn agreement_shape(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Agrees => DISC,
        Agreement::Outvoted => WARNING,
        Agreement::Unsynchronised => CLOCK,
        Agreement::Away => DASHES,
    }
}

pub fn agreement_ink(agreement: Agreement) -> Ink {
    match agreement {
        Agreement::Agrees => Ink::Plain,
        Agreement::Outvoted => Ink::Alarm,
        Agreement::Unsynchronised | Agreement::Away => Ink::Quiet,
    }
}

pub fn probe_shape(state: ProbeState) -> &'static str {
    match state {
        ProbeState::Good => DISC,
        ProbeState::False => WARNING,
        ProbeState::Unknown => CLOCK,
        ProbeState::Silent => DASHES,
    }
}
