//! How many clocks allow an instant: Marzullo's count over the intervals, as a step line. Pure.
//!
//! K. Marzullo, "Maintaining the time in a distributed system", 1984: the truth is where most intervals overlap.

use std::fmt::Write;

use super::scale::Scale;

/// A stretch that the same number of intervals hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub from_ms: f64,
    pub to_ms: f64,
    pub count: usize,
}

/// The stretches from `lo_ms` to `hi_ms`, in order and without a gap.
pub fn steps(intervals: &[(f64, f64)], lo_ms: f64, hi_ms: f64) -> Vec<Step> {
    let mut edges: Vec<f64> = intervals
        .iter()
        .flat_map(|(from, to)| [*from, *to])
        .filter(|edge| *edge > lo_ms && *edge < hi_ms)
        .chain([lo_ms, hi_ms])
        .collect();
    // There are a handful, and a sort of the library's is a few kilobytes for every browser.
    for place in 1..edges.len() {
        for back in (1..=place).rev() {
            if edges[back] < edges[back - 1] {
                edges.swap(back, back - 1);
            }
        }
    }
    let count = |ms: f64| {
        intervals
            .iter()
            .filter(|(from, to)| *from <= ms && ms <= *to)
            .count()
    };
    edges
        .windows(2)
        .filter(|pair| pair[1] > pair[0])
        .map(|pair| Step {
            from_ms: pair[0],
            to_ms: pair[1],
            count: count(f64::midpoint(pair[0], pair[1])),
        })
        .collect()
}

/// The highest stretch; the first of several.
pub fn highest(steps: &[Step]) -> Option<Step> {
    steps
        .iter()
        .copied()
        .reduce(|best, step| if step.count > best.count { step } else { best })
}

/// The step line in a box of 100 by `most`, its base at the bottom.
pub fn path(steps: &[Step], scale: Scale, most: usize) -> String {
    let mut path = String::new();
    for step in steps {
        let y = most.saturating_sub(step.count);
        let letter = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a string does not fail.
        let _ = write!(
            path,
            "{letter}{:.2} {y}H{:.2}",
            scale.x(step.from_ms),
            scale.x(step.to_ms)
        );
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_rises_and_falls_at_the_ends_of_the_intervals() {
        let steps = steps(&[(-2.0, 1.0), (-1.0, 3.0)], -5.0, 5.0);
        let counts: Vec<(f64, usize)> = steps.iter().map(|step| (step.from_ms, step.count)).collect();
        assert_eq!(counts, [(-5.0, 0), (-2.0, 1), (-1.0, 2), (1.0, 1), (3.0, 0)]);
        let best = highest(&steps).expect("there are steps");
        assert_eq!((best.from_ms, best.to_ms, best.count), (-1.0, 1.0, 2));
    }

    #[test]
    fn what_is_off_the_scale_is_not_counted_on_it() {
        let steps = steps(&[(-1.0, 1.0), (4_999.0, 5_001.0)], -2.0, 2.0);
        assert_eq!(highest(&steps).map(|step| step.count), Some(1));
        assert_eq!(steps.last().map(|step| step.to_ms), Some(2.0));
    }

    #[test]
    fn no_interval_is_a_line_along_the_base() {
        let steps = steps(&[], -1.0, 1.0);
        assert_eq!(steps.len(), 1);
        assert_eq!(path(&steps, Scale::default(), 3), "M0.00 3H100.00");
    }
}
