//! Batches read back, and keep their bytes.

use proptest::prelude::*;

use super::*;
use crate::group_op::tests::group_op;

fn record() -> impl Strategy<Value = Record> {
    (
        ("[a-z:]{1,9}", "[a-z0-9-]{0,20}", "n[1-5]"),
        (any::<i64>(), any::<i64>(), any::<u64>(), any::<u64>()),
        (any::<bool>(), any::<bool>()),
        proptest::collection::vec(("[a-z]{1,4}", ".{0,6}"), 0..3),
        (
            any::<bool>(),
            any::<Option<u64>>(),
            proptest::option::of(group_op()),
        ),
        proptest::collection::vec(any::<u8>(), 0..64),
    )
        .prop_map(
            |(
                (topic, id, node),
                (ts_us, corrected_us, error_bound_us, lamport),
                flags,
                headers,
                (binary_safe, expect, group_op),
                body,
            )| {
                Record {
                    topic: topic.into(),
                    id,
                    client_id: flags.0,
                    node: node.into(),
                    ts_us,
                    corrected_us,
                    error_bound_us,
                    synchronised: flags.1,
                    lamport,
                    headers,
                    binary_safe,
                    expect,
                    group_op,
                    body: body.into(),
                }
            },
        )
}

/// Batches rest on disks, so their bytes never change by accident.
#[test]
fn a_batch_has_these_bytes() {
    let record = |topic: &str, id: &str, node: &str| Record {
        topic: topic.into(),
        id: id.to_owned(),
        client_id: true,
        node: node.into(),
        ts_us: 300,
        corrected_us: 299,
        error_bound_us: 2,
        synchronised: true,
        lamport: 200,
        headers: vec![("k".to_owned(), "v".to_owned())],
        binary_safe: false,
        expect: None,
        group_op: None,
        body: Bytes::from_static(b"xy"),
    };
    let mut plain = record("u", "", "n1");
    (plain.client_id, plain.synchronised) = (false, false);
    (plain.ts_us, plain.corrected_us) = (0, 0);
    (plain.error_bound_us, plain.lamport) = (0, 0);
    plain.headers.clear();
    let batch = Batch {
        clock_ms: 7,
        records: vec![record("t", "a", "n1"), plain],
    };
    let mut expected = b"\x01\x07\0\0\0\0\0\0\0\x03\x01t\x02n1\x01u\x02".to_vec();
    expected.extend_from_slice(b"\x12\x03\0\x01\x01a\xac\x02\x01\x02\xc8\x01\x01\x01k\x01vxy");
    expected.extend_from_slice(b"\x0b\0\x02\x01\0\0\0\0\0\0xy");
    assert_eq!(batch.encode().to_vec(), expected);
}

#[test]
fn what_only_changes_a_group_is_no_message() {
    let with = |action| Record {
        group_op: Some(GroupOp {
            group: "g".to_owned(),
            action,
        }),
        ..Record::default()
    };
    assert!(Record::default().is_message());
    assert!(!with(GroupAction::Ack { offsets: vec![1..=2] }).is_message());
    assert!(
        with(GroupAction::DeadLetter {
            topic: "t".to_owned(),
            offset: 1
        })
        .is_message()
    );
}

proptest! {
    #[test]
    fn a_batch_reads_back(clock_ms: u64, records in proptest::collection::vec(record(), 0..8)) {
        let batch = Batch { clock_ms, records };
        let bytes = batch.encode();
        prop_assert_eq!(Batch::count(bytes.clone()), Ok(batch.records.len() as u64));
        prop_assert_eq!(Batch::decode(bytes), Ok(batch));
    }

    #[test]
    fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Batch::decode(bytes.clone().into());
        let _ = Batch::count(bytes.into());
    }
}
