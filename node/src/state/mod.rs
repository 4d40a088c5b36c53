//! The replicated state: everything that follows from the log alone.
//!
//! [`State::apply`] takes one batch and decides, the same on every node, which records are new, what offsets
//! and Lamport times they get, and which ids are remembered. It reads no clock and no randomness. The records
//! themselves stay in the log; the state keeps indexes into it, in parts that are sealed one after the other.

mod checkpoint;
mod dedup;
mod find;
mod forgotten;
mod groups;
mod jobs;
mod matching;
mod part;
mod places;
mod recent;
mod snapshot;
#[cfg(test)]
mod tests;
mod topics;

use std::{collections::VecDeque, sync::Arc};

use wiber_protocol::{
    codec::DecodeError,
    entry::{Cut, Entry, EntryKind},
    group_op::{GroupAction, GroupOp},
    ids::LogId,
    membership::Membership,
    record::{Batch, Record},
    rpc::PublishOutcome,
};

use crate::mutant::{self, Mutant};

pub use checkpoint::{Checkpoint, TopicEnd};
pub use dedup::{DedupWindow, Remembered, WindowLimits};
pub use find::Found;
pub use forgotten::Forgotten;
pub use groups::{GROUP_WINDOW, GroupState, Groups, MAX_GROUPS};
pub use jobs::Job;
pub use matching::{Matched, Matching};
pub use part::{EntryNote, PartMeta, PartTopic, Position, RunRange, SealedPart, StateLimits, Tables};
pub use places::{EntryAt, NoteAt, PartTables};
pub use snapshot::Snapshot;
pub use topics::{MAX_TOPICS, Share, Topic, Topics};

use part::GrowingPart;

/// What an entry asks of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Records(Batch),
    Membership(Membership),
    Cut(Cut),
}

impl Change {
    pub fn decode(entry: &Entry) -> Result<Self, DecodeError> {
        Ok(match entry.kind {
            EntryKind::Blank => Self::Nothing,
            EntryKind::Records => Self::Records(Batch::decode(entry.payload())?),
            EntryKind::Membership => Self::Membership(Membership::decode(entry.payload())?),
            EntryKind::Cut => Self::Cut(Cut::decode(entry.payload())?),
        })
    }
}

/// What one applied entry did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One outcome for each record of the batch, in order; empty for entries without records.
    pub outcomes: Vec<PublishOutcome>,
}

/// A sealed part, and where its tables are.
#[derive(Clone, Debug)]
struct Part {
    meta: PartMeta,
    /// `None` once it is in its file.
    unsaved: Option<Arc<SealedPart>>,
}

/// The replicated state as of `applied`.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last log entry that took effect.
    pub applied: Option<LogId>,
    /// The membership in force and the entry that set it.
    pub membership: (Option<LogId>, Membership),
    /// The newest entry that retention dropped; records are read from after it.
    pub cut: Option<LogId>,
    /// The highest Lamport time given to a record.
    pub lamport: u64,
    /// The replicated clock, milliseconds; it only moves forward.
    pub clock_ms: u64,
    /// Records accepted since the log began.
    pub record_count: u64,
    pub dedup: DedupWindow,
    pub topics: Topics,
    pub groups: Groups,
    pub limits: StateLimits,
    growing: GrowingPart,
    /// Oldest first.
    parts: VecDeque<Part>,
    jobs: VecDeque<Job>,
}

impl State {
    /// The state after `snapshot`, reading from `parts`: in order, each beginning where the one before ends, the last
    /// ending where the snapshot was taken, none from before its cut.
    pub fn restore(
        limits: StateLimits,
        snapshot: Snapshot,
        parts: impl IntoIterator<Item = (PartMeta, Vec<PartTopic>)>,
    ) -> Self {
        let Snapshot { checkpoint, ids } = snapshot;
        let mut state = Self {
            applied: checkpoint.applied,
            membership: checkpoint.membership,
            cut: checkpoint.cut,
            lamport: checkpoint.lamport,
            clock_ms: checkpoint.clock_ms,
            record_count: checkpoint.record_count,
            groups: checkpoint.groups,
            dedup: DedupWindow::new(limits.window),
            limits,
            ..Self::default()
        };
        for end in &checkpoint.topics {
            state.topics.restore(end);
        }
        state.dedup.producers = checkpoint.producers;
        for id in ids {
            state.dedup.put(id);
        }
        state.dedup.expire(state.clock_ms);
        for (meta, topics) in parts {
            state.topics.restore_part(meta.first_index, &topics);
            state.parts.push_back(Part { meta, unsaved: None });
        }
        state
    }

    /// The next entry, `entry_bytes` long as it is stored, takes effect.
    pub fn apply(&mut self, log_id: LogId, entry_bytes: u64, change: &Change) -> Applied {
        self.applied = Some(log_id);
        self.growing.push(log_id.index, entry_bytes, self.lamport);
        let mut outcomes = Vec::new();
        match change {
            Change::Nothing => {}
            Change::Records(batch) => outcomes = self.apply_batch(log_id, batch),
            Change::Membership(membership) => self.membership = (Some(log_id), membership.clone()),
            Change::Cut(cut) => self.apply_cut(*cut),
        }
        if self.growing.is_full(self.limits) {
            self.seal(log_id);
        }
        Applied { outcomes }
    }

    /// Rejected records (duplicates, conflicts, and what only changes a group) get no offset and no Lamport time, and the index notes the verdict,
    /// because their bytes stay in the log.
    fn apply_batch(&mut self, log_id: LogId, batch: &Batch) -> Vec<PublishOutcome> {
        self.clock_ms = self.clock_ms.max(batch.clock_ms);
        self.dedup.expire(self.clock_ms);
        let records = (0_u32..).zip(&batch.records);
        records
            .map(|(ordinal, record)| self.take_in(log_id.index, ordinal, record))
            .collect()
    }

    /// Retention drops what is in parts up to the cut, if a part ends there; anything else has no effect.
    fn apply_cut(&mut self, cut: Cut) {
        self.clock_ms = self.clock_ms.max(cut.clock_ms);
        self.dedup.expire(self.clock_ms);
        let ends_there = |part: &Part| part.meta.last.index == cut.last_index;
        if let Some(at) = self.parts.iter().position(ends_there) {
            let last = self.parts[at].meta.last;
            self.parts.drain(..=at);
            self.cut = Some(last);
            self.topics.cut(last.index);
            let mut unsaved = Vec::new();
            self.jobs.retain(|job| {
                let is_covered = match job {
                    Job::Save(part) => part.meta.last <= last,
                    Job::Cut { .. } => true,
                };
                if is_covered {
                    unsaved.extend_from_slice(job.parts());
                }
                !is_covered
            });
            self.jobs.push_front(Job::Cut { at: last, unsaved });
        }
    }

    fn take_in(&mut self, log_index: u64, ordinal: u32, record: &Record) -> PublishOutcome {
        if let Some(op) = &record.group_op
            && !record.is_message()
        {
            self.growing.reject(log_index, ordinal);
            let high_watermark = self.topics.high_watermark(&record.topic);
            return self.groups.change(&record.topic, op, high_watermark);
        }
        if let Some(outcome) = self.refusal(record) {
            self.growing.reject(log_index, ordinal);
            return outcome;
        }
        if let Some((topic, group, offset)) = dead_letter(record) {
            self.groups.dead_lettered(topic, group, offset);
        }
        let (offset, new_run) = self
            .topics
            .add(&record.topic, log_index, record.body.len() as u64);
        if let Some(topic) = new_run {
            self.growing.touched(log_index, offset, topic);
        }
        self.lamport = next_lamport(self.lamport, record.lamport);
        self.record_count += 1;
        if record.client_id {
            self.dedup.remember(record, offset, self.clock_ms);
            self.growing.ids += 1;
        }
        PublishOutcome::Published {
            offset,
            lamport: self.lamport,
        }
    }

    /// Why a record is not stored, if it is not. A known id comes first: whoever sends again what is stored has its condition
    /// fulfilled long ago.
    fn refusal(&self, record: &Record) -> Option<PublishOutcome> {
        if let Some((topic, group, offset)) = dead_letter(record)
            && let Some(outcome) = self.groups.dead_letter_refusal(topic, group, offset)
        {
            return Some(outcome);
        }
        if record.client_id
            && let Some(outcome) = self.dedup.verdict(record)
        {
            return Some(outcome);
        }
        if let Some(expected) = record.expect {
            let end = self.topics.high_watermark(&record.topic);
            if end != expected {
                return Some(PublishOutcome::OffsetMismatch { end });
            }
        }
        self.topics
            .are_full_for(&record.topic)
            .then_some(PublishOutcome::TooManyTopics)
    }

    /// The growing part ends with the entry just applied.
    fn seal(&mut self, last: LogId) {
        let grown = std::mem::replace(&mut self.growing, GrowingPart::starting_at(last.index + 1));
        let (topics, runs) = self.topics.seal(grown.first_index);
        let part = Arc::new(SealedPart {
            meta: PartMeta {
                first_index: grown.first_index,
                last,
                bytes: grown.bytes,
                clock_ms: self.clock_ms,
            },
            topics,
            tables: grown.tables(runs.into_iter()),
            ids: self.dedup.newest(grown.ids).collect(),
            remembered: self.dedup.len(),
            after: self.checkpoint(),
        });
        self.parts.push_back(Part {
            meta: part.meta.clone(),
            unsaved: Some(part.clone()),
        });
        self.jobs.push_back(Job::Save(part));
    }

    /// The sealed parts, oldest first.
    pub fn parts(&self) -> impl Iterator<Item = &PartMeta> + Clone {
        self.parts.iter().map(|part| &part.meta)
    }

    /// Bytes of the entries after the sealed parts.
    pub fn growing_bytes(&self) -> u64 {
        self.growing.bytes
    }

    /// The state without index and ids.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            applied: self.applied,
            membership: self.membership.clone(),
            cut: self.cut,
            lamport: self.lamport,
            clock_ms: self.clock_ms,
            record_count: self.record_count,
            topics: self.topics.ends(),
            producers: if mutant::is_broken(Mutant::ForgottenNotInCheckpoint) {
                Forgotten::default()
            } else {
                self.dedup.producers.clone()
            },
            groups: self.groups.clone(),
        }
    }
}

/// Topic, group and offset of the record that this one puts aside, if it is a dead letter.
fn dead_letter(record: &Record) -> Option<(&str, &str, u64)> {
    let GroupOp { group, action } = record.group_op.as_ref()?;
    match action {
        GroupAction::DeadLetter { topic, offset } => Some((topic, group, *offset)),
        _ => None,
    }
}

/// Lamport times rise strictly along the log: one more than the record before, or the taking node's stamp,
/// whichever is later. Readers repeat this walk, so it stands here once.
pub fn next_lamport(previous: u64, stamp: u64) -> u64 {
    stamp.max(previous + 1)
}
