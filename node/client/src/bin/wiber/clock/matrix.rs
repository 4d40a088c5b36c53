//! The clock matrix: a line for each measurement that one node makes of another.

use wiber_protocol::status::{ClockPeer, ProbeState};

use super::{Answer, NodeClock};
use crate::{
    grid::{BAD, Cell, Column, FAINT, GOOD, ODD, Style, grid},
    units,
};

const COLUMNS: [Column; 13] = [
    Column::text("measured"),
    Column::text("state"),
    Column::number("offset"),
    Column::plus_minus("bound"),
    Column::number("truth"),
    Column::number("inside"),
    Column::number("delay"),
    Column::number("drift ppm"),
    Column::plus_minus("bound"),
    Column::number("age"),
    Column::number("phi"),
    Column::number("answered"),
    Column::text(""),
];

pub(super) fn table(nodes: &[NodeClock], style: Style) -> String {
    let mut rows = Vec::new();
    for node in nodes {
        if let Answer::Clock(clock) = &node.answer {
            rows.extend(clock.peers.iter().map(|peer| row(&node.id, peer).to_vec()));
        }
    }
    if rows.is_empty() {
        return "no measurements\n".to_owned();
    }
    grid(&COLUMNS, &rows, style)
}

fn row(id: &str, peer: &ClockPeer) -> [Cell; 13] {
    [
        Cell::words(&format!("{id} → {}", peer.id)),
        Cell::new(peer.state.as_str()).look(match peer.state {
            ProbeState::Unknown => FAINT,
            ProbeState::Good => GOOD,
            ProbeState::False => BAD,
            ProbeState::Silent => ODD,
        }),
        Cell::known(peer.offset_ms, units::offset),
        Cell::known_or_blank(peer.error_bound_ms, units::bound),
        Cell::known(peer.truth_ms, units::offset),
        inside(peer),
        Cell::known(peer.delay_ms, units::span),
        Cell::known(peer.drift_ppm, units::ppm),
        Cell::known_or_blank(peer.drift_bound_ppm, units::ppm_bound),
        Cell::known(peer.age_ms, units::whole_span),
        Cell::known(peer.suspicion, |phi| format!("{phi:.1}")),
        Cell::new(format!("{}/{}", peer.answered, peer.sent)),
        remarks(peer),
    ]
}

/// How many of the measurements that could be compared with the truth held it.
fn inside(peer: &ClockPeer) -> Cell {
    match (peer.truth_inside, peer.truth_checked) {
        (_, 0) => Cell::new("-"),
        (inside, checked) => {
            let look = if inside < checked { BAD } else { GOOD };
            Cell::new(format!("{inside}/{checked}")).look(look)
        }
    }
}

fn remarks(peer: &ClockPeer) -> Cell {
    let counted = |count: u64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let all = [
        counted(peer.refused, "answer refused", "answers refused"),
        counted(peer.restarts, "fresh start", "fresh starts"),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    Cell::new(all.join(", ")).look(ODD)
}
