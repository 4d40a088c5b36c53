//! What a conversation promises: nothing twice, nothing left out unseen, nothing of one's own forgotten.

use proptest::prelude::*;

use super::{super::delivery::Receipt, *};

fn message(offset: u64, id: &str) -> MessageView {
    MessageView {
        kind: "MSG".into(),
        topic: "dm:alice:bob".into(),
        message_id: id.into(),
        offset,
        timestamp: 1_729_459_200.5,
        corrected_ts: 1_729_459_200.5,
        logical_time: offset * 10,
        clock_type: "logical".into(),
        text: format!("alice: text of {id}"),
        display: String::new(),
    }
}

fn offsets(talk: &Talk) -> Vec<u64> {
    talk.lines()
        .iter()
        .filter_map(|line| match line {
            Line::Stored(stored) => Some(stored.view.offset),
            _ => None,
        })
        .collect()
}

fn delivery(talk: &Talk, id: &str) -> Option<Delivery> {
    talk.lines().into_iter().find_map(|line| match line {
        Line::Outgoing(outgoing) if outgoing.message_id == id => Some(outgoing.delivery),
        _ => None,
    })
}

#[test]
fn a_history_and_the_socket_after_it_make_one_list() {
    let mut talk = Talk::from_history(vec![message(7, "a"), message(8, "b")]);
    assert_eq!(talk.wanted_offset(), 9);
    assert_eq!(talk.connected(9), Connected::AsWanted);
    assert_eq!(talk.arrived(message(8, "b")), Arrival::Known);
    assert_eq!(talk.arrived(message(9, "c")), Arrival::Next);
    assert_eq!(offsets(&talk), [7, 8, 9]);
}

#[test]
fn a_gap_is_not_taken_in_but_asked_for() {
    let mut talk = Talk::from_history(vec![message(1, "a")]);
    assert_eq!(
        talk.arrived(message(4, "d")),
        Arrival::Gap {
            expected: 2,
            found: 4
        }
    );
    assert_eq!(offsets(&talk), [1]);
    assert_eq!(talk.wanted_offset(), 2);
}

#[test]
fn what_is_kept_nowhere_any_more_is_a_hole_that_is_shown() {
    let mut talk = Talk::from_history(vec![message(1, "a")]);
    assert_eq!(talk.connected(5), Connected::AfterHole);
    assert_eq!(talk.arrived(message(5, "e")), Arrival::Next);
    assert!(matches!(talk.lines()[1], Line::Hole { from: 2, to: 4 }));
}

#[test]
fn a_topic_that_ends_before_what_is_here_is_another_history() {
    let mut talk = Talk::from_history(vec![message(1, "a"), message(2, "b")]);
    talk.say("own".into(), "alice", "hello").unwrap();
    assert_eq!(talk.connected(1), Connected::OtherHistory);
    assert_eq!(talk.wanted_offset(), 3);
    talk.begin_again();
    assert!(!talk.has_begun());
    talk.begin(vec![message(1, "x")]);
    assert_eq!(offsets(&talk), [1]);
    assert_eq!(talk.wanted_offset(), 2);
    // What is on its way stays on it.
    assert_eq!(delivery(&talk, "own"), Some(Delivery::Waiting));
}

#[test]
fn another_message_at_a_known_offset_is_another_history() {
    let mut talk = Talk::from_history(vec![message(1, "a")]);
    assert_eq!(talk.arrived(message(1, "z")), Arrival::OtherHistory { offset: 1 });
    talk.begin_again();
    assert_eq!(talk.wanted_offset(), 1);
    assert_eq!(talk.arrived(message(1, "z")), Arrival::Next);
}

#[test]
fn an_empty_topic_begins_with_its_first_message() {
    let mut talk = Talk::from_history(Vec::new());
    assert_eq!(talk.wanted_offset(), 1);
    assert_eq!(talk.connected(1), Connected::AsWanted);
    assert_eq!(talk.arrived(message(1, "a")), Arrival::Next);
}

#[test]
fn ones_own_message_is_sent_acknowledged_and_comes_back() {
    let mut talk = Talk::default();
    talk.say("m1".into(), " alice ", "  hello ").unwrap();
    assert_eq!(delivery(&talk, "m1"), Some(Delivery::Waiting));
    let sent = talk.send_next(100).unwrap();
    assert_eq!((sent.sender.as_str(), sent.text.as_str()), ("alice", "hello"));
    assert_eq!(delivery(&talk, "m1"), Some(Delivery::Sending));
    talk.acknowledged("m1", "OK published m1 1 42", 103);
    let receipt = Receipt {
        offset: Some(1),
        logical_time: Some(42),
        duplicate: false,
        took_us: 3,
    };
    assert_eq!(
        delivery(&talk, "m1"),
        Some(Delivery::Acknowledged(receipt.clone()))
    );
    assert_eq!(talk.send_next(104), None);
    assert_eq!(talk.arrived(message(1, "m1")), Arrival::Next);
    assert_eq!(delivery(&talk, "m1"), None);
    let Line::Stored(stored) = &talk.lines()[0] else {
        panic!("it is stored")
    };
    assert_eq!(
        stored.own,
        Some(Own {
            sent: 1,
            first_sent_us: Some(100),
            receipt: Some(receipt)
        })
    );
}

#[test]
fn a_message_that_comes_back_before_its_answer_is_one_message() {
    let mut talk = Talk::default();
    talk.say("m1".into(), "alice", "hello").unwrap();
    talk.send_next(0).unwrap();
    talk.arrived(message(1, "m1"));
    assert!(!talk.is_unsettled("m1"));
    talk.acknowledged("m1", "OK published m1 1 42", 5);
    assert_eq!(talk.lines().len(), 1);
    let Line::Stored(stored) = &talk.lines()[0] else {
        panic!("it is stored")
    };
    let receipt = stored.own.as_ref().unwrap().receipt.as_ref().unwrap();
    assert_eq!((receipt.logical_time, receipt.took_us), (Some(42), 5));
}

#[test]
fn a_missing_answer_is_unknown_and_is_sent_again_under_the_same_id() {
    let mut talk = Talk::default();
    talk.say("m1".into(), "alice", "hello").unwrap();
    talk.send_next(0).unwrap();
    talk.unknown("m1", "no answer");
    assert_eq!(
        delivery(&talk, "m1"),
        Some(Delivery::Unknown {
            sent: 1,
            why: "no answer".into()
        })
    );
    let again = talk.send_next(500).unwrap();
    assert_eq!(again.message_id, "m1");
    assert_eq!(
        delivery(&talk, "m1"),
        Some(Delivery::Unknown {
            sent: 2,
            why: "no answer".into()
        })
    );
    talk.acknowledged("m1", "OK duplicate m1 1 42", 510);
    let Some(Delivery::Acknowledged(receipt)) = delivery(&talk, "m1") else {
        panic!("acknowledged")
    };
    assert!(receipt.duplicate);
    assert_eq!(receipt.took_us, 510);
}

#[test]
fn an_answer_that_is_no_ok_does_not_acknowledge() {
    let mut talk = Talk::default();
    talk.say("m1".into(), "alice", "hello").unwrap();
    talk.send_next(0).unwrap();
    talk.acknowledged("m1", "ERR timeout_waiting_commit", 5);
    assert!(matches!(delivery(&talk, "m1"), Some(Delivery::Unknown { .. })));
}

#[test]
fn what_had_no_verdict_is_taken_up_again_under_its_id() {
    let mut talk = Talk::default();
    for (id, text) in [("m1", "one"), ("m2", "two"), ("m3", "three"), ("m4", "four")] {
        talk.say(id.into(), "alice", text).unwrap();
    }
    talk.send_next(0).unwrap();
    talk.acknowledged("m1", "OK published m1 1 42", 5);
    talk.send_next(6).unwrap();
    let kept = talk.unsettled();
    assert_eq!(kept.iter().map(|kept| kept.sent).collect::<Vec<_>>(), [1, 0, 0]);

    // The next visit: m1 and m3 are in the history by now.
    let mut talk = Talk::from_history(vec![message(1, "m1"), message(2, "m3")]);
    talk.resume(kept);
    assert!(matches!(
        delivery(&talk, "m2"),
        Some(Delivery::Unknown { sent: 1, .. })
    ));
    assert_eq!(delivery(&talk, "m3"), None);
    assert_eq!(delivery(&talk, "m4"), Some(Delivery::Waiting));
    assert_eq!(talk.send_next(0).unwrap().message_id, "m2");
}

#[test]
fn ones_messages_are_sent_one_after_the_other() {
    let mut talk = Talk::default();
    talk.say("m1".into(), "alice", "one").unwrap();
    talk.say("m2".into(), "alice", "two").unwrap();
    assert_eq!(talk.send_next(0).unwrap().message_id, "m1");
    talk.unknown("m1", "lost");
    assert_eq!(talk.send_next(0).unwrap().message_id, "m1");
    assert_eq!(delivery(&talk, "m2"), Some(Delivery::Waiting));
    talk.refused("m1", "the id was used for other content");
    assert_eq!(talk.send_next(0).unwrap().message_id, "m2");
    assert_eq!(talk.dismiss("m1").as_deref(), Some("one"));
    assert_eq!(talk.dismiss("m2"), None);
}

#[test]
fn blank_messages_and_known_ids_are_not_taken_in() {
    let mut talk = Talk::from_history(vec![message(1, "a")]);
    assert_eq!(talk.say("x".into(), "alice", "  \n"), Err(NotSaid::Blank));
    assert_eq!(talk.say("a".into(), "alice", "again"), Err(NotSaid::IdTaken));
    for number in 0..OUTBOX_KEPT {
        talk.say(format!("m{number}"), "alice", "hello").unwrap();
    }
    assert_eq!(
        talk.say("one more".into(), "alice", "hello"),
        Err(NotSaid::OutboxFull)
    );
}

#[test]
fn the_oldest_messages_leave_from_the_top() {
    let mut talk = Talk::default();
    for offset in 1..=MESSAGES_KEPT as u64 + 3 {
        assert_eq!(
            talk.arrived(message(offset, &format!("m{offset}"))),
            Arrival::Next
        );
    }
    assert_eq!(offsets(&talk).first(), Some(&4));
    assert_eq!(talk.by_id.len(), MESSAGES_KEPT);
    assert_eq!(talk.arrived(message(1, "m1")), Arrival::Known);
}

/// What may happen to a conversation, in any order. Ids are offsets too, so that both ends agree.
#[derive(Clone, Debug)]
enum Step {
    Arrive(u64),
    Connect,
    Say,
    Send,
    Lose,
    /// The cluster stores the message on its way, and its answer arrives (or does not).
    Store {
        answered: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..12).prop_map(Step::Arrive),
        1 => Just(Step::Connect),
        2 => Just(Step::Say),
        3 => Just(Step::Send),
        1 => Just(Step::Lose),
        2 => any::<bool>().prop_map(|answered| Step::Store { answered }),
    ]
}

proptest! {
    /// The topic is a list of ids; the page hears of it in any order, with repeats and with lost answers.
    #[test]
    fn nothing_twice_and_nothing_left_out(steps in prop::collection::vec(step(), 1..200)) {
        let mut topic: Vec<String> = Vec::new();
        let mut talk = Talk::default();
        let mut said = 0;
        let mut on_its_way: Option<String> = None;
        for (now, step) in (0_u64..).zip(steps) {
            match step {
                Step::Arrive(back) => {
                    // Some record of the topic, near its end.
                    if let Some(place) = topic.len().checked_sub(1 + usize::try_from(back).unwrap()) {
                        let offset = place as u64 + 1;
                        let expected = talk.wanted_offset();
                        let arrival = talk.arrived(message(offset, &topic[place]));
                        prop_assert_eq!(arrival, match offset.cmp(&expected) {
                            std::cmp::Ordering::Less => Arrival::Known,
                            std::cmp::Ordering::Equal => Arrival::Next,
                            std::cmp::Ordering::Greater => Arrival::Gap { expected, found: offset },
                        });
                    }
                }
                Step::Connect => {
                    prop_assert_eq!(talk.connected(talk.wanted_offset()), Connected::AsWanted);
                }
                Step::Say => {
                    if talk.say(format!("own{said}"), "alice", "hello").is_ok() {
                        said += 1;
                    }
                }
                Step::Send => {
                    if on_its_way.is_none() {
                        on_its_way = talk.send_next(now).map(|sent| sent.message_id);
                    }
                }
                Step::Lose => {
                    if let Some(id) = on_its_way.take() {
                        talk.unknown(&id, "lost");
                    }
                }
                Step::Store { answered } => {
                    if let Some(id) = on_its_way.take() {
                        let known = topic.iter().position(|stored| *stored == id);
                        let word = if known.is_some() { "duplicate" } else { "published" };
                        let place = known.unwrap_or_else(|| { topic.push(id.clone()); topic.len() - 1 });
                        if answered {
                            talk.acknowledged(&id, &format!("OK {word} {id} {} {now}", place + 1), now);
                        } else {
                            talk.unknown(&id, "no answer");
                        }
                    }
                }
            }
            // Stored: the topic's own beginning, in order, with nothing left out and nothing twice.
            let stored: Vec<String> = talk.lines().into_iter().filter_map(|line| match line {
                Line::Stored(stored) => Some(stored.view.message_id),
                _ => None,
            }).collect();
            prop_assert_eq!(&stored[..], &topic[..stored.len()]);
            // One's own: every message said is drawn exactly once, stored or on its way.
            for number in 0..said {
                let id = format!("own{number}");
                let drawn = talk.lines().iter().filter(|line| match line {
                    Line::Stored(stored) => stored.view.message_id == id,
                    Line::Outgoing(outgoing) => outgoing.message_id == id,
                    Line::Hole { .. } => false,
                }).count();
                prop_assert!(drawn == 1, "{} is drawn {} times", id, drawn);
            }
            // What was acknowledged is in the topic.
            for line in talk.lines() {
                if let Line::Outgoing(Outgoing { message_id, delivery: Delivery::Acknowledged(receipt), .. }) = line {
                    let offset = receipt.offset.unwrap();
                    prop_assert_eq!(&topic[usize::try_from(offset).unwrap() - 1], &message_id);
                }
            }
        }
    }
}
