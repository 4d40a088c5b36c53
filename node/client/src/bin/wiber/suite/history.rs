//! Many messages: reading some of them, restarting with them, holding them, publishing after them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use rustix::process::Signal;

use super::{
    Bench, Figure, Row,
    conn::Conn,
    speed::{load, parallel},
};
use crate::bench::{Latencies, Load};

/// Records of a history and of a page.
const PAGE: u64 = 1_000;
const TOPIC: &str = "history";
/// A disk of a virtual machine is fast until its allowance is used up, which so many messages do. A rest before each measure
/// of speed gives both the same.
const MANY: u64 = 5_000_000;
const REST: Duration = Duration::from_mins(1);

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let empty = publish_speed(bench, "before")?;
    fill(bench)?;
    memory(bench, "after loading");
    reads(bench)?;
    restarts(bench)?;
    memory(bench, "after restarts");
    let after = publish_speed(bench, "after")?;
    let figure = Figure::new(
        Row::History,
        "publish speed after them",
        100.0 * after / empty,
        "% of empty",
    )
    .at_least(90.0)
    .noting(format!("{empty:.0} msg/s before, {after:.0} after"));
    bench.note(figure);
    Ok(())
}

/// Of [`parallel`], msg/s.
fn publish_speed(bench: &mut Bench<'_>, topic: &str) -> anyhow::Result<f64> {
    // What an earlier step left to the followers must not count here.
    bench.cluster.await_settled()?;
    if bench.plan.history_messages >= MANY {
        std::thread::sleep(REST);
    }
    bench.publish(&load(topic, 256, 256, 1, 10_000))?;
    let load = Load {
        time_limit: Some(bench.plan.load_limit),
        ..parallel(topic, bench.plan.messages)
    };
    Ok(bench.publish(&load)?.per_second())
}

fn fill(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let outcome = bench.publish(&parallel(TOPIC, bench.plan.history_messages))?;
    bench.cluster.await_settled()?;
    let name = format!(
        "loading {} messages of 256 B",
        super::figures::count(bench.plan.history_messages)
    );
    let figure = Figure::new(Row::History, name, outcome.per_second(), "msg/s");
    bench.note(figure.noting(format!("{:.0} s", outcome.elapsed.as_secs_f64())));
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a process has fewer than 53 bits of memory"
)]
fn memory(bench: &mut Bench<'_>, when: &str) {
    let memory = bench.cluster.memory();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    // Where the system tells nothing there is nothing to say.
    let Some(largest) = memory.iter().map(|one| one.resident).max() else {
        return;
    };
    let anonymous: Vec<String> = memory
        .iter()
        .map(|one| format!("{:.0}", mb(one.anonymous)))
        .collect();
    let figure = Figure::new(
        Row::History,
        format!("resident memory, {when}"),
        mb(largest),
        "MB",
    )
    .at_most(200.0)
    .noting(format!("largest of three; anonymous {}", anonymous.join(", ")));
    bench.note(figure);
}

fn reads(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let leader = bench.cluster.leader()?;
    let mut conn = Conn::open(&bench.cluster.nodes()[leader])?;
    let round_trip_us = bench.results.floor.round_trip_us;
    let pages = bench.plan.pages;
    let last = timed(pages, &mut conn, || format!("HISTORY {TOPIC} {PAGE}\n"))?;
    let figure = Figure::new(
        Row::History,
        "HISTORY of the last 1,000: p99",
        last.p99_us() / 1e3,
        "ms",
    )
    .at_most(5.0)
    .beside(round_trip_us / 1e3)
    .noting(quantiles_ms(&last));
    bench.note(figure);
    let mut rng = rand::rng();
    let ends = PAGE..bench.plan.history_messages - 2 * PAGE;
    let middle = timed(pages, &mut conn, || {
        let first = rng.random_range(ends.clone());
        format!("READ {TOPIC} --from {first} --limit {PAGE} --local\n")
    })?;
    let figure = Figure::new(
        Row::History,
        "1,000 from anywhere: p99",
        middle.p99_us() / 1e3,
        "ms",
    )
    .at_most(10.0)
    .beside(round_trip_us / 1e3)
    .noting(quantiles_ms(&middle));
    bench.note(figure);
    Ok(())
}

fn quantiles_ms(latencies: &Latencies) -> String {
    format!(
        "p50 {:.1} max {:.1} ms of {}",
        latencies.p50_us() / 1e3,
        latencies.max_us() / 1e3,
        latencies.count()
    )
}

/// How long each of `count` reads takes, from the command to the end of the answer.
fn timed(count: usize, conn: &mut Conn, mut command: impl FnMut() -> String) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new();
    for _ in 0..count {
        let command = command();
        let mut records = 0;
        let began = Instant::now();
        conn.ask(&command, |_| {
            records += 1;
            Ok(())
        })?;
        latencies.add(began.elapsed(), 1);
        ensure!(records == PAGE, "{records} records to `{}`", command.trim_end());
    }
    Ok(latencies)
}

fn restarts(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::KILL, "SIGKILL")] {
        let leader = bench.cluster.await_settled()?;
        let follower = (leader + 1) % bench.cluster.nodes().len();
        bench.cluster.signal(follower, signal)?;
        bench.cluster.await_exit(follower)?;
        let took = bench
            .cluster
            .time_to_ready(follower)
            .with_context(|| format!("restarting after {name}"))?;
        let figure = Figure::new(
            Row::History,
            format!("restart to ready after {name}"),
            seconds(took),
            "s",
        );
        bench.note(figure.at_most(1.5));
    }
    bench.cluster.await_settled().map(|_| ())
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
