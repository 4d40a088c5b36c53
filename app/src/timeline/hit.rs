//! What a reader points at: by pointer the nearest thing, by keyboard the next one. Pure.

use super::{
    figure::{DrawnArrow, Figure, Spot},
    labels::Line,
    trace::EventId,
};

/// How near a pointer must come to an event and to an arrow, pixels.
const EVENT_REACH_PX: f64 = 12.0;
const ARROW_REACH_PX: f64 = 7.0;

/// What is pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Event(EventId),
    /// An arrow, by the event that sent it.
    Arrow(EventId),
}

impl Target {
    /// The event that is meant: of an arrow, its send.
    pub fn event(&self) -> &EventId {
        match self {
            Self::Event(id) | Self::Arrow(id) => id,
        }
    }
}

/// The thing at a point of the figure, if one is near: an event before an arrow.
pub fn at(figure: &Figure, x: f64, y: f64) -> Option<Target> {
    let nearest_spot = figure
        .spots
        .iter()
        .map(|spot| ((spot.x - x).hypot(spot.y - y), spot))
        .filter(|(distance, _)| *distance <= EVENT_REACH_PX)
        .min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, spot)) = nearest_spot {
        return Some(Target::Event(spot.event.clone()));
    }
    figure
        .arrows
        .iter()
        .map(|arrow| (distance_to(&arrow.line, x, y), arrow))
        .filter(|(distance, _)| *distance <= ARROW_REACH_PX)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, arrow)| Target::Arrow(arrow.send.clone()))
}

fn distance_to(line: &Line, x: f64, y: f64) -> f64 {
    let (dx, dy) = (line.to.0 - line.from.0, line.to.1 - line.from.1);
    let length_squared = dx.mul_add(dx, dy * dy).max(1.0);
    let along = ((x - line.from.0) * dx + (y - line.from.1) * dy) / length_squared;
    let along = along.clamp(0.0, 1.0);
    (line.from.0 + along * dx - x).hypot(line.from.1 + along * dy - y)
}

/// Where the keyboard goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Earlier,
    Later,
    LaneUp,
    LaneDown,
    First,
    Last,
}

impl Way {
    pub fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "ArrowLeft" => Self::Earlier,
            "ArrowRight" => Self::Later,
            "ArrowUp" => Self::LaneUp,
            "ArrowDown" => Self::LaneDown,
            "Home" => Self::First,
            "End" => Self::Last,
            _ => return None,
        })
    }
}

/// The event that a step leads to: along its own lane, or to the nearest in time on the next lane. The first
/// step leads to the newest event.
pub fn step<'a>(figure: &'a Figure, from: Option<&EventId>, way: Way) -> Option<&'a Spot> {
    let newest = || figure.spots.iter().max_by(|a, b| a.x.total_cmp(&b.x));
    let Some(here) = from.and_then(|id| figure.spots.iter().find(|spot| spot.event == *id)) else {
        return newest();
    };
    let on_lane = |lane: usize| figure.spots.iter().filter(move |spot| spot.lane == lane);
    let to_lane = |lane: Option<usize>| {
        on_lane(lane?).min_by(|a, b| (a.x - here.x).abs().total_cmp(&(b.x - here.x).abs()))
    };
    match way {
        Way::Earlier => on_lane(here.lane)
            .filter(|spot| spot.x < here.x)
            .max_by(|a, b| a.x.total_cmp(&b.x)),
        Way::Later => on_lane(here.lane)
            .filter(|spot| spot.x > here.x)
            .min_by(|a, b| a.x.total_cmp(&b.x)),
        Way::LaneUp => to_lane(here.lane.checked_sub(1)),
        Way::LaneDown => to_lane(Some(here.lane + 1)),
        Way::First => figure.spots.iter().min_by(|a, b| a.x.total_cmp(&b.x)),
        Way::Last => newest(),
    }
    .or(Some(here))
}

/// The scroll position that brings a place into sight, if it is out of it. The figure scrolls from its right
/// edge: 0 is the end, everything before it is negative.
pub fn scroll_to_show(from_right: f64, view_width: f64, scroll_left: f64) -> Option<f64> {
    /// Kept between the place and the edge, pixels.
    const MARGIN_PX: f64 = 64.0;
    let (nearest, farthest) = (-scroll_left, view_width - scroll_left);
    if from_right - MARGIN_PX < nearest {
        Some(-(from_right - MARGIN_PX).max(0.0))
    } else if from_right + MARGIN_PX > farthest {
        Some(-(from_right + MARGIN_PX - view_width).max(0.0))
    } else {
        None
    }
}

/// The arrow whose send this is.
pub fn arrow_of<'a>(figure: &'a Figure, send: &EventId) -> Option<&'a DrawnArrow> {
    figure.arrows.iter().find(|arrow| arrow.send == *send)
}

#[cfg(test)]
mod tests {
    use wiber_protocol::event::{EventKind, RpcKind};

    use super::{
        super::{
            drawing::{Memory, draw},
            figure::Wish,
            lanes::Lane,
            sample::*,
            trace::Trace,
        },
        *,
    };

    fn figure() -> Figure {
        let mut sample = Sample::default();
        sample.mark("n1", EventKind::Publish);
        sample.rpc("n1", "n2", RpcKind::Append);
        sample.mark("n3", EventKind::Flush);
        let lanes = NODES.map(|name| Lane {
            name: name.into(),
            raft_id: None,
            role: None,
            alive: true,
        });
        draw(
            &Trace::read(&sample.events()),
            &lanes,
            &Wish::default(),
            &mut Memory::default(),
        )
    }

    #[test]
    fn the_nearest_event_is_meant_and_between_lanes_the_arrow() {
        let figure = figure();
        let spot = &figure.spots[0];
        assert_eq!(
            at(&figure, spot.x + 4.0, spot.y - 3.0),
            Some(Target::Event(spot.event.clone()))
        );
        let arrow = &figure.arrows[0];
        let middle = (
            f64::midpoint(arrow.line.from.0, arrow.line.to.0),
            f64::midpoint(arrow.line.from.1, arrow.line.to.1),
        );
        assert_eq!(
            at(&figure, middle.0 + 3.0, middle.1),
            Some(Target::Arrow(arrow.send.clone()))
        );
        assert_eq!(at(&figure, -500.0, -500.0), None);
    }

    #[test]
    fn steps_walk_along_a_lane_and_across() {
        let figure = figure();
        let first = step(&figure, None, Way::First).unwrap();
        let lane: Vec<f64> = std::iter::successors(Some(figure.spots[0].event.clone()), |id| {
            let next = step(&figure, Some(id), Way::Later).unwrap().event.clone();
            (next != *id).then_some(next)
        })
        .map(|id| figure.spots.iter().find(|spot| spot.event == id).unwrap().x)
        .collect();
        assert!(
            lane.len() == 3 && lane.windows(2).all(|pair| pair[0] < pair[1]),
            "{lane:?}"
        );
        assert_eq!(
            step(&figure, Some(&first.event), Way::LaneDown).unwrap().lane,
            first.lane + 1
        );
        let bottom = figure.spots.iter().find(|spot| spot.lane == 2).unwrap();
        assert_eq!(step(&figure, Some(&bottom.event), Way::LaneDown), Some(bottom));
    }

    #[test]
    fn a_place_out_of_sight_is_scrolled_to_and_one_in_sight_is_not() {
        assert_eq!(scroll_to_show(200.0, 600.0, 0.0), None);
        assert_eq!(scroll_to_show(900.0, 600.0, 0.0), Some(-364.0));
        assert_eq!(scroll_to_show(100.0, 600.0, -800.0), Some(-36.0));
        assert_eq!(scroll_to_show(10.0, 600.0, -800.0), Some(0.0));
    }
}
