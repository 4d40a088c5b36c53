//! How soon what changed goes out to the browsers. Pure: time comes from outside.
//!
//! What one watches for (a role, a lost node) goes at once. Positions that move go ten times a second, the trace
//! more often. An idle cluster's ticking (ages, Lamport times, heartbeats) goes a few times a second, so that a
//! tab that shows nothing new costs next to nothing.

use std::time::Duration;

use tokio::time::Instant;
use wiber_app::{live::pace::clocks_stand_alike, view::HEARTBEAT_MS};
use wiber_protocol::{
    event::{RpcKind, TraceEvent},
    status::{NodeStatus, PeerStatus},
};

/// The least time between two frames, but for what goes at once.
pub(super) const FRAME_EVERY: Duration = Duration::from_millis(50);
/// Without any change, an empty one is sent this often.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS);
/// The least time between two changes of one node's positions.
pub(super) const STATUS_EVERY: Duration = Duration::from_millis(100);
/// The least time between two changes that tell nothing new.
const QUIET_EVERY: Duration = Duration::from_millis(250);

/// How soon something has to go out. A later one outbids an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// Nothing waits.
    #[default]
    Nothing,
    /// Only ticking.
    Quiet,
    /// Something moved.
    Moving,
    /// Somebody watches for this.
    Now,
}

/// When one part of the picture was sent, and how urgent what waits is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    haste: Haste,
    sent_at: Option<Instant>,
    /// Between two changes that tell of movement.
    every: Duration,
}

impl Turn {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            haste: Haste::Nothing,
            sent_at: None,
            every,
        }
    }

    pub(super) fn raise(&mut self, haste: Haste) {
        self.haste = self.haste.max(haste);
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.haste == Haste::Now
    }

    /// When it is due, `now` at the latest if that is past already; `None` when nothing waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let every = match self.haste {
            Haste::Nothing => return None,
            Haste::Quiet => QUIET_EVERY,
            Haste::Moving => self.every,
            Haste::Now => return Some(now),
        };
        Some(self.sent_at.map_or(now, |at| now.max(at + every)))
    }

    /// Whether it goes out now; then nothing waits any more.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.due(now).is_some_and(|due| due <= now);
        if is_due {
            self.sent(now);
        }
        is_due
    }

    /// It went out, due or not.
    pub(super) fn sent(&mut self, now: Instant) {
        (self.haste, self.sent_at) = (Haste::Nothing, Some(now));
    }
}

/// How urgent a node's new status is.
pub(super) fn of_status(before: Option<&NodeStatus>, after: &NodeStatus) -> Haste {
    let Some(before) = before else { return Haste::Now };
    let stands = |status: &NodeStatus| (status.role, status.term, status.pid);
    let follows = |status: &NodeStatus| {
        (
            status.leader.clone(),
            status.voted_for.clone(),
            status.formation.clone(),
        )
    };
    if stands(before) != stands(after)
        || follows(before) != follows(after)
        || !clocks_stand_alike(&before.clock, &after.clock)
    {
        return Haste::Now;
    }
    let positions = |status: &NodeStatus| {
        [
            status.first_log_index,
            status.last_log_index,
            status.flushed_index,
            status.commit_index,
            status.applied_index,
            status.record_count,
        ]
    };
    let peers = |status: &NodeStatus| -> Vec<_> {
        let place = |peer: &PeerStatus| (peer.raft_id, peer.connected, peer.voter, peer.match_index);
        status.peers.iter().map(place).collect()
    };
    if positions(before) != positions(after)
        || peers(before) != peers(after)
        || before.warnings != after.warnings
    {
        return Haste::Moving;
    }
    Haste::Quiet
}

/// How urgent a trace event is.
pub(super) fn of_event(event: &TraceEvent) -> Haste {
    match &event.rpc {
        Some(rpc) if rpc.kind == RpcKind::Heartbeat => Haste::Quiet,
        _ => Haste::Moving,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_comes_by_haste() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut turn = Turn::new(STATUS_EVERY);
        assert_eq!(turn.due(at(0)), None);
        turn.raise(Haste::Quiet);
        assert!(turn.take(at(0)), "the first goes at once");
        turn.raise(Haste::Quiet);
        assert_eq!(turn.due(at(10)), Some(at(250)));
        turn.raise(Haste::Moving);
        turn.raise(Haste::Quiet);
        assert_eq!(turn.due(at(10)), Some(at(100)));
        assert!(!turn.take(at(99)));
        turn.raise(Haste::Now);
        assert!(turn.is_urgent() && turn.take(at(99)));
        assert!(!turn.take(at(500)), "nothing waits");
    }
}
