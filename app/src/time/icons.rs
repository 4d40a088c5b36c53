//! A shape for each state of a clock; colour is never the only sign.

use leptos::prelude::*;
use wiber_protocol::status::ProbeState;

use super::clocks::Agreement;
use crate::cluster::standing::Ink;

const RING: &str = "M6 1.6a4.4 4.4 0 1 0 .01 0Z";
const CROSS: &str = "M6 .6 11.4 11H.6ZM6 4.4v3.2M6 8.9v.6";
const DASHES: &str = "M1.5 6h1.5M5.2 6h1.6M9 6h1.5";

fn shape(path: &'static str, class: &'static str) -> AnyView {
    view! {
        <svg class=format!("icon {class}") viewBox="0 0 12 12" aria-hidden="true" focusable="false">
            <path d=path />
        </svg>
    }
    .into_any()
}

pub fn agreement_icon(agreement: Agreement) -> AnyView {
    match agreement {
        Agreement::Agrees => shape(RING, "solid"),
        Agreement::Outvoted => shape(CROSS, "line"),
        Agreement::Unsynchronised => shape(RING, "dashed"),
        Agreement::Away => shape(DASHES, "line"),
    }
}

pub fn agreement_ink(agreement: Agreement) -> Ink {
    match agreement {
        Agreement::Agrees => Ink::Plain,
        Agreement::Outvoted => Ink::Alarm,
        Agreement::Unsynchronised | Agreement::Away => Ink::Quiet,
    }
}

pub fn probe_icon(state: ProbeState) -> AnyView {
    match state {
        ProbeState::Good => shape(RING, "solid"),
        ProbeState::False => shape(CROSS, "line"),
        ProbeState::Unknown => shape(RING, "dashed"),
        ProbeState::Silent => shape(DASHES, "line"),
    }
}
