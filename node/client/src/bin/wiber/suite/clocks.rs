//! Three nodes with false clocks, so that the truth is known: how soon they agree on a time, how tightly they bound it, idle
//! and under load, how soon a wrong clock is named, and whether what they said of time was true (`docs/time.md`).

mod bounds;
mod stamps;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use wiber_protocol::{
    config::NodeSpec,
    status::{ClockFault, ClockState, ClockStatus},
};

use self::bounds::Bounds;
use super::{
    Bench, Figure, Row,
    cluster::NodeOptions,
    figures::{count, thousands},
    speed::load,
    wait_for,
};
use crate::{
    admin,
    bench::{Latencies, Load},
};

/// Clocks that are wrong by what is known here, and can be made more so.
pub(super) const NODE_OPTIONS: NodeOptions = [
    &["--clock-skew-ms", "250", "--allow-faults"],
    &["--clock-skew-ms", "-40", "--allow-faults"],
    &["--clock-drift-ppm", "30", "--allow-faults"],
];
/// The position of the node whose clock is set wrong, and by how much that is.
const WRONG: usize = 2;
const WRONG_BY_MS: f64 = 5_000.0;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// A bound moves with every probe, so one reading says little: idle nodes are read so often …
const IDLE_READINGS: usize = 20;
/// … with so long between, which a loaded node hardly feels.
const READ_EVERY: Duration = Duration::from_millis(100);

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    synchronised(bench)?;
    idle(bench)?;
    loaded(bench)?;
    named(bench)?;
    stamps::measure(bench)?;
    truth(bench)
}

/// What every node says of its clocks; `None` unless all answer.
fn clocks(nodes: &[NodeSpec]) -> Option<Vec<ClockStatus>> {
    let clock = |node| admin::status(node).map(|status| status.clock);
    nodes.iter().map(clock).collect()
}

fn synchronised(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let nodes = bench.cluster.nodes();
    wait_for("all clocks are synchronised", PATIENCE, || {
        let is_synchronised = |clock: &ClockStatus| clock.state == ClockState::Synchronised;
        Ok(clocks(nodes).filter(|clocks| clocks.iter().all(is_synchronised)))
    })?;
    let took = bench.cluster.started_at().elapsed();
    bench.cluster.await_settled()?;
    let name = "from the last start until all are synchronised";
    bench.note(Figure::new(Row::Clocks, name, took.as_secs_f64(), "s"));
    Ok(())
}

fn idle(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let settled_at = bench.cluster.started_at() + bench.plan.clocks_settle;
    thread::sleep(settled_at.saturating_duration_since(Instant::now()));
    let age_s = bench.cluster.started_at().elapsed().as_secs();
    let mut bounds = Bounds::default();
    for _ in 0..IDLE_READINGS {
        bounds.add(clocks(bench.cluster.nodes()).as_deref());
        thread::sleep(READ_EVERY);
    }
    let name = format!("worst bound of cluster time, idle, after {age_s} s");
    bench.note(
        bounds
            .of_cluster_time(name)?
            .at_most(200.0)
            .noting(bounds.to_string()),
    );
    bench.note(bounds.of_measurements("worst bound of a measured offset, idle")?);
    processor_time(bench);
    Ok(())
}

/// Nobody asks the nodes anything meanwhile.
fn processor_time(bench: &mut Bench<'_>) {
    let before = bench.cluster.processor_times();
    let began = Instant::now();
    thread::sleep(bench.plan.clocks_idle);
    let elapsed_s = began.elapsed().as_secs_f64();
    let after = bench.cluster.processor_times();
    let used = before.iter().zip(&after);
    let used_ms_per_s: Vec<f64> = used
        .map(|(before, after)| after.saturating_sub(*before).as_secs_f64() * 1e3 / elapsed_s)
        .collect();
    // Where the system tells nothing there is nothing to say.
    let Some(largest) = used_ms_per_s.iter().copied().reduce(f64::max) else {
        return;
    };
    let each: Vec<String> = used_ms_per_s.iter().map(|one| format!("{one:.1}")).collect();
    let figure = Figure::new(Row::Clocks, "processor time of an idle node", largest, "ms/s");
    let note = format!("largest of {} over {elapsed_s:.0} s", each.join(", "));
    bench.note(figure.noting(note));
}

fn loaded(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let nodes = bench.cluster.nodes().to_vec();
    let load = Load {
        time_limit: Some(bench.plan.clocks_load),
        ..load("clocks-load", 256, 256, 1, u64::MAX)
    };
    let is_over = AtomicBool::new(false);
    let (outcome, bounds) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bounds = Bounds::default();
            while !is_over.load(Relaxed) {
                bounds.add(clocks(&nodes).as_deref());
                thread::sleep(READ_EVERY);
            }
            bounds
        });
        let outcome = bench.publish(&load);
        is_over.store(true, Relaxed);
        (outcome, reader.join().expect("reading bounds does not panic"))
    });
    let note = format!("{} msg/s; {bounds}", thousands(outcome?.per_second()));
    let figure = bounds.of_cluster_time("worst bound of cluster time, under load")?;
    bench.note(figure.noting(note));
    bench.note(bounds.of_measurements("worst bound of a measured offset, under load")?);
    Ok(())
}

fn named(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let nodes = bench.cluster.nodes();
    let names = |clock: &ClockStatus| clock.falsetickers.iter().any(|one| one.id == nodes[WRONG].id);
    let mut latencies = Latencies::new();
    for _ in 0..bench.plan.clock_faults {
        let began = Instant::now();
        set_clock(&nodes[WRONG], WRONG_BY_MS)?;
        wait_for("all nodes name the wrong clock", PATIENCE, || {
            Ok(clocks(nodes).filter(|clocks| clocks.iter().all(names)))
        })?;
        latencies.add(began.elapsed(), 1);
        set_clock(&nodes[WRONG], 0.0)?;
        wait_for("nobody names a clock that is right again", PATIENCE, || {
            Ok(clocks(nodes).filter(|clocks| !clocks.iter().any(names)))
        })?;
    }
    let name = "clock set wrong by 5 s, until all name it: max";
    let figure = Figure::new(Row::Clocks, name, latencies.max_us() / 1e3, "ms").at_most(3_000.0);
    let note = format!("p50 {:.0} ms of {}", latencies.p50_us() / 1e3, latencies.count());
    bench.note(figure.noting(note));
    Ok(())
}

fn set_clock(node: &NodeSpec, skew_ms: f64) -> anyhow::Result<()> {
    let fault = ClockFault {
        skew_ms: Some(skew_ms),
        drift_ppm: None,
    };
    let answer = admin::post(node, "/faults/clock", &serde_json::to_string(&fault)?);
    let (code, body) = answer.with_context(|| format!("{} does not answer", node.id))?;
    ensure!(code == 200, "HTTP {code}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// Of all measurements since the start, also those under load and while a clock was wrong.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 53 bits")]
fn truth(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let clocks = clocks(bench.cluster.nodes()).context("a node does not answer")?;
    let peers = || clocks.iter().flat_map(|clock| &clock.peers);
    let checked: u64 = peers().map(|peer| peer.truth_checked).sum();
    let inside: u64 = peers().map(|peer| peer.truth_inside).sum();
    // Nodes that cannot know that they share a machine know no truth.
    if checked == 0 {
        return Ok(());
    }
    let name = "measurements that held the truth";
    let figure = Figure::new(Row::Clocks, name, 100.0 * inside as f64 / checked as f64, "%");
    let note = format!("{} of {}", count(inside), count(checked));
    bench.promise(figure.at_least(100.0).noting(note));
    Ok(())
}
