//! The end of a membership change whose leader is gone.
//!
//! A change of voters takes two entries: the old and the new set together, then the new one alone. A leader that dies
//! between them leaves the cluster in between, where those who were to leave still count and a majority may need
//! them. The engine leaves it to its user to go on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{ChangeMembers, async_runtime::WatchReceiver};

use crate::group::Group;

/// A change of this node's own leadership is done in less.
const PATIENCE: Duration = Duration::from_millis(500);

/// Ends the changes that a former leader began, whenever this node leads. Runs for as long as the engine does.
pub async fn end(group: Arc<Group>) {
    let mut metrics = group.raft.metrics();
    loop {
        let begun = unfinished(&group);
        let Some(voters) = begun else {
            if metrics.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::time::sleep(PATIENCE).await;
        if unfinished(&group).as_ref() != Some(&voters) {
            continue;
        }
        tracing::info!(target: "raft", "ends a membership change that a former leader began");
        let ended = group
            .raft
            .change_membership(ChangeMembers::ReplaceAllVoters(voters), false);
        if let Err(error) = ended.await {
            tracing::warn!(target: "raft", "could not end a membership change yet: {error}");
        }
    }
}

/// The voters that the change under way is to end with, if this node leads and there is one.
fn unfinished(group: &Group) -> Option<BTreeSet<u64>> {
    let metrics = group.raft.metrics();
    let metrics = metrics.borrow_watched();
    let sets = metrics.membership_config.membership().get_joint_config();
    let leads = metrics.current_leader == Some(group.own.0);
    (leads && sets.len() > 1).then(|| sets.last().cloned()).flatten()
}
