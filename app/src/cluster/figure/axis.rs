//! The one scale on which the logs of all nodes are drawn: the last [`WINDOW`] entries, and beside them the
//! whole log in small. Positions are percentages, so the figure needs no width and is the same on the server.
//!
//! The window moves in whole steps of [`STEP`] entries: bars stand still between two steps, and a position
//! that moves is seen to move.

use wiber_protocol::status::{Formation, NodeStatus, Role};

use crate::view::NodeView;

/// Entries in the window. A status carries the marks of a few more than these.
pub const WINDOW: i64 = 60;
/// Entries by which the window moves, and between two ticks of its axis.
pub const STEP: i64 = 10;
/// A silent node's last entry still widens the scale if it is at most this far ahead of those that speak.
const AHEAD: u64 = 20;

/// An entry of one record has a bar of at most half the height: it is the least there can be, not a full one.
const LEAST_FULL_BAR: u32 = 2;

/// Whose commit the dotted line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitLine {
    /// The leader's: the cluster's.
    Cluster(u64),
    /// Nobody leads; the highest that a live node knows, and which node that is.
    KnownBy(String, u64),
    /// Nobody speaks; the highest that was heard.
    LastHeard(u64),
}

impl CommitLine {
    pub fn index(&self) -> u64 {
        match self {
            Self::Cluster(index) | Self::KnownBy(_, index) | Self::LastHeard(index) => *index,
        }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Cluster(_) => "cluster’s commit".into(),
            Self::KnownBy(id, _) => format!("commit {id} knows"),
            Self::LastHeard(_) => "last commit heard of".into(),
        }
    }
}

/// The shared scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// One before the window's first entry.
    pub lo: i64,
    /// The first entry that any node still has.
    pub start: u64,
    /// The last entry of the node that is furthest: the leader, as a rule.
    pub last: u64,
    pub commit: Option<CommitLine>,
    /// Records in an entry whose bar has full height.
    pub full_bar_records: u32,
}

impl Axis {
    /// The scale for these nodes; `None` while no node has a log.
    pub fn of(nodes: &[NodeView]) -> Option<Self> {
        let logs = || nodes.iter().filter_map(|node| Some((node, formed(node)?)));
        let live_last = logs()
            .filter(|(node, _)| node.live)
            .map(|(_, status)| status.last_log_index)
            .max();
        let last = logs()
            .map(|(_, status)| status.last_log_index)
            .filter(|last| live_last.is_none_or(|live| *last <= live + AHEAD))
            .max()?;
        let lo = window_before(last);
        let tallest = logs()
            .flat_map(|(_, status)| &status.tail)
            .filter(|mark| signed(mark.index) > lo)
            .map(|mark| mark.records)
            .max()
            .unwrap_or(0);
        Some(Self {
            lo,
            start: logs()
                .map(|(_, status)| status.first_log_index)
                .min()
                .unwrap_or(0),
            last,
            commit: commit_line(nodes),
            full_bar_records: nice_ceiling(tallest.max(LEAST_FULL_BAR)),
        })
    }

    /// The last entry the window has room for.
    pub fn hi(&self) -> i64 {
        self.lo + WINDOW
    }

    /// The right edge of an entry's bar, in percent of the window; `None` left of it.
    pub fn x(&self, index: u64) -> Option<f64> {
        let place = signed(index) - self.lo;
        (place > 0).then(|| percent(place, WINDOW).min(100.0))
    }

    /// The entry's place in the whole log, in percent.
    pub fn x_whole(&self, index: u64) -> f64 {
        let start = signed(self.start);
        percent((signed(index) - start).max(0), (self.hi() - start).max(1)).min(100.0)
    }

    /// The entries that get a tick.
    pub fn ticks(&self) -> impl Iterator<Item = u64> {
        let first = self.lo + 1;
        (0..WINDOW / STEP).map(move |step| u64::try_from(first + step * STEP).unwrap_or(0))
    }
}

/// The status of a node that has a log: a member, or one that was.
pub fn formed(node: &NodeView) -> Option<&NodeStatus> {
    node.status
        .as_ref()
        .filter(|status| status.formation == Formation::Formed)
}

/// The lower end of the window that has room for `last`: a step boundary.
fn window_before(last: u64) -> i64 {
    let end = (signed(last) / STEP + 1) * STEP;
    (end - WINDOW).max(0) - 1
}

fn commit_line(nodes: &[NodeView]) -> Option<CommitLine> {
    let live = || nodes.iter().filter(|node| node.live).filter_map(formed);
    if let Some(leader) = live()
        .filter(|status| status.role == Role::Leader)
        .max_by_key(|status| status.term)
    {
        return Some(CommitLine::Cluster(leader.commit_index));
    }
    if let Some(knows) = live().max_by_key(|status| status.commit_index) {
        return Some(CommitLine::KnownBy(knows.id.clone(), knows.commit_index));
    }
    nodes
        .iter()
        .filter_map(formed)
        .map(|status| status.commit_index)
        .max()
        .map(CommitLine::LastHeard)
}

/// The least of 1, 2, 5, 10, 20, 50 … that is not below `count`, so that the scale does not tremble.
fn nice_ceiling(count: u32) -> u32 {
    let mut decade = 1_u32;
    loop {
        for step in [1, 2, 5] {
            let nice = decade.saturating_mul(step);
            if nice >= count {
                return nice;
            }
        }
        decade = decade.saturating_mul(10);
    }
}

/// Log indexes are far below 2^63.
pub(super) fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
fn percent(part: i64, whole: i64) -> f64 {
    100.0 * part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{at_positions, blank, gone, live};

    #[test]
    fn a_young_log_starts_at_the_left_and_shows_entry_zero() {
        let axis = Axis::of(&[at_positions(live("n1", Role::Leader, 1), [3, 3, 3, 3])]).expect("one log");
        assert_eq!((axis.lo, axis.hi()), (-1, 59));
        assert_eq!(axis.x(0), Some(100.0 / 60.0));
        assert_eq!(axis.ticks().next(), Some(0));
    }

    #[test]
    fn the_window_moves_in_whole_steps_and_always_has_room() {
        for last in 0..500_u64 {
            let lo = window_before(last);
            assert!(
                signed(last) > lo && signed(last) <= lo + WINDOW,
                "{last} outside of {lo}"
            );
            assert_eq!((lo + 1) % STEP, 0);
        }
        assert_eq!(window_before(4_818_293), window_before(4_818_299));
        assert_ne!(window_before(4_818_299), window_before(4_818_300));
    }

    #[test]
    fn an_entry_left_of_the_window_has_no_place_in_it() {
        let nodes = [
            at_positions(live("n1", Role::Leader, 1), [500, 500, 500, 500]),
            at_positions(live("n2", Role::Follower, 1), [10, 10, 10, 10]),
        ];
        let axis = Axis::of(&nodes).expect("logs");
        assert_eq!(axis.x(10), None);
        assert!(axis.x_whole(10) < 3.0);
        assert!((axis.x(500).expect("inside") - 51.0 / 0.6).abs() < 1e-9);
    }

    #[test]
    fn a_node_that_died_far_ahead_does_not_push_the_living_off_the_scale() {
        let nodes = [
            at_positions(live("n1", Role::Leader, 9), [100, 100, 100, 100]),
            at_positions(gone("n2", false), [900, 900, 900, 900]),
        ];
        assert_eq!(Axis::of(&nodes).expect("logs").last, 100);
        let nodes = [
            at_positions(live("n1", Role::Candidate, 9), [100, 100, 100, 100]),
            at_positions(gone("n2", false), [103, 103, 103, 103]),
        ];
        assert_eq!(Axis::of(&nodes).expect("logs").last, 103);
    }

    #[test]
    fn the_dotted_line_says_whose_commit_it_is() {
        let n1 = at_positions(live("n1", Role::Follower, 7), [5, 5, 9, 9]);
        let n2 = at_positions(live("n2", Role::Leader, 7), [7, 8, 9, 9]);
        let dead = at_positions(gone("n3", false), [6, 6, 6, 6]);
        let line = |nodes: &[NodeView]| Axis::of(nodes).and_then(|axis| axis.commit).expect("a line");
        assert_eq!(line(&[n1.clone(), n2, dead.clone()]), CommitLine::Cluster(8));
        assert_eq!(line(&[n1, dead.clone()]), CommitLine::KnownBy("n1".into(), 5));
        assert_eq!(line(&[dead]), CommitLine::LastHeard(6));
    }

    #[test]
    fn without_a_log_there_is_no_scale() {
        assert_eq!(Axis::of(&[blank("n1"), blank("n2")]), None);
        let mut waiting = live("n1", Role::Learner, 0);
        if let Some(status) = &mut waiting.status {
            status.formation = Formation::Waiting {
                missing: vec!["n2".into()],
            };
        }
        assert_eq!(Axis::of(&[waiting]), None);
    }

    #[test]
    fn full_height_is_a_round_number() {
        let nice: Vec<u32> = [0, 1, 2, 3, 7, 11, 44, 51, 900]
            .into_iter()
            .map(nice_ceiling)
            .collect();
        assert_eq!(nice, [1, 1, 2, 5, 10, 20, 50, 100, 1_000]);
        assert!(nice_ceiling(u32::MAX) == u32::MAX);
    }
}
