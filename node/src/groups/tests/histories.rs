//! Whatever happens to a group with members, each record comes to its end, and to one.

use proptest::prelude::*;

use super::*;

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
                    let is_too_early = |(_, loss): &(Handed, Option<Loss>)| loss.is_none() && case.now < TIMEOUT;
                    prop_assert!(!plan.dead.iter().any(is_too_early), "{:?}", plan.dead);
                    if let Some((offset, _)) = acked.and_then(|at| ledger.pick(at)) {
                        case.ack(offset);
                    }
                    case.commit(&plan);
                    let orders = case.hand_out(&plan);
                    ledger.take(&orders, case.group());
                }
                Step::NewLeader => {
                    case.core = Coordinator::default();
                    case.now = Duration::ZERO;
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
