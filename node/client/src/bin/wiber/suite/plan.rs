//! What is measured, in which order, and how often.

use std::time::Duration;

use clap::ValueEnum;

/// A row of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Row {
    /// One publish at a time.
    Latency,
    /// One connection with a window.
    Pipelined,
    /// Several connections with large windows.
    Parallel,
    /// Large messages.
    Large,
    /// Many subscribers on one topic, and one that does not read.
    Subscribers,
    /// Millions of messages: reading them, restarting with them, publishing after them.
    History,
    /// The leader is killed, and stopped in good order.
    Failover,
    /// The leader falls silent.
    Silence,
    /// Cluster time over false clocks.
    Clocks,
}

impl Row {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Pipelined => "pipelined",
            Self::Parallel => "parallel",
            Self::Large => "large",
            Self::Subscribers => "subscribers",
            Self::History => "history",
            Self::Failover => "failover",
            Self::Silence => "silence",
            Self::Clocks => "clocks",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Latency => "256 B, 1 in flight",
            Self::Pipelined => "256 B, 256 in flight on one connection",
            Self::Parallel => "256 B, 4,096 in flight over 8 connections",
            Self::Large => "16 KiB, 64 in flight",
            Self::Subscribers => "100 subscribers on one topic",
            Self::History => "many messages: histories, restarts, memory, speed afterwards",
            Self::Failover => "the leader killed and stopped, until a publish is acknowledged elsewhere",
            Self::Silence => "the leader frozen, until a publish is acknowledged elsewhere",
            Self::Clocks => {
                "false clocks: how soon and how tightly cluster time is bounded, and whether rightly"
            }
        }
    }

    /// Rows of one session share a cluster. What a row leaves behind must not weigh on another's figures.
    fn session(self) -> usize {
        match self {
            Self::Latency | Self::Pipelined | Self::Parallel | Self::Large | Self::Subscribers => 0,
            Self::Failover | Self::Silence => 1,
            Self::Clocks => 2,
            // Last, as it writes more than all others.
            Self::History => 3,
        }
    }
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// What the targets are about.
    Full,
    /// Three minutes: enough to see whether a change helps.
    Quick,
    /// Seconds: enough to see that everything works.
    Smoke,
}

impl Scale {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
            Self::Smoke => "smoke",
        }
    }
}

/// How much of everything.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    rows: Vec<Row>,
    /// After this the run is ended from outside.
    pub(super) time_limit: Duration,
    pub(super) floor_write_bytes: usize,
    pub(super) latency_messages: u64,
    pub(super) messages: u64,
    pub(super) large_messages: u64,
    /// No single load of the speed rows lasts longer.
    pub(super) load_limit: Duration,
    pub(super) history_messages: u64,
    pub(super) pages: usize,
    pub(super) subscribers: usize,
    pub(super) subscribed_for: Duration,
    pub(super) kills: usize,
    pub(super) stops: usize,
    pub(super) silences: usize,
    /// The bounds of idle clocks are read so long after the start.
    pub(super) clocks_settle: Duration,
    pub(super) clocks_idle: Duration,
    pub(super) clocks_load: Duration,
    pub(super) clock_faults: usize,
    /// Records whose times are compared.
    pub(super) stamps: usize,
}

impl Plan {
    /// All rows when none is named.
    pub(super) fn new(rows: &[Row], scale: Scale) -> Self {
        let rows = if rows.is_empty() {
            Row::value_variants()
        } else {
            rows
        };
        let full = Self {
            rows: rows.to_vec(),
            time_limit: Duration::from_mins(90),
            floor_write_bytes: 1 << 30,
            latency_messages: 5_000,
            messages: 2_000_000,
            large_messages: 20_000,
            load_limit: Duration::from_secs(30),
            history_messages: 10_000_000,
            pages: 200,
            subscribers: 100,
            subscribed_for: Duration::from_secs(10),
            kills: 50,
            stops: 10,
            silences: 5,
            clocks_settle: Duration::from_mins(1),
            clocks_idle: Duration::from_secs(20),
            clocks_load: Duration::from_secs(10),
            clock_faults: 10,
            stamps: 300,
        };
        match scale {
            Scale::Full => full,
            Scale::Quick => Self {
                time_limit: Duration::from_mins(15),
                floor_write_bytes: 128 << 20,
                latency_messages: 1_000,
                messages: 200_000,
                large_messages: 5_000,
                load_limit: Duration::from_secs(10),
                history_messages: 200_000,
                pages: 50,
                subscribed_for: Duration::from_secs(3),
                kills: 5,
                stops: 3,
                clocks_settle: Duration::from_secs(10),
                clocks_idle: Duration::from_secs(10),
                clocks_load: Duration::from_secs(5),
                clock_faults: 3,
                stamps: 90,
                ..full
            },
            Scale::Smoke => Self {
                time_limit: Duration::from_mins(5),
                floor_write_bytes: 8 << 20,
                latency_messages: 50,
                messages: 5_000,
                large_messages: 100,
                load_limit: Duration::from_secs(10),
                history_messages: 10_000,
                pages: 5,
                subscribers: 5,
                subscribed_for: Duration::from_secs(1),
                kills: 1,
                stops: 1,
                silences: 1,
                clocks_settle: Duration::ZERO,
                clocks_idle: Duration::from_secs(1),
                clocks_load: Duration::from_millis(500),
                clock_faults: 1,
                stamps: 12,
                ..full
            },
        }
    }

    /// The rows to measure, those together that share a cluster, in the order of [`Row`].
    pub(super) fn sessions(&self) -> Vec<Vec<Row>> {
        let all = Row::value_variants().iter().copied();
        let wanted: Vec<Row> = all.filter(|row| self.rows.contains(row)).collect();
        let sessions = (0..=3).map(|session| {
            wanted
                .iter()
                .copied()
                .filter(|row| row.session() == session)
                .collect()
        });
        sessions.filter(|rows: &Vec<Row>| !rows.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_share_a_cluster_are_measured_together() {
        let sessions = |rows: &[Row]| Plan::new(rows, Scale::Quick).sessions();
        assert_eq!(sessions(&[]).concat().len(), Row::value_variants().len());
        assert_eq!(
            sessions(&[Row::History, Row::Large, Row::Latency]),
            [vec![Row::Latency, Row::Large], vec![Row::History]]
        );
    }

    #[test]
    fn every_row_is_called_by_its_own_name() {
        for row in Row::value_variants() {
            assert_eq!(Row::from_str(row.name(), false), Ok(*row));
        }
    }
}
