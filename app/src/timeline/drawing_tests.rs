//! The figure shows what the trace says, and stays readable in a crowd.

use proptest::prelude::*;

use wiber_protocol::event::RpcKind;

use super::{
    super::{
        figure::StubEnd,
        sample::*,
        tell::{kind_name, leg_name},
    },
    messages::IN_FLIGHT_US,
    *,
};

fn lanes() -> Vec<Lane> {
    NODES
        .map(|name| Lane {
            name: name.into(),
            raft_id: None,
            role: None,
            alive: true,
        })
        .into()
}

fn figure(events: &[TraceEvent], wish: &Wish) -> Figure {
    draw(&Trace::read(events), &lanes(), wish, &mut Memory::default())
}

fn crowded_election() -> Sample {
    let mut sample = Sample::default();
    sample.role("n2", "candidate: no leader for 412 ms");
    sample.role("n3", "candidate: no leader for 418 ms");
    for round in 0..8 {
        for (from, to) in [("n2", "n3"), ("n3", "n2"), ("n2", "n1"), ("n3", "n1")] {
            sample.rpc(
                from,
                to,
                if round % 2 == 0 {
                    RpcKind::PreVote
                } else {
                    RpcKind::Vote
                },
            );
        }
    }
    sample.role("n2", "leads term 7");
    sample.publish("n1", "n2", 1);
    sample
}

#[test]
fn a_publish_is_drawn_with_its_arrows_and_marks() {
    let mut sample = Sample::default();
    sample.publish("n1", "n2", 9);
    let figure = figure(&sample.events(), &Wish::default());
    let arrows: Vec<(&str, &str, &str, &str)> = figure
        .arrows
        .iter()
        .map(|arrow| (arrow.word, arrow.leg, arrow.from.as_str(), arrow.to.as_str()))
        .collect();
    assert_eq!(
        arrows,
        [
            ("forward", "request", "n1", "n2"),
            ("append", "request", "n2", "n1"),
            ("append", "request", "n2", "n3"),
            ("ack", "response", "n1", "n2"),
            ("ack", "response", "n3", "n2"),
        ]
    );
    let marks: Vec<Mark> = figure.marks.iter().map(|marks| marks.mark).collect();
    assert_eq!(
        marks,
        [
            Mark::Dot,
            Mark::Append,
            Mark::Flush,
            Mark::Commit,
            Mark::Apply,
            Mark::Publish
        ]
    );
    assert_eq!(figure.writes.matches('M').count(), 3);
    assert!(figure.hops.is_some());
    assert!(
        figure
            .arrows
            .iter()
            .all(|arrow| arrow.line.from.0 < arrow.line.to.0 && !arrow.backwards)
    );
}

#[test]
fn heartbeats_are_drawn_only_when_wanted() {
    let mut sample = Sample::default();
    sample.publish("n1", "n2", 1);
    let without = figure(&sample.events(), &Wish::default()).arrows.len();
    sample.heartbeats("n2", 5);
    let quiet = figure(&sample.events(), &Wish::default());
    assert_eq!(quiet.arrows.len(), without);
    assert!(quiet.quiet.unwrap().us > 400_000);
    let all = figure(
        &sample.events(),
        &Wish {
            hidden: BTreeSet::new(),
            ..Wish::default()
        },
    );
    assert_eq!(all.arrows.len(), without + 5 * 2 * 2);
}

#[test]
fn the_newest_arrows_are_drawn_and_the_oldest_left_out() {
    let mut sample = Sample::default();
    for _ in 0..200 {
        sample.rpc("n1", "n2", RpcKind::Append);
    }
    let figure = figure(&sample.events(), &Wish::default());
    assert_eq!(figure.arrows.len(), ARROWS_DRAWN);
    assert_eq!(figure.arrows.last().unwrap().rpc_id, format!("{:016x}", 200));
}

#[test]
fn a_send_without_its_receive_is_in_flight_and_then_lost() {
    let mut sample = Sample::default();
    sample.mark("n3", EventKind::Append);
    sample.lost("n1", "n3", RpcKind::Vote);
    sample.mark("n2", EventKind::Append);
    let end = |sample: &Sample| figure(&sample.events(), &Wish::default()).stubs[0].end;
    assert_eq!(end(&sample), StubEnd::InFlight);
    sample.wait_us(IN_FLIGHT_US);
    sample.mark("n2", EventKind::Append);
    assert_eq!(end(&sample), StubEnd::Lost);
    assert!(figure(&sample.events(), &Wish::default()).arrows.is_empty());
}

#[test]
fn a_send_older_than_all_that_is_known_of_its_receiver_is_not_called_lost() {
    let mut sample = Sample::default();
    sample.lost("n1", "n3", RpcKind::Vote);
    sample.wait_us(2 * IN_FLIGHT_US);
    sample.mark("n3", EventKind::Append);
    assert_eq!(
        figure(&sample.events(), &Wish::default()).stubs[0].end,
        StubEnd::InFlight
    );
}

#[test]
fn on_a_clock_axis_the_newest_by_that_clock_are_drawn() {
    let mut sample = Sample::default();
    for _ in 0..200 {
        sample.rpc("n1", "n2", RpcKind::Append);
    }
    // Cut off from the others, its Lamport time stayed far behind.
    sample.role("n3", "asks for votes in term 2");
    let drawn = |axis| {
        let figure = figure(
            &sample.events(),
            &Wish {
                axis,
                ..Wish::default()
            },
        );
        figure.spots.iter().any(|spot| spot.event.node == "n3")
    };
    assert!(drawn(Axis::Corrected));
    assert!(!drawn(Axis::Lamport));
}

#[test]
fn a_wrong_clock_makes_arrows_point_backwards_on_the_raw_axis_only() {
    let mut sample = Sample::default();
    sample.rpc("n1", "n2", RpcKind::Append);
    let mut events = sample.events();
    for event in events.iter_mut().filter(|event| event.node == "n1") {
        event.ts_us += 5_000;
    }
    let backwards = |axis| {
        let figure = figure(
            &events,
            &Wish {
                axis,
                ..Wish::default()
            },
        );
        figure
            .arrows
            .iter()
            .map(|arrow| arrow.backwards)
            .collect::<Vec<_>>()
    };
    assert_eq!(backwards(Axis::Raw), [true, false]);
    assert_eq!(backwards(Axis::Corrected), [false, false]);
    assert_eq!(backwards(Axis::Lamport), [false, false]);
}

#[test]
fn the_cone_of_a_chosen_event_shades_what_it_cannot_touch() {
    let mut sample = Sample::default();
    sample.publish("n1", "n2", 1);
    let chosen = sample.mark("n2", EventKind::Commit);
    sample.publish("n3", "n2", 2);
    let figure = figure(
        &sample.events(),
        &Wish {
            chosen: Some(chosen),
            ..Wish::default()
        },
    );
    let cone = figure.cone.unwrap();
    assert!(cone.past_x < cone.future_x);
    assert!(
        figure
            .arrows
            .iter()
            .any(|arrow| arrow.relation == Some(Relation::Past))
    );
    assert!(
        figure
            .arrows
            .iter()
            .any(|arrow| arrow.relation == Some(Relation::Future))
    );
    assert!(figure.marks.iter().any(|marks| marks.faint));
}

#[test]
fn a_crowded_election_is_labelled_without_overlaps() {
    for axis in Axis::ALL {
        let figure = figure(
            &crowded_election().events(),
            &Wish {
                axis,
                ..Wish::default()
            },
        );
        let labelled = figure.labels.len();
        assert!(
            labelled >= 12,
            "{axis:?}: only {labelled} labels of {} arrows",
            figure.arrows.len()
        );
        assert!(
            figure.labels.iter().any(|label| label.word == "leads term 7"),
            "{axis:?}"
        );
        no_label_touches_another(&figure);
    }
}

fn no_label_touches_another(figure: &Figure) {
    for (place, label) in figure.labels.iter().enumerate() {
        let rect = label.rect();
        for other in &figure.labels[..place] {
            assert!(!rect.touches(&other.rect()), "{label:?} touches {other:?}");
        }
        for spot in &figure.spots {
            assert!(
                !rect.touches(&Rect::around(spot.x, spot.y, 3.0)),
                "{label:?} covers {:?}",
                spot.event
            );
        }
    }
}

#[test]
fn an_empty_trace_is_an_empty_figure() {
    let figure = figure(&[], &Wish::default());
    assert!(figure.arrows.is_empty() && figure.spots.is_empty() && figure.quiet.is_none());
    assert_eq!(figure.lanes.len(), 3);
}

#[test]
fn an_event_of_an_unknown_node_is_not_drawn() {
    let mut sample = Sample::default();
    sample.rpc("n1", "n9", RpcKind::Append);
    assert!(figure(&sample.events(), &Wish::default()).arrows.is_empty());
}

proptest! {
    #[test]
    fn every_drawn_arrow_is_a_pair_of_the_trace(steps in script(), axis in prop::sample::select(Axis::ALL.to_vec())) {
        let events = play(&steps).events();
        let figure = figure(&events, &Wish { axis, ..Wish::default() });
        for arrow in &figure.arrows {
            let ends: Vec<&TraceEvent> = events.iter()
                .filter(|event| event.rpc.as_ref().is_some_and(|rpc| {
                    rpc.id == arrow.rpc_id && leg_name(rpc.leg) == arrow.leg && kind_name(rpc.kind) == arrow.kind
                }))
                .collect();
            prop_assert_eq!(ends.len(), 2);
            let send = ends.iter().find(|event| event.kind == EventKind::Send).unwrap();
            let receive = ends.iter().find(|event| event.kind == EventKind::Receive).unwrap();
            prop_assert_eq!((&send.node, &receive.node), (&arrow.from, &arrow.to));
            prop_assert_eq!((send.lamport, receive.lamport), (arrow.send_lamport, arrow.receive_lamport));
        }
        prop_assert!(figure.arrows.len() <= ARROWS_DRAWN);
        no_label_touches_another(&figure);
    }

    #[test]
    fn new_events_move_no_arrow_that_is_drawn(steps in script(), cut in any::<prop::sample::Index>()) {
        let events = play(&steps).events();
        let ordered: Vec<TraceEvent> = Trace::read(&events).events.into_iter().cloned().collect();
        let cut = cut.index(ordered.len() + 1);
        let mut memory = Memory::default();
        let before = draw(&Trace::read(&ordered[..cut]), &lanes(), &Wish::default(), &mut memory);
        let after = draw(&Trace::read(&ordered), &lanes(), &Wish::default(), &mut memory);
        for arrow in &before.arrows {
            if let Some(now) = after.arrows.iter().find(|now| now.rpc_id == arrow.rpc_id && now.leg == arrow.leg) {
                prop_assert_eq!(&now.path, &arrow.path);
            }
        }
    }
}
