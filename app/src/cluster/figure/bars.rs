//! The bars of one node's log: one an entry, its height the records in it. Green up to commit, solid up to
//! flushed, hollow beyond. Each kind is one SVG path, in units of one entry across and one pixel down.

use std::fmt::Write;

use wiber_protocol::status::NodeStatus;

use super::axis::{Axis, STEP, signed};

/// The height of the highest bar, in pixels.
pub const BAR_HEIGHT: f64 = 40.0;
/// An entry without records (a leader's first, a membership) is still seen.
const STUB_HEIGHT: f64 = 3.0;
/// The share of an entry's width that is left free.
const GAP: f64 = 0.18;

/// What has become of an entry on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has taken effect.
    Applied,
    /// Committed, on this disk, and not yet applied.
    Committed,
    /// Committed by a majority that this node's disk is not part of.
    CommittedInMemory,
    /// On this disk; not known to be committed.
    Flushed,
    /// In memory alone.
    Memory,
}

impl Fate {
    pub const ALL: [Self; 5] = [
        Self::Applied,
        Self::Committed,
        Self::CommittedInMemory,
        Self::Flushed,
        Self::Memory,
    ];

    pub fn of(index: u64, status: &NodeStatus) -> Self {
        match (index <= status.commit_index, index <= status.flushed_index) {
            (true, true) if index <= status.applied_index => Self::Applied,
            (true, true) => Self::Committed,
            (true, false) => Self::CommittedInMemory,
            (false, true) => Self::Flushed,
            (false, false) => Self::Memory,
        }
    }

    /// The CSS class of its bars.
    pub fn class(self) -> &'static str {
        match self {
            Self::Applied => "bar-applied",
            Self::Committed => "bar-committed",
            Self::CommittedInMemory => "bar-committed hollow",
            Self::Flushed => "bar-flushed",
            Self::Memory => "bar-memory hollow",
        }
    }
}

/// Paths are drawn relative to a round index near the window, so that coordinates stay small and moving the
/// window is one translation.
pub fn origin(axis: &Axis) -> i64 {
    axis.lo.max(0) / 1_000 * 1_000
}

/// How far the bars of the window are to be moved left, in entries.
pub fn shift(axis: &Axis) -> i64 {
    axis.lo - origin(axis)
}

/// One path for each of [`Fate::ALL`]; empty where no bar has that fate. A step's worth of bars left of the
/// window is drawn too, as far as it is known: they are what slides out.
pub fn paths(axis: &Axis, status: &NodeStatus) -> [String; 5] {
    let mut paths = <[String; 5]>::default();
    let origin = origin(axis);
    for mark in status
        .tail
        .iter()
        .filter(|mark| signed(mark.index) > axis.lo - STEP && signed(mark.index) <= axis.hi())
    {
        let height = height(mark.records, axis.full_bar_records);
        let left = to_f64(signed(mark.index) - 1 - origin) + GAP / 2.0;
        let kind = Fate::of(mark.index, status);
        let path = &mut paths[kind as usize];
        let width = 1.0 - GAP;
        // Writing to a string does not fail.
        let _ = write!(
            path,
            "M{left:.2} {BAR_HEIGHT}v-{height:.1}h{width:.2}v{height:.1}z"
        );
    }
    paths
}

fn height(records: u32, full: u32) -> f64 {
    let share = f64::from(records) / f64::from(full.max(1));
    STUB_HEIGHT + (BAR_HEIGHT - STUB_HEIGHT) * share.min(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
fn to_f64(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::Role;

    use super::*;
    use crate::cluster::fixture::{at_positions, live};

    fn drawn([applied, commit, flushed, last]: [u64; 4]) -> [usize; 5] {
        let node = at_positions(live("n1", Role::Follower, 7), [applied, commit, flushed, last]);
        let axis = Axis::of(std::slice::from_ref(&node)).expect("a log");
        let status = node.status.expect("a status");
        paths(&axis, &status).map(|path| path.matches('M').count())
    }

    #[test]
    fn every_entry_of_the_window_and_of_a_step_before_is_drawn_once_in_the_kind_it_has() {
        assert_eq!(drawn([281, 286, 288, 293]), [52, 5, 0, 2, 5]);
    }

    #[test]
    fn a_commit_that_this_disk_lacks_is_green_and_hollow() {
        assert_eq!(drawn([280, 286, 284, 286]), [58, 4, 2, 0, 0]);
    }

    #[test]
    fn a_log_level_in_everything_is_of_one_kind() {
        assert_eq!(drawn([12, 12, 12, 12]), [13, 0, 0, 0, 0]);
    }

    #[test]
    fn an_entry_without_records_is_seen_and_a_full_one_has_full_height() {
        assert!((height(0, 50) - STUB_HEIGHT).abs() < f64::EPSILON);
        assert!((height(50, 50) - BAR_HEIGHT).abs() < f64::EPSILON);
        assert!((height(900, 50) - BAR_HEIGHT).abs() < f64::EPSILON);
    }

    #[test]
    fn moving_the_window_by_a_step_moves_the_bars_and_not_their_paths() {
        let before = at_positions(live("n1", Role::Leader, 7), [1_299, 1_299, 1_299, 1_299]);
        let after = at_positions(live("n1", Role::Leader, 7), [1_300, 1_300, 1_300, 1_300]);
        let (a, b) = (
            Axis::of(&[before]).expect("a log"),
            Axis::of(&[after]).expect("a log"),
        );
        assert_eq!(origin(&a), origin(&b));
        assert_eq!(shift(&b) - shift(&a), 10);
    }
}
