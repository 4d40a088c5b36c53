//! From an empty folder to a cluster (design: *Identity*).
//!
//! A blank node asks every configured node who it is. When all of them are blank, the one with the smallest
//! name founds the cluster: it makes the cluster id, fixes the founding membership out of the Raft ids it was
//! told, and puts both on its disk before it says so. The others find their own id in that membership and
//! adopt it. A blank node that finds a cluster without its id in it joins by membership change.
//!
//! One founder cannot found twice out of the same folder, and two clusters cannot both get a majority of the
//! same ids, because a folder adopts only once. Ids are made with the folder, so nothing here can make a wiped
//! node vote for its old self.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use rand::Rng;
use wiber_protocol::{
    ids::{ClusterId, RaftId},
    membership::{Member, Membership},
    rpc::{FormedCluster, JoinReply, JoinRequest, ProbeReply, ProbeRequest, Request, Response},
    status::Formation,
};

use crate::{
    identity::IdentityError,
    rpc::{links::Links, names::Names},
    runtime,
    shared_identity::SharedIdentity,
};

/// Between two rounds of asking.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// A probe or join that is not answered by then counts as no answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a blank node works with.
pub struct Forming {
    pub own: Member,
    /// Every configured node, the own one included.
    pub configured: Vec<Member>,
    /// Names the cluster may be founded without.
    pub without: Vec<String>,
    /// Never found: the data is with the others, or nowhere.
    pub join_only: bool,
    pub identity: SharedIdentity,
    pub links: Arc<Links>,
    pub names: Arc<Names>,
    /// Where the node stands, for `/status`.
    pub formation: Arc<Mutex<Formation>>,
}

/// What one round of answers means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These nodes have not answered.
    Wait { missing: Vec<String> },
    /// The answers contradict each other; a person has to look.
    Conflict { reason: String },
    /// All are blank and the founding is this node's to do.
    Found {
        founding: Membership,
        awaited: Vec<Member>,
    },
    /// All are blank; this node founds, its answer will come.
    WaitForFounder { name: String },
    /// A cluster exists and this folder is a founding member.
    Adopt(FormedCluster),
    /// A cluster exists; this member knows it.
    Join { through: Member },
}

impl Forming {
    /// Asks until the folder belongs to a cluster; it is on disk when this returns. `changed` is called when
    /// the node's standing did.
    pub async fn run(&self, changed: impl Fn()) -> Result<(), IdentityError> {
        let mut said = None;
        while self.identity.formed().is_none() {
            let answers = self.probe_all().await;
            let mut step = decide(
                &self.own,
                self.identity.raft_id(),
                &self.configured,
                &self.without,
                &answers,
            );
            if self.join_only && matches!(step, Step::Found { .. } | Step::WaitForFounder { .. }) {
                step = Step::Conflict {
                    reason: "it was started with --rebuild, and all other nodes are blank, too; start it without to \
                             form a new cluster"
                        .to_owned(),
                };
            }
            if said.as_ref() != Some(&step) {
                self.say(&step);
                changed();
                said = Some(step.clone());
            }
            match step {
                Step::Found { founding, awaited } => {
                    let cluster_id = ClusterId(random_u128());
                    self.adopt(FormedCluster {
                        cluster_id,
                        founding,
                        awaited,
                    })
                    .await?;
                    return Ok(());
                }
                Step::Adopt(formed) => return self.adopt(formed).await,
                Step::Join { through } => {
                    if let Some(formed) = self.ask_to_join(through).await {
                        return self.adopt(formed).await;
                    }
                }
                Step::Wait { .. } | Step::WaitForFounder { .. } | Step::Conflict { .. } => {}
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        Ok(())
    }

    async fn adopt(&self, formed: FormedCluster) -> Result<(), IdentityError> {
        self.names.learn_all(&formed.founding);
        let identity = self.identity.clone();
        runtime::blocking(move || identity.adopt(formed)).await?
    }

    async fn probe_all(&self) -> Vec<(Member, Option<ProbeReply>)> {
        let others = self
            .configured
            .iter()
            .filter(|member| member.name != self.own.name);
        join_all(others.map(|member| async move {
            let probe = Request::Probe(ProbeRequest {
                name: self.own.name.clone(),
                configured: self.configured.clone(),
            });
            let reply = match self.links.to(member).call(probe, None, PATIENCE).await {
                Ok(Response::Probe(reply)) => Some(reply),
                Ok(_) | Err(_) => None,
            };
            if let Some(reply) = &reply {
                self.names.learn(reply.raft_id, &reply.name);
            }
            (member.clone(), reply)
        }))
        .await
    }

    /// Asks a member, and whom it names as the leader, to take this node in.
    async fn ask_to_join(&self, through: Member) -> Option<FormedCluster> {
        let mut asked = through;
        for _ in 0..2 {
            match self
                .links
                .to(&asked)
                .call(self.join_request(), None, PATIENCE)
                .await
            {
                Ok(Response::Join(JoinReply::Accepted(formed))) => {
                    tracing::info!(target: "node", "joins cluster {} through {}", formed.cluster_id, asked.name);
                    return Some(formed);
                }
                Ok(Response::Join(JoinReply::NotLeader(Some(leader)))) => asked = leader,
                Ok(Response::Join(JoinReply::Refused(reason))) => {
                    tracing::warn!(target: "node", "{} does not take this node in: {reason}", asked.name);
                    return None;
                }
                Ok(_) | Err(_) => return None,
            }
        }
        None
    }

    /// Asks every reachable member once more to be taken in.
    pub async fn ask_again(&self) {
        for (member, reply) in self.probe_all().await {
            let own = self.identity.formed().map(|formed| formed.cluster_id);
            let is_member = reply
                .and_then(|reply| reply.formed)
                .is_some_and(|formed| Some(formed.cluster_id) == own);
            if is_member && self.ask_to_join(member).await.is_some() {
                return;
            }
        }
    }

    fn join_request(&self) -> Request {
        Request::Join(JoinRequest {
            raft_id: self.identity.raft_id(),
            member: self.own.clone(),
        })
    }

    /// Tells people.
    fn say(&self, step: &Step) {
        let formation = match step {
            Step::Wait { missing } => {
                let names = missing.join(", ");
                tracing::info!(target: "node", "blank; waits for {names} before a cluster can form");
                Formation::Waiting {
                    missing: missing.clone(),
                }
            }
            Step::WaitForFounder { name } => {
                tracing::info!(target: "node", "blank like all others; {name} founds the cluster");
                Formation::Waiting { missing: Vec::new() }
            }
            Step::Conflict { reason } => {
                tracing::error!(target: "node", "cannot form or join: {reason}");
                Formation::Waiting { missing: Vec::new() }
            }
            Step::Found { founding, .. } => {
                tracing::info!(target: "node", "founds a cluster of {}", founding.members.len());
                Formation::Formed
            }
            Step::Adopt(formed) => {
                tracing::info!(target: "node", "is a founding member of cluster {}", formed.cluster_id);
                Formation::Formed
            }
            Step::Join { through } => {
                tracing::info!(target: "node", "found a cluster at {}; asks to join as a new member", through.name);
                Formation::Joining
            }
        };
        *self.formation.lock() = formation;
    }
}

/// What the answers to one round of probes mean. Pure: who answered what is all that counts.
pub fn decide(
    own: &Member,
    own_id: RaftId,
    configured: &[Member],
    without: &[String],
    answers: &[(Member, Option<ProbeReply>)],
) -> Step {
    let replies = || {
        answers
            .iter()
            .filter_map(|(member, reply)| Some((member, reply.as_ref()?)))
    };
    for (member, reply) in replies() {
        if reply.name != member.name {
            let reason = format!(
                "the node at {}:{} says it is {}, the configuration says {}",
                member.host, member.port, reply.name, member.name
            );
            return Step::Conflict { reason };
        }
    }
    let formed: Vec<(&Member, &FormedCluster)> = replies()
        .filter_map(|(member, reply)| Some((member, reply.formed.as_ref()?)))
        .collect();
    if let Some((first, cluster)) = formed.first() {
        if let Some((other, found)) = formed
            .iter()
            .find(|(_, other)| other.cluster_id != cluster.cluster_id)
        {
            let reason = format!(
                "{} is in cluster {}, {} in cluster {}",
                first.name, cluster.cluster_id, other.name, found.cluster_id
            );
            return Step::Conflict { reason };
        }
        return if cluster.founding.members.contains_key(&own_id) {
            Step::Adopt((*cluster).clone())
        } else {
            Step::Join {
                through: (*first).clone(),
            }
        };
    }
    let awaited: Vec<Member> = configured
        .iter()
        .filter(|member| without.contains(&member.name))
        .cloned()
        .collect();
    let missing: Vec<String> = answers
        .iter()
        .filter(|(member, reply)| reply.is_none() && !awaited.contains(member))
        .map(|(member, _)| member.name.clone())
        .collect();
    if !missing.is_empty() {
        return Step::Wait { missing };
    }
    let same = |reply: &ProbeReply| sorted(&reply.configured) == sorted(configured);
    if let Some((member, _)) = replies().find(|(_, reply)| !same(reply)) {
        let reason = format!(
            "{} was started with another list of nodes than this one",
            member.name
        );
        return Step::Conflict { reason };
    }
    let mut members = std::collections::BTreeMap::from([(own_id, own.clone())]);
    for (member, reply) in replies().filter(|(member, _)| !awaited.contains(member)) {
        members.insert(reply.raft_id, member.clone());
    }
    let founder = members
        .values()
        .map(|member| &member.name)
        .min()
        .unwrap_or(&own.name);
    if *founder != own.name {
        return Step::WaitForFounder {
            name: founder.clone(),
        };
    }
    let voters = members.keys().copied().collect();
    Step::Found {
        founding: Membership {
            voter_sets: vec![voters],
            members,
        },
        awaited,
    }
}

fn sorted(members: &[Member]) -> Vec<&Member> {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| &member.name);
    members
}

fn random_u128() -> u128 {
    let mut rng = runtime::rng();
    (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())).max(1)
}

#[cfg(test)]
mod tests;
