//! What each change does, and what it is told where it does nothing.

use wiber_protocol::{
    entry::{Entry, EntryKind},
    ids::GroupId,
};

use super::*;
use crate::state::MAX_TOPICS;

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

/// Readers work out offsets and Lamport times from the index's notes, so what is no record must be noted.
#[test]
fn readers_leave_out_what_is_no_record() {
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
