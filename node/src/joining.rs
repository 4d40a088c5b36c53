//! Taking a blank node in: the leader's side of a join.
//!
//! A name that is a member (its folder was wiped) or that the cluster was founded without may join. The new
//! identity becomes a learner, catches up, and replaces every former identity of that name in one membership
//! change, so the name never has two votes. Any other name is refused: members change by command.
//!
//! A node that does not catch up in time (it may be gone for good) stays a learner, lets others join, and goes
//! when the next identity of its name comes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{ChangeMembers, async_runtime::WatchReceiver};
use parking_lot::Mutex;
use wiber_protocol::{
    ids::RaftId,
    rpc::{JoinReply, JoinRequest},
};

use crate::{
    group::{Group, GroupCell, Leader},
    raft::Metrics,
    rpc::names::Names,
    shared_identity::SharedIdentity,
};

/// A node that has not caught up by then makes room for others. What it has it keeps, and it asks again.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(10);
/// A node has caught up when it lacks at most this many entries, and none from before it was taken in.
const CATCH_UP_LAG: u64 = 256;

/// Handles joins, one at a time.
pub struct Joining {
    pub identity: SharedIdentity,
    pub group: GroupCell,
    pub names: Arc<Names>,
    /// The node that is being taken in.
    pub busy: Busy,
}

/// Who is being taken in; one at a time.
#[derive(Clone, Default)]
pub struct Busy(Arc<Mutex<Option<TakingIn>>>);

struct TakingIn {
    id: RaftId,
    name: String,
    /// Who has been told to wait.
    told: BTreeSet<RaftId>,
}

/// Makes room for the next when dropped.
struct Slot(Busy);

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

impl Busy {
    /// `None` while this node or another one is being taken in.
    fn begin(&self, id: RaftId, name: &str) -> Option<Slot> {
        let mut now = self.0.lock();
        let Some(other) = now.as_mut() else {
            *now = Some(TakingIn {
                id,
                name: name.to_owned(),
                told: BTreeSet::new(),
            });
            return Some(Slot(self.clone()));
        };
        if other.id != id && other.told.insert(id) {
            tracing::info!(target: "raft", "{name} has to wait: {} is being taken in", other.name);
        }
        None
    }
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
        if let Some(slot) = self.busy.begin(join.raft_id, name) {
            crate::runtime::spawn(async move {
                let name = join.member.name.clone();
                match take_in(&group, join).await {
                    Ok(true) => tracing::info!(target: "raft", "{name} is a member under its new identity"),
                    Ok(false) => {}
                    Err(reason) => tracing::warn!(target: "raft", "could not take {name} in yet: {reason}"),
                }
                drop(slot);
            });
        }
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
    if !members(group).iter().any(|(known, _)| *known == id) {
        tracing::info!(target: "raft", "takes {name} in as {}", join.raft_id);
        group
            .raft
            .add_learner(id, join.member, false)
            .await
            .map_err(|error| failed(&error))?;
    }
    await_caught_up(group, id).await?;
    let former: BTreeSet<u64> = members(group)
        .iter()
        .filter(|(known, of)| *of == name && *known != id)
        .map(|(known, _)| *known)
        .collect();
    let voters = voters(group);
    // A voter that is replaced goes with the change; one that never became a voter has to be removed.
    let learners: BTreeSet<u64> = former.difference(&voters).copied().collect();
    if !learners.is_empty() {
        group
            .raft
            .change_membership(ChangeMembers::RemoveNodes(learners), false)
            .await
            .map_err(|error| failed(&error))?;
    }
    let mut next: BTreeSet<u64> = voters.difference(&former).copied().collect();
    next.insert(id);
    group
        .raft
        .change_membership(ChangeMembers::ReplaceAllVoters(next), false)
        .await
        .map_err(|error| failed(&error))?;
    Ok(true)
}

/// Waits until the learner `id` has what this leader had when the wait began, and little is missing since.
async fn await_caught_up(group: &Group, id: u64) -> Result<(), String> {
    let mut metrics = group.raft.metrics();
    let had = metrics.borrow_watched().last_log_index.unwrap_or(0);
    let caught_up = async {
        loop {
            {
                let now = metrics.borrow_watched();
                if now.replication.is_none() {
                    return Err("leadership was lost".to_owned());
                }
                if has_caught_up(&now, id, had) {
                    return Ok(());
                }
            }
            metrics.changed().await.map_err(|error| error.to_string())?;
        }
    };
    tokio::time::timeout(CATCH_UP_PATIENCE, caught_up)
        .await
        .unwrap_or_else(|_| {
            Err(format!(
                "it has not caught up in {} s",
                CATCH_UP_PATIENCE.as_secs()
            ))
        })
}

fn has_caught_up(metrics: &Metrics, id: u64, had: u64) -> bool {
    let matched = metrics.replication.as_ref().and_then(|all| all.get(&id));
    let Some(matched) = matched.and_then(Option::as_ref).map(|at| at.index) else {
        return false;
    };
    matched >= had && metrics.last_log_index.unwrap_or(0).saturating_sub(matched) <= CATCH_UP_LAG
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
