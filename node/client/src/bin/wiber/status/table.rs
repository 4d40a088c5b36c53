//! The nodes as a table.

use std::time::Duration;

use wiber_protocol::status::{ClockState, Formation, NodeStatus, Role};

use super::{Answer, NodeRow, address};
use crate::{
    grid::{BAD, Cell, Column, GOOD, ODD, Style, grid},
    units,
};

const COLUMNS: [Column; 18] = [
    Column::text("node"),
    Column::text("address"),
    Column::text("role"),
    Column::number("term"),
    Column::text("leader"),
    Column::number("last"),
    Column::number("flushed"),
    Column::number("commit"),
    Column::number("applied"),
    Column::number("behind"),
    Column::number("topics"),
    Column::number("records"),
    Column::number("fsync p50"),
    Column::number("p99"),
    Column::text("clock"),
    Column::plus_minus("bound"),
    Column::number("uptime"),
    Column::text(""),
];

/// A leader hears from a majority many times in this.
const QUORUM_LOST_MS: u64 = 1_000;

pub(super) fn table(rows: &[NodeRow<'_>], style: Style) -> String {
    let statuses = rows.iter().filter_map(NodeRow::status);
    let committed = statuses.map(|status| status.commit_index).max().unwrap_or(0);
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, committed)).collect();
    grid(&COLUMNS, &rows, style)
}

fn cells(row: &NodeRow<'_>, committed: u64) -> Vec<Cell> {
    let mut cells = vec![Cell::words(row.id), Cell::new(address(row.address))];
    match row.answer {
        Answer::Error(reason) => cells.push(Cell::words(&format!("no answer: {reason}")).look(BAD)),
        Answer::Status(status) => cells.extend(account(status, committed)),
    }
    cells
}

fn account(status: &NodeStatus, committed: u64) -> [Cell; 16] {
    let number = |value: u64| Cell::new(value.to_string());
    // Against what any node knows to be committed; the nodes were not asked at the same instant.
    let behind = committed.saturating_sub(status.applied_index);
    let clock = &status.clock;
    [
        Cell::new(status.role.as_str()).look(match status.role {
            Role::Leader => GOOD,
            Role::Follower => Cell::PLAIN,
            Role::Candidate | Role::Learner => ODD,
        }),
        number(status.term),
        match &status.leader {
            Some(leader) => Cell::words(leader),
            None => Cell::new("none").look(BAD),
        },
        number(status.last_log_index),
        number(status.flushed_index),
        number(status.commit_index),
        number(status.applied_index),
        number(behind).look(if behind > 0 { ODD } else { Cell::PLAIN }),
        number(status.topic_count),
        number(status.record_count),
        Cell::known(status.storage.fsync_p50_us, micros),
        Cell::known(status.storage.fsync_p99_us, micros),
        Cell::new(clock.state.as_str()).look(match clock.state {
            ClockState::Synchronised => GOOD,
            ClockState::Unsynchronised => BAD,
        }),
        Cell::known_or_blank(clock.error_bound_ms, units::bound),
        Cell::new(uptime(status.uptime_ms)),
        remarks(status),
    ]
}

fn micros(us: u64) -> String {
    units::span(Duration::from_micros(us).as_secs_f64() * 1e3)
}

/// In its two largest units.
fn uptime(ms: u64) -> String {
    let s = ms / 1000;
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86_400);
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{minutes}m {:02}s", s % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// What a reader should know before believing the line.
fn remarks(status: &NodeStatus) -> Cell {
    let forming = match &status.formation {
        Formation::Waiting { missing } => Some(format!("waits for {}", missing.join(", "))),
        Formation::Joining => Some("joining".to_owned()),
        Formation::Formed => None,
    };
    let cut_off = status
        .quorum_ack_ms
        .filter(|ms| *ms > QUORUM_LOST_MS)
        .map(|ms| format!("no majority for {}", units::whole_span(ms).trim_end()));
    let look = if cut_off.is_some() { BAD } else { ODD };
    let all: Vec<String> = forming
        .into_iter()
        .chain(cut_off)
        .chain(status.warnings.iter().cloned())
        .collect();
    Cell::words(&all.join("; ")).look(look)
}

#[cfg(test)]
mod tests {
    use wiber_protocol::{
        config::NodeSpec,
        status::{ClockStatus, StorageStatus},
    };

    use super::*;

    #[test]
    fn a_cluster_with_everything_in_it() {
        let specs: Vec<NodeSpec> = (1..=3)
            .map(|number| NodeSpec {
                id: format!("n{number}"),
                host: "127.0.0.1".to_owned(),
                port: 9100 + number,
            })
            .collect();
        let leader = NodeStatus {
            role: Role::Leader,
            term: 4,
            leader: Some("n1".to_owned()),
            quorum_ack_ms: Some(3_200),
            last_log_index: 120,
            flushed_index: 120,
            commit_index: 119,
            applied_index: 119,
            topic_count: 2,
            record_count: 10_001,
            uptime_ms: 93_784_000,
            storage: StorageStatus {
                fsync_p50_us: Some(182),
                fsync_p99_us: Some(1_234),
                ..StorageStatus::default()
            },
            clock: ClockStatus {
                state: ClockState::Synchronised,
                error_bound_ms: Some(0.033),
                ..ClockStatus::default()
            },
            ..NodeStatus::default()
        };
        let waiting = NodeStatus {
            applied_index: 100,
            formation: Formation::Waiting {
                missing: vec!["n3\x1b[2J".to_owned()],
            },
            warnings: vec!["One.".to_owned()],
            ..NodeStatus::default()
        };
        let answers = [
            Answer::Status(&leader),
            Answer::Status(&waiting),
            Answer::Error("connection refused"),
        ];
        let rows: Vec<NodeRow<'_>> = specs
            .iter()
            .zip(answers)
            .map(|(spec, answer)| NodeRow {
                id: &spec.id,
                address: spec,
                answer,
            })
            .collect();
        let text = table(&rows, Style::default());
        assert_eq!(text, include_str!("cluster.txt"), "\n{text}");
    }

    #[test]
    fn an_uptime_has_two_units() {
        let check = |ms, expected: &str| assert_eq!(uptime(ms), expected);
        check(999, "0s");
        check(59_999, "59s");
        check(61_000, "1m 01s");
        check(3_600_000, "1h 00m");
        check(93_784_000, "1d 02h");
    }
}
