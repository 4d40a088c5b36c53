//! Arrows are facts and cones follow arrows.

use proptest::prelude::*;

use super::{super::sample::*, *};

fn arrows(trace: &Trace<'_>) -> Vec<(String, String)> {
    trace
        .arrows
        .iter()
        .map(|arrow| {
            (
                EventId::of(trace.events[arrow.send]).to_string(),
                EventId::of(trace.events[arrow.receive]).to_string(),
            )
        })
        .collect()
}

#[test]
fn an_arrow_joins_the_send_and_the_receive_of_one_message() {
    let mut sample = Sample::default();
    let (send, receive) = sample.message("n1", "n2", RpcKind::Append, Leg::Request);
    let events = sample.events();
    let trace = Trace::read(&events);
    assert_eq!(arrows(&trace), [(send.to_string(), receive.to_string())]);
    assert!(trace.alone.is_empty());
}

#[test]
fn the_legs_of_one_rpc_are_two_arrows() {
    let mut sample = Sample::default();
    sample.rpc("n1", "n2", RpcKind::Append);
    let events = sample.events();
    let trace = Trace::read(&events);
    assert_eq!(trace.arrows.len(), 2);
    let legs: Vec<Leg> = trace
        .arrows
        .iter()
        .map(|arrow| trace.events[arrow.send].rpc.as_ref().unwrap().leg)
        .collect();
    assert_eq!(legs, [Leg::Request, Leg::Response]);
}

#[test]
fn the_order_of_arrival_does_not_matter_and_repeats_are_one_event() {
    let mut sample = Sample::default();
    sample.election("n2", &["n1", "n3"]);
    let events = sample.events();
    let expected = arrows(&Trace::read(&events));
    let mut repeated: Vec<TraceEvent> = events.iter().rev().chain(&events).cloned().collect();
    repeated.rotate_left(5);
    assert_eq!(arrows(&Trace::read(&repeated)), expected);
}

#[test]
fn an_event_that_names_another_peer_is_not_paired() {
    let mut sample = Sample::default();
    sample.message("n1", "n2", RpcKind::Append, Leg::Request);
    let mut events = sample.events();
    events[1].peer = Some("n3".into());
    let trace = Trace::read(&events);
    assert!(trace.arrows.is_empty());
    assert_eq!(trace.alone.len(), 2);
}

#[test]
fn two_sends_of_one_message_are_not_guessed_between() {
    let mut sample = Sample::default();
    sample.message("n1", "n2", RpcKind::Append, Leg::Request);
    let mut events = sample.events();
    let mut twin = events[0].clone();
    twin.seq = 99;
    events.push(twin);
    let trace = Trace::read(&events);
    assert!(trace.arrows.is_empty());
    assert_eq!(trace.alone.len(), 3);
}

#[test]
fn a_lost_message_stays_alone() {
    let mut sample = Sample::default();
    sample.lost("n1", "n3", RpcKind::Vote);
    sample.rpc("n1", "n2", RpcKind::Vote);
    let events = sample.events();
    let trace = Trace::read(&events);
    assert_eq!(trace.arrows.len(), 2);
    assert_eq!(trace.alone.len(), 1);
    assert_eq!(trace.events[trace.alone[0]].peer.as_deref(), Some("n3"));
}

#[test]
fn a_cone_follows_arrows_and_lanes() {
    let mut sample = Sample::default();
    let aside = sample.mark("n3", EventKind::Append);
    let cause = sample.mark("n1", EventKind::Publish);
    sample.message("n1", "n2", RpcKind::Forward, Leg::Request);
    let chosen = sample.mark("n2", EventKind::Append);
    sample.message("n2", "n3", RpcKind::Append, Leg::Request);
    let effect = sample.mark("n3", EventKind::Flush);
    let beside = sample.mark("n1", EventKind::Apply);
    let events = sample.events();
    let trace = Trace::read(&events);
    let cone = trace.cone(trace.find(&chosen).unwrap());
    let relation = |id: &EventId| cone[trace.find(id).unwrap()];
    assert_eq!(relation(&chosen), Relation::Chosen);
    assert_eq!(relation(&cause), Relation::Past);
    assert_eq!(relation(&effect), Relation::Future);
    // Its number is lower, and yet it cannot have caused anything here: no arrow leads from it.
    assert_eq!(relation(&aside), Relation::Concurrent);
    assert_eq!(relation(&beside), Relation::Concurrent);
}

#[test]
fn an_answer_that_was_sent_but_not_received_is_in_nobodys_past() {
    let mut sample = Sample::default();
    let lost = sample.lost("n1", "n2", RpcKind::Append);
    let later = sample.mark("n2", EventKind::Commit);
    let events = sample.events();
    let trace = Trace::read(&events);
    let cone = trace.cone(trace.find(&later).unwrap());
    assert_eq!(cone[trace.find(&lost).unwrap()], Relation::Concurrent);
}

#[test]
fn an_event_has_a_name_that_reads_back() {
    let id = EventId {
        node: "rack.4.n1".into(),
        epoch: 1_729_459_200_000_000,
        seq: 17,
    };
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!("n1".parse::<EventId>(), Err(NoEventId));
    assert_eq!("n1.x.3".parse::<EventId>(), Err(NoEventId));
}

proptest! {
    #[test]
    fn every_arrow_is_one_rpc_message_of_two_nodes(steps in script(), drop in prop::collection::vec(any::<bool>(), 400)) {
        let mut events = play(&steps).events();
        let mut drop = drop.into_iter();
        events.retain(|_| drop.next() != Some(true));
        let trace = Trace::read(&events);
        for arrow in &trace.arrows {
            let (send, receive) = (trace.events[arrow.send], trace.events[arrow.receive]);
            prop_assert_eq!((send.kind, receive.kind), (EventKind::Send, EventKind::Receive));
            prop_assert_eq!(&send.rpc, &receive.rpc);
            prop_assert_eq!(send.peer.as_ref(), Some(&receive.node));
            prop_assert_eq!(receive.peer.as_ref(), Some(&send.node));
            prop_assert!(send.lamport < receive.lamport);
        }
        let ends = events.iter().filter(|event| event.rpc.is_some()).count();
        prop_assert_eq!(ends, 2 * trace.arrows.len() + trace.alone.len());
    }

    #[test]
    fn past_and_future_mirror_each_other(steps in script(), first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>()) {
        let events = play(&steps).events();
        prop_assume!(!events.is_empty());
        let trace = Trace::read(&events);
        let (first, second) = (first.index(events.len()), second.index(events.len()));
        prop_assume!(first != second);
        let seen = trace.cone(first)[second];
        let mirrored = match trace.cone(second)[first] {
            Relation::Past => Relation::Future,
            Relation::Future => Relation::Past,
            other => other,
        };
        prop_assert_eq!(seen, mirrored);
        // Lamport's clock condition: what may have caused an event has the lower number.
        if seen == Relation::Past {
            prop_assert!(trace.events[second].lamport < trace.events[first].lamport);
        }
    }
}
