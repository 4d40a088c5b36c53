//! Giving leadership away before the node stops.

use openraft::async_runtime::WatchReceiver;
use wiber_protocol::ids::RaftId;

use crate::{group::Group, rpc::names::Names};

/// Makes the voter with the longest log the leader, if this node leads and is not alone.
pub(super) async fn hand_over(group: &Group, names: &Names) {
    let mut metrics = group.raft.metrics();
    let now = metrics.borrow_watched().clone();
    if now.current_leader != Some(group.own.0) {
        return;
    }
    let replication = now.replication.unwrap_or_default();
    let voters = now.membership_config.membership().voter_ids();
    let others = voters.filter(|id| *id != group.own.0);
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
