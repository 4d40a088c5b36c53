//! Promises that can be broken on purpose, to see that the oracles notice.

use wiber_node::mutant::{self, Mutant};

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Broken {
    /// The disk says that entries are synced when they are not.
    NoFsyncBeforeAck,
    /// The same for votes.
    VoteNotSynced,
    AckBeforeQuorum,
    DedupOff,
    TruncateOffByOne,
    SnapshotAtLastApplied,
    AgeByWallClock,
    BoundTooSmall,
    HandOutUnchecked,
    AcksNotInCheckpoint,
    ForgottenNotInCheckpoint,
}

impl Broken {
    pub const ALL: [Self; 11] = [
        Self::NoFsyncBeforeAck,
        Self::VoteNotSynced,
        Self::AckBeforeQuorum,
        Self::DedupOff,
        Self::TruncateOffByOne,
        Self::SnapshotAtLastApplied,
        Self::AgeByWallClock,
        Self::BoundTooSmall,
        Self::HandOutUnchecked,
        Self::AcksNotInCheckpoint,
        Self::ForgottenNotInCheckpoint,
    ];
}

/// Switches the nodes of this thread; what the simulated disk breaks is looked up in the world.
pub fn switch(broken: Option<Broken>) {
    mutant::break_promise(match broken {
        Some(Broken::AckBeforeQuorum) => Some(Mutant::AckBeforeQuorum),
        Some(Broken::DedupOff) => Some(Mutant::DedupOff),
        Some(Broken::TruncateOffByOne) => Some(Mutant::TruncateOffByOne),
        Some(Broken::SnapshotAtLastApplied) => Some(Mutant::SnapshotAtLastApplied),
        Some(Broken::AgeByWallClock) => Some(Mutant::AgeByWallClock),
        Some(Broken::BoundTooSmall) => Some(Mutant::BoundTooSmall),
        Some(Broken::HandOutUnchecked) => Some(Mutant::HandOutUnchecked),
        Some(Broken::AcksNotInCheckpoint) => Some(Mutant::AcksNotInCheckpoint),
        Some(Broken::ForgottenNotInCheckpoint) => Some(Mutant::ForgottenNotInCheckpoint),
        Some(Broken::NoFsyncBeforeAck | Broken::VoteNotSynced) | None => None,
    });
}
