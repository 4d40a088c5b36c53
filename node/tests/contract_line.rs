//! Section 2 of the compatibility contract, row by row: raw bytes to a real node, golden bytes back.

#[path = "line/commands.rs"]
mod commands;
#[path = "line/follows.rs"]
mod follows;
#[path = "line/groups/mod.rs"]
mod groups;
#[path = "line/hostile.rs"]
mod hostile;
#[path = "line/orders.rs"]
mod orders;
#[path = "line/patterns.rs"]
mod patterns;
#[path = "line/publishes.rs"]
mod publishes;
#[path = "line/reads.rs"]
mod reads;
#[path = "line/subscriptions.rs"]
mod subscriptions;
mod support;
#[path = "line/topics.rs"]
mod topics;

use support::cluster::Cluster;

/// A cluster of one node: what a node says does not depend on how many there are.
fn one() -> Cluster {
    Cluster::start(1)
}
