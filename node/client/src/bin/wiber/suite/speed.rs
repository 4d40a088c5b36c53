//! How fast publishes are: one at a time, many at a time, and large ones.

use super::{Bench, Figure, Row};
use crate::bench::{Load, Outcome, publish};

/// Published before a figure is taken, so that connections, segments and memory are there.
const WARM_UP: u64 = 500;

impl Bench<'_> {
    /// Publishes through the leader and enters what was acknowledged into the ledger. A failed publish fails the run.
    pub(super) fn publish(&mut self, load: &Load) -> anyhow::Result<Outcome> {
        let leader = self.cluster.leader()?;
        let node = self.cluster.nodes()[leader].clone();
        let topic = self.ledger.topic(&load.topic);
        let outcome = publish(load, &[node], topic)?;
        if let Some(error) = &outcome.first_error {
            topic.has_unknown();
            anyhow::bail!("{} publishes failed; the first: {error}", outcome.errors);
        }
        Ok(outcome)
    }
}

/// A load of the size the targets are about; ids are left to the node.
pub(super) fn load(topic: &str, size_bytes: usize, inflight: usize, conns: usize, count: u64) -> Load {
    Load {
        topic: topic.to_owned(),
        size_bytes,
        inflight,
        conns,
        count,
        time_limit: None,
        own_ids: None,
    }
}

/// The load of [`Row::Parallel`], which other rows compare with.
pub(super) fn parallel(topic: &str, count: u64) -> Load {
    load(topic, 256, 4096, 8, count)
}

pub(super) fn measure(row: Row, bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let plan = bench.plan;
    let mut load = match row {
        Row::Latency => load(row.name(), 256, 1, 1, plan.latency_messages),
        Row::Pipelined => load(row.name(), 256, 256, 1, plan.messages),
        Row::Large => load(row.name(), 16 << 10, 64, 1, plan.large_messages),
        _ => parallel(row.name(), plan.messages),
    };
    load.time_limit = Some(plan.load_limit);
    let warm_up = Load {
        count: WARM_UP,
        ..load.clone()
    };
    bench.publish(&warm_up)?;
    let outcome = bench.publish(&load)?;
    let floor = bench.results.floor;
    let times = format!(
        "p50 {:.0} p99 {:.0} max {:.0} µs",
        outcome.latencies.p50_us(),
        outcome.latencies.p99_us(),
        outcome.latencies.max_us()
    );
    let rate = outcome.per_second();
    let mb_per_s = outcome.mb_per_second(&load);
    // The floor of a rate of small messages: what the disk would take of their bodies.
    let of_disk = mb_per_s / floor.share_mb_per_s();
    let figure = match row {
        Row::Latency => Figure::new(row, "256 B, 1 in flight: p50", outcome.latencies.p50_us(), "µs")
            .at_most(2.0 * floor.commit_us())
            .beside(floor.commit_us())
            .noting(times),
        Row::Pipelined => Figure::new(row, "256 B, 256 in flight, 1 connection", rate, "msg/s")
            .at_least(150_000.0)
            .times_floor(of_disk)
            .noting(times),
        Row::Large => Figure::new(row, "16 KiB, 64 in flight, 1 connection", mb_per_s, "MB/s")
            .at_least(0.6 * floor.share_mb_per_s())
            .beside(floor.share_mb_per_s())
            .noting(times),
        _ => Figure::new(row, "256 B, 4,096 in flight, 8 connections", rate, "msg/s")
            .at_least(300_000.0)
            .times_floor(of_disk)
            .noting(times),
    };
    bench.note(figure);
    Ok(())
}
