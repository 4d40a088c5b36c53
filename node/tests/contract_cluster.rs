//! What the contract promises of several nodes together: forwarding, one order, nothing acknowledged is ever lost,
//! nothing twice; through crashes, restarts and wiped folders. Raw sockets to real processes.

#[path = "cluster/agreement.rs"]
mod agreement;
#[path = "cluster/clocks.rs"]
mod clocks;
#[path = "cluster/crashes.rs"]
mod crashes;
#[path = "cluster/damage.rs"]
mod damage;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/pauses.rs"]
mod pauses;
#[cfg(target_os = "linux")]
#[path = "cluster/pressure.rs"]
mod pressure;
#[path = "cluster/quorum.rs"]
mod quorum;
#[path = "cluster/retention.rs"]
mod retention;
mod support;

use std::collections::BTreeMap;

use support::{
    cluster::Cluster,
    rows::{Row, assert_gapless},
};

fn ports(cluster: &Cluster, nodes: usize) -> Vec<u16> {
    (0..nodes).map(|at| cluster.port(at)).collect()
}

/// Every acknowledged id is there, none is there twice, and the order has no gap.
#[track_caller]
fn assert_complete(rows: &[Row], acknowledged: &[String]) {
    assert_gapless(rows);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *times.entry(row.id.as_str()).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| !times.contains_key(id.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}
