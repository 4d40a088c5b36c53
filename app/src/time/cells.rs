//! What a cell of the matrix says: one node's measurement of another's clock. Pure.

use wiber_protocol::status::{ClockPeer, ProbeState};

use crate::{
    cluster::standing::Ink,
    words::{NBSP, age, grouped, millis, offset_and_bound, offset_parts, signed},
};

/// A measurement, in words; empty where nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub state: ProbeState,
    /// Of the number.
    pub ink: Ink,
    /// `+0.012` and `± 0.014`, milliseconds.
    pub offset: (String, String),
    pub truth: String,
    pub delay: String,
    pub drift: String,
    pub age: String,
    /// How suspect the silence is.
    pub phi: String,
    /// The rest, for whoever asks.
    pub title: String,
}

impl Default for Cell {
    fn default() -> Self {
        Self::of(&ClockPeer::default(), false)
    }
}

impl Cell {
    pub fn of(peer: &ClockPeer, is_outvoted: bool) -> Self {
        let written = |text: Option<String>| text.unwrap_or_default();
        Self {
            state: peer.state,
            ink: if is_outvoted || peer.state == ProbeState::False {
                Ink::Alarm
            } else {
                Ink::Plain
            },
            offset: peer.offset_ms.zip(peer.error_bound_ms).map_or_else(
                || ("–".to_owned(), String::new()),
                |(offset_ms, bound_ms)| offset_parts(offset_ms, bound_ms),
            ),
            truth: written(peer.truth_ms.map(|ms| format!("truth {}", truth(ms)))),
            delay: written(peer.delay_ms.map(|ms| format!("rtt {}", millis(ms)))),
            drift: written(drift_words(peer.drift_ppm, peer.drift_bound_ppm)),
            age: written(peer.age_ms.map(|ms| format!("{} ago", age(ms)))),
            phi: written(phi(peer.suspicion)),
            title: title(peer),
        }
    }
}

/// Three decimals, whatever is injected: it is known to the last digit.
fn truth(ms: f64) -> String {
    signed(ms, 3)
}

/// `+0.1 ± 0.3 ppm`.
pub fn drift_words(drift_ppm: Option<f64>, bound_ppm: Option<f64>) -> Option<String> {
    let drift = signed(drift_ppm?, 1);
    Some(match bound_ppm {
        Some(bound) => format!("{drift} ±{NBSP}{bound:.1}{NBSP}ppm"),
        None => format!("{drift}{NBSP}ppm"),
    })
}

fn title(peer: &ClockPeer) -> String {
    let measured = peer.offset_ms.zip(peer.error_bound_ms).map_or_else(
        || "not measured".to_owned(),
        |(offset_ms, bound_ms)| offset_and_bound(offset_ms, bound_ms),
    );
    let mut title = format!(
        "{measured}, {}. Asked {} times, {} answers, {} refused",
        state_word(peer.state),
        grouped(peer.sent),
        grouped(peer.answered),
        grouped(peer.refused)
    );
    if peer.interval_ms > 0 {
        title = format!("{title}; every {}", age(peer.interval_ms));
    }
    if peer.restarts > 0 {
        title = format!("{title}; begun anew {} times", grouped(peer.restarts));
    }
    title
}

pub fn state_word(state: ProbeState) -> &'static str {
    match state {
        ProbeState::Unknown => "unknown",
        ProbeState::Good => "good",
        ProbeState::False => "false",
        ProbeState::Silent => "silent",
    }
}

pub fn state_ink(state: ProbeState) -> Ink {
    match state {
        ProbeState::Good => Ink::Plain,
        ProbeState::False => Ink::Alarm,
        ProbeState::Unknown | ProbeState::Silent => Ink::Quiet,
    }
}

/// Suspicion as the page writes it: phi with one decimal.
pub fn phi(suspicion: Option<f64>) -> Option<String> {
    suspicion.map(|phi| {
        if phi >= 99.95 {
            "φ over 100".to_owned()
        } else {
            format!("φ {phi:.1}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{one_outvoted, unsynchronised};

    fn plain(text: &str) -> String {
        text.replace(NBSP, " ")
    }

    #[test]
    fn a_measurement_is_told_with_its_truth_and_its_circumstances() {
        let nodes = one_outvoted();
        let status = nodes[0].status.as_ref().expect("it is live");
        let cell = Cell::of(&status.clock.peers[1], true);
        let (offset, bound) = cell.offset.clone();
        assert_eq!((offset.as_str(), plain(&bound)), ("+4,999.994", "± 0.011".into()));
        assert_eq!(cell.truth, "truth +5,000.000");
        assert_eq!(cell.delay, "rtt 0.021");
        assert_eq!(plain(&cell.drift), "−0.1 ± 0.3 ppm");
        assert_eq!(plain(&cell.age), "0.4 s ago");
        assert_eq!(state_word(cell.state), "false");
        assert!(cell.title.contains("598 answers"), "{}", cell.title);
    }

    #[test]
    fn what_is_not_known_is_left_empty() {
        let nodes = unsynchronised();
        let status = nodes[0].status.as_ref().expect("it is live");
        let cell = Cell::of(&status.clock.peers[0], false);
        assert_eq!(cell.offset.0, "–");
        assert!(cell.truth.is_empty() && cell.phi.is_empty());
        assert!(cell.delay.is_empty() && cell.drift.is_empty() && cell.age.is_empty());
        assert!(cell.title.starts_with("not measured, unknown"), "{}", cell.title);
    }

    #[test]
    fn suspicion_has_one_decimal_and_an_end() {
        assert_eq!(phi(Some(0.24)).as_deref(), Some("φ 0.2"));
        assert_eq!(phi(Some(1e9)).as_deref(), Some("φ over 100"));
        assert_eq!(phi(None), None);
    }
}
