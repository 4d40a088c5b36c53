//! Where on the axis an event is drawn. Pure, and steady: what is drawn keeps its place while new events come
//! in on the right and old ones leave on the left.
//!
//! Three axes order the same events. On *Lamport* every number that occurs is one column, a step apart. On the
//! two clock axes distance grows with the logarithm of the time between neighbours: an election is made of
//! microseconds and of waits a thousand times longer, and a straight scale would draw one of them as a single
//! dot. What is left out between two columns (the steady heartbeat, a long silence) folds into a band that
//! says how long it was.

use std::collections::HashMap;

use wiber_protocol::event::TraceEvent;

/// Between two neighbouring Lamport columns, pixels.
pub const STEP_PX: i64 = 16;
/// A folded band without and with room for words, pixels.
pub const NARROW_FOLD_PX: i64 = 26;
pub const WIDE_FOLD_PX: i64 = 84;
/// A band at least this long is told in words.
pub const WIDE_FOLD_US: i64 = 1_000_000;
/// On a clock axis, a silence this long folds.
const SILENCE_US: i64 = 50_000;
/// On the Lamport axis, so many numbers without a known event mean that events were left out.
const LEFT_OUT_TICKS: i64 = 16;

/// What orders the events from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Axis {
    #[default]
    Lamport,
    /// Cluster time, as each node estimates it.
    Corrected,
    /// Each node's own clock, right or wrong.
    Raw,
}

impl Axis {
    pub const ALL: [Self; 3] = [Self::Lamport, Self::Corrected, Self::Raw];

    /// As in the address of the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lamport => "lamport",
            Self::Corrected => "corrected",
            Self::Raw => "raw",
        }
    }

    pub fn of_str(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|axis| axis.as_str() == text)
    }

    /// As shown on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lamport => "Lamport",
            Self::Corrected => "corrected time",
            Self::Raw => "raw clocks",
        }
    }

    #[expect(
        clippy::cast_possible_wrap,
        reason = "a Lamport time counts events; 2^63 of them do not occur"
    )]
    pub fn value(self, event: &TraceEvent) -> i64 {
        match self {
            Self::Lamport => event.lamport as i64,
            Self::Corrected => event.corrected_us,
            Self::Raw => event.ts_us,
        }
    }
}

/// A place on the axis: a value, and a rank where one lane has several events of that value.
type Key = (i64, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    key: Key,
    x: i64,
    /// The earliest and the latest cluster time of its events.
    first_us: i64,
    last_us: i64,
}

/// A stretch that is not drawn to scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Its left and right edge.
    pub left: i64,
    pub right: i64,
    /// Cluster time from the last event before it to the first after it.
    pub us: i64,
    /// Whether quiet events are known in it; otherwise nothing is known to have happened, or it was left out.
    pub quiet: bool,
}

/// Where the events of one drawing are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Per event given, in the order given.
    pub xs: Vec<i64>,
    pub folds: Vec<Fold>,
    columns: Vec<Column>,
}

/// Remembers the last drawing, so that the next keeps its places.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    axis: Axis,
    columns: Vec<Column>,
}

impl Scale {
    /// Places `drawn` (in trace order, so that each node's are in its own order). `quiet` are the values of the
    /// events that are known and not drawn, sorted.
    pub fn place(&mut self, axis: Axis, drawn: &[&TraceEvent], quiet: &[i64]) -> Places {
        let keys = keys(axis, drawn);
        let mut columns: Vec<Column> = keys
            .iter()
            .zip(drawn)
            .map(|(key, event)| Column {
                key: *key,
                x: 0,
                first_us: event.corrected_us,
                last_us: event.corrected_us,
            })
            .collect();
        columns.sort_unstable_by_key(|column| column.key);
        columns.dedup_by(|next, kept| {
            let same = next.key == kept.key;
            if same {
                kept.first_us = kept.first_us.min(next.first_us);
                kept.last_us = kept.last_us.max(next.last_us);
            }
            same
        });
        let mut folds = Vec::new();
        for place in 1..columns.len() {
            let (before, here) = (columns[place - 1], columns[place]);
            let (width, fold) = gap(axis, before, here, quiet);
            columns[place].x = before.x + width;
            if let Some(quiet) = fold {
                let us = (here.first_us - before.last_us).max(0);
                folds.push(Fold {
                    left: before.x,
                    right: columns[place].x,
                    us,
                    quiet,
                });
            }
        }
        let shift = if axis == self.axis {
            self.shift_to_keep(&columns)
        } else {
            0
        };
        for column in &mut columns {
            column.x += shift;
        }
        for fold in &mut folds {
            fold.left += shift;
            fold.right += shift;
        }
        let xs = keys.iter().map(|key| x_of(&columns, *key)).collect();
        self.axis = axis;
        self.columns.clone_from(&columns);
        Places { xs, folds, columns }
    }

    /// How far the new columns must move so that the first one that was drawn before stays in its place.
    fn shift_to_keep(&self, columns: &[Column]) -> i64 {
        columns
            .iter()
            .find_map(|column| {
                let old = self
                    .columns
                    .binary_search_by_key(&column.key, |old| old.key)
                    .ok()?;
                Some(self.columns[old].x - column.x)
            })
            .or_else(|| {
                // Nothing in common: go on to the right of what was.
                let (last, first) = (self.columns.last()?, columns.first()?);
                Some(last.x + WIDE_FOLD_PX - first.x)
            })
            .unwrap_or(0)
    }
}

impl Places {
    pub fn left(&self) -> i64 {
        self.columns.first().map_or(0, |column| column.x)
    }

    pub fn right(&self) -> i64 {
        self.columns.last().map_or(0, |column| column.x)
    }

    /// The last column's value and the latest cluster time in it.
    pub fn last(&self) -> Option<(i64, i64)> {
        self.columns.last().map(|column| (column.key.0, column.last_us))
    }

    /// Where a value that is not drawn would be.
    pub fn x_at(&self, value: i64) -> i64 {
        let next = self.columns.partition_point(|column| column.key.0 < value);
        match (
            next.checked_sub(1).and_then(|before| self.columns.get(before)),
            self.columns.get(next),
        ) {
            (_, Some(column)) if column.key.0 == value => column.x,
            (Some(before), Some(after)) => {
                let (span, into) = (after.key.0 - before.key.0, value - before.key.0);
                before.x + (after.x - before.x) * into / span.max(1)
            }
            (None, Some(first)) => first.x,
            (Some(last), None) => last.x,
            (None, None) => 0,
        }
    }

    /// The columns as `(value, x)`, each value once.
    pub fn values(&self) -> impl Iterator<Item = (i64, i64)> {
        self.columns
            .iter()
            .filter(|column| column.key.1 == 0)
            .map(|column| (column.key.0, column.x))
    }
}

fn keys(axis: Axis, drawn: &[&TraceEvent]) -> Vec<Key> {
    let mut ranks: HashMap<(&str, i64), u32> = HashMap::new();
    drawn
        .iter()
        .map(|event| {
            let value = axis.value(event);
            let rank = ranks.entry((event.node.as_str(), value)).or_default();
            *rank += 1;
            (value, *rank - 1)
        })
        .collect()
}

fn x_of(columns: &[Column], key: Key) -> i64 {
    columns
        .binary_search_by_key(&key, |column| column.key)
        .map_or(0, |place| columns[place].x)
}

/// The width between two neighbouring columns, and if it is a fold, whether quiet events are in it.
fn gap(axis: Axis, before: Column, here: Column, quiet: &[i64]) -> (i64, Option<bool>) {
    let span = here.key.0 - before.key.0;
    let has_quiet = quiet.partition_point(|value| *value <= before.key.0)
        < quiet.partition_point(|value| *value < here.key.0);
    let folds = match axis {
        Axis::Lamport => has_quiet || span >= LEFT_OUT_TICKS,
        Axis::Corrected | Axis::Raw => span > SILENCE_US,
    };
    if folds {
        let us = here.first_us - before.last_us;
        let width = if us >= WIDE_FOLD_US {
            WIDE_FOLD_PX
        } else {
            NARROW_FOLD_PX.max(STEP_PX)
        };
        let width = if axis == Axis::Lamport {
            width
        } else {
            width.max(squeezed_px(SILENCE_US))
        };
        return (width, Some(has_quiet));
    }
    (
        if axis == Axis::Lamport {
            STEP_PX
        } else {
            squeezed_px(span)
        },
        None,
    )
}

/// Pixels for a time between two neighbours: 11 for a few microseconds, 32 for a millisecond, 60 for fifty.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "some ten pixels"
)]
fn squeezed_px(us: i64) -> i64 {
    (10.0 + 5.0 * (1.0 + us.max(0) as f64 / 50.0).log2()).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiber_protocol::event::EventKind;

    use super::{super::sample::*, *};
    use crate::{timeline::trace::Trace, view::is_beat};

    fn places(scale: &mut Scale, axis: Axis, events: &[TraceEvent]) -> (Vec<(String, i64)>, Places) {
        let trace = Trace::read(events);
        let (quiet, drawn): (Vec<_>, Vec<_>) = trace.events.iter().copied().partition(|event| is_beat(event));
        let mut quiet: Vec<i64> = quiet.into_iter().map(|event| axis.value(event)).collect();
        quiet.sort_unstable();
        let places = scale.place(axis, &drawn, &quiet);
        let names = drawn.iter().map(|event| format!("{}.{}", event.node, event.seq));
        (names.zip(places.xs.iter().copied()).collect(), places)
    }

    #[test]
    fn heartbeats_fold_into_a_band_that_says_how_long() {
        let mut sample = Sample::default();
        sample.publish("n1", "n2", 1);
        sample.heartbeats("n2", 30);
        sample.publish("n2", "n2", 2);
        let (_, places) = places(&mut Scale::default(), Axis::Lamport, &sample.events());
        let [fold] = places.folds[..] else {
            panic!("one band, not {:?}", places.folds)
        };
        assert!(fold.quiet);
        assert_eq!(fold.right - fold.left, WIDE_FOLD_PX);
        assert!((3_000_000..3_100_000).contains(&fold.us), "{}", fold.us);
    }

    #[test]
    fn a_silence_folds_on_a_clock_axis_too() {
        let mut sample = Sample::default();
        sample.mark("n1", EventKind::Append);
        sample.wait_us(40_000);
        sample.mark("n1", EventKind::Flush);
        sample.wait_us(2_000_000);
        sample.mark("n1", EventKind::Commit);
        let (_, places) = places(&mut Scale::default(), Axis::Corrected, &sample.events());
        let [fold] = places.folds[..] else {
            panic!("one band, not {:?}", places.folds)
        };
        assert!(!fold.quiet);
        assert_eq!(fold.us, 2_000_007);
    }

    #[test]
    fn events_of_one_microsecond_on_one_node_stand_apart() {
        let mut sample = Sample::default();
        for _ in 0..3 {
            sample.mark("n1", EventKind::Append);
        }
        let mut events = sample.events();
        for event in &mut events {
            event.corrected_us = EPOCH_US;
        }
        let (xs, _) = places(&mut Scale::default(), Axis::Corrected, &events);
        assert!(xs.windows(2).all(|pair| pair[0].1 < pair[1].1), "{xs:?}");
    }

    #[test]
    fn a_value_between_two_columns_lies_between_them() {
        let mut sample = Sample::default();
        sample.publish("n1", "n2", 1);
        sample.heartbeats("n2", 30);
        sample.publish("n2", "n2", 2);
        let (_, places) = places(&mut Scale::default(), Axis::Lamport, &sample.events());
        let fold = places.folds[0];
        let middle = places.values().find(|(_, x)| *x == fold.left).unwrap().0 + 60;
        assert!((fold.left..fold.right).contains(&places.x_at(middle)));
        assert_eq!(places.x_at(i64::MIN), places.left());
        assert_eq!(places.x_at(i64::MAX), places.right());
    }

    proptest! {
        #[test]
        fn the_axis_never_turns_back_and_never_crowds(steps in script(), axis in prop::sample::select(Axis::ALL.to_vec())) {
            let events = play(&steps).events();
            let (_, placed) = places(&mut Scale::default(), axis, &events);
            for pair in placed.columns.windows(2) {
                prop_assert!(pair[0].key < pair[1].key);
                prop_assert!(pair[0].x + 10 <= pair[1].x);
            }
        }

        #[test]
        fn what_is_drawn_keeps_its_place(steps in script(), first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>()) {
            let events = play(&steps).events();
            let cuts = [first.index(events.len() + 1), second.index(events.len() + 1)];
            let (start, end) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
            let mut scale = Scale::default();
            // Whole prefixes in Lamport order, as the nodes send them; the oldest leave as new ones come.
            let mut ordered: Vec<TraceEvent> = Trace::read(&events).events.into_iter().cloned().collect();
            ordered.sort_by_key(|event| event.lamport);
            let (before, _) = places(&mut scale, Axis::Lamport, &ordered[..end]);
            let (after, _) = places(&mut scale, Axis::Lamport, &ordered[start..]);
            let old: HashMap<String, i64> = before.into_iter().collect();
            let moved: Vec<_> = after.iter()
                .filter_map(|(name, x)| old.get(name).map(|old| (name, *old, *x)))
                .filter(|(_, old, new)| old != new)
                .collect();
            prop_assert!(moved.is_empty(), "{:?}", moved);
        }
    }
}
