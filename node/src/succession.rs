//! A follower that knows its leader to be gone need not wait for an election timeout.
//!
//! A process that ends lets go of its port, so all connections with it break and new ones are refused at once. That can
//! also be the work of a firewall between two healthy nodes, so one node's word is not enough: it asks the other
//! voters, and only when a majority knows the leader to be gone does the one with the longest log campaign, in spite of
//! the leader's lease. Leases guard nothing here but elections: strong reads use the read index.
//!
//! A leader that stands still keeps its connections. It is taken for gone when neither its heartbeats come nor its answers to
//! time probes, and the latter are so regular otherwise that this is no accident (`wiber_time::phi`). Again a majority must
//! find so, each by itself; where it does not, Raft's own timeouts decide as ever.
//!
//! The question is a pre-vote marked as a transfer of leadership; the engine knows nothing of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{async_runtime::WatchReceiver, raft::TransferLeaderRequest};
use wiber_protocol::{
    ids::{LogId, RaftId, Vote},
    membership::{Member, Membership},
    rpc::{Request, Response, VoteReply, VoteRequest},
};

use crate::{
    group::{Gone, Group, Leader},
    metrics::{Counters, count},
    raft::{self, Metrics},
    rpc::names::Names,
};

/// A voter that is asked waits this long for its own news of the leader's end.
const OWN_NEWS: Duration = Duration::from_millis(50);
/// Answers of the other voters are waited for this long.
const ANSWERS: Duration = Duration::from_millis(150);
/// Who has not the longest log waits this long for the one that has.
const HANDICAP: Duration = Duration::from_millis(150);
/// Between two rounds of asking, while the leader stays gone; doubled from one to the next.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Elections in a row that one campaign may take, see [`campaign`].
const MOST_ELECTIONS: u64 = 3;

/// A leader that this node followed, and the term in which it led.
struct Followed {
    id: RaftId,
    member: Member,
    term: u64,
}

/// Watches the leader and campaigns when it is gone. Runs until the engine stops.
pub async fn run(group: Arc<Group>, names: Arc<Names>, counters: Arc<Counters>) {
    let mut metrics = group.raft.metrics();
    let mut last: Option<Followed> = None;
    let mut told = None;
    let mut pause = FIRST_PAUSE;
    loop {
        match group.followed() {
            Leader::Own { .. } => last = None,
            Leader::Other { id, member, term } => last = Some(Followed { id, member, term }),
            // Who lost an election follows nobody, and its leader is as gone as before.
            Leader::Unknown => {}
        }
        let Some(leader) = &last else {
            if metrics.changed().await.is_err() {
                return;
            }
            continue;
        };
        let gone = tokio::select! {
            biased;
            changed = metrics.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            gone = group.await_gone(leader.id, &leader.member) => match gone {
                Some(gone) => gone,
                None => return,
            },
        };
        if told.replace((leader.id, leader.term)) != Some((leader.id, leader.term)) {
            let name = names.of(leader.id);
            match gone {
                Gone::Process => tracing::info!(target: "raft", "{name}'s process is gone"),
                Gone::Silent { suspicion } => {
                    count(&counters.leaders_suspected);
                    tracing::info!(target: "raft", "{name} is silent, which is no accident (phi {suspicion:.1})");
                }
            }
            pause = FIRST_PAUSE;
        }
        if !campaign(&group, leader).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Asks the other voters and campaigns if it may. `true` when there is another leader, or soon will be.
///
/// A voter that had the longest log when it asked may have lost an election since, because another one was still taking in
/// what the leader had sent: that one is now a term behind it, and its first election only catches up with that term.
async fn campaign(group: &Group, leader: &Followed) -> bool {
    let (mut vote, membership) = {
        let metrics = group.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = raft::from_membership(metrics.membership_config.membership());
        (raft::from_vote(&metrics.vote), membership)
    };
    let is_of = (vote.term, vote.voted_for) == (leader.term, leader.id);
    if vote.committed && !is_of || !is_voter(&membership, group.own) {
        return false;
    }
    // This node has just voted for another one, which may be about to lead.
    if !vote.committed
        && vote.voted_for != group.own
        && another_leads(group, vote.term.saturating_sub(1)).await
    {
        return true;
    }
    let last = last_log_id(group);
    let request = VoteRequest {
        vote: Vote {
            term: vote.term + 1,
            voted_for: group.own,
            committed: false,
        },
        last,
        leadership_transfer: true,
    };
    let others = membership
        .members
        .iter()
        .filter(|(id, _)| **id != group.own && **id != leader.id && is_voter(&membership, **id));
    let asked = others.map(|(id, member)| ask(group, *id, member, request.clone()));
    let mut agreed = BTreeSet::from([group.own]);
    let mut is_first = true;
    let mut newest_term = vote.term;
    for (id, reply) in futures_util::future::join_all(asked).await {
        let Some(reply) = reply else { continue };
        is_first &= (reply.last, id) < (last, group.own);
        newest_term = newest_term.max(reply.vote.term);
        if reply.granted {
            agreed.insert(id);
        }
    }
    if !is_majority(&membership, &agreed) {
        return false;
    }
    if !is_first && another_leads(group, newest_term).await {
        return true;
    }
    for _ in 0..MOST_ELECTIONS {
        if !elect(group, vote, last).await {
            return false;
        }
        vote = Vote {
            term: vote.term + 1,
            voted_for: group.own,
            committed: false,
        };
        if vote.term > newest_term {
            break;
        }
    }
    another_leads(group, vote.term.saturating_sub(1)).await
}

/// Stands for election in the term after `vote`'s, and waits until that has begun. `false` if the vote is another one by now.
async fn elect(group: &Group, vote: Vote, last: Option<LogId>) -> bool {
    let request = TransferLeaderRequest::new(raft::to_vote(vote), group.own.0, last.map(raft::to_log_id));
    matches!(group.raft.handle_transfer_leader(request).await, Ok(Ok(())))
        && comes_true(group, |metrics| metrics.current_term > vote.term).await
}

async fn ask(
    group: &Group,
    id: RaftId,
    member: &Member,
    request: VoteRequest,
) -> (RaftId, Option<VoteReply>) {
    let link = group.links.to(member);
    let answer = link.call(Request::PreVote(request), Some(id), ANSWERS).await;
    let reply = match answer {
        Ok(Response::PreVote(reply)) => Some(reply),
        _ => None,
    };
    (id, reply)
}

/// Waits for a leader of a term after `term`, at most [`HANDICAP`].
async fn another_leads(group: &Group, term: u64) -> bool {
    comes_true(group, |metrics| {
        metrics.current_term > term && metrics.current_leader.is_some()
    })
    .await
}

/// Whether `condition` holds within [`HANDICAP`].
async fn comes_true(group: &Group, condition: impl Fn(&Metrics) -> bool) -> bool {
    let mut metrics = group.raft.metrics();
    let met = async {
        loop {
            let is_met = condition(&metrics.borrow_watched());
            if is_met || metrics.changed().await.is_err() {
                return is_met;
            }
        }
    };
    tokio::time::timeout(HANDICAP, met).await.unwrap_or(false)
}

/// Whether this node would follow who asks because it knows its leader to be gone, too.
pub async fn answer(group: &Group, request: &VoteRequest) -> VoteReply {
    let leader_is_gone = match group.followed() {
        Leader::Own { .. } => false,
        Leader::Unknown => true,
        Leader::Other { id, member, .. } => {
            let gone = tokio::time::timeout(OWN_NEWS, group.await_gone(id, &member));
            gone.await.is_ok_and(|gone| gone.is_some())
        }
    };
    let metrics = group.raft.metrics();
    let vote = raft::from_vote(&metrics.borrow_watched().vote);
    let last = last_log_id(group);
    VoteReply {
        vote,
        last,
        // Whatever the terms are: who asks learns this node's and goes beyond it.
        granted: leader_is_gone && request.last >= last,
    }
}

fn last_log_id(group: &Group) -> Option<LogId> {
    let last = group.log.log().last();
    last.map(|(term, index)| LogId { term, index })
}

fn is_voter(membership: &Membership, id: RaftId) -> bool {
    membership.voter_sets.iter().any(|set| set.contains(&id))
}

/// A majority of every voter set.
fn is_majority(membership: &Membership, of: &BTreeSet<RaftId>) -> bool {
    let holds = |set: &BTreeSet<RaftId>| set.intersection(of).count() * 2 > set.len();
    membership.voter_sets.iter().all(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(of: [u64; N]) -> BTreeSet<RaftId> {
        of.map(RaftId).into()
    }

    #[test]
    fn a_majority_is_one_in_every_voter_set() {
        let three = Membership {
            voter_sets: vec![ids([1, 2, 3])],
            ..Membership::default()
        };
        assert!(is_majority(&three, &ids([1, 2])));
        assert!(!is_majority(&three, &ids([1, 9])));
        let joint = Membership {
            voter_sets: vec![ids([1, 2, 3]), ids([2, 3, 4])],
            ..Membership::default()
        };
        assert!(is_majority(&joint, &ids([2, 3])));
        assert!(!is_majority(&joint, &ids([1, 2])));
    }
}
