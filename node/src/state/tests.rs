//! What `apply` decides.

use proptest::prelude::*;

use super::*;

fn record(topic: &str, id: &str, body: &str, lamport: u64) -> Record {
    Record {
        topic: topic.into(),
        id: id.into(),
        client_id: true,
        node: "n1".into(),
        ts_us: 0,
        corrected_us: 0,
        error_bound_us: 0,
        synchronised: false,
        lamport,
        headers: Vec::new(),
        body: body.to_owned().into(),
        ..Record::default()
    }
}

fn apply(state: &mut State, index: u64, records: Vec<Record>) -> Vec<PublishOutcome> {
    state
        .apply(
            LogId { term: 1, index },
            100,
            &Change::Records(Batch {
                clock_ms: index,
                records,
            }),
        )
        .outcomes
}

#[test]
fn a_retry_is_one_record_with_the_first_offset() {
    let mut state = State::default();
    let first = apply(&mut state, 1, vec![record("t", "a", "x", 5)]);
    assert_eq!(
        first,
        [PublishOutcome::Published {
            offset: 1,
            lamport: 5
        }]
    );
    let retry = apply(
        &mut state,
        2,
        vec![record("t", "a", "x", 9), record("t", "b", "y", 9)],
    );
    assert_eq!(
        retry,
        [
            PublishOutcome::Duplicate { offset: 1 },
            PublishOutcome::Published {
                offset: 2,
                lamport: 9
            }
        ]
    );
    assert_eq!(state.record_count, 2);
}

#[test]
fn what_expects_another_end_is_not_stored_unless_it_is_already() {
    let mut state = State::default();
    let expecting = |id: &str, expect| Record {
        expect: Some(expect),
        ..record("t", id, "x", 1)
    };
    let mut publish = |index, record| apply(&mut state, index, vec![record]).remove(0);
    assert_eq!(
        publish(1, expecting("a", 1)),
        PublishOutcome::OffsetMismatch { end: 0 }
    );
    let first = publish(2, expecting("a", 0));
    assert!(
        matches!(first, PublishOutcome::Published { offset: 1, .. }),
        "a refused id is not remembered: {first:?}"
    );
    assert_eq!(
        publish(3, expecting("b", 0)),
        PublishOutcome::OffsetMismatch { end: 1 }
    );
    assert_eq!(
        publish(4, expecting("a", 0)),
        PublishOutcome::Duplicate { offset: 1 },
        "a retry whose condition was fulfilled"
    );
    let second = publish(5, expecting("b", 1));
    assert!(matches!(second, PublishOutcome::Published { offset: 2, .. }));
}

#[test]
fn what_was_forgotten_of_a_producer_survives_a_snapshot() {
    let mut state = State::default();
    let numbered = |number: u64| record("t", &format!("e4db4a4bdd913d3d-{number}"), "x", 1);
    let batch = |clock_ms, number| {
        Change::Records(Batch {
            clock_ms,
            records: vec![numbered(number)],
        })
    };
    let at = |index| LogId { term: 1, index };
    state.apply(at(1), 100, &batch(0, 1));
    state.apply(at(2), 100, &batch(WindowLimits::DEFAULT.age_ms + 1, 2));
    assert_eq!(state.dedup.len(), 1, "the first is too old");
    let bytes = Snapshot {
        checkpoint: state.checkpoint(),
        ids: state.dedup.newest(1).collect(),
    }
    .encode();
    let snapshot = Snapshot::decode(&bytes).expect("reads back");
    let mut restored = State::restore(StateLimits::default(), snapshot, []);
    for state in [&mut state, &mut restored] {
        let outcomes = state
            .apply(at(3), 100, &batch(WindowLimits::DEFAULT.age_ms + 2, 1))
            .outcomes;
        assert_eq!(outcomes, [PublishOutcome::Expired]);
        let outcomes = state
            .apply(at(4), 100, &batch(WindowLimits::DEFAULT.age_ms + 2, 2))
            .outcomes;
        assert_eq!(outcomes, [PublishOutcome::Duplicate { offset: 2 }]);
    }
}

#[test]
fn past_the_bound_there_are_no_new_topics() {
    let mut state = State::default();
    let all = (0..MAX_TOPICS).map(|n| record(&format!("t{n}"), "a", "x", 1));
    let stored = apply(&mut state, 1, all.collect());
    assert!(
        stored
            .iter()
            .all(|outcome| matches!(outcome, PublishOutcome::Published { .. }))
    );
    let more = vec![record("new", "a", "x", 1), record("t7", "b", "x", 1)];
    let outcomes = apply(&mut state, 2, more);
    assert_eq!(outcomes[0], PublishOutcome::TooManyTopics);
    assert!(matches!(outcomes[1], PublishOutcome::Published { offset: 2, .. }));
    assert_eq!(state.topics.len(), MAX_TOPICS);
}

#[test]
fn an_id_is_unique_within_its_topic_only_and_its_content_is_fixed() {
    let mut state = State::default();
    let outcomes = apply(
        &mut state,
        1,
        vec![
            record("t", "a", "x", 1),
            record("u", "a", "x", 1),
            record("t", "a", "other", 1),
        ],
    );
    assert_eq!(
        outcomes,
        [
            PublishOutcome::Published {
                offset: 1,
                lamport: 1
            },
            PublishOutcome::Published {
                offset: 1,
                lamport: 2
            },
            PublishOutcome::Conflict,
        ]
    );
}

proptest! {
    #[test]
    fn offsets_are_gapless_and_lamport_strictly_rises(
        batches in proptest::collection::vec(
            proptest::collection::vec(("[ab]", "[a-d]", "[xy]", 0_u64..50), 1..6), 1..20)
    ) {
        let mut state = State::default();
        let mut last_lamport = 0;
        let mut offsets = std::collections::BTreeMap::new();
        for (index, batch) in (1_u64..).zip(batches) {
            let records: Vec<_> =
                batch.iter().map(|(topic, id, body, stamp)| record(topic, id, body, *stamp)).collect();
            for (outcome, record) in apply(&mut state, index, records.clone()).iter().zip(&records) {
                if let PublishOutcome::Published { offset, lamport } = outcome {
                    prop_assert!(*lamport > last_lamport && *lamport >= record.lamport);
                    last_lamport = *lamport;
                    let last = offsets.entry(record.topic.clone()).or_insert(0);
                    prop_assert_eq!(*offset, *last + 1);
                    *last = *offset;
                }
            }
        }
    }
}
