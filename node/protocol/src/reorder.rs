//! Bounded reordering: records in the order of their origin, held back for so long at most.
//!
//! A log's order is that of commits, which may differ from that of publishing by as much as nodes and networks are slow.
//! Whoever wants the order of origin waits a while for what may still come: a record is given out when the newest time of
//! origin seen is so much later than its own, or so long after it arrived. All that is held and earlier goes before it. What
//! arrives when something later has been given out is late: it is given out at once, and marked. Nothing is dropped.
//!
//! There is no clock in here: whoever uses it says what time it is, by a clock that never goes back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The place of a record in the order of origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Cluster time at the taking node, microseconds since the Unix epoch.
    pub corrected_us: i64,
    pub lamport: u64,
    /// The taking node.
    pub node: Arc<str>,
}

/// How much is held at most. Beyond, the first in order go before their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReorderLimits {
    /// How long a record is held.
    pub hold_us: u64,
    pub records: usize,
    pub bytes: usize,
}

/// Something given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released<T> {
    pub item: T,
    /// Something that belongs behind it was given out before.
    pub late: bool,
}

/// Items that are held back, each with its place in the order of origin.
#[derive(Debug)]
pub struct Reorder<T> {
    limits: ReorderLimits,
    /// Late ones, to go out at once.
    late: VecDeque<T>,
    held: BTreeMap<Place, Held<T>>,
    /// What is held by when it arrived: the time, and the number of the arrival.
    arrivals: BTreeMap<(u64, u64), Origin>,
    bytes: usize,
    arrived: u64,
    newest_us: i64,
    /// The last in order that was given out.
    released: Option<Origin>,
    /// Everything up to here is due.
    due: Option<Place>,
}

/// Two of the same origin keep the order in which they arrived.
type Place = (Origin, u64);

#[derive(Debug)]
struct Held<T> {
    item: T,
    arrived_us: u64,
    bytes: usize,
}

impl<T> Reorder<T> {
    pub fn new(limits: ReorderLimits) -> Self {
        Self {
            limits,
            late: VecDeque::new(),
            held: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            bytes: 0,
            arrived: 0,
            newest_us: i64::MIN,
            released: None,
            due: None,
        }
    }

    /// Whether something that belongs behind `origin` was given out already.
    pub fn is_late(&self, origin: &Origin) -> bool {
        self.released.as_ref().is_some_and(|released| origin < released)
    }

    /// Takes an item in, which arrives now and counts for so many bytes.
    pub fn push(&mut self, now_us: u64, origin: Origin, bytes: usize, item: T) {
        self.newest_us = self.newest_us.max(origin.corrected_us);
        if self.is_late(&origin) {
            self.late.push_back(item);
            return;
        }
        self.arrived += 1;
        self.bytes += bytes;
        self.arrivals.insert((now_us, self.arrived), origin.clone());
        let held = Held {
            item,
            arrived_us: now_us,
            bytes,
        };
        self.held.insert((origin, self.arrived), held);
    }

    /// The next item that is to be given out now. Ask until there is none.
    pub fn pop(&mut self, now_us: u64) -> Option<Released<T>> {
        if let Some(item) = self.late.pop_front() {
            return Some(Released { item, late: true });
        }
        while let Some(((arrived_us, number), origin)) = self.arrivals.first_key_value() {
            if now_us < arrived_us.saturating_add(self.limits.hold_us) {
                break;
            }
            let place = (origin.clone(), *number);
            self.due = self.due.take().max(Some(place));
            self.arrivals.pop_first();
        }
        let (place, _) = self.held.first_key_value()?;
        let is_due = Some(place) <= self.due.as_ref()
            || self.is_passed(place.0.corrected_us)
            || self.held.len() > self.limits.records
            || self.bytes > self.limits.bytes;
        if is_due { self.pop_first() } else { None }
    }

    /// The next item of all, whether or not its time has come: for the end.
    pub fn pop_any(&mut self) -> Option<Released<T>> {
        match self.late.pop_front() {
            Some(item) => Some(Released { item, late: true }),
            None => self.pop_first(),
        }
    }

    /// When to ask again if nothing arrives before.
    pub fn next_due_us(&self) -> Option<u64> {
        let (arrived_us, _) = self.arrivals.first_key_value()?.0;
        Some(arrived_us.saturating_add(self.limits.hold_us))
    }

    /// How many items are held.
    pub fn len(&self) -> usize {
        self.held.len() + self.late.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many bytes the items count that are held and not late.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_passed(&self, corrected_us: i64) -> bool {
        let hold_us = i64::try_from(self.limits.hold_us).unwrap_or(i64::MAX);
        corrected_us.saturating_add(hold_us) <= self.newest_us
    }

    fn pop_first(&mut self) -> Option<Released<T>> {
        let ((origin, number), held) = self.held.pop_first()?;
        self.arrivals.remove(&(held.arrived_us, number));
        self.bytes -= held.bytes;
        self.released = Some(origin);
        Some(Released {
            item: held.item,
            late: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOLD_US: u64 = 50;

    fn origin(corrected_us: i64, lamport: u64) -> Origin {
        Origin {
            corrected_us,
            lamport,
            node: "n1".into(),
        }
    }

    fn reorder<T>(records: usize, bytes: usize) -> Reorder<T> {
        Reorder::new(ReorderLimits {
            hold_us: HOLD_US,
            records,
            bytes,
        })
    }

    fn pop_all<T>(buffer: &mut Reorder<T>, now_us: u64) -> Vec<Released<T>> {
        std::iter::from_fn(|| buffer.pop(now_us)).collect()
    }

    #[test]
    fn what_arrives_out_of_order_within_the_bound_is_put_in_order() {
        let mut buffer = reorder(100, 100);
        buffer.push(0, origin(1_030, 3), 1, "c");
        buffer.push(10, origin(1_010, 1), 1, "a");
        buffer.push(20, origin(1_020, 2), 1, "b");
        assert_eq!(pop_all(&mut buffer, 49), []);
        assert_eq!(buffer.next_due_us(), Some(50));
        // The first to arrive is the last in order: it takes the others along.
        let items: Vec<_> = pop_all(&mut buffer, 50)
            .into_iter()
            .map(|released| (released.item, released.late))
            .collect();
        assert_eq!(items, [("a", false), ("b", false), ("c", false)]);
        assert_eq!((buffer.len(), buffer.next_due_us()), (0, None));
        // Behind what was given out it is late.
        buffer.push(60, origin(1_025, 4), 1, "late");
        let late = Released {
            item: "late",
            late: true,
        };
        assert_eq!(pop_all(&mut buffer, 60), [late]);
    }

    #[test]
    fn a_much_newer_record_lets_the_older_ones_go() {
        let mut buffer = reorder(100, 100);
        buffer.push(0, origin(1_000, 1), 1, 1);
        buffer.push(0, origin(1_049, 2), 1, 2);
        assert_eq!(pop_all(&mut buffer, 1), []);
        buffer.push(1, origin(1_050, 3), 1, 3);
        assert_eq!(pop_all(&mut buffer, 1).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_what_is_not_late_is_in_order_and_in_time(
            arrivals in proptest::collection::vec((0_u64..30, 0_i64..200, 0_usize..10), 0..120),
            (records, bytes) in (1_usize..20, 1_usize..60),
        ) {
            let mut buffer = reorder(records, bytes);
            let (mut now_us, mut given) = (0, Vec::new());
            let mut arrived = Vec::new();
            for (lamport, (pause_us, corrected_us, size)) in (1_u64..).zip(arrivals) {
                // Whoever uses it asks when something is due.
                let then_us = now_us + pause_us;
                while let Some(due_us) = buffer.next_due_us().filter(|due_us| *due_us <= then_us) {
                    now_us = now_us.max(due_us);
                    for released in pop_all(&mut buffer, now_us) {
                        given.push((now_us, released));
                    }
                }
                now_us = then_us;
                let origin = origin(corrected_us, lamport);
                let was_late = buffer.is_late(&origin);
                arrived.push((now_us, origin.clone(), was_late));
                buffer.push(now_us, origin.clone(), size, (lamport, origin, size));
                for released in pop_all(&mut buffer, now_us) {
                    given.push((now_us, released));
                }
                prop_assert!(buffer.len() <= records);
                prop_assert!(buffer.bytes <= bytes);
                prop_assert_eq!(buffer.held.len(), buffer.arrivals.len() );
            }
            while let Some(due_us) = buffer.next_due_us() {
                now_us = now_us.max(due_us);
                for released in pop_all(&mut buffer, now_us) {
                    given.push((now_us, released));
                }
            }
            prop_assert!(buffer.is_empty());
            let mut all: Vec<u64> = given.iter().map(|(_, released)| released.item.0).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (1..=arrived.len() as u64).collect::<Vec<_>>());
            let mut last = None;
            for (given_us, released) in &given {
                let (lamport, origin, _) = &released.item;
                let (arrived_us, _, was_late) = &arrived[usize::try_from(*lamport).unwrap_or(0) - 1];
                prop_assert!(given_us - arrived_us <= HOLD_US);
                prop_assert_eq!(released.late, *was_late);
                if released.late {
                    prop_assert_eq!(given_us, arrived_us);
                    prop_assert!(last.as_ref().is_some_and(|last| origin < last));
                } else {
                    prop_assert!(last.as_ref().is_none_or(|last| origin > last));
                    last = Some(origin.clone());
                }
            }
        }
    }
}
