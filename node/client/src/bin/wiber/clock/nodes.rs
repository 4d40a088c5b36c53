//! A line for each node: its clock against cluster time.

use wiber_protocol::status::{ClockState, ClockStatus, InjectedFault};

use super::{Answer, NodeClock};
use crate::{
    grid::{BAD, Cell, Column, GOOD, ODD, Style, grid},
    units,
};

const COLUMNS: [Column; 9] = [
    Column::text("node"),
    Column::text("state"),
    Column::number("offset"),
    Column::plus_minus("bound"),
    Column::number("drift ppm"),
    Column::number("Lamport"),
    Column::number("steps"),
    Column::number("cluster steps"),
    Column::text(""),
];

pub(super) fn table(nodes: &[NodeClock], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = nodes.iter().map(row).collect();
    grid(&COLUMNS, &rows, style)
}

fn row(node: &NodeClock) -> Vec<Cell> {
    let id = Cell::words(&node.id);
    match &node.answer {
        Answer::Error(reason) => vec![id, Cell::words(&format!("no answer: {reason}")).look(BAD)],
        Answer::Clock(clock) => {
            let mut row = vec![id];
            row.extend(account(clock));
            row
        }
    }
}

fn account(clock: &ClockStatus) -> [Cell; 8] {
    let steps = |count: u64| {
        let cell = Cell::new(count.to_string());
        if count > 0 { cell.look(ODD) } else { cell }
    };
    [
        Cell::new(clock.state.as_str()).look(match clock.state {
            ClockState::Synchronised => GOOD,
            ClockState::Unsynchronised => BAD,
        }),
        Cell::known(clock.offset_ms, units::offset),
        Cell::known_or_blank(clock.error_bound_ms, units::bound),
        Cell::known(clock.drift_ppm, units::ppm),
        Cell::new(clock.lamport.to_string()),
        steps(clock.clock_steps),
        steps(clock.cluster_steps),
        remarks(clock),
    ]
}

/// What a reader should know before believing the line.
fn remarks(clock: &ClockStatus) -> Cell {
    let violations = match clock.lamport_violations {
        0 => None,
        1 => Some("1 receive not later than its send".to_owned()),
        count => Some(format!("{count} receives not later than their sends")),
    };
    let look = if violations.is_some() { BAD } else { ODD };
    let all = [
        violations,
        clock.injected.as_ref().map(injected),
        clock.reason.clone(),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    Cell::words(&all.join("; ")).look(look)
}

fn injected(fault: &InjectedFault) -> String {
    let mut chosen = Vec::new();
    // A drift that was ended leaves what it has added up to, and then nothing but that is left to say.
    if fault.skew_ms != 0.0 || fault.drift_ppm == 0.0 {
        chosen.push(units::chosen_offset(fault.skew_ms));
    }
    if fault.drift_ppm != 0.0 {
        chosen.push(format!("{} ppm", fault.drift_ppm));
    }
    let now = units::chosen_offset(fault.offset_ms);
    format!("injected {}; now {now}", chosen.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_injected_is_said_with_what_it_has_come_to() {
        let check = |skew_ms, drift_ppm, offset_ms, expected: &str| {
            let fault = InjectedFault {
                skew_ms,
                drift_ppm,
                offset_ms,
            };
            assert_eq!(injected(&fault), expected);
        };
        check(250.0, 30.0, 251.2, "injected +250 ms, 30 ppm; now +251.2 ms");
        check(0.0, -12.5, -0.7, "injected -12.5 ppm; now -700 µs");
        check(-5_000.0, 0.0, -5_000.0, "injected -5 s; now -5 s");
        check(0.0, 0.0, 1.5, "injected +0 µs; now +1.5 ms");
    }

    #[test]
    fn a_broken_promise_comes_before_everything_else() {
        let clock = ClockStatus {
            lamport_violations: 1,
            reason: Some("No majority agrees.".to_owned()),
            ..ClockStatus::default()
        };
        let node = NodeClock {
            id: "n1".to_owned(),
            answer: Answer::Clock(Box::new(clock)),
        };
        assert_eq!(
            table(&[node], Style::default()),
            "\
node  state           offset ± bound  drift ppm  Lamport  steps  cluster steps
n1    unsynchronised       -                  -        0      0              0  \
             1 receive not later than its send; No majority agrees.\n"
        );
    }
}
