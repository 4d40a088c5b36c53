//! Giving leadership away before the node stops.

use std::time::Duration;

use openraft::{Instant, async_runtime::WatchReceiver};
use wiber_protocol::ids::RaftId;

use crate::{group::Group, raft::ELECTION_TIMEOUT_MS, rpc::names::Names};

/// A voter that answered a heartbeat within this time is there.
const RECENT_ACK: Duration = Duration::from_millis(ELECTION_TIMEOUT_MS.start);

/// Makes the voter with the longest log of those that are there the leader, if this node leads and is not alone.
pub(super) async fn hand_over(group: &Group, names: &Names) {
    let mut metrics = group.raft.metrics();
    let now = metrics.borrow_watched().clone();
    if now.current_leader != Some(group.own.0) {
        return;
    }
    let replication = now.replication.unwrap_or_default();
    let acked = now.heartbeat.unwrap_or_default();
    let is_there = |id: &u64| {
        let last = acked.get(id).and_then(Option::as_ref);
        last.is_some_and(|at| at.elapsed() <= RECENT_ACK)
    };
    let voters = now.membership_config.membership().voter_ids();
    let others = voters.filter(|id| *id != group.own.0 && is_there(id));
    let Some(next) = others.max_by_key(|id| replication.get(id).copied().flatten().map(|at| at.index)) else {
        return;
    };
    tracing::info!(target: "raft", "hands leadership to {}", names.of(RaftId(next)));
    if group.raft.trigger().transfer_leader(next).await.is_err() {
        return;
    }
    while metrics
        .borrow_watched()
        .current_leader
        .is_none_or(|leader| leader == group.own.0)
    {
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
