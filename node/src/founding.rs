//! The first entry of a cluster's log: the founding membership, written by every founding member the same.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use openraft::{
    async_runtime::WatchReceiver,
    errors::{InitializeError, RaftError},
};
use wiber_protocol::{
    membership::{Member, Membership},
    rpc::{FormedCluster, Request},
};

use crate::group::Group;

/// A founding member that is not the founder starts the engine's founding itself only after this long without
/// hearing of the founder's.
const FOUNDER_HEAD_START: Duration = Duration::from_secs(2);
/// The founder waits this long for the others' engines before it asks for their votes.
const FOUNDER_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at whether they are there.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// Writes the founding membership as the first entry, on every founding member the same. The founder does
/// it at once; the others leave it the first election.
pub async fn found(group: &Group, own: &Member, formed: &FormedCluster) -> anyhow::Result<()> {
    if !formed.founding.members.contains_key(&group.own) || group.raft.is_initialized().await? {
        return Ok(());
    }
    let founder = formed.founding.members.values().map(|member| &member.name).min();
    if founder == Some(&own.name) {
        // Votes asked too early would be refused, and the first election would have to wait for the second.
        drop(tokio::time::timeout(FOUNDER_PATIENCE, others_ready(group, own, &formed.founding)).await);
    } else {
        let mut metrics = group.raft.metrics();
        let heard = async {
            while metrics.borrow_watched().last_log_index.is_none() {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(FOUNDER_HEAD_START, heard).await.is_ok() {
            return Ok(());
        }
    }
    let members: BTreeMap<u64, Member> = formed
        .founding
        .members
        .iter()
        .map(|(id, member)| (id.0, member.clone()))
        .collect();
    match group.raft.initialize(members).await {
        // Not allowed: the founder was faster.
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until every other founding member's engine answers.
async fn others_ready(group: &Group, own: &Member, founding: &Membership) {
    let others = founding.members.iter().filter(|(_, member)| *member != own);
    join_all(others.map(|(id, member)| async move {
        let link = group.links.to(member);
        while link
            .call(Request::ReadIndex, Some(*id), FOUNDER_PATIENCE)
            .await
            .is_err()
        {
            tokio::time::sleep(READY_PAUSE).await;
        }
    }))
    .await;
}
