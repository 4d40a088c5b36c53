//! The glue to the Raft engine (`openraft`). Its types stay in here and in the few places that call it.

mod convert;
mod entry;
mod log_store;
mod network;
mod state_machine;
#[cfg(test)]
mod suite;
mod types;

use std::sync::Arc;

use openraft::{Config, ConfigError, SnapshotPolicy};

pub use convert::{
    from_log_id, from_log_ids, from_membership, from_vote, leader_of, log_id as to_log_id,
    membership as to_membership, vote as to_vote,
};
pub use entry::LogEntry;
pub use log_store::{APPEND_BYTES, LogStore};
pub use network::Network;
pub use state_machine::StateMachine;
pub use types::{Metrics, Proposal, Raft, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};

pub type AppendEntries = openraft::raft::AppendEntriesRequest<TypeConfig>;
pub type StreamAppendError = openraft::raft::StreamAppendError<TypeConfig>;

/// A leader tells its followers that it lives this often, milliseconds.
pub const HEARTBEAT_MS: u64 = 100;
/// A follower that hears nothing for a random time in this range asks for votes, milliseconds.
pub const ELECTION_TIMEOUT_MS: std::ops::Range<u64> = 300..450;

/// The engine's settings. Nothing is purged or snapshot by policy: retention alone decides that.
pub fn config() -> Result<Arc<Config>, ConfigError> {
    let config = Config {
        cluster_name: "wiber".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_TIMEOUT_MS.start,
        election_timeout_max: ELECTION_TIMEOUT_MS.end,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: 512,
        max_append_entries: Some(4096),
        install_snapshot_timeout: 10_000,
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate().map(Arc::new)
}
