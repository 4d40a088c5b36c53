//! The largest set of clocks that can all be right at once (Marzullo, "Maintaining the Time in a Distributed System",
//! 1984): each says an interval, and the truth lies where most intervals overlap.

use crate::Interval;

/// Where most intervals overlap, and how many do there. Of equally good places the earliest.
pub fn agreement(intervals: &[Interval]) -> Option<(Interval, usize)> {
    // A start before an end at the same place: intervals that only touch agree.
    let mut edges: Vec<(i64, bool)> = intervals
        .iter()
        .flat_map(|interval| [(interval.lo, false), (interval.hi, true)])
        .collect();
    edges.sort_unstable();
    let (mut open, mut best) = (0, None::<(Interval, usize)>);
    for (place, &(at, is_end)) in edges.iter().enumerate() {
        if is_end {
            open -= 1;
            continue;
        }
        open += 1;
        if best.is_none_or(|(_, count)| open > count) {
            // The overlap ends at the next edge: another start would have made it a better one.
            let end = edges[place + 1..].first().map_or(at, |edge| edge.0);
            best = Some((Interval::new(at, end), open));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(intervals: &[(i64, i64)], expected: Option<(i64, i64, usize)>) {
        let intervals: Vec<_> = intervals.iter().map(|(lo, hi)| Interval::new(*lo, *hi)).collect();
        let expected = expected.map(|(lo, hi, count)| (Interval::new(lo, hi), count));
        assert_eq!(agreement(&intervals), expected);
    }

    #[test]
    fn the_examples_of_the_literature() {
        check(&[], None);
        check(&[(3, 7)], Some((3, 7, 1)));
        check(&[(8, 12), (11, 13), (10, 12)], Some((11, 12, 3)));
        check(&[(8, 12), (11, 13), (14, 15)], Some((11, 12, 2)));
        check(&[(8, 9), (8, 12), (10, 12)], Some((8, 9, 2)));
        check(&[(0, 5), (5, 9)], Some((5, 5, 2)));
    }

    #[test]
    fn one_wrong_clock_of_three_is_outvoted() {
        check(&[(-500, 500), (-520, 480), (4_500, 5_500)], Some((-500, 480, 2)));
    }

    proptest! {
        #[test]
        fn no_place_is_in_more_intervals(edges in proptest::collection::vec((-50_i64..50, 0_i64..30), 1..9)) {
            let intervals: Vec<_> = edges.iter().map(|(lo, len)| Interval::new(*lo, lo + len)).collect();
            let (found, count) = agreement(&intervals).unwrap();
            let at = |place: i64| intervals.iter().filter(|interval| interval.holds(place)).count();
            for place in -50..=80 {
                prop_assert!(at(place) <= count);
            }
            for place in [found.lo, found.middle(), found.hi] {
                prop_assert_eq!(at(place), count);
            }
        }
    }
}
