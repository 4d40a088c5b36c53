//! The cone of the chosen event: the areas of what may have caused it and of what may depend on it.

use std::fmt::Write as _;

use super::{
    super::{
        figure::{Cone, Counts},
        scale::Axis,
        trace::Relation,
    },
    Drawing,
};

impl Drawing<'_> {
    pub(super) fn counts(&self) -> Option<Counts> {
        let mut counts = Counts::default();
        for relation in self.relations.as_ref()? {
            match relation {
                Relation::Chosen => {}
                Relation::Past => counts.past += 1,
                Relation::Future => counts.future += 1,
                Relation::Concurrent => counts.concurrent += 1,
            }
        }
        Some(counts)
    }

    pub(super) fn cone(&self, (left, right): (i64, i64), last_y: i64) -> Option<Cone> {
        let relations = self.relations.as_ref().filter(|_| self.wish.axis != Axis::Raw)?;
        let front = |wanted: Relation, edge: i64, nearer: fn(i64, i64) -> i64| -> Vec<i64> {
            let mut xs = vec![None; self.lanes.len()];
            for place in &self.drawn {
                let relation = relations[*place];
                if relation != wanted && relation != Relation::Chosen {
                    continue;
                }
                if let (Some(lane), Some(x)) =
                    (self.lane_of(&self.trace.events[*place].node), self.xs[*place])
                {
                    xs[lane] = Some(xs[lane].map_or(x, |known| nearer(known, x)));
                }
            }
            xs.into_iter().map(|x| x.unwrap_or(edge)).collect()
        };
        let (past, future) = (
            front(Relation::Past, left, i64::max),
            front(Relation::Future, right, i64::min),
        );
        let (top, bottom) = (self.heights.clients_y + 14, last_y + 34);
        let area = |front: &[i64], edge: i64| {
            let mut path = format!("M{edge} {top}");
            for (lane, x) in front.iter().enumerate() {
                let y = if lane == 0 { top } else { self.heights.lane_y(lane) };
                let _ = write!(path, "L{x} {y}");
                if lane == 0 {
                    let _ = write!(path, "L{x} {}", self.heights.lane_y(0));
                }
            }
            let _ = write!(
                path,
                "L{} {bottom}L{edge} {bottom}Z",
                front.last().copied().unwrap_or(edge)
            );
            path
        };
        Some(Cone {
            past: area(&past, left),
            future: area(&future, right),
            past_x: past.last().copied().unwrap_or(left),
            future_x: future.last().copied().unwrap_or(right),
        })
    }
}
