//! Who gets what, and what of it comes back.

use super::*;
use crate::{groups::MemberRoom, state::GROUP_WINDOW};

#[test]
fn members_share_in_turn_and_hold_no_more_than_they_may() {
    let mut case = Case::of(9);
    let (a, b) = (case.core.join(2), case.core.join(3));
    let orders = case.round();
    assert_eq!(orders[&a], [(1, 1), (3, 1)]);
    assert_eq!(orders[&b], [(2, 1), (4, 1), (5, 1)]);
    assert!(case.round().is_empty(), "all have what they may hold");
    case.ack(3);
    assert_eq!(case.round(), BTreeMap::from([(a, vec![(6, 1)])]));
}

#[test]
fn what_is_not_acknowledged_in_time_goes_to_another_member() {
    let mut case = Case::of(1);
    let a = case.core.join(9);
    assert_eq!(case.round()[&a], [(1, 1)]);
    let b = case.core.join(9);
    case.now += Duration::from_millis(999);
    assert_eq!(case.core.next_deadline(case.now), Some(TIMEOUT));
    assert!(case.round().is_empty());
    case.now = TIMEOUT;
    assert_eq!(case.round(), BTreeMap::from([(b, vec![(1, 2)])]));
    // The first one is done after all.
    case.ack(1);
    assert!(case.plan().is_empty());
    assert_eq!(case.core.next_deadline(case.now), None);
}

#[test]
fn a_lone_member_gets_again_what_it_gave_back() {
    let mut case = Case::of(1);
    let a = case.core.join(9);
    assert!(!case.core.give_back(a, 1), "it has nothing yet");
    case.round();
    assert!(!case.core.give_back(a + 1, 1), "another has it");
    assert!(case.core.give_back(a, 1));
    assert!(!case.core.give_back(a, 1), "it has given it back");
    assert_eq!(case.round(), BTreeMap::from([(a, vec![(1, 2)])]));
}

#[test]
fn who_leaves_leaves_its_records_to_the_others() {
    let mut case = Case::of(4);
    let (a, b) = (case.core.join(9), case.core.join(9));
    case.round();
    case.core.leave(a);
    assert_eq!(case.round(), BTreeMap::from([(b, vec![(1, 2), (3, 2)])]));
}

#[test]
fn what_was_acknowledged_while_the_plan_was_under_way_is_not_handed_out() {
    let mut case = Case::of(1);
    let a = case.core.join(9);
    case.round();
    case.core.give_back(a, 1);
    let plan = case.plan();
    case.ack(1);
    case.commit(&plan);
    assert!(case.hand_out(&plan).is_empty());
}

#[test]
fn a_moved_group_forgets_who_holds_what() {
    let mut case = Case::of(5);
    let a = case.core.join(9);
    case.round();
    case.change(GroupAction::Seek { next_offset: 4 });
    assert_eq!(case.round(), BTreeMap::from([(a, vec![(4, 1), (5, 1)])]));
    case.change(GroupAction::Seek { next_offset: 1 });
    assert_eq!(case.round()[&a].len(), 5);
}

#[test]
fn a_member_that_wants_only_some_is_handed_no_more_whatever_it_acknowledges_or_gives_back() {
    let mut case = Case::of(9);
    let few = MemberRoom {
        max_in_flight: 2,
        limit: 3,
    };
    let a = case.core.join(few);
    assert_eq!(case.round()[&a].len(), 2);
    case.ack(1);
    assert_eq!(case.round()[&a].len(), 1);
    case.ack(2);
    assert!(case.core.give_back(a, 3));
    assert!(case.plan().is_empty());
    let b = case.core.join(9);
    assert_eq!(case.round()[&b].len(), 7);
}

#[test]
fn what_retention_dropped_is_skipped_but_for_what_somebody_holds() {
    let mut case = Case::of(20);
    let a = case.core.join(2);
    case.round();
    case.log_start_offset = 11;
    assert!(case.plan().is_empty(), "1 and 2 may still be acknowledged");
    case.ack(1);
    case.ack(2);
    let plan = case.plan();
    assert_eq!(plan.skip, Some((3, 10)));
    assert_eq!(plan.ranges(), [11..=12]);
    case.commit(&plan);
    assert_eq!(case.group().next_offset(), 11);
    assert_eq!(case.hand_out(&plan)[&a].len(), 2);
}

#[test]
fn at_the_window_the_rest_waits_for_the_oldest() {
    let mut case = Case::of(3_000);
    let a = case.core.join(9_000);
    assert_eq!(case.round()[&a].len() as u64, GROUP_WINDOW);
    for offset in 2..=GROUP_WINDOW {
        case.ack(offset);
    }
    assert!(case.round().is_empty());
    case.ack(1);
    assert_eq!(case.round()[&a].len() as u64, GROUP_WINDOW);
}
