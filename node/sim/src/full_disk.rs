//! Full disks and nothing else: what a cluster owes its clients while they last, and after.
//!
//! A leader without room hands over, so publishes go on. Where a majority has no room, they are answered all the same,
//! and reads go on. No node gives up. With room again, everything goes on by itself.

use std::time::Duration;

use tokio::time::timeout;
use wiber_protocol::config::Retention;

use crate::{
    clients::Clients,
    cluster::Cluster,
    count::Count,
    dice::Dice,
    run::{PROGRESS, progress, until},
    say,
};

/// With this much written all the time, a disk without room is full to the log within this time.
const FILLING: Duration = Duration::from_secs(10);
/// Publishes are acknowledged in spite of a leader's full disk, and reads answered in spite of all, within this time. A leader
/// tries to hand over every five seconds.
const BOUND: Duration = Duration::from_secs(12);

/// Whose disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Leader,
    Majority,
    All,
}

/// Fills disks of a healthy cluster and makes room again.
pub(crate) async fn run(cluster: &Cluster, clients: &Clients, dice: &Dice) {
    let world = &cluster.world;
    let leader = || (0..cluster.hosts.len()).find(|host| cluster.hosts[*host].leads());
    let ready = || leader().filter(|_| cluster.is_whole());
    let Ok(leader) = timeout(PROGRESS, when(ready)).await else {
        return world.fail("a healthy cluster is not whole or has no leader".to_owned());
    };
    let whose = dice.pick(&[Whose::Leader, Whose::Majority, Whose::All]);
    let size = cluster.hosts.len();
    let full: Vec<usize> = match whose {
        Whose::Leader => vec![leader],
        // With the leader or without.
        Whose::Majority => {
            let first = dice.index(size);
            (0..=size / 2).map(|step| (first + step) % size).collect()
        }
        Whose::All => (0..size).collect(),
    };
    say!(world, "RUN", "full disks: {whose:?}, {full:?}");
    for host in &full {
        cluster.hosts[*host].set_room(Some(0));
    }
    // Once a majority is full nobody may be able to fill the rest.
    let some_full = || {
        full.iter()
            .any(|host| cluster.hosts[*host].has_log_room() == Some(false))
    };
    if timeout(FILLING, until(some_full)).await.is_err() {
        if cluster.hosts[0].config.retention == Retention::default() {
            world.fail(format!("no log notices its full disk: {full:?}"));
        }
        // Retention makes as much room as is needed.
        return make_room(cluster, &full);
    }
    world.count(Count::FullDiskAlone);
    for host in 0..size {
        say!(world, "RUN", "asks n{} in spite of full disks", host + 1);
        if whose == Whose::Leader {
            if timeout(BOUND, clients.publish_through(host)).await.is_err() {
                return world.fail(format!(
                    "n{} publishes nothing while another could lead",
                    host + 1
                ));
            }
        } else if !clients.publish_once(host).await {
            return world.fail(format!(
                "n{} does not answer a publish while disks are full",
                host + 1
            ));
        }
        // A node that lacks something committed and has no room for it cannot show it.
        let has_all = || {
            let node = &cluster.hosts[host];
            let applied = node.group().map_or(0, |group| group.applied_index() + 1);
            !full.contains(&host) || applied >= world.oracle().committed()
        };
        if timeout(BOUND, clients.read_through(host, has_all)).await.is_err() {
            return world.fail(format!(
                "n{} does not answer reads while disks are full",
                host + 1
            ));
        }
    }
    make_room(cluster, &full);
    say!(world, "RUN", "there is room again");
    if timeout(PROGRESS, progress(cluster, clients, None)).await.is_err() {
        return world.fail(format!(
            "no progress within {} s after there was room",
            PROGRESS.as_secs()
        ));
    }
    world.count(Count::GoesOnWithRoom);
}

fn make_room(cluster: &Cluster, full: &[usize]) {
    for host in full {
        cluster.hosts[*host].set_room(None);
    }
}

async fn when<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(|| {
        found = there();
        found.is_some()
    })
    .await;
    found.expect("it was waited for")
}
