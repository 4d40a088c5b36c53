//! `wiber bench-suite`, behind `./dev bench`: starts private clusters of real nodes, measures what the README and
//! `docs/performance.md` promise, and reads every acknowledged record back from each node.
//!
//! What the disk and the loopback can do at best is measured in the same run and folder, so that a figure of one
//! machine says something about another. Whatever happens, no process and no folder is left behind.

mod clocks;
mod cluster;
mod conn;
mod failover;
mod figures;
mod floor;
mod guard;
mod history;
mod home;
mod ledger;
mod machine;
mod plan;
mod readback;
mod speed;
mod subscribers;
mod table;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;

use self::{
    cluster::{Cluster, NodeOptions},
    figures::{Figure, Results},
    floor::Floor,
    guard::Guard,
    home::Home,
    ledger::Ledger,
    plan::{Plan, Row, Scale},
};
use crate::cli;

#[derive(Clone, Debug, Args)]
pub(crate) struct SuiteOptions {
    /// Which rows to measure [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<Row>,
    /// Fewer messages and repetitions: three minutes instead of twelve
    #[arg(long)]
    quick: bool,
    /// Hardly anything, to see that it works
    #[arg(long, hide = true, conflicts_with = "quick")]
    smoke: bool,
    /// Where to keep the data, on a real disk
    #[arg(
        long,
        env = "WIBER_BENCH_DIR",
        value_name = "FOLDER",
        default_value = "target"
    )]
    dir: PathBuf,
    /// Where to write the figures
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// The wiber-node executable [default: the one beside this executable]
    #[arg(long, env = "WIBER_NODE_BIN", value_name = "FILE")]
    node_binary: Option<PathBuf>,
}

pub(crate) fn run(options: &SuiteOptions) -> ExitCode {
    let home = match Home::prepare(&options.dir, options.node_binary.as_deref()) {
        Ok(home) => Arc::new(home),
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    // Known before minutes of measuring, not after them.
    if let Err(error) = std::fs::write(&options.json, "{}") {
        return cli::refuse(format!("cannot write {}: {error}", options.json.display()));
    }
    match measure(options, &home) {
        Ok(results) if !results.broken.is_empty() => {
            cli::fail(format!("{} promises were broken", results.broken.len()))
        }
        Ok(results) if !results.failed.is_empty() => {
            cli::fail(format!("{} rows could not be measured", results.failed.len()))
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// Measures, and says and writes what was found, even if only a part of it could be.
fn measure(options: &SuiteOptions, home: &Arc<Home>) -> anyhow::Result<Results> {
    let scale = match (options.quick, options.smoke) {
        (true, _) => Scale::Quick,
        (_, true) => Scale::Smoke,
        _ => Scale::Full,
    };
    let plan = Plan::new(&options.rows, scale);
    let guard = Arc::new(Guard::start(home.folder(), plan.time_limit)?);
    say(format_args!(
        "the floor: disk and loopback in {}",
        home.folder().display()
    ));
    let floor = Floor::measure(home.folder(), plan.floor_write_bytes)?;
    say(format_args!("{floor}"));
    let mut results = Results::new(floor, scale);
    let mut ended = Ok(());
    for session in plan.sessions() {
        ended = measure_session(&session, &plan, home, &guard, &mut results);
        if ended.is_err() {
            break;
        }
    }
    results.finish();
    println!("\n{}", table::render(&results));
    std::fs::write(&options.json, results.json().to_string())
        .with_context(|| format!("cannot write {}", options.json.display()))?;
    println!("written: {}", options.json.display());
    ended.map(|()| results)
}

/// Rows that share a cluster, then the check that it kept everything.
fn measure_session(
    rows: &[Row],
    plan: &Plan,
    home: &Arc<Home>,
    guard: &Arc<Guard>,
    results: &mut Results,
) -> anyhow::Result<()> {
    let has_false_clocks = rows.contains(&Row::Clocks);
    let options: NodeOptions = if has_false_clocks {
        clocks::NODE_OPTIONS
    } else {
        [&[]; 3]
    };
    let mut cluster = Cluster::start(Arc::clone(home), Arc::clone(guard), options)?;
    // How soon clocks agree is measured from the start.
    if !has_false_clocks {
        cluster.await_settled()?;
    }
    let mut ledger = Ledger::default();
    for row in rows {
        say(format_args!("{}: {}", row.name(), row.about()));
        let mut bench = Bench {
            plan,
            cluster: &mut cluster,
            ledger: &mut ledger,
            results,
        };
        let measured = match row {
            Row::Latency | Row::Pipelined | Row::Parallel | Row::Large => speed::measure(*row, &mut bench),
            Row::History => history::measure(&mut bench),
            Row::Subscribers => subscribers::measure(&mut bench),
            Row::Failover => failover::killed_and_stopped(&mut bench),
            Row::Silence => failover::silent(&mut bench),
            Row::Clocks => clocks::measure(&mut bench),
        };
        if let Err(error) = measured {
            // The other rows may still be measured; whether anything was lost must be.
            let reason = format!("{error:#}; {}", cluster.last_words());
            say(format_args!("  FAILED: {reason}"));
            results.failed(*row, reason);
            cluster.revive()?;
        }
    }
    say(format_args!("reading everything back from each node"));
    let read = readback::check(&cluster, &ledger).context("reading back")?;
    say(format_args!("{read}"));
    results.readback(read);
    cluster.end()
}

/// What a row has to work with.
struct Bench<'a> {
    plan: &'a Plan,
    cluster: &'a mut Cluster,
    ledger: &'a mut Ledger,
    results: &'a mut Results,
}

impl Bench<'_> {
    fn note(&mut self, figure: Figure) {
        say(format_args!("  {}", figure.line()));
        self.results.figures.push(figure);
    }

    /// A figure that speed has no part in: where it is not what it should be, something is wrong.
    fn promise(&mut self, figure: Figure) {
        if figure.is_met() == Some(false) {
            self.results.broken.push(figure.line());
        }
        self.note(figure);
    }
}

fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

/// Asks again every few milliseconds until there is a value; fails with `what` when there is none in time.
fn wait_for<T>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let until = std::time::Instant::now() + within;
    loop {
        if let Some(value) = ask()? {
            return Ok(value);
        }
        anyhow::ensure!(std::time::Instant::now() < until, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
