//! The engine's state machine over [`crate::state::State`]: decodes committed entries, applies them, answers
//! their publishers and wakes the subscribers.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use parking_lot::RwLock;
use wiber_protocol::{event::EventKind, record::Batch};

use super::{
    convert,
    types::{LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};
use crate::{
    lamport::Lamport,
    state::{Applied, State, snapshot},
    trace::Trace,
    watermark::Watermarks,
};

/// The applied state and whom to wake when it moves. Readers share it; only the engine writes.
#[derive(Clone)]
pub struct StateMachine {
    state: Arc<RwLock<State>>,
    watermarks: Arc<Watermarks>,
    lamport: Arc<Lamport>,
    trace: Trace,
    current: Arc<RwLock<Option<Snapshot>>>,
}

impl StateMachine {
    pub fn new(
        state: Arc<RwLock<State>>,
        watermarks: Arc<Watermarks>,
        lamport: Arc<Lamport>,
        trace: Trace,
    ) -> Self {
        Self {
            state,
            watermarks,
            lamport,
            trace,
            current: Arc::new(RwLock::new(None)),
        }
    }

    fn apply_one(&self, log_id: LogId, payload: Payload) -> io::Result<Applied> {
        let at = convert::from_log_id(&log_id);
        let mut applied = Applied::default();
        let mut touched = Vec::new();
        match payload {
            Payload::Blank => self.state.write().apply_blank(at),
            Payload::Membership(membership) => {
                self.state
                    .write()
                    .apply_membership(at, convert::from_membership(&membership));
            }
            Payload::Normal(proposal) => {
                // Decoded before the lock is taken: readers wait only for the index to move.
                let batch = Batch::decode(proposal.payload)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let mut state = self.state.write();
                applied = state.apply(at, &batch);
                // What this node does from here on is later than these records, whoever stamped them.
                self.lamport.observe(state.lamport);
                for record in &batch.records {
                    if !touched
                        .iter()
                        .any(|(topic, _): &(String, u64)| **topic == *record.topic)
                    {
                        touched.push((
                            record.topic.to_string(),
                            state.topics.high_watermark(&record.topic),
                        ));
                    }
                }
            }
        }
        if self.trace.allow_local(EventKind::Apply) {
            let records = applied.outcomes.len();
            self.trace.local(EventKind::Apply, at.term, |event| {
                event.log_index = Some(at.index);
                event.records = u32::try_from(records).ok();
            });
        }
        self.watermarks.advance(at.index, &touched);
        Ok(applied)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.state.read();
        let (set_by, membership) = &state.membership;
        let stored = StoredMembership::new(set_by.map(convert::log_id), convert::membership(membership)?);
        Ok((state.applied.map(convert::log_id), stored))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let applied = self.apply_one(entry.log_id, entry.payload)?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Bytes) -> Result<(), io::Error> {
        let applied = meta.last_log_id.as_ref().map(convert::from_log_id);
        let membership = (
            meta.last_membership.log_id().as_ref().map(convert::from_log_id),
            convert::from_membership(meta.last_membership.membership()),
        );
        let state = snapshot::decode(&data, applied, membership)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        *self.state.write() = state;
        *self.current.write() = Some(Snapshot {
            meta: meta.clone(),
            snapshot: data,
        });
        self.watermarks.reset(applied.map_or(0, |at| at.index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.current.read().clone())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (meta, data) = {
            let state = self.state.read();
            let (set_by, membership) = &state.membership;
            let meta = SnapshotMeta {
                last_log_id: state.applied.map(convert::log_id),
                last_membership: StoredMembership::new(
                    set_by.map(convert::log_id),
                    convert::membership(membership)?,
                ),
            };
            (meta, snapshot::encode(&state))
        };
        let built = Snapshot { meta, snapshot: data };
        *self.current.write() = Some(built.clone());
        Ok(built)
    }
}
