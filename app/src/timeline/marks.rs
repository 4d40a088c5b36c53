//! The shapes: what each mark looks like as an SVG path. Shape and word always go with colour.

use std::fmt::Write as _;

use wiber_protocol::{event::EventKind, status::Role};

use super::labels::Line;

/// The shape of an event on its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// An arrow begins or ends.
    Dot,
    Append,
    Flush,
    Commit,
    Apply,
    Vote,
    Leads,
    Role,
    Publish,
    Deliver,
    Fault,
    /// A client's end of a message.
    Client,
}

impl Mark {
    /// Every mark an event can have, those that may cover others first.
    pub const ON_LANES: [Self; 11] = [
        Self::Dot,
        Self::Append,
        Self::Flush,
        Self::Commit,
        Self::Apply,
        Self::Vote,
        Self::Leads,
        Self::Role,
        Self::Publish,
        Self::Deliver,
        Self::Fault,
    ];

    pub fn of(kind: EventKind, role: Option<Role>) -> Self {
        match kind {
            EventKind::Send | EventKind::Receive => Self::Dot,
            EventKind::Append => Self::Append,
            EventKind::Flush => Self::Flush,
            EventKind::Commit => Self::Commit,
            EventKind::Apply => Self::Apply,
            EventKind::Vote => Self::Vote,
            EventKind::Role if role == Some(Role::Leader) => Self::Leads,
            EventKind::Role => Self::Role,
            EventKind::Publish => Self::Publish,
            EventKind::Deliver => Self::Deliver,
            EventKind::Fault => Self::Fault,
        }
    }

    pub fn class(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Append => "append",
            Self::Flush => "flush",
            Self::Commit => "commit",
            Self::Apply => "apply",
            Self::Vote => "vote",
            Self::Leads => "leads",
            Self::Role => "role",
            Self::Publish => "publish",
            Self::Deliver => "deliver",
            Self::Fault => "fault",
            Self::Client => "client",
        }
    }

    /// The shape around a point.
    pub fn path(self, x: f64, y: f64) -> String {
        let circle = |r: f64| {
            format!(
                "M{:.1} {y:.1}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0",
                x - r,
                d = 2.0 * r
            )
        };
        let at = format!("M{x:.1} {y:.1}");
        match self {
            Self::Dot => circle(1.6),
            Self::Append | Self::Flush => format!("{at}m-3.5-3.5h7v7h-7z"),
            Self::Commit => circle(5.0),
            Self::Apply => circle(3.6),
            Self::Vote => format!("{at}m0-5.4l5.4 5.4-5.4 5.4-5.4-5.4z"),
            Self::Leads | Self::Role => format!("{at}m0-7v14"),
            Self::Publish => format!("{at}m-4-4.4l8.4 4.4-8.4 4.4z"),
            Self::Deliver => format!("{at}m-4.4 4l4.4-8.4 4.4 8.4z"),
            Self::Fault => format!("{at}m-4-4l8 8m0-8l-8 8"),
            Self::Client => circle(3.2),
        }
    }
}

/// Space between an arrow's end and the middle of the lane, pixels.
const CLEARANCE: f64 = 5.0;
const HEAD_LENGTH: f64 = 5.5;
const HEAD_HALF_WIDTH: f64 = 2.3;

/// A line with a head at its end, as one path.
pub fn arrow_path(Line { from, to }: Line) -> String {
    let length = (to.0 - from.0).hypot(to.1 - from.1).max(1.0);
    let (dx, dy) = ((to.0 - from.0) / length, (to.1 - from.1) / length);
    let (start, tip) = (
        (from.0 + dx * CLEARANCE, from.1 + dy * CLEARANCE),
        (to.0 - dx * CLEARANCE, to.1 - dy * CLEARANCE),
    );
    let (back_x, back_y) = (-dx * HEAD_LENGTH, -dy * HEAD_LENGTH);
    let (side_x, side_y) = (-dy * HEAD_HALF_WIDTH, dx * HEAD_HALF_WIDTH);
    let mut path = format!("M{:.1} {:.1}L{:.1} {:.1}", start.0, start.1, tip.0, tip.1);
    // Writing to a string cannot fail.
    let _ = write!(
        path,
        // A path of its own, so that filling it closes the head alone.
        "M{:.1} {:.1}l{:.1} {:.1}l{:.1} {:.1}z",
        tip.0,
        tip.1,
        back_x + side_x,
        back_y + side_y,
        -2.0 * side_x,
        -2.0 * side_y
    );
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_ends_short_of_its_lanes_with_its_head_at_the_end() {
        let path = arrow_path(Line {
            from: (0.0, 0.0),
            to: (0.0, 100.0),
        });
        assert_eq!(path, "M0.0 5.0L0.0 95.0M0.0 95.0l-2.3 -5.5l4.6 -0.0z");
    }

    #[test]
    fn every_mark_is_drawn_around_its_point() {
        assert_eq!(Mark::Flush.path(10.0, 20.0), "M10.0 20.0m-3.5-3.5h7v7h-7z");
        assert_eq!(
            Mark::Commit.path(10.0, 20.0),
            "M5.0 20.0a5 5 0 1 0 10 0a5 5 0 1 0-10 0"
        );
    }
}
