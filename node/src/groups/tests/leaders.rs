//! A coordinator that follows an earlier leader's: it knows how often a record was handed out, and not who has it.

use tokio::time::Instant;

use super::*;
use crate::groups::Coordinators;

/// A group whose only record an earlier leader has handed out so often, and a member that came since.
fn handed_out_before(times: u32) -> (Case, MemberId) {
    let mut case = Case::of(1);
    for _ in 0..times {
        case.change(GroupAction::Deliver { offsets: vec![1..=1] });
    }
    let member = case.core.join(9);
    (case, member)
}

fn last_time() -> (Handed, Option<Loss>) {
    let handed = Handed {
        offset: 1,
        delivery: MAX_DELIVERIES,
    };
    (handed, None)
}

#[test]
fn what_may_be_handed_out_again_is_handed_out_at_once() {
    let (mut case, member) = handed_out_before(MAX_DELIVERIES - 1);
    assert_eq!(case.round()[&member], [(1, MAX_DELIVERIES)]);
}

/// What was lost: the work of who had a record for the last time and was not done with it when the leader changed.
#[test]
fn who_has_a_record_for_the_last_time_keeps_the_time_to_acknowledge_it() {
    let (mut case, _) = handed_out_before(MAX_DELIVERIES);
    assert!(case.plan().is_empty());
    case.now = TIMEOUT.saturating_sub(Duration::from_millis(1));
    assert!(case.plan().is_empty());
    case.ack(1);
    case.now = TIMEOUT;
    assert!(case.plan().is_empty());
    assert_eq!(case.group().dead_letters(), 0);
}

#[test]
fn what_nobody_acknowledges_in_that_time_is_put_aside() {
    let (mut case, _) = handed_out_before(MAX_DELIVERIES);
    assert!(case.plan().is_empty());
    assert_eq!(case.core.next_deadline(case.now), Some(TIMEOUT));
    case.now = TIMEOUT;
    assert_eq!(case.plan().dead, [last_time()]);
    assert_eq!(case.core.next_deadline(case.now), None);
}

/// All members of a group may leave, and its coordinator with them, while the node leads.
#[test]
fn that_time_counts_from_when_the_node_began_to_lead() {
    let (mut case, _) = handed_out_before(MAX_DELIVERIES);
    let left = Duration::from_millis(300);
    case.core = Coordinator::new(TIMEOUT.saturating_sub(left));
    assert!(case.plan().is_empty());
    assert_eq!(case.core.next_deadline(case.now), Some(left));
    case.core = Coordinator::new(TIMEOUT);
    assert_eq!(case.plan().dead, [last_time()]);
}

/// What was lost: a count of another leader's hand-out was taken for one's own.
#[test]
fn what_another_leader_handed_out_meanwhile_is_not_handed_out_with_its_number() {
    let mut case = Case::of(2);
    let a = case.core.join(9);
    let plan = case.plan();
    case.change(GroupAction::Deliver { offsets: vec![1..=1] });
    case.commit(&plan);
    let orders = case.hand_out(&plan);
    assert_eq!(
        orders[&a],
        [Handed {
            offset: 2,
            delivery: 1
        }]
    );
    assert_eq!(case.round()[&a], [(1, 3)]);
}

#[test]
fn each_term_is_led_anew() {
    let all = Coordinators::default();
    let begun = Instant::now();
    assert_eq!(all.led_for(3), Duration::ZERO);
    let led = loop {
        let led = all.led_for(3);
        if led > Duration::ZERO {
            break led;
        }
    };
    assert!(led <= begun.elapsed());
    assert_eq!(all.led_for(4), Duration::ZERO);
}
