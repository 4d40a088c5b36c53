//! Groups as records in a log change them.

mod changes;
mod model;

use wiber_protocol::{
    ids::LogId,
    record::{Batch, Record},
};

use super::*;
use crate::state::{Change, State};

const TOPIC: &str = "t";
const GROUP: &str = "g";

fn op(action: GroupAction) -> Record {
    Record {
        topic: TOPIC.into(),
        group_op: Some(GroupOp {
            group: GROUP.to_owned(),
            action,
        }),
        ..Record::default()
    }
}

fn message(topic: &str) -> Record {
    Record {
        topic: topic.into(),
        body: "x".into(),
        ..Record::default()
    }
}

fn dead_letter(offset: u64) -> Record {
    Record {
        topic: "dead.t.g".into(),
        ..op(GroupAction::DeadLetter {
            topic: TOPIC.to_owned(),
            offset,
        })
    }
}

fn create(next_offset: u64, max_deliveries: u32) -> Record {
    op(GroupAction::Create {
        next_offset,
        settings: GroupSettings {
            max_deliveries,
            ..GroupSettings::default()
        },
    })
}

fn deliver(offsets: RangeInclusive<u64>) -> Record {
    op(GroupAction::Deliver {
        offsets: vec![offsets],
    })
}

fn ack(offsets: RangeInclusive<u64>) -> Record {
    op(GroupAction::Ack {
        offsets: vec![offsets],
    })
}

/// A node's state, and the log so far.
#[derive(Default)]
struct Log {
    state: State,
    index: u64,
}

impl Log {
    /// With a topic of so many records.
    fn of(records: usize) -> Self {
        let mut log = Self::default();
        log.apply((0..records).map(|_| message(TOPIC)).collect());
        log
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

    fn one(&mut self, record: Record) -> PublishOutcome {
        self.apply(vec![record]).remove(0)
    }

    #[track_caller]
    fn changes(&mut self, record: Record) {
        assert_eq!(self.one(record), PublishOutcome::GroupChanged);
    }

    fn group(&self) -> &GroupState {
        self.state.groups.get(TOPIC, GROUP).expect("the group")
    }
}
