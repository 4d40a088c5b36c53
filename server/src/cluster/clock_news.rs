//! What a new status tells of clocks, in words: who knows cluster time, whose clock is outvoted, which clock was
//! made false on purpose. Pure.
//!
//! Every node names the clocks that it finds outvoted, so that a false one is named three times over. It becomes
//! news when the first node names it, and again when the last one does not any more.

use wiber_app::{
    time::clocks::injected,
    words::{ahead_of_or_behind, ahead_or_behind, within},
};
use wiber_protocol::status::{ClockState, InjectedFault, NodeStatus};

use super::happenings::Sentence;

/// A sentence and the node it is about.
pub(super) type News = (String, Sentence);

/// What `after` tells that `before`, the same node's, did not. `others` are the live ones besides.
pub(super) fn of_clock(before: Option<&NodeStatus>, after: &NodeStatus, others: &[&NodeStatus]) -> Vec<News> {
    let mut news = Vec::new();
    let mut say = |about: &str, text: String, alarm: bool| {
        let term = after.term;
        news.push((about.to_owned(), Sentence { term, text, alarm }));
    };
    let id = &after.id;
    let same_run = before.filter(|before| before.pid == after.pid);
    match (same_run.map(|before| before.clock.state), after.clock.state) {
        (Some(ClockState::Unsynchronised), ClockState::Synchronised) => {
            let bound = after
                .clock
                .error_bound_ms
                .map_or_else(String::new, |ms| format!(" to {}", within(ms)));
            say(id, format!("{id} knows cluster time{bound}."), false);
        }
        (Some(ClockState::Synchronised), ClockState::Unsynchronised) => {
            let why = after.clock.reason.as_deref().map(str::trim).unwrap_or_default();
            let text = if why.is_empty() {
                format!("{id} no longer knows cluster time.")
            } else {
                format!(
                    "{id} no longer knows cluster time: {}.",
                    why.trim_end_matches('.')
                )
            };
            say(id, text, true);
        }
        _ => {}
    }
    let names = |status: &NodeStatus, whom: &str| status.clock.falsetickers.iter().any(|one| one.id == whom);
    let named_elsewhere = |whom: &str| others.iter().any(|other| names(other, whom));
    for one in &after.clock.falsetickers {
        let is_known = same_run.is_some_and(|before| names(before, &one.id)) || named_elsewhere(&one.id);
        if !is_known {
            let text = format!(
                "{}’s clock is outvoted: {} the clocks that agree, by {id}’s measurement.",
                one.id,
                ahead_of_or_behind(one.off_ms)
            );
            say(&one.id, text, true);
        }
    }
    let before_named = same_run.into_iter().flat_map(|before| &before.clock.falsetickers);
    for one in before_named {
        // A node that has lost its majority names nobody: that clears nobody.
        let is_cleared = after.clock.state == ClockState::Synchronised
            && !names(after, &one.id)
            && !named_elsewhere(&one.id);
        if is_cleared {
            say(&one.id, format!("{}’s clock agrees again.", one.id), false);
        }
    }
    let (was, is) = (
        same_run.and_then(|before| injected(&before.clock)),
        injected(&after.clock),
    );
    let asked = |fault: InjectedFault| (fault.skew_ms, fault.drift_ppm);
    match (was, is) {
        (Some(_), None) => say(id, format!("{id}’s clock is no longer made false."), false),
        (was, Some(fault)) if was.map(asked) != Some(asked(fault)) => {
            say(
                id,
                format!("{id}’s clock was made false on purpose: {}.", false_by(fault)),
                false,
            );
        }
        _ => {}
    }
    news
}

/// `5.000 s ahead, running 30 ppm slow`.
fn false_by(fault: InjectedFault) -> String {
    let mut parts = Vec::new();
    if fault.skew_ms != 0.0 || fault.drift_ppm == 0.0 {
        let shift_ms = if fault.skew_ms == 0.0 {
            fault.offset_ms
        } else {
            fault.skew_ms
        };
        parts.push(ahead_or_behind(shift_ms));
    }
    if fault.drift_ppm != 0.0 {
        let way = if fault.drift_ppm < 0.0 { "slow" } else { "fast" };
        parts.push(format!("running {} ppm {way}", fault.drift_ppm.abs()));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::{ClockStatus, Falseticker};

    use super::*;

    fn status(id: &str, clock: ClockStatus) -> NodeStatus {
        NodeStatus {
            id: id.into(),
            pid: 9,
            term: 3,
            clock,
            ..NodeStatus::default()
        }
    }

    fn synchronised(false_ones: &[&str]) -> ClockStatus {
        let falsetickers = false_ones.iter().map(|id| Falseticker {
            id: (*id).into(),
            off_ms: 5_000.0,
            reason: String::new(),
        });
        ClockStatus {
            state: ClockState::Synchronised,
            error_bound_ms: Some(0.014),
            falsetickers: falsetickers.collect(),
            ..ClockStatus::default()
        }
    }

    fn told(before: &NodeStatus, after: &NodeStatus, others: &[&NodeStatus]) -> Vec<(String, bool)> {
        of_clock(Some(before), after, others)
            .into_iter()
            .map(|(_, sentence)| (sentence.text.replace('\u{a0}', " "), sentence.alarm))
            .collect()
    }

    #[test]
    fn a_node_that_learns_or_loses_cluster_time_says_so() {
        let lost = ClockStatus {
            reason: Some("it hears 1 of 3 clocks.".into()),
            ..ClockStatus::default()
        };
        let (without, with) = (status("n1", lost), status("n1", synchronised(&[])));
        assert_eq!(
            told(&without, &with, &[]),
            [("n1 knows cluster time to ± 14 µs.".to_owned(), false)]
        );
        assert_eq!(
            told(&with, &without, &[]),
            [(
                "n1 no longer knows cluster time: it hears 1 of 3 clocks.".to_owned(),
                true
            )]
        );
        let restarted = NodeStatus { pid: 10, ..without };
        assert!(
            told(&with, &restarted, &[]).is_empty(),
            "a new run begins without it"
        );
        assert!(
            of_clock(None, &with, &[]).is_empty(),
            "it was so before we looked"
        );
    }

    #[test]
    fn an_outvoted_clock_is_told_once_and_cleared_once() {
        let (clean, names) = (
            |id| status(id, synchronised(&[])),
            |id| status(id, synchronised(&["n3"])),
        );
        let sentences = told(&clean("n1"), &names("n1"), &[&clean("n2")]);
        assert_eq!(
            sentences,
            [(
                "n3’s clock is outvoted: 5.000 s ahead of the clocks that agree, by n1’s measurement."
                    .to_owned(),
                true
            )]
        );
        assert_eq!(of_clock(Some(&clean("n1")), &names("n1"), &[])[0].0, "n3");
        assert!(told(&clean("n2"), &names("n2"), &[&names("n1")]).is_empty());
        assert!(told(&names("n1"), &clean("n1"), &[&names("n2")]).is_empty());
        assert_eq!(
            told(&names("n2"), &clean("n2"), &[&clean("n1")]),
            [("n3’s clock agrees again.".to_owned(), false)]
        );
    }

    #[test]
    fn a_fault_is_told_when_it_is_asked_for_and_not_while_it_grows() {
        let faulty = |skew_ms, drift_ppm, offset_ms| {
            let injected = Some(InjectedFault {
                skew_ms,
                drift_ppm,
                offset_ms,
            });
            status(
                "n3",
                ClockStatus {
                    injected,
                    ..ClockStatus::default()
                },
            )
        };
        let right = status("n3", ClockStatus::default());
        let said =
            |before: &NodeStatus, after: &NodeStatus| told(before, after, &[]).pop().map(|(text, _)| text);
        let skewed = faulty(5_000.0, -30.0, 5_000.0);
        assert_eq!(
            said(&right, &skewed).as_deref(),
            Some("n3’s clock was made false on purpose: 5.000 s ahead, running 30 ppm slow.")
        );
        assert_eq!(said(&skewed, &faulty(5_000.0, -30.0, 4_999.0)), None);
        assert_eq!(
            said(&skewed, &faulty(0.0, 0.0, 0.0)).as_deref(),
            Some("n3’s clock is no longer made false.")
        );
        assert_eq!(
            said(&skewed, &faulty(0.0, 0.0, 4_999.0)).as_deref(),
            Some("n3’s clock was made false on purpose: 4.999 s ahead.")
        );
    }
}
