//! The coordinator with a log of its own, without clock or network.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use wiber_protocol::{
    group_op::{GroupAction, GroupOp, GroupSettings},
    ids::LogId,
    record::{Batch, MAX_TOPIC_BYTES, Record},
    rpc::PublishOutcome,
};

use super::{
    coordinator::{Coordinator, Handed, Loss, MemberId, Plan, View},
    dead_letter::{dead_letter, dead_letter_topic},
};
use crate::{
    fetch::Committed,
    state::{Change, GROUP_WINDOW, GroupState, State},
};

const TIMEOUT: Duration = Duration::from_secs(1);
const MAX_DELIVERIES: u32 = 3;

/// A group, its log, and its coordinator.
struct Case {
    state: State,
    index: u64,
    log_start_offset: u64,
    core: Coordinator,
    now: Duration,
}

impl Case {
    fn of(records: u64) -> Self {
        let mut case = Self {
            state: State::default(),
            index: 0,
            log_start_offset: 1,
            core: Coordinator::default(),
            now: Duration::ZERO,
        };
        case.publish(records);
        case.change(GroupAction::Create {
            next_offset: 1,
            settings: GroupSettings {
                ack_timeout_ms: 1_000,
                max_deliveries: MAX_DELIVERIES,
            },
        });
        case
    }

    fn apply(&mut self, records: Vec<Record>) -> Vec<PublishOutcome> {
        self.index += 1;
        let at = LogId {
            term: 1,
            index: self.index,
        };
        let batch = Batch { clock_ms: 0, records };
        self.state.apply(at, 100, &Change::Records(batch)).outcomes
    }

    fn publish(&mut self, records: u64) {
        let record = || Record {
            topic: "t".into(),
            ..Record::default()
        };
        self.apply((0..records).map(|_| record()).collect());
    }

    fn change(&mut self, action: GroupAction) -> PublishOutcome {
        let topic = match action {
            GroupAction::DeadLetter { .. } => "dead.t.g",
            _ => "t",
        };
        let op = GroupOp {
            group: "g".to_owned(),
            action,
        };
        let record = Record {
            topic: topic.into(),
            group_op: Some(op),
            ..Record::default()
        };
        self.apply(vec![record]).remove(0)
    }

    fn ack(&mut self, offset: u64) {
        let outcome = self.change(GroupAction::Ack {
            offsets: vec![offset..=offset],
        });
        assert_eq!(outcome, PublishOutcome::GroupChanged, "ack of {offset}");
    }

    fn group(&self) -> &GroupState {
        self.state.groups.get("t", "g").expect("the group")
    }

    fn view(state: &State, log_start_offset: u64) -> View<'_> {
        View {
            group: state.groups.get("t", "g").expect("the group"),
            log_start_offset,
            high_watermark: state.topics.high_watermark("t"),
        }
    }

    fn plan(&mut self) -> Plan {
        let view = Self::view(&self.state, self.log_start_offset);
        self.core.observe(self.now, view);
        self.core.plan(self.now, view, |_| true)
    }

    /// Puts the plan in the log, as the task does.
    fn commit(&mut self, plan: &Plan) {
        if let Some((_, last)) = plan.skip {
            self.change(GroupAction::Skip {
                next_offset: last + 1,
            });
        }
        if !plan.deliver.is_empty() {
            let offsets = plan.ranges();
            let outcome = self.change(GroupAction::Deliver { offsets });
            assert_eq!(outcome, PublishOutcome::GroupChanged);
        }
        for (handed, _) in &plan.dead {
            self.change(GroupAction::DeadLetter {
                topic: "t".to_owned(),
                offset: handed.offset,
            });
        }
    }

    fn hand_out(&mut self, plan: &Plan) -> BTreeMap<MemberId, Vec<Handed>> {
        let view = Self::view(&self.state, self.log_start_offset);
        self.core.hand_out(self.now, view, &plan.deliver)
    }

    /// Plans, commits and hands out.
    fn round(&mut self) -> BTreeMap<MemberId, Vec<(u64, u32)>> {
        let plan = self.plan();
        self.commit(&plan);
        let orders = self.hand_out(&plan);
        let pair = |handed: &Handed| (handed.offset, handed.delivery);
        orders
            .into_iter()
            .map(|(id, handed)| (id, handed.iter().map(pair).collect()))
            .collect()
    }
}

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

/// What may happen to a group with members.
#[derive(Clone, Debug)]
enum Step {
    Publish(u64),
    Join(usize),
    Leave(usize),
    /// A held record, by its place among those held.
    Ack(usize),
    GiveBack(usize),
    Wait(u64),
    /// Plan, and acknowledge this one before the plan is committed.
    Round(Option<usize>),
    /// A new leader knows nothing of who holds what.
    NewLeader,
    Purge(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..20_u64).prop_map(Step::Publish),
        2 => (1..6_usize).prop_map(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        6 => any::<usize>().prop_map(Step::Ack),
        3 => any::<usize>().prop_map(Step::GiveBack),
        2 => (1..1_500_u64).prop_map(Step::Wait),
        9 => prop::option::of(any::<usize>()).prop_map(Step::Round),
        1 => Just(Step::NewLeader),
        1 => (1..30_u64).prop_map(Step::Purge),
    ]
}

/// Who was handed what, as the members know it.
#[derive(Default)]
struct Ledger {
    members: BTreeMap<MemberId, usize>,
    /// The last number of each offset, and who has it unless it gave it back.
    last: BTreeMap<u64, (u32, Option<MemberId>)>,
}

impl Ledger {
    fn held(&self) -> Vec<(u64, MemberId)> {
        let held = self.last.iter();
        held.filter_map(|(offset, (_, member))| Some((*offset, (*member)?)))
            .collect()
    }

    fn pick(&self, place: usize) -> Option<(u64, MemberId)> {
        let held = self.held();
        (!held.is_empty()).then(|| held[place % held.len()])
    }

    fn take(&mut self, orders: &BTreeMap<MemberId, Vec<Handed>>, group: &GroupState) {
        for (member, handed) in orders {
            for Handed { offset, delivery } in handed {
                let before = self.last.get(offset).map_or(0, |(number, _)| *number);
                assert!(*delivery > before, "{offset}: {delivery} after {before}");
                assert!(*delivery <= MAX_DELIVERIES, "{offset} for the {delivery}th time");
                assert!(!group.is_done(*offset), "{offset} is done");
                self.last.insert(*offset, (*delivery, Some(*member)));
            }
        }
    }

    fn check(&self, core: &Coordinator) {
        for (member, max) in &self.members {
            assert!(
                core.held(*member) <= *max,
                "{member} holds {}",
                core.held(*member)
            );
        }
    }
}

proptest! {
    #[test]
    fn every_record_is_acknowledged_or_put_aside_and_none_is_handed_out_when_done(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut case = Case::of(5);
        let mut ledger = Ledger::default();
        for step in steps {
            match step {
                Step::Publish(records) => case.publish(records),
                Step::Join(max) => {
                    ledger.members.insert(case.core.join(max), max);
                }
                Step::Leave(at) => {
                    if let Some(member) = ledger.members.keys().nth(at % ledger.members.len().max(1)).copied() {
                        ledger.members.remove(&member);
                        case.core.leave(member);
                    }
                }
                Step::Ack(at) => {
                    if let Some((offset, _)) = ledger.pick(at) {
                        case.ack(offset);
                    }
                }
                Step::GiveBack(at) => {
                    if let Some((offset, member)) = ledger.pick(at) {
                        case.core.give_back(member, offset);
                    }
                }
                Step::Wait(ms) => case.now += Duration::from_millis(ms),
                Step::Round(acked) => {
                    let plan = case.plan();
                    if let Some((offset, _)) = acked.and_then(|at| ledger.pick(at)) {
                        case.ack(offset);
                    }
                    case.commit(&plan);
                    let orders = case.hand_out(&plan);
                    ledger.take(&orders, case.group());
                }
                Step::NewLeader => {
                    case.core = Coordinator::default();
                    ledger.members.clear();
                    for _ in 0..100 {
                        // Numbers of members are not used again, so that the ledger can't mix them up.
                        let id = case.core.join(0);
                        case.core.leave(id);
                    }
                }
                Step::Purge(more) => {
                    let end = case.state.topics.high_watermark("t") + 1;
                    case.log_start_offset = (case.log_start_offset + more).min(end);
                }
            }
            ledger.check(&case.core);
        }
        // Members that acknowledge all they get bring it to its end.
        let member = case.core.join(7);
        for _ in 0..1_000 {
            case.now += TIMEOUT;
            let plan = case.plan();
            case.commit(&plan);
            let orders = case.hand_out(&plan);
            ledger.take(&orders, case.group());
            for handed in orders.into_values().flatten() {
                case.ack(handed.offset);
            }
            if case.group().next_offset() > case.state.topics.high_watermark("t") {
                break;
            }
        }
        prop_assert_eq!(case.group().next_offset(), case.state.topics.high_watermark("t") + 1);
        prop_assert_eq!(case.group().outstanding(), 0);
        let view = Case::view(&case.state, case.log_start_offset);
        case.core.observe(case.now, view);
        prop_assert_eq!(case.core.held(member), 0);
    }
}
