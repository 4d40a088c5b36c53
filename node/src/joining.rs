//! Taking a blank node in: the leader's side of a join, and the end of a membership change whose leader is gone.
//!
//! A name that is a member (its folder was wiped) or that the cluster was founded without may join. The new
//! identity becomes a learner, catches up, and replaces every former identity of that name in one membership
//! change, so the name never has two votes. Any other name is refused: members change by command.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{ChangeMembers, async_runtime::WatchReceiver};
use tokio::sync::Mutex;
use wiber_protocol::rpc::{JoinReply, JoinRequest};

use crate::{
    group::{Group, GroupCell, Leader},
    rpc::names::Names,
    shared_identity::SharedIdentity,
};

/// Handles joins, one at a time.
pub struct Joining {
    pub identity: SharedIdentity,
    pub group: GroupCell,
    pub names: Arc<Names>,
    /// Held while one node is being taken in.
    pub busy: Arc<Mutex<()>>,
}

impl Joining {
    /// Answers at once; taking the node in goes on in the background, and the joiner asks again if it fails.
    pub fn handle(&self, join: JoinRequest) -> JoinReply {
        let (Some(group), Some(formed)) = (self.group.get(), self.identity.formed()) else {
            return JoinReply::NotLeader(None);
        };
        match group.leader() {
            Leader::Own { .. } => {}
            Leader::Other { member, .. } => return JoinReply::NotLeader(Some(member)),
            Leader::Unknown => return JoinReply::NotLeader(None),
        }
        let name = &join.member.name;
        let is_member = members(&group).iter().any(|(_, known)| known == name);
        if !is_member && !formed.awaited.iter().any(|member| member.name == *name) {
            return JoinReply::Refused(format!("{name} is not a member; members change by command"));
        }
        self.names.learn(join.raft_id, name);
        let busy = self.busy.clone();
        crate::runtime::spawn(async move {
            let Ok(_one_at_a_time) = busy.try_lock() else {
                return;
            };
            let name = join.member.name.clone();
            match take_in(&group, join).await {
                Ok(true) => tracing::info!(target: "raft", "{name} is a member under its new identity"),
                Ok(false) => {}
                Err(reason) => tracing::warn!(target: "raft", "could not take {name} in yet: {reason}"),
            }
        });
        JoinReply::Accepted(formed.clone())
    }
}

/// `Ok(false)`: it is a voter already.
async fn take_in(group: &Group, join: JoinRequest) -> Result<bool, String> {
    let id = join.raft_id.0;
    if voters(group).contains(&id) {
        return Ok(false);
    }
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let name = join.member.name.clone();
    tracing::info!(target: "raft", "takes {name} in as {}", join.raft_id);
    group
        .raft
        .add_learner(id, join.member, true)
        .await
        .map_err(|error| failed(&error))?;
    let former: BTreeSet<u64> = members(group)
        .iter()
        .filter(|(known, of)| *of == name && *known != id)
        .map(|(known, _)| *known)
        .collect();
    let mut next: BTreeSet<u64> = voters(group).difference(&former).copied().collect();
    next.insert(id);
    group
        .raft
        .change_membership(ChangeMembers::ReplaceAllVoters(next), false)
        .await
        .map_err(|error| failed(&error))?;
    Ok(true)
}

/// A change of this node's own leadership is done in less.
const CHANGE_PATIENCE: Duration = Duration::from_millis(500);

/// Ends membership changes that a former leader began and did not live to end. Until then those who were to leave
/// still count, and a majority may need them. Runs for as long as the engine does.
pub async fn end_changes(group: Arc<Group>) {
    let mut metrics = group.raft.metrics();
    loop {
        let begun = unfinished(&group);
        let Some(voters) = begun else {
            if metrics.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::time::sleep(CHANGE_PATIENCE).await;
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

fn voters(group: &Group) -> BTreeSet<u64> {
    let metrics = group.raft.metrics();
    metrics
        .borrow_watched()
        .membership_config
        .membership()
        .voter_ids()
        .collect()
}

fn members(group: &Group) -> Vec<(u64, String)> {
    let metrics = group.raft.metrics();
    let metrics = metrics.borrow_watched();
    let nodes = metrics.membership_config.membership().nodes();
    nodes.map(|(id, member)| (*id, member.name.clone())).collect()
}
