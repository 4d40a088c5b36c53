//! The replicated state: everything that follows from the log alone.
//!
//! [`State::apply`] takes one batch and decides, the same on every node, which records are new, what offsets
//! and Lamport times they get, and which ids are remembered. It reads no clock and no randomness. The records
//! themselves stay in the log; the state keeps indexes into it.

mod dedup;
pub mod snapshot;
mod topics;

use wiber_protocol::{
    ids::LogId,
    membership::Membership,
    record::{Batch, Record},
    rpc::PublishOutcome,
};

pub use dedup::{DedupWindow, WINDOW_IDS, WINDOW_MS};
pub use topics::{EntryNote, Position, Topic, Topics};

/// What one applied batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One outcome for each record of the batch, in order; empty for blank and membership entries.
    pub outcomes: Vec<PublishOutcome>,
}

/// The replicated state as of `applied`.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last log entry that took effect.
    pub applied: Option<LogId>,
    /// The membership in force and the entry that set it.
    pub membership: (Option<LogId>, Membership),
    /// The highest Lamport time given to a record.
    pub lamport: u64,
    /// The replicated clock, milliseconds; it only moves forward.
    pub clock_ms: u64,
    /// Records accepted since the log began.
    pub record_count: u64,
    pub dedup: DedupWindow,
    pub topics: Topics,
}

impl State {
    /// A blank entry: only the position moves.
    pub fn apply_blank(&mut self, log_id: LogId) {
        self.applied = Some(log_id);
    }

    pub fn apply_membership(&mut self, log_id: LogId, membership: Membership) {
        self.applied = Some(log_id);
        self.membership = (Some(log_id), membership);
    }

    /// A batch of records. Rejected ones (duplicates, conflicts) get no offset and no Lamport time, and the
    /// index notes the verdict, because their bytes stay in the log.
    pub fn apply(&mut self, log_id: LogId, batch: &Batch) -> Applied {
        self.applied = Some(log_id);
        self.clock_ms = self.clock_ms.max(batch.clock_ms);
        self.dedup.expire(self.clock_ms);
        let mut note = EntryNote {
            log_index: log_id.index,
            lamport_before: self.lamport,
            rejected: Vec::new(),
        };
        let mut outcomes = Vec::with_capacity(batch.records.len());
        for (ordinal, record) in (0_u32..).zip(&batch.records) {
            let outcome = self.decide(record);
            match outcome {
                PublishOutcome::Published { offset, lamport } => {
                    self.lamport = lamport;
                    self.record_count += 1;
                    self.topics
                        .add(&record.topic, offset, log_id.index, record.body.len() as u64);
                    if record.client_id {
                        self.dedup.remember(record, offset, self.clock_ms);
                    }
                }
                PublishOutcome::Duplicate { .. } | PublishOutcome::Conflict => note.rejected.push(ordinal),
            }
            outcomes.push(outcome);
        }
        self.topics.note(note);
        Applied { outcomes }
    }

    fn decide(&self, record: &Record) -> PublishOutcome {
        if record.client_id
            && let Some(outcome) = self.dedup.verdict(record)
        {
            return outcome;
        }
        PublishOutcome::Published {
            offset: self.topics.next_offset(&record.topic),
            lamport: next_lamport(self.lamport, record.lamport),
        }
    }
}

/// Lamport times rise strictly along the log: one more than the record before, or the taking node's stamp,
/// whichever is later. Readers repeat this walk, so it stands here once.
pub fn next_lamport(previous: u64, stamp: u64) -> u64 {
    stamp.max(previous + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(topic: &str, id: &str, body: &str, lamport: u64) -> Record {
        Record {
            topic: topic.into(),
            id: id.into(),
            client_id: true,
            node: "n1".into(),
            ts_us: 0,
            corrected_us: 0,
            error_bound_us: 0,
            synchronised: false,
            lamport,
            headers: Vec::new(),
            body: body.to_owned().into(),
        }
    }

    fn apply(state: &mut State, index: u64, records: Vec<Record>) -> Vec<PublishOutcome> {
        state
            .apply(
                LogId { term: 1, index },
                &Batch {
                    clock_ms: index,
                    records,
                },
            )
            .outcomes
    }

    #[test]
    fn a_retry_is_one_record_with_the_first_offset() {
        let mut state = State::default();
        let first = apply(&mut state, 1, vec![record("t", "a", "x", 5)]);
        assert_eq!(
            first,
            [PublishOutcome::Published {
                offset: 1,
                lamport: 5
            }]
        );
        let retry = apply(
            &mut state,
            2,
            vec![record("t", "a", "x", 9), record("t", "b", "y", 9)],
        );
        assert_eq!(
            retry,
            [
                PublishOutcome::Duplicate { offset: 1 },
                PublishOutcome::Published {
                    offset: 2,
                    lamport: 9
                }
            ]
        );
        assert_eq!(state.record_count, 2);
    }

    #[test]
    fn an_id_is_unique_within_its_topic_only_and_its_content_is_fixed() {
        let mut state = State::default();
        let outcomes = apply(
            &mut state,
            1,
            vec![
                record("t", "a", "x", 1),
                record("u", "a", "x", 1),
                record("t", "a", "other", 1),
            ],
        );
        assert_eq!(
            outcomes,
            [
                PublishOutcome::Published {
                    offset: 1,
                    lamport: 1
                },
                PublishOutcome::Published {
                    offset: 1,
                    lamport: 2
                },
                PublishOutcome::Conflict,
            ]
        );
    }

    proptest! {
        #[test]
        fn offsets_are_gapless_and_lamport_strictly_rises(
            batches in proptest::collection::vec(
                proptest::collection::vec(("[ab]", "[a-d]", "[xy]", 0_u64..50), 1..6), 1..20)
        ) {
            let mut state = State::default();
            let mut last_lamport = 0;
            let mut offsets = std::collections::BTreeMap::new();
            for (index, batch) in (1_u64..).zip(batches) {
                let records: Vec<_> =
                    batch.iter().map(|(topic, id, body, stamp)| record(topic, id, body, *stamp)).collect();
                for (outcome, record) in apply(&mut state, index, records.clone()).iter().zip(&records) {
                    if let PublishOutcome::Published { offset, lamport } = outcome {
                        prop_assert!(*lamport > last_lamport && *lamport >= record.lamport);
                        last_lamport = *lamport;
                        let last = offsets.entry(record.topic.clone()).or_insert(0);
                        prop_assert_eq!(*offset, *last + 1);
                        *last = *offset;
                    }
                }
            }
        }
    }
}
