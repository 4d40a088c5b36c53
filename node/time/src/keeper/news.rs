//! What happened to the clocks, as sentences for the console.

use std::fmt;

use crate::{MS, SECOND, US, peer::Restart};

/// One happening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Synchronised {
        bound_ns: i64,
    },
    Unsynchronised {
        reason: String,
    },
    /// A clock that the majority contradicts, and by how much.
    Outvoted {
        name: String,
        off_ns: i64,
    },
    AgreesAgain {
        name: String,
    },
    /// This node began cluster time, this far ahead of its own clock.
    Founded {
        ahead_ns: i64,
    },
    /// Cluster time as this node reads it was set.
    ClusterSet {
        by_ns: i64,
    },
    /// This machine's clock was set.
    ClockSet {
        by_ns: i64,
    },
    /// What was measured of a node was forgotten.
    Anew(String, Restart),
}

impl News {
    /// Whether a clock was set: a moment that nothing else tells of later.
    pub fn is_step(&self) -> bool {
        matches!(self, Self::ClusterSet { .. } | Self::ClockSet { .. })
    }

    /// Whether a person should look.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Unsynchronised { .. }
                | Self::Outvoted { .. }
                | Self::ClusterSet { .. }
                | Self::ClockSet { .. }
        )
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synchronised { bound_ns } => {
                write!(f, "synchronised: cluster time is known to ± {}", span(*bound_ns))
            }
            Self::Unsynchronised { reason } => write!(f, "unsynchronised: {reason}"),
            Self::Outvoted { name, off_ns } => write!(
                f,
                "{name}'s clock is outvoted: {} the clocks that agree",
                off(*off_ns, "ahead of", "behind")
            ),
            Self::AgreesAgain { name } => write!(f, "{name}'s clock agrees again"),
            Self::Founded { ahead_ns } => write!(
                f,
                "begins cluster time {} this clock",
                off(*ahead_ns, "ahead of", "behind")
            ),
            Self::ClusterSet { by_ns } => write!(f, "cluster time was set {}", off(*by_ns, "ahead", "back")),
            Self::ClockSet { by_ns } => {
                write!(f, "this machine's clock was set {}", off(*by_ns, "ahead", "back"))
            }
            Self::Anew(name, Restart::NewRun) => write!(
                f,
                "measures {name} anew: its process or its clock's rate is another"
            ),
            Self::Anew(name, Restart::Jump) => write!(
                f,
                "measures {name} anew: one of the two clocks stood still or leapt"
            ),
            Self::Anew(name, Restart::NewRate) => {
                write!(f, "measures {name} anew: one of the two clocks changed its rate")
            }
        }
    }
}

fn off(ns: i64, ahead: &str, behind: &str) -> String {
    format!(
        "{} {}",
        span(ns.saturating_abs()),
        if ns < 0 { behind } else { ahead }
    )
}

/// A span in the unit that fits it: `14 µs`, `250.0 ms`, `5.000 s`.
pub fn span(ns: i64) -> String {
    let size = ns.saturating_abs();
    // Tenths of a millisecond are all that is shown of what is not shown in microseconds.
    if size < MS {
        format!("{} µs", (ns + ns.signum() * US / 2) / US)
    } else if size < SECOND {
        let tenths = (ns + ns.signum() * MS / 20) / (MS / 10);
        format!(
            "{}{}.{} ms",
            if ns < 0 { "-" } else { "" },
            tenths.abs() / 10,
            tenths.abs() % 10
        )
    } else {
        let millis = ns / MS;
        format!(
            "{}{}.{:03} s",
            if ns < 0 { "-" } else { "" },
            millis.abs() / 1_000,
            millis.abs() % 1_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0 µs"),
            (13_600, "14 µs"),
            (250 * MS + 40_000, "250.0 ms"),
            (-40 * MS, "-40.0 ms"),
            (5 * SECOND, "5.000 s"),
            (-SECOND - 500 * MS, "-1.500 s"),
        ] {
            assert_eq!(span(ns), text);
        }
    }

    #[test]
    fn a_warning_says_which_way() {
        let text = |news: News| news.to_string();
        assert_eq!(
            text(News::ClockSet { by_ns: -5 * SECOND }),
            "this machine's clock was set 5.000 s back"
        );
        assert_eq!(
            text(News::ClusterSet { by_ns: 8 * SECOND }),
            "cluster time was set 8.000 s ahead"
        );
        let founded = News::Founded { ahead_ns: -40 * MS };
        assert_eq!(text(founded), "begins cluster time 40.0 ms behind this clock");
    }
}
