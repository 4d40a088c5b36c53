//! A log entry as the engine handles it, keeping hold of its encoded bytes.
//!
//! The leader's engine makes an entry and numbers it; the first append encodes it, and from then on the same
//! `Bytes` go to the disk, to the hot tail and to every follower.

use std::{fmt, io};

use openraft::entry::{RaftEntry, RaftPayload};
use openraft::vote::RaftLeaderId;
use wiber_protocol::{
    entry::{Entry, EntryKind},
    ids::GroupId,
    membership,
};

use super::{
    convert,
    types::{LogId, Membership, Payload, Proposal},
};

type Committed = <openraft::impls::leader_id_std::LeaderId<u64, u64> as RaftLeaderId>::Committed;

/// One entry; cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub log_id: LogId,
    pub payload: Payload,
    /// The entry as it is stored, once it has its final log id.
    encoded: Option<Entry>,
}

impl LogEntry {
    /// The entry's one encoding: made on first use, shared afterwards.
    pub fn encode(&self) -> Entry {
        if let Some(encoded) = &self.encoded {
            return encoded.clone();
        }
        let log_id = convert::from_log_id(&self.log_id);
        match &self.payload {
            Payload::Blank => Entry::encode(GroupId(0), log_id, EntryKind::Blank, (0, false), &[]),
            Payload::Normal(proposal) => Entry::encode(
                GroupId(0),
                log_id,
                proposal.kind,
                proposal.trace,
                &proposal.payload,
            ),
            Payload::Membership(membership) => {
                let bytes = convert::from_membership(membership).encode();
                Entry::encode(GroupId(0), log_id, EntryKind::Membership, (0, false), &bytes)
            }
        }
    }

    /// Like [`Self::encode`], and keeps the result for whoever asks next.
    #[must_use]
    pub fn encoded(mut self) -> Self {
        self.encoded = Some(self.encode());
        self
    }

    /// The engine's view of a stored or received entry.
    pub fn from_encoded(entry: Entry) -> io::Result<Self> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let payload = match entry.kind {
            EntryKind::Blank => Payload::Blank,
            EntryKind::Records => {
                let payload = entry.payload();
                let records = wiber_protocol::record::Batch::count(payload.clone()).map_err(bad)?;
                Payload::Normal(Proposal {
                    kind: entry.kind,
                    payload,
                    records: u32::try_from(records).unwrap_or(u32::MAX),
                    trace: (entry.trace_id, entry.traced),
                })
            }
            EntryKind::Cut => Payload::Normal(Proposal {
                kind: entry.kind,
                payload: entry.payload(),
                records: 0,
                trace: (entry.trace_id, entry.traced),
            }),
            EntryKind::Membership => {
                let membership = membership::Membership::decode(entry.payload()).map_err(bad)?;
                Payload::Membership(convert::membership(&membership)?)
            }
        };
        Ok(Self {
            log_id: convert::log_id(entry.log_id),
            payload,
            encoded: Some(entry),
        })
    }

    /// Records in the entry; none in blank and membership entries.
    pub fn records(&self) -> u32 {
        match &self.payload {
            Payload::Normal(proposal) => proposal.records,
            Payload::Blank | Payload::Membership(_) => 0,
        }
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.log_id, self.payload)
    }
}

impl RaftEntry for LogEntry {
    type CommittedLeaderId = Committed;
    type Payload = Payload;

    fn new(log_id: LogId, payload: Payload) -> Self {
        Self {
            log_id,
            payload,
            encoded: None,
        }
    }

    fn log_id_parts(&self) -> (&Committed, u64) {
        (self.log_id.committed_leader_id(), self.log_id.index())
    }

    fn set_log_id(&mut self, new: LogId) {
        self.log_id = new;
        self.encoded = None;
    }

    fn get_membership(&self) -> Option<Membership> {
        self.payload.get_membership()
    }
}
