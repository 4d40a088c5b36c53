//! The engine's state machine over [`crate::state::State`]: decodes committed entries, applies them, answers
//! their publishers and wakes the subscribers.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use parking_lot::RwLock;
use tokio::sync::Notify;
use wiber_protocol::{
    entry::Entry, event::EventKind, ids, membership::Membership, record::Batch, rpc::PublishOutcome,
};

use super::{
    convert,
    types::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};
use crate::{
    index::Index,
    lamport::Lamport,
    mutant::{self, Mutant},
    rates::{Amount, Rates},
    runtime,
    state::{self, Applied, Change, State},
    trace::Trace,
    watermark::Watermarks,
};

/// The applied state and whom to wake when it moves. Readers share it; only the engine writes.
#[derive(Clone)]
pub struct StateMachine {
    pub state: Arc<RwLock<State>>,
    pub index: Arc<Index>,
    pub watermarks: Arc<Watermarks>,
    pub rates: Arc<Rates>,
    pub lamport: Arc<Lamport>,
    pub trace: Trace,
    /// Wakes the index's keeper.
    pub work: Arc<Notify>,
    /// The keeper has done a job.
    pub done: Arc<Notify>,
}

/// What each topic got of a batch.
fn published<'a>(batch: &'a Batch, applied: &Applied) -> BTreeMap<&'a Arc<str>, Amount> {
    let mut amounts: BTreeMap<&Arc<str>, Amount> = BTreeMap::new();
    for (record, outcome) in batch.records.iter().zip(&applied.outcomes) {
        if matches!(outcome, PublishOutcome::Published { .. }) {
            let amount = amounts.entry(&record.topic).or_default();
            amount.records += 1;
            amount.bytes += record.body.len() as u64;
        }
    }
    amounts
}

impl StateMachine {
    fn apply_one(&self, entry: &Entry) -> io::Result<Applied> {
        let at = entry.log_id;
        // Decoded before the lock is taken: readers wait only for the index to move.
        let change = Change::decode(entry).map_err(invalid)?;
        let (applied, lamport) = {
            let mut state = self.state.write();
            let applied = state.apply(at, entry.bytes().len() as u64, &change);
            (applied, state.lamport)
        };
        if let Change::Records(batch) = &change {
            // What this node does from here on is later than these records, whoever stamped them.
            self.lamport.observe(lamport);
            // In order: who is woken first must not be left to chance, or no simulation could be repeated.
            let touched = published(batch, &applied);
            self.rates
                .add(touched.iter().map(|(topic, amount)| (*topic, *amount)));
            self.watermarks
                .touch(touched.keys().map(|topic| &***topic), |topic| {
                    self.state.read().topics.high_watermark(topic)
                });
        }
        if self.trace.allow_local(EventKind::Apply) {
            let records = applied.outcomes.len();
            self.trace.local(EventKind::Apply, at.term, |event| {
                event.log_index = Some(at.index);
                event.records = u32::try_from(records).ok();
            });
        }
        self.watermarks.advance(at.index);
        Ok(applied)
    }

    /// Waits while the index's files are too far behind: what they lack is held in memory.
    async fn await_keeper(&self) {
        loop {
            let done = self.done.notified();
            let (has_work, may_go_on) = {
                let state = self.state.read();
                (state.jobs().0 > 0, self.index.may_go_on(&state))
            };
            if has_work {
                self.work.notify_one();
            }
            if may_go_on {
                return;
            }
            done.await;
        }
    }

    async fn cut_snapshot(&self) -> io::Result<Option<Snapshot>> {
        if mutant::is_broken(Mutant::SnapshotAtLastApplied) {
            return self.snapshot_at_last_applied();
        }
        let index = self.index.clone();
        let snapshot = runtime::blocking(move || index.snapshot()).await??;
        snapshot.map(|snapshot| to_engine(&snapshot)).transpose()
    }
}

impl StateMachine {
    /// What [`Mutant::SnapshotAtLastApplied`] takes for the state as of the cut.
    fn snapshot_at_last_applied(&self) -> io::Result<Option<Snapshot>> {
        let state = self.state.read();
        let snapshot = state.cut.map(|_| state::Snapshot {
            checkpoint: state.checkpoint().without_records(),
            ids: state.dedup.newest(usize::MAX).collect(),
        });
        snapshot.map(|snapshot| to_engine(&snapshot)).transpose()
    }
}

pub(super) fn to_engine(snapshot: &state::Snapshot) -> io::Result<Snapshot> {
    let checkpoint = &snapshot.checkpoint;
    Ok(Snapshot {
        meta: SnapshotMeta {
            last_log_id: checkpoint.applied.map(convert::log_id),
            last_membership: stored_membership(&checkpoint.membership)?,
        },
        snapshot: snapshot.encode(),
    })
}

fn stored_membership(
    (set_by, membership): &(Option<ids::LogId>, Membership),
) -> io::Result<StoredMembership> {
    Ok(StoredMembership::new(
        set_by.map(convert::log_id),
        convert::membership(membership)?,
    ))
}

fn invalid(error: wiber_protocol::codec::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.state.read();
        Ok((
            state.applied.map(convert::log_id),
            stored_membership(&state.membership)?,
        ))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let applied = self.apply_one(&entry.encode())?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
            self.await_keeper().await;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Bytes) -> Result<(), io::Error> {
        let snapshot = state::Snapshot::decode(&data).map_err(invalid)?;
        let applied = snapshot.checkpoint.applied;
        if applied != meta.last_log_id.as_ref().map(convert::from_log_id) {
            let text = format!(
                "a snapshot as of {applied:?} came as one of {:?}",
                meta.last_log_id
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let index = self.index.clone();
        let limits = self.state.read().limits;
        let state = runtime::blocking(move || {
            index.install(&snapshot)?;
            Ok::<_, io::Error>(State::restore(limits, snapshot, []))
        });
        let state = state.await??;
        *self.state.write() = state;
        self.watermarks.reset(applied.map_or(0, |at| at.index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.cut_snapshot().await
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;

    /// The state as of the retention cut. A later one would make who installs it drop records it has.
    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let no_cut = || io::Error::other("nothing was cut, so there is nothing a snapshot could stand for");
        self.cut_snapshot().await?.ok_or_else(no_cut)
    }
}
