//! The coordinator with a log of its own, without clock or network.

mod dead_letters;
mod histories;
mod leaders;
mod members;

use std::{collections::BTreeMap, time::Duration};

use wiber_protocol::{
    group_op::{GroupAction, GroupOp, GroupSettings},
    ids::LogId,
    record::{Batch, Record},
    rpc::PublishOutcome,
};

use super::coordinator::{Coordinator, Handed, Loss, MemberId, Plan, View};
use crate::state::{Change, GroupState, State};

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
