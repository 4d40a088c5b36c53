//! Putting a plan in the log.

use std::sync::Arc;

use wiber_protocol::{
    group_op::{GroupAction, GroupOp},
    record::Record,
};

use super::{
    Key,
    coordinator::Plan,
    dead_letter::{dead_letter, dead_letter_topic},
};
use crate::{
    group::Group,
    line::Stamper,
    publish::{Fate, Submission},
};

/// Bodies of dead letters in one proposal; there may be one more that is larger.
const DEAD_LETTER_BYTES: usize = 256 << 10;

/// What a plan is put in the log with.
#[derive(Clone)]
pub(super) struct Proposer {
    pub raft: Arc<Group>,
    pub stamper: Arc<Stamper>,
    pub term: u64,
    pub key: Key,
}

/// What became of a plan.
pub(super) struct Proposed {
    pub plan: Plan,
    pub fate: Fate,
    /// How many of the records are dead letters; they stand last.
    pub dead: usize,
    /// Not all the dead letters could be made.
    pub lacks_dead: bool,
}

impl Proposer {
    pub(super) async fn propose(self, plan: Plan) -> Proposed {
        let mut records = Vec::new();
        if let Some((_, last)) = plan.skip {
            let next_offset = last + 1;
            records.push(self.op(GroupAction::Skip { next_offset }));
        }
        if !plan.deliver.is_empty() {
            let offsets = plan.ranges();
            records.push(self.op(GroupAction::Deliver { offsets }));
        }
        let changes = records.len();
        let lacks_dead = self.add_dead_letters(&plan, &mut records).await;
        let dead = records.len() - changes;
        let fate = if records.is_empty() {
            Fate::Committed(Vec::new())
        } else {
            let (submission, fate) = Submission::new(self.term, records);
            self.raft.publisher.lead(submission).await;
            fate.await.unwrap_or(Fate::Unknown)
        };
        Proposed {
            plan,
            fate,
            dead,
            lacks_dead,
        }
    }

    fn op(&self, action: GroupAction) -> Record {
        let op = GroupOp {
            group: self.key.1.to_string(),
            action,
        };
        let moment = self.stamper.moment();
        self.stamper.group_op(&moment, self.key.0.clone(), op)
    }

    /// Whether one of them can't be read now. One that retention dropped meanwhile is passed over: it will be skipped.
    async fn add_dead_letters(&self, plan: &Plan, records: &mut Vec<Record>) -> bool {
        let (topic, group) = &self.key;
        let mut bytes = 0;
        for (handed, loss) in &plan.dead {
            let original = match self.raft.fetch(topic, handed.offset, 1, 1).await {
                Ok(page) => page.into_iter().next(),
                Err(crate::fetch::FetchError::OutOfRange { .. }) => continue,
                Err(error) => {
                    let offset = handed.offset;
                    tracing::error!(target: "storage", "cannot put offset {offset} of {topic} aside: {error}");
                    return true;
                }
            };
            let Some(original) = original.filter(|original| original.offset == handed.offset) else {
                return true;
            };
            let name: Arc<str> = dead_letter_topic(topic, group).into();
            let body = original.record.body.clone();
            bytes += body.len();
            let stamped = self.stamper.record(&self.stamper.moment(), name, None, body);
            records.push(dead_letter(stamped, &original, group, *handed, *loss));
            if bytes >= DEAD_LETTER_BYTES {
                break;
            }
        }
        false
    }
}
