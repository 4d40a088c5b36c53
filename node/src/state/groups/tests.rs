//! Groups against a model that keeps one status for each record.

use proptest::prelude::*;
use wiber_protocol::{
    entry::EntryKind,
    ids::LogId,
    record::{Batch, Record},
};

use super::*;
use crate::state::{Change, Checkpoint, MAX_TOPICS, Snapshot, State};

const TOPIC: &str = "t";
const GROUP: &str = "g";

fn op(action: GroupAction) -> Record {
    Record {
        topic: TOPIC.into(),
        group_op: Some(GroupOp {
            group: GROUP.to_owned(),
            action,
        }),
        ..Record::default()
    }
}

fn message(topic: &str) -> Record {
    Record {
        topic: topic.into(),
        body: "x".into(),
        ..Record::default()
    }
}

fn dead_letter(offset: u64) -> Record {
    Record {
        topic: "dead.t.g".into(),
        ..op(GroupAction::DeadLetter {
            topic: TOPIC.to_owned(),
            offset,
        })
    }
}

fn create(next_offset: u64, max_deliveries: u32) -> Record {
    op(GroupAction::Create {
        next_offset,
        settings: GroupSettings {
            max_deliveries,
            ..GroupSettings::default()
        },
    })
}

fn deliver(offsets: RangeInclusive<u64>) -> Record {
    op(GroupAction::Deliver {
        offsets: vec![offsets],
    })
}

fn ack(offsets: RangeInclusive<u64>) -> Record {
    op(GroupAction::Ack {
        offsets: vec![offsets],
    })
}

/// A node's state, and the log so far.
#[derive(Default)]
struct Log {
    state: State,
    index: u64,
}

impl Log {
    /// With a topic of so many records.
    fn of(records: usize) -> Self {
        let mut log = Self::default();
        log.apply((0..records).map(|_| message(TOPIC)).collect());
        log
    }

    fn apply(&mut self, records: Vec<Record>) -> Vec<PublishOutcome> {
        self.index += 1;
        let at = LogId {
            term: 1,
            index: self.index,
        };
        let batch = Batch { clock_ms: 0, records };
        self.state.apply(at, 100, &Change::Records(batch)).outcomes
    }

    fn one(&mut self, record: Record) -> PublishOutcome {
        self.apply(vec![record]).remove(0)
    }

    #[track_caller]
    fn changes(&mut self, record: Record) {
        assert_eq!(self.one(record), PublishOutcome::GroupChanged);
    }

    fn group(&self) -> &GroupState {
        self.state.groups.get(TOPIC, GROUP).expect("the group")
    }
}

#[test]
fn what_changes_a_group_is_no_record() {
    let mut log = Log::of(3);
    let (lamport, count) = (log.state.lamport, log.state.record_count);
    log.changes(create(1, 5));
    log.changes(deliver(1..=2));
    log.changes(ack(1..=1));
    assert_eq!((log.state.lamport, log.state.record_count), (lamport, count));
    assert_eq!(log.state.topics.high_watermark(TOPIC), 3);
    assert_eq!(log.group().next_offset(), 2);
    assert_eq!(log.group().deliveries(2), 1);
}

#[test]
fn without_a_group_nothing_is_changed() {
    let mut log = Log::of(3);
    for record in [
        deliver(1..=1),
        ack(1..=1),
        op(GroupAction::Delete),
        op(GroupAction::Seek { next_offset: 1 }),
        op(GroupAction::Skip { next_offset: 1 }),
        dead_letter(1),
    ] {
        assert_eq!(log.one(record), PublishOutcome::NoSuchGroup);
    }
    assert_eq!(log.state.topics.len(), 1);
}

#[test]
fn only_what_was_handed_out_can_be_acknowledged_and_again_at_will() {
    let mut log = Log::of(9);
    log.changes(create(3, 5));
    assert_eq!(log.one(ack(3..=3)), PublishOutcome::OutOfGroupRange);
    log.changes(ack(1..=2));
    log.changes(deliver(3..=5));
    assert_eq!(log.one(ack(1..=6)), PublishOutcome::OutOfGroupRange);
    assert_eq!(
        log.group().next_offset(),
        3,
        "all of an acknowledgement or nothing"
    );
    log.changes(ack(4..=4));
    log.changes(ack(4..=4));
    assert_eq!((log.group().next_offset(), log.group().is_done(4)), (3, true));
    log.changes(ack(3..=3));
    assert_eq!(log.group().next_offset(), 5);
    log.changes(ack(1..=4));
}

#[test]
fn what_is_done_is_not_handed_out_again() {
    let mut log = Log::of(9);
    log.changes(create(1, 5));
    log.changes(deliver(1..=3));
    log.changes(ack(2..=2));
    log.changes(deliver(1..=3));
    let counts: Vec<u32> = (1..=4).map(|offset| log.group().deliveries(offset)).collect();
    assert_eq!(counts, [2, 0, 2, 0]);
    assert_eq!(log.group().redelivered(), 2);
}

#[test]
fn a_group_is_no_further_ahead_than_its_window() {
    let mut log = Log::of(2_000);
    log.changes(create(1, 5));
    assert_eq!(log.one(deliver(1..=1_025)), PublishOutcome::OutOfGroupRange);
    log.changes(deliver(1..=1_024));
    log.changes(ack(2..=1_024));
    assert_eq!(log.one(deliver(1_025..=1_025)), PublishOutcome::OutOfGroupRange);
    log.changes(ack(1..=1));
    log.changes(deliver(1_025..=2_000));
    assert_eq!(
        log.one(deliver(2_001..=2_001)),
        PublishOutcome::OutOfGroupRange,
        "there is no such record"
    );
}

#[test]
fn a_dead_letter_is_a_message_and_an_acknowledgement_in_one() {
    let mut log = Log::of(9);
    log.changes(create(1, 2));
    log.changes(deliver(1..=2));
    assert_eq!(log.one(dead_letter(1)), PublishOutcome::OutOfGroupRange);
    log.changes(deliver(1..=2));
    let outcome = log.one(dead_letter(1));
    assert!(
        matches!(outcome, PublishOutcome::Published { offset: 1, .. }),
        "{outcome:?}"
    );
    assert_eq!((log.group().next_offset(), log.group().dead_letters()), (2, 1));
    assert_eq!(log.one(dead_letter(1)), PublishOutcome::GroupChanged);
    log.changes(ack(2..=2));
    assert_eq!(log.one(dead_letter(2)), PublishOutcome::GroupChanged);
    assert_eq!(log.state.topics.high_watermark("dead.t.g"), 1);
    assert_eq!(log.group().dead_letters(), 1);
}

#[test]
fn a_dead_letter_that_finds_no_topic_acknowledges_nothing() {
    let mut log = Log::of(1);
    log.changes(create(1, 1));
    log.changes(deliver(1..=1));
    log.apply((1..MAX_TOPICS).map(|n| message(&n.to_string())).collect());
    assert_eq!(log.one(dead_letter(1)), PublishOutcome::TooManyTopics);
    assert_eq!((log.group().deliveries(1), log.group().dead_letters()), (1, 0));
}

#[test]
fn past_the_bound_there_are_no_new_groups_until_one_is_deleted() {
    let mut log = Log::default();
    let named = |name: usize| {
        let mut record = create(1, 5);
        record.topic = (name % 7).to_string().into();
        record.group_op.as_mut().expect("an op").group = name.to_string();
        record
    };
    for outcome in log.apply((0..MAX_GROUPS).map(named).collect()) {
        assert_eq!(outcome, PublishOutcome::GroupChanged);
    }
    assert_eq!(log.one(named(MAX_GROUPS)), PublishOutcome::TooManyGroups);
    assert_eq!(
        log.one(named(5)),
        PublishOutcome::GroupChanged,
        "there is that one"
    );
    let mut delete = named(5);
    delete.group_op.as_mut().expect("an op").action = GroupAction::Delete;
    log.changes(delete);
    log.changes(named(MAX_GROUPS));
    assert_eq!(log.state.groups.len(), MAX_GROUPS);
}

#[test]
fn a_group_made_again_by_another_member_stays_as_it_is() {
    let mut log = Log::of(3);
    log.changes(create(1, 2));
    log.changes(create(3, 9));
    assert_eq!(
        (log.group().next_offset(), log.group().settings.max_deliveries),
        (1, 2)
    );
    log.changes(op(GroupAction::Delete));
    log.changes(create(7, 9));
    assert_eq!(log.group().next_offset(), 4, "no further than the topic's end");
}

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

/// Readers work out offsets and Lamport times from the index's notes, so what is no record must be noted.
#[test]
fn readers_leave_out_what_is_no_record() {
    use wiber_protocol::{entry::Entry, ids::GroupId};

    let mut log = Log::of(2);
    let records = vec![
        create(1, 1),
        message(TOPIC),
        deliver(1..=3),
        dead_letter(2),
        dead_letter(2),
        message(TOPIC),
    ];
    let outcomes = log.apply(records.clone());
    let stored = |outcome: &PublishOutcome| matches!(outcome, PublishOutcome::Published { .. });
    let places: Vec<usize> = (0..6).filter(|at| stored(&outcomes[*at])).collect();
    assert_eq!(places, [1, 3, 5], "{outcomes:?}");
    let log_id = LogId {
        term: 1,
        index: log.index,
    };
    let batch = Batch { clock_ms: 0, records }.encode();
    let entry = Entry::encode(GroupId(0), log_id, EntryKind::Records, (0, false), &batch);
    for (topic, from, offsets) in [(TOPIC, 3, vec![3, 4]), ("dead.t.g", 1, vec![1])] {
        let crate::state::Found::Positions(positions) = log.state.find(topic, from, 9) else {
            unreachable!("nothing is in files")
        };
        let read = crate::fetch::expand(&entry, &positions[0], topic).expect("the entry is whole");
        let read: Vec<_> = read
            .iter()
            .map(|committed| (committed.offset, committed.lamport))
            .collect();
        let decided: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                PublishOutcome::Published { offset, lamport } => Some((*offset, *lamport)),
                _ => None,
            })
            .filter(|(_, lamport)| read.iter().any(|(_, of)| of == lamport))
            .collect();
        assert_eq!(read, decided);
        assert_eq!(
            read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
            offsets
        );
    }
}
