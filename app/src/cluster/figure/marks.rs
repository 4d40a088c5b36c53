//! The names of the positions, each with a line to its place: where they stand, which are joined because
//! they coincide, and in which row they are written so that no line runs through another's name.

use wiber_protocol::status::{NodeStatus, Role};

use super::axis::Axis;
use crate::cluster::standing::Ink;

/// A position of a node's log, in the order in which an entry passes them.
pub const POSITIONS: [&str; 4] = ["applied", "commit", "flushed", "last"];

/// A name finds room left of its line from here on, percent of the window …
const ROOM_ON_THE_LEFT: f64 = 40.0;
/// … and right of it up to here.
const ROOM_ON_THE_RIGHT: f64 = 60.0;

/// On which side of its line a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the left: the line is its end.
    End,
    /// To the right: the line is its start.
    Start,
}

/// A name with its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Everything that stands here, joined: "applied and commit".
    pub long: String,
    /// The same for little room.
    pub short: String,
    pub index: u64,
    /// In percent of the window; 0 for a position left of it.
    pub x: f64,
    /// Whether the position is left of the window.
    pub off: bool,
    pub ink: Ink,
    /// The row its name is written in, 0 next to the bars.
    pub row: usize,
    pub side: Side,
}

/// The marks below the bars, one slot for each of [`POSITIONS`]. Positions that coincide share the slot of
/// the first.
pub fn position_marks(axis: &Axis, status: &NodeStatus) -> [Option<Mark>; 4] {
    let indexes = [
        status.applied_index,
        status.commit_index,
        status.flushed_index,
        status.last_log_index,
    ];
    let mut marks: [Option<Mark>; 4] = Default::default();
    for (slot, index) in indexes.into_iter().enumerate() {
        if indexes[..slot].contains(&index) {
            continue;
        }
        let joined: Vec<&str> = (slot..4)
            .filter(|other| indexes[*other] == index)
            .map(|other| POSITIONS[other])
            .collect();
        let ink = if joined.contains(&"applied") || joined.contains(&"commit") {
            Ink::Committed
        } else if joined.contains(&"flushed") {
            Ink::Follower
        } else {
            Ink::Plain
        };
        let short = if joined.len() == 4 {
            "all four".to_owned()
        } else {
            joined.join(", ")
        };
        marks[slot] = Some(mark(axis, crate::words::list(&joined), short, index, ink));
    }
    stack(marks.iter_mut().flatten());
    marks
}

/// The marks above a leader's bars: each follower's match. Followers level with each other share one. Empty for a node that does not lead.
pub fn match_marks(axis: &Axis, status: &NodeStatus) -> Vec<Mark> {
    if status.role != Role::Leader {
        return Vec::new();
    }
    let mut matched: Vec<(u64, Vec<&str>)> = Vec::new();
    for peer in &status.peers {
        let Some(index) = peer.match_index else { continue };
        match matched.iter_mut().find(|(known, _)| *known == index) {
            Some((_, ids)) => ids.push(&peer.id),
            None => matched.push((index, vec![&peer.id])),
        }
    }
    let mut marks: Vec<Mark> = matched
        .into_iter()
        .map(|(index, ids)| {
            let whose = crate::words::list(&ids);
            mark(
                axis,
                format!("{whose}’s match"),
                format!("{whose} match"),
                index,
                Ink::Leader,
            )
        })
        .collect();
    stack(marks.iter_mut());
    marks
}

/// Gives each name its side and its row. All names of a group are written on the same side where there is room
/// for it: then no line crosses a name. To the right of their lines, the rightmost is next to the bars; to the
/// left, the leftmost. Positions spread over the whole window are written towards its middle.
fn stack<'a>(marks: impl Iterator<Item = &'a mut Mark>) {
    let mut marks: Vec<&mut Mark> = marks.collect();
    let all_left = marks.iter().all(|mark| mark.x <= ROOM_ON_THE_RIGHT);
    let all_right = marks.iter().all(|mark| mark.x >= ROOM_ON_THE_LEFT);
    for mark in &mut marks {
        let to_the_left = if all_right {
            true
        } else {
            !all_left && mark.x >= 50.0
        };
        mark.side = if to_the_left { Side::End } else { Side::Start };
    }
    marks.sort_by_key(|mark| match mark.side {
        Side::Start => (0, u64::MAX - mark.index),
        Side::End => (1, mark.index),
    });
    for (row, mark) in marks.into_iter().enumerate() {
        mark.row = row;
    }
}

fn mark(axis: &Axis, long: String, short: String, index: u64, ink: Ink) -> Mark {
    let x = axis.x(index);
    Mark {
        long,
        short,
        index,
        x: x.unwrap_or(0.0),
        off: x.is_none(),
        ink,
        row: 0,
        side: Side::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::fixture::{at_positions, live},
        view::NodeView,
    };

    fn marks_of(node: &NodeView, last_of_all: u64) -> [Option<Mark>; 4] {
        let furthest = at_positions(live("n9", Role::Leader, 7), [last_of_all; 4]);
        let axis = Axis::of(&[node.clone(), furthest]).expect("logs");
        position_marks(&axis, node.status.as_ref().expect("a status"))
    }

    fn told(marks: &[Option<Mark>; 4]) -> Vec<(String, u64, usize)> {
        marks
            .iter()
            .flatten()
            .map(|mark| (mark.long.clone(), mark.index, mark.row))
            .collect()
    }

    #[test]
    fn coinciding_positions_share_a_name() {
        let node = at_positions(live("n1", Role::Follower, 7), [281, 281, 288, 293]);
        assert_eq!(
            told(&marks_of(&node, 297)),
            [
                ("applied and commit".to_owned(), 281, 0),
                ("flushed".to_owned(), 288, 1),
                ("last".to_owned(), 293, 2)
            ]
        );
        let level = at_positions(live("n1", Role::Follower, 7), [293; 4]);
        assert_eq!(
            told(&marks_of(&level, 297)),
            [("applied, commit, flushed and last".to_owned(), 293, 0)]
        );
    }

    #[test]
    fn positions_that_coincide_out_of_order_are_still_joined() {
        let node = at_positions(live("n1", Role::Follower, 7), [280, 286, 280, 286]);
        assert_eq!(
            told(&marks_of(&node, 290)),
            [
                ("applied and flushed".to_owned(), 280, 0),
                ("commit and last".to_owned(), 286, 1)
            ]
        );
    }

    #[test]
    fn left_of_the_middle_the_rightmost_is_written_on_top() {
        let node = at_positions(live("n1", Role::Leader, 1), [3, 5, 8, 11]);
        let marks = marks_of(&node, 11);
        assert!(marks.iter().flatten().all(|mark| mark.side == Side::Start));
        let rows: Vec<usize> = marks.iter().flatten().map(|mark| mark.row).collect();
        assert_eq!(rows, [3, 2, 1, 0]);
    }

    #[test]
    fn positions_near_each_other_are_written_on_one_side() {
        let node = at_positions(live("n3", Role::Follower, 7), [290, 290, 300, 301]);
        assert!(
            marks_of(&node, 329)
                .iter()
                .flatten()
                .all(|mark| mark.side == Side::Start)
        );
        let spread = at_positions(live("n3", Role::Follower, 7), [275, 275, 300, 328]);
        let sides: Vec<Side> = marks_of(&spread, 329)
            .iter()
            .flatten()
            .map(|mark| mark.side)
            .collect();
        assert_eq!(sides, [Side::Start, Side::End, Side::End]);
    }

    #[test]
    fn a_position_left_of_the_window_says_so() {
        let node = at_positions(live("n1", Role::Follower, 7), [10, 10, 290, 290]);
        let marks = marks_of(&node, 297);
        let applied = marks[0].as_ref().expect("a mark");
        assert!(applied.off && applied.x.abs() < f64::EPSILON);
        assert!(!marks[2].as_ref().expect("a mark").off);
    }

    #[test]
    fn only_a_leader_has_matches_and_level_followers_share_one() {
        let mut leader = at_positions(live("n2", Role::Leader, 7), [284, 286, 291, 297]);
        if let Some(status) = &mut leader.status {
            status.peers[0].match_index = Some(286);
            status.peers[1].match_index = Some(279);
        }
        let axis = Axis::of(std::slice::from_ref(&leader)).expect("a log");
        let told = |node: &NodeView| -> Vec<(String, usize)> {
            match_marks(&axis, node.status.as_ref().expect("a status"))
                .into_iter()
                .map(|mark| (mark.long, mark.row))
                .collect()
        };
        assert_eq!(
            told(&leader),
            [("n1’s match".to_owned(), 1), ("n3’s match".to_owned(), 0)]
        );
        if let Some(status) = &mut leader.status {
            status.peers[1].match_index = Some(286);
        }
        assert_eq!(told(&leader), [("n1 and n3’s match".to_owned(), 0)]);
        assert!(told(&live("n1", Role::Follower, 7)).is_empty());
    }
}
