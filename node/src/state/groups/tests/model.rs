//! Groups against a model that keeps one status for each record.

use proptest::prelude::*;

use super::*;
use crate::state::{Checkpoint, Snapshot};

/// What may happen to a group. Offsets are of a topic of [`RECORDS`].
#[derive(Clone, Debug)]
enum Step {
    Deliver(u64, u64),
    Ack(u64, u64),
    DeadLetter(u64),
    Skip(u64),
    Seek(u64),
    Configure(u32),
    Recreate(u64),
}

const RECORDS: u64 = 1_100;

fn step() -> impl Strategy<Value = Step> {
    let low = 1..40_u64;
    let any = prop_oneof![8 => 1..40_u64, 1 => 0..RECORDS + 3];
    prop_oneof![
        8 => (any.clone(), 0..20_u64).prop_map(|(first, more)| Step::Deliver(first, first + more)),
        8 => (any.clone(), 0..9_u64).prop_map(|(first, more)| Step::Ack(first, first + more)),
        4 => any.clone().prop_map(Step::DeadLetter),
        1 => any.clone().prop_map(Step::Skip),
        1 => any.prop_map(Step::Seek),
        1 => (1..4_u32).prop_map(Step::Configure),
        1 => low.prop_map(Step::Recreate),
    ]
}

/// A record in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Waits,
    Out(u32),
    Done,
}

/// The simplest group there can be.
struct Model {
    /// By offset; the first one stands for no record and is always done.
    records: Vec<Status>,
    max_deliveries: u32,
}

impl Model {
    fn new(next_offset: u64, max_deliveries: u32) -> Self {
        let mut model = Self {
            records: Vec::new(),
            max_deliveries,
        };
        model.seek(next_offset);
        model
    }

    fn seek(&mut self, next_offset: u64) {
        let next_offset = next_offset.clamp(1, RECORDS + 1);
        let status = |offset| {
            if offset < next_offset {
                Status::Done
            } else {
                Status::Waits
            }
        };
        self.records = (0..=RECORDS).map(status).collect();
    }

    fn next_offset(&self) -> u64 {
        let first = self.records.iter().position(|status| *status != Status::Done);
        first.map_or(RECORDS + 1, |first| first as u64)
    }

    fn highest(&self) -> u64 {
        let last = self.records.iter().rposition(|status| *status != Status::Waits);
        last.map_or(0, |last| last as u64)
    }

    /// The statuses of `first..=last`, if that is no further than `bound`.
    fn within(&mut self, first: u64, last: u64, bound: u64) -> Option<&mut [Status]> {
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        (last as u64 <= bound).then(|| &mut self.records[first..=last])
    }

    /// Whether it changed the group, or was in effect.
    fn step(&mut self, step: &Step) -> bool {
        match *step {
            Step::Deliver(first, last) => {
                let bound = RECORDS.min(self.next_offset() + 1_023);
                let Some(records) = self.within(first, last, bound) else {
                    return false;
                };
                for status in records {
                    *status = match *status {
                        Status::Waits => Status::Out(1),
                        Status::Out(count) => Status::Out(count + 1),
                        Status::Done => Status::Done,
                    };
                }
            }
            Step::Ack(first, last) => {
                let bound = self.highest();
                let Some(records) = self.within(first, last, bound) else {
                    return false;
                };
                records.fill(Status::Done);
            }
            Step::DeadLetter(offset) => {
                let max = self.max_deliveries;
                let status = usize::try_from(offset)
                    .ok()
                    .and_then(|at| self.records.get_mut(at));
                match status {
                    Some(Status::Done) => {}
                    Some(status @ Status::Out(_)) if *status >= Status::Out(max) => *status = Status::Done,
                    _ => return false,
                }
            }
            Step::Skip(next_offset) => {
                let end = next_offset.min(RECORDS + 1);
                let skipped = usize::try_from(end).expect("a small offset");
                self.records[..skipped].fill(Status::Done);
            }
            Step::Seek(next_offset) => self.seek(next_offset),
            Step::Configure(max_deliveries) => self.max_deliveries = max_deliveries,
            Step::Recreate(next_offset) => *self = Self::new(next_offset, 2),
        }
        true
    }
}

impl PartialOrd for Status {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Out(a), Self::Out(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

/// Carries a step out, and says whether it changed the group or was in effect.
fn carry_out(log: &mut Log, step: &Step) -> bool {
    let record = match *step {
        Step::Deliver(first, last) => deliver(first..=last),
        Step::Ack(first, last) => ack(first..=last),
        Step::DeadLetter(offset) => dead_letter(offset),
        Step::Skip(next_offset) => op(GroupAction::Skip { next_offset }),
        Step::Seek(next_offset) => op(GroupAction::Seek { next_offset }),
        Step::Configure(max_deliveries) => op(GroupAction::Configure {
            settings: GroupSettings {
                max_deliveries,
                ..GroupSettings::default()
            },
        }),
        Step::Recreate(next_offset) => {
            log.changes(op(GroupAction::Delete));
            create(next_offset, 2)
        }
    };
    let outcome = log.one(record);
    match outcome {
        PublishOutcome::GroupChanged | PublishOutcome::Published { .. } => true,
        PublishOutcome::OutOfGroupRange => false,
        other => panic!("{step:?} is answered with {other:?}"),
    }
}

proptest! {
    #[test]
    fn a_group_is_as_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut log = Log::of(usize::try_from(RECORDS).expect("a small number"));
        log.changes(create(1, 2));
        let mut model = Model::new(1, 2);
        for step in &steps {
            prop_assert_eq!(carry_out(&mut log, step), model.step(step), "{:?}", step);
            let group = log.group();
            prop_assert_eq!(group.next_offset(), model.next_offset(), "after {:?}", step);
            let mut undone = 0;
            for (offset, status) in (0_u64..).zip(&model.records) {
                prop_assert_eq!(group.is_done(offset), *status == Status::Done, "{} after {:?}", offset, step);
                let count = if let Status::Out(count) = status { *count } else { 0 };
                prop_assert_eq!(group.deliveries(offset), count, "{} after {:?}", offset, step);
                undone += u64::from(*status != Status::Done);
            }
            prop_assert_eq!(group.lag(1, RECORDS), undone);
        }
        // A node that starts from a checkpoint or a snapshot goes on with the same.
        let checkpoint = log.state.checkpoint();
        let read = Checkpoint::decode(checkpoint.encode()).expect("a checkpoint");
        prop_assert_eq!(read.encode(), checkpoint.encode());
        prop_assert_eq!(&read, &checkpoint);
        let snapshot = Snapshot { checkpoint, ids: Vec::new() };
        let snapshot = Snapshot::decode(&snapshot.encode()).expect("a snapshot");
        let restored = State::restore(log.state.limits, snapshot, []);
        prop_assert_eq!(&restored.groups, &log.state.groups);
    }
}
