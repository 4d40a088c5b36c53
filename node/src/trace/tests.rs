//! What a listener sees, and what it is told that it does not see.

use std::{path::Path, time::Duration};

use wiber_protocol::event::{Leg, TraceBatch};

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    small_files::OsFiles,
};

fn trace() -> (tempfile::TempDir, Arc<ManualClock>, Trace) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000));
    let lamport = Arc::new(Lamport::open(&folder.path().join(Path::new("lamport")), OsFiles).unwrap());
    let trace = Trace::new(
        "n1".into(),
        17,
        ClusterClock::alone(Arc::clone(&clock) as Arc<dyn Clock>),
        lamport,
        u64::MAX,
    );
    (folder, clock, trace)
}

fn record(trace: &Trace, count: u64) {
    for n in 0..count {
        trace.local(EventKind::Append, 2, |event| event.log_index = Some(n));
    }
}

/// Batches until `count` events are there.
async fn read(subscription: &mut TraceSubscription, count: usize) -> TraceBatch {
    let mut all = TraceBatch::default();
    while all.events.len() < count {
        let batch = subscription.next_batch().await;
        assert!(!batch.events.is_empty());
        all.events.extend(batch.events);
        (all.rpcs_left_out, all.lagged) = (batch.rpcs_left_out, batch.lagged);
    }
    all
}

#[tokio::test]
async fn an_event_says_where_when_and_what() {
    let (_folder, clock, trace) = trace();
    let rpc = RpcMessage {
        kind: RpcKind::Vote,
        id: "00000000000000ff".into(),
        leg: Leg::Request,
    };
    trace.local(EventKind::Role, 3, |event| {
        event.detail = Some("candidate".into());
    });
    clock.advance_us(5);
    trace.message(EventKind::Send, 40, "n2", rpc.clone(), 3, |event| {
        event.records = Some(1);
    });
    let events = read(&mut trace.subscribe(), 2).await.events;
    let (role, send) = (&events[0], &events[1]);
    assert_eq!(
        (role.node.as_str(), role.epoch, role.seq, role.lamport, role.ts_us),
        ("n1", 17, 1, 1, 1_000)
    );
    assert_eq!(
        (role.kind, role.term, role.detail.as_deref()),
        (EventKind::Role, 3, Some("candidate"))
    );
    assert_eq!(
        (send.seq, send.lamport, send.ts_us, send.records),
        (2, 40, 1_005, Some(1))
    );
    assert_eq!(
        (send.peer.as_deref(), send.rpc.as_ref()),
        (Some("n2"), Some(&rpc))
    );
}

#[tokio::test]
async fn a_listener_gets_the_ring_and_then_every_event_once() {
    let (_folder, _, trace) = trace();
    record(&trace, 1_000);
    let writer = std::thread::spawn({
        let trace = trace.clone();
        move || record(&trace, 1_000)
    });
    let mut subscription = trace.subscribe();
    let batch = read(&mut subscription, 2_000).await;
    writer.join().unwrap();
    let seqs: Vec<u64> = batch.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=2_000).collect::<Vec<_>>());
    assert_eq!(batch.lagged, 0);
}

#[tokio::test]
async fn the_ring_keeps_the_newest() {
    let (_folder, _, trace) = trace();
    record(&trace, RING_EVENTS as u64 + 10);
    let events = read(&mut trace.subscribe(), RING_EVENTS).await.events;
    assert_eq!((events.len(), events[0].seq), (RING_EVENTS, 11));
}

#[tokio::test]
async fn a_listener_that_falls_behind_is_told_by_how_much() {
    let (_folder, _, trace) = trace();
    let mut subscription = trace.subscribe();
    record(&trace, RING_EVENTS as u64 + 100);
    let batch = read(&mut subscription, RING_EVENTS).await;
    assert_eq!((batch.lagged, batch.events[0].seq), (100, 101));
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let (_folder, _, trace) = trace();
    let mut subscription = trace.subscribe();
    record(&trace, 1);
    // The event is taken over, and the window for others has not ended.
    let cancelled = tokio::time::timeout(Duration::from_millis(1), subscription.next_batch()).await;
    assert!(cancelled.is_err());
    record(&trace, 1);
    assert_eq!(read(&mut subscription, 2).await.events.len(), 2);
}

#[tokio::test]
async fn what_sampling_leaves_out_is_counted() {
    let (_folder, _, trace) = trace();
    let sampled = (0..1_000).filter(|_| trace.sample_rpc(RpcKind::Append)).count() as u64;
    assert!((1..1_000).contains(&sampled));
    let allowed = (0..1_000).filter(|_| trace.allow_local(EventKind::Apply)).count() as u64;
    record(&trace, 1);
    let batch = read(&mut trace.subscribe(), 1).await;
    assert_eq!(batch.rpcs_left_out, 1_000 - sampled);
    assert_eq!(batch.events[0].seq, (1_000 - sampled) + (1_000 - allowed) + 1);
}

#[test]
fn rpc_ids_go_on_after_the_largest() {
    let (_folder, _, trace) = trace();
    assert_eq!(
        (trace.next_rpc_id(), trace.next_rpc_id(), trace.next_rpc_id()),
        (u64::MAX, 0, 1)
    );
}
