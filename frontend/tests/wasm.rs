//! What must hold when the shared code runs in a browser: there `usize` has 32 bits and JavaScript's numbers are
//! exact only up to 2^53, so positions and lengths must go through neither. Runs under Node.
//!
//! The golden bytes were computed from the written format by another program than the codec.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use wasm_bindgen_test::wasm_bindgen_test;
use wiber_app::view::{Change, ClusterView, LiveFrame, NodeView, SequenceGap};
use wiber_protocol::{
    codec::{Reader, put_varint},
    entry::{Entry, EntryKind},
    ids::{GroupId, LogId},
    status::NodeStatus,
};

/// One more than JavaScript can count exactly.
const BEYOND_JS: u64 = (1 << 53) + 1;

const GOLDEN_ENTRY: &str =
    "010101000700000001000000000020000300000000000080efcdab896745230107000000440fd2577061796c6f6164";

#[wasm_bindgen_test]
fn an_entry_has_the_same_bytes_as_on_a_server() {
    let log_id = LogId {
        term: BEYOND_JS,
        index: (1 << 63) + 3,
    };
    let entry = Entry::encode(
        GroupId(7),
        log_id,
        EntryKind::Records,
        (0x0123_4567_89ab_cdef, true),
        b"payload",
    );
    let mut hex = String::new();
    for byte in entry.bytes() {
        write!(hex, "{byte:02x}").expect("a string takes all");
    }
    assert_eq!(hex, GOLDEN_ENTRY);
    assert_eq!(Entry::decode(entry.bytes().clone()), Ok(entry));
}

#[wasm_bindgen_test]
fn a_length_beyond_32_bits_is_refused_and_not_wrapped() {
    let mut bytes = BytesMut::new();
    put_varint(&mut bytes, (1 << 32) + 1);
    bytes.put_u8(b'x');
    let read = Reader::new(Bytes::from(bytes)).bytes("field");
    assert!(read.is_err(), "a length of 2^32 + 1 was read as {read:?}");
}

#[wasm_bindgen_test]
fn a_position_beyond_2_to_the_53_survives_a_frame() {
    let node = NodeView {
        id: "n1".into(),
        status: Some(NodeStatus {
            commit_index: BEYOND_JS,
            ..NodeStatus::default()
        }),
        ..NodeView::default()
    };
    let view = ClusterView {
        nodes: vec![node],
        ..ClusterView::default()
    };
    let text = serde_json::to_string(&LiveFrame::Snapshot { view: view.clone() }).expect("frames are JSON");
    let LiveFrame::Snapshot { view: read } = serde_json::from_str(&text).expect("it reads back") else {
        panic!("a snapshot came back as a change");
    };
    assert_eq!(read, view);
}

#[wasm_bindgen_test]
fn a_missed_change_is_noticed() {
    let mut view = ClusterView {
        seq: BEYOND_JS,
        ..ClusterView::default()
    };
    assert_eq!(view.apply(BEYOND_JS + 1, 0, Change::default()), Ok(()));
    assert_eq!(view.apply(BEYOND_JS + 3, 0, Change::default()), Err(SequenceGap));
}
