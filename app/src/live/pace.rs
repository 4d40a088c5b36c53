//! When to repaint: numbers at most four times a second, so that they can be read; what changes how a node
//! stands (its process, its role, its leader) at once. Pure decisions; the socket brings the clock.

use wiber_protocol::status::ClockStatus;

use crate::view::NodeView;

/// The shortest time between two repaints of numbers.
pub const PAINT_INTERVAL_MS: f64 = 250.0;

/// What to do about a change that just arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Paint {
    Now,
    /// Set a timer for this long, then paint.
    After {
        ms: f64,
    },
    /// A timer is set already.
    IsDue,
}

/// When the last repaint was, and whether one is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last_ms: Option<f64>,
    due: bool,
}

impl Pace {
    /// Decides at `now_ms` (any clock that only rises) about a change.
    pub fn decide(&mut self, now_ms: f64, urgent: bool) -> Paint {
        let wait_ms = self.last_ms.map_or(0.0, |last| last + PAINT_INTERVAL_MS - now_ms);
        if urgent || wait_ms <= 0.0 {
            self.last_ms = Some(now_ms);
            return Paint::Now;
        }
        if self.due {
            return Paint::IsDue;
        }
        self.due = true;
        Paint::After { ms: wait_ms }
    }

    /// The timer went off at `now_ms` and the picture is painted.
    pub fn painted(&mut self, now_ms: f64) {
        self.last_ms = Some(now_ms);
        self.due = false;
    }
}

/// Whether a node now stands otherwise than it is painted.
pub fn stands_otherwise(painted: &NodeView, now: &NodeView) -> bool {
    if painted.process != now.process || painted.live != now.live {
        return true;
    }
    match (&painted.status, &now.status) {
        (Some(old), Some(new)) => {
            old.role != new.role
                || old.term != new.term
                || old.leader != new.leader
                || old.voted_for != new.voted_for
                || old.formation != new.formation
                || !clocks_stand_alike(&old.clock, &new.clock)
        }
        (None, None) => false,
        _ => true,
    }
}

/// Whether two statuses say the same of who knows cluster time, whose clock is outvoted and what was injected.
pub fn clocks_stand_alike(before: &ClockStatus, after: &ClockStatus) -> bool {
    let named = |clock: &ClockStatus| {
        clock
            .falsetickers
            .iter()
            .map(|one| one.id.clone())
            .collect::<Vec<_>>()
    };
    let asked = |clock: &ClockStatus| clock.injected.map(|fault| (fault.skew_ms, fault.drift_ppm));
    before.state == after.state && named(before) == named(after) && asked(before) == asked(after)
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::{Falseticker, NodeStatus, Role};

    use super::*;

    #[test]
    fn numbers_are_painted_at_most_four_times_a_second() {
        let mut pace = Pace::default();
        assert_eq!(pace.decide(1_000.0, false), Paint::Now);
        assert_eq!(pace.decide(1_100.0, false), Paint::After { ms: 150.0 });
        assert_eq!(pace.decide(1_200.0, false), Paint::IsDue);
        pace.painted(1_250.0);
        assert_eq!(pace.decide(1_251.0, false), Paint::After { ms: 249.0 });
    }

    #[test]
    fn an_election_does_not_wait() {
        let mut pace = Pace::default();
        assert_eq!(pace.decide(0.0, false), Paint::Now);
        assert_eq!(pace.decide(1.0, true), Paint::Now);
    }

    #[test]
    fn a_new_role_is_a_new_standing_and_a_new_position_is_not() {
        let status = NodeStatus {
            commit_index: 1,
            ..NodeStatus::default()
        };
        let node = NodeView {
            status: Some(status.clone()),
            ..NodeView::default()
        };
        let moved = NodeView {
            status: Some(NodeStatus {
                commit_index: 2,
                ..status.clone()
            }),
            ..node.clone()
        };
        let elected = NodeView {
            status: Some(NodeStatus {
                role: Role::Leader,
                ..status.clone()
            }),
            ..node.clone()
        };
        let outvoted = {
            let mut clock = status.clock.clone();
            clock.falsetickers.push(Falseticker::default());
            NodeView {
                status: Some(NodeStatus {
                    clock,
                    ..status.clone()
                }),
                ..node.clone()
            }
        };
        assert!(stands_otherwise(&node, &outvoted));
        assert!(!stands_otherwise(&node, &moved));
        assert!(stands_otherwise(&node, &elected));
        assert!(stands_otherwise(
            &node,
            &NodeView {
                live: true,
                ..node.clone()
            }
        ));
    }
}
