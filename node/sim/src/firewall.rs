//! A firewall before a healthy leader and nothing else: what others say to it is cut and new connections are refused, as if its
//! process were gone. It still reaches everybody, and they answer, so nobody may depose it.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use wiber_node::group::Leader;

use crate::{
    clients::Clients,
    cluster::Cluster,
    count::Count,
    run::{PROGRESS, until},
    say,
};

/// It stands for so long: several of the longest election timeouts.
const LASTS: Duration = Duration::from_secs(3);
/// A publish through the leader is acknowledged within this time all the while.
const BOUND: Duration = Duration::from_secs(2);

/// Puts the firewall up before the leader, publishes through it, and takes it down.
pub(crate) async fn run(cluster: &Cluster, clients: &Clients) {
    let world = &cluster.world;
    let mut agreed = None;
    let found = until(|| {
        agreed = followed_by_all(cluster);
        agreed.is_some()
    });
    let (Ok(()), Some((leader, term))) = (timeout(PROGRESS, found).await, agreed) else {
        return world.fail("a healthy cluster has no leader whom all follow".to_owned());
    };
    say!(
        world,
        "RUN",
        "a firewall stands before n{} in term {term}",
        leader + 1
    );
    cluster.network.reject(leader, true);
    world.count(Count::Firewall);
    let began = Instant::now();
    while began.elapsed() < LASTS {
        if timeout(BOUND, clients.publish_through(leader)).await.is_err() {
            return world.fail(format!("n{} does not publish behind a firewall", leader + 1));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if followed_by_all(cluster) != Some((leader, term)) {
        return world.fail(format!(
            "n{} was healthy and is no leader of term {term} any more",
            leader + 1
        ));
    }
    cluster.network.reject(leader, false);
    world.count(Count::LeadsOn);
}

/// The leader whom every node follows, and its term.
fn followed_by_all(cluster: &Cluster) -> Option<(usize, u64)> {
    if !cluster.is_whole() {
        return None;
    }
    let groups: Option<Vec<_>> = cluster.hosts.iter().map(|host| host.group()).collect();
    let groups = groups?;
    let leads = |group: &wiber_node::group::Group| match group.followed() {
        Leader::Own { term } => Some(term),
        _ => None,
    };
    let leader = groups.iter().position(|group| leads(group).is_some())?;
    let (own, term) = (groups[leader].own, leads(&groups[leader])?);
    let follows = |group: &wiber_node::group::Group| match group.followed() {
        Leader::Own { .. } => group.own == own,
        Leader::Other { id, term: of, .. } => id == own && of == term,
        Leader::Unknown => false,
    };
    groups
        .iter()
        .all(|group| follows(group))
        .then_some((leader, term))
}
