//! What is derived from all nodes together and read by every row: computed once a repaint, offered to the
//! page by context.

use leptos::prelude::*;

use super::{
    figure::axis::{Axis, STEP},
    headline::{Headline, headline},
    standing::Census,
};
use crate::{live::Live, reactive::memo, time::clocks::Clocks};

/// Derived signals of the whole cluster.
#[derive(Clone, Copy)]
pub struct Facts {
    pub census: Memo<Census>,
    pub axis: Memo<Option<Axis>>,
    pub headline: Memo<Headline>,
    /// The nodes whose clocks a majority contradicts.
    pub outvoted: Memo<Vec<String>>,
    /// The window moves too often for its motion to be followed: positions jump instead of gliding, so that
    /// what is seen is always true.
    pub hurried: Memo<bool>,
}

/// A window that moved less than this ago, or by more than a step, is in a hurry.
const CALM_MS: i64 = 1_000;

/// Whether a window that was at `lo_before` since `since_ms` and is at `lo` now, at `now_ms`, is in a hurry.
fn is_hurried(lo_before: i64, since_ms: i64, lo: i64, now_ms: i64) -> bool {
    now_ms - since_ms < CALM_MS || (lo - lo_before).abs() > STEP
}

impl Facts {
    pub fn of(live: Live) -> Self {
        let axis = memo(move || Axis::of(&live.nodes()));
        // The window's lower end, since when, and whether it got there in a hurry.
        let moved = Memo::new(move |before: Option<&(i64, i64, bool)>| {
            let lo = axis.with(|axis| axis.as_ref().map_or(0, |axis| axis.lo));
            let now_ms = live.heard_at_untracked();
            match before {
                Some(same) if same.0 == lo => *same,
                Some((lo_before, since_ms, _)) => (lo, now_ms, is_hurried(*lo_before, *since_ms, lo, now_ms)),
                None => (lo, now_ms, false),
            }
        });
        Self {
            census: memo(move || Census::of_nodes(&live.nodes())),
            axis,
            outvoted: memo(move || {
                let outvoted = Clocks::of(&live.nodes()).outvoted;
                outvoted.into_iter().map(|one| one.id).collect()
            }),
            hurried: memo(move || moved.with(|moved| moved.2)),
            headline: memo(move || headline(&live.nodes(), live.records_per_s())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_moves_by_a_step_now_and_then_is_calm() {
        assert!(!is_hurried(239, 0, 249, 2_000));
        assert!(is_hurried(239, 0, 249, 400));
        assert!(is_hurried(239, 0, 539, 60_000));
    }
}
