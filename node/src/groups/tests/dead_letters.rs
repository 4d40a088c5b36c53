//! What nobody acknowledges.

use wiber_protocol::record::MAX_TOPIC_BYTES;

use super::*;
use crate::{
    fetch::Committed,
    groups::dead_letter::{dead_letter, dead_letter_topic},
};

#[test]
fn a_record_that_was_lost_too_often_is_put_aside_with_its_reason() {
    let mut case = Case::of(1);
    let a = case.core.join(9);
    for delivery in 1..=MAX_DELIVERIES {
        assert_eq!(case.round()[&a], [(1, delivery)]);
        case.core.give_back(a, 1);
    }
    let plan = case.plan();
    let last = Handed {
        offset: 1,
        delivery: MAX_DELIVERIES,
    };
    assert_eq!(plan.dead, [(last, Some(Loss::GivenBack))]);
    // It could not be stored: it stays, and is tried again later.
    case.core.put_off_dead_letters(case.now);
    assert!(case.plan().is_empty());
    case.now = case.core.next_deadline(case.now).expect("another attempt");
    let plan = case.plan();
    case.commit(&plan);
    assert_eq!((case.group().next_offset(), case.group().dead_letters()), (2, 1));
    assert!(case.plan().is_empty());
}

#[test]
fn the_topic_of_dead_letters_fits_a_topics_name_and_stays_a_name_of_its_own() {
    assert_eq!(
        dead_letter_topic("orders.eu", "billing"),
        "dead.orders.eu.billing"
    );
    let group = "g".repeat(64);
    let long = |last: char| dead_letter_topic(&format!("{}{last}", "ä".repeat(123)), &group);
    for last in ['a', 'b'] {
        assert!(long(last).len() <= MAX_TOPIC_BYTES, "{}", long(last).len());
        assert!(long(last).ends_with(&group));
    }
    assert_ne!(long('a'), long('b'));
}

#[test]
fn a_dead_letter_says_where_it_comes_from() {
    let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let original = Committed {
        record: Record {
            topic: "dead.t.g".into(),
            headers: vec![header("kind", "x"), header("dead-offset", "7")],
            binary_safe: true,
            ..Record::default()
        },
        offset: 3,
        lamport: 9,
        log_id: LogId { term: 1, index: 4 },
    };
    let handed = Handed {
        offset: 3,
        delivery: 5,
    };
    let made = dead_letter(Record::default(), &original, "again", handed, None);
    assert_eq!(
        made.headers,
        [
            header("kind", "x"),
            header("dead-topic", "dead.t.g"),
            header("dead-group", "again"),
            header("dead-offset", "3"),
            header("dead-deliveries", "5"),
            header("dead-reason", "not_acknowledged"),
        ]
    );
    assert!(made.is_message() && made.binary_safe);
}
