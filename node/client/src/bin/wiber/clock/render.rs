//! What the nodes said, as the text of one picture.

use super::{Answer, NodeClock, matrix, nodes};
use crate::{
    grid::{BAD, Cell, Column, Style, grid},
    units,
};

/// The nodes, what they measure of each other, and whom they contradict. Whole lines; a blank one between the parts.
pub(super) fn render(nodes: &[NodeClock], style: Style) -> String {
    format!(
        "{}\n{}\n{}",
        nodes::table(nodes, style),
        matrix::table(nodes, style),
        falsetickers(nodes, style)
    )
}

const COLUMNS: [Column; 4] = [
    Column::text("falseticker"),
    Column::number("off by"),
    Column::text("says"),
    Column::text(""),
];

/// Each node judges by its own measurements, so that one clock may be named by several, for different reasons.
fn falsetickers(nodes: &[NodeClock], style: Style) -> String {
    let mut rows = Vec::new();
    for node in nodes {
        let Answer::Clock(clock) = &node.answer else {
            continue;
        };
        rows.extend(clock.falsetickers.iter().map(|falseticker| {
            vec![
                Cell::words(&falseticker.id).look(BAD),
                Cell::new(units::offset(falseticker.off_ms)),
                Cell::words(&node.id),
                Cell::words(&falseticker.reason),
            ]
        }));
    }
    if rows.is_empty() {
        return "no falsetickers named\n".to_owned();
    }
    grid(&COLUMNS, &rows, style)
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::{
        ClockPeer, ClockState, ClockStatus, Falseticker, InjectedFault, ProbeState,
    };

    use super::*;

    fn measured(id: &str, state: ProbeState, offset_ms: f64) -> ClockPeer {
        ClockPeer {
            id: id.to_owned(),
            state,
            offset_ms: Some(offset_ms),
            error_bound_ms: Some(0.014),
            delay_ms: Some(0.182),
            drift_ppm: Some(0.004),
            drift_bound_ppm: Some(0.121),
            age_ms: Some(210),
            sent: 121,
            answered: 121,
            suspicion: Some(0.04),
            truth_ms: Some(offset_ms.round()),
            truth_checked: 120,
            truth_inside: 120,
            ..ClockPeer::default()
        }
    }

    fn synchronised(offset_ms: f64) -> ClockStatus {
        ClockStatus {
            lamport: 1_204,
            offset_ms: Some(offset_ms),
            error_bound_ms: Some(0.031),
            drift_ppm: Some(0.02),
            state: ClockState::Synchronised,
            ..ClockStatus::default()
        }
    }

    /// n1 is well, n2's clock is false, n3 is gone, n4 has just begun.
    fn cluster() -> [NodeClock; 4] {
        let off = |off_ms, reason: &str| Falseticker {
            id: "n2".to_owned(),
            off_ms,
            reason: reason.to_owned(),
        };
        let gone = ClockPeer {
            age_ms: Some(12_400),
            sent: 130,
            answered: 98,
            suspicion: Some(8.25),
            restarts: 1,
            ..measured("n3", ProbeState::Silent, -0.003)
        };
        let n1 = ClockStatus {
            peers: vec![measured("n2", ProbeState::False, 250.013), gone],
            falsetickers: vec![off(249.95, "It is 250 ms ahead of 3 others.")],
            ..synchronised(0.012)
        };
        let n2 = ClockStatus {
            injected: Some(InjectedFault {
                skew_ms: 250.0,
                drift_ppm: 30.0,
                offset_ms: 251.2,
            }),
            clock_steps: 1,
            peers: vec![measured("n1", ProbeState::Good, -250.011)],
            falsetickers: vec![off(249.951, "It is this node's own.")],
            ..synchronised(250.001)
        };
        let n4 = ClockStatus {
            reason: Some("1 of 4 clocks has answered; 3 are needed.".to_owned()),
            peers: vec![ClockPeer {
                id: "n1".to_owned(),
                sent: 1,
                ..ClockPeer::default()
            }],
            ..ClockStatus::default()
        };
        let answered = |id: &str, clock| NodeClock {
            id: id.to_owned(),
            answer: Answer::Clock(Box::new(clock)),
        };
        let n3 = NodeClock {
            id: "n3".to_owned(),
            answer: Answer::Error("connection refused".to_owned()),
        };
        [answered("n1", n1), answered("n2", n2), n3, answered("n4", n4)]
    }

    #[test]
    fn a_cluster_with_everything_in_it() {
        let text = render(&cluster(), Style::default());
        assert_eq!(text, include_str!("render/cluster.txt"), "\n{text}");
    }

    #[test]
    fn a_part_with_nothing_in_it_says_so() {
        let node = NodeClock {
            id: "n1".to_owned(),
            answer: Answer::Clock(Box::new(synchronised(0.0))),
        };
        let text = render(&[node], Style::default());
        assert!(
            text.ends_with("\n\nno measurements\n\nno falsetickers named\n"),
            "{text}"
        );
    }
}
