//! `wiber-sim`: runs seeds until one breaks a promise.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use clap::Parser;
use parking_lot::Mutex;
use wiber_sim::{
    count::{Count, Counters},
    mutants::Broken,
    run::{self, OPERATIONS, Outcome, Plan, catch_panics},
};

/// With fewer runs some rare fault may be missing, which then says nothing.
const RUNS_THAT_MUST_SHOW_ALL: u64 = 200;

/// Simulates clusters. Without options it runs until it is stopped.
#[derive(Parser)]
struct Args {
    /// Run this one seed and print its trace.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Break this promise, and see it noticed.
    #[arg(long, value_enum)]
    broken: Option<Broken>,
    /// Threads; as many as the machine has by default.
    #[arg(long)]
    jobs: Option<usize>,
    /// End after this many seconds, whatever has been done.
    #[arg(long)]
    most_seconds: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    catch_panics();
    match args.seed {
        Some(seed) => one(seed, args.broken),
        None => many(&args),
    }
}

fn one(seed: u64, broken: Option<Broken>) -> ExitCode {
    let outcome = run::run(Plan {
        seed,
        broken,
        is_kept: true,
    });
    print!("{}", outcome.trace);
    summary(&outcome.counters);
    println!(
        "seed {seed}: {} lines, hash {:016x}, {:.1} s simulated",
        outcome.trace_lines,
        outcome.trace_hash,
        outcome.simulated.as_secs_f64()
    );
    match outcome.failure {
        Some(failure) => {
            println!("FAILED: {failure}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// What the threads share.
struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
    counters: Counters,
    failed: Mutex<Option<(u64, String)>>,
}

fn many(args: &Args) -> ExitCode {
    let shared = Shared {
        next: AtomicU64::new(args.from),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        counters: Counters::default(),
        failed: Mutex::new(None),
    };
    let end = args
        .seeds
        .map_or(u64::MAX, |seeds| args.from.saturating_add(seeds));
    let jobs = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let started = Stopwatch::start();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&shared, args, end, &started));
        }
    });
    let done = shared.done.load(Relaxed);
    summary(&shared.counters);
    println!(
        "{done} seeds from {} in {:.1} s",
        args.from,
        started.elapsed().as_secs_f64()
    );
    if let Some((seed, failure)) = shared.failed.lock().take() {
        println!("FAILED: seed {seed}: {failure}\nreplay: ./dev sim --seed {seed}");
        return ExitCode::FAILURE;
    }
    let zeros = shared.counters.zeros();
    if done >= RUNS_THAT_MUST_SHOW_ALL && !zeros.is_empty() {
        println!(
            "FAILED: this never happened, so the run proves nothing about it: {}",
            zeros.join("; ")
        );
        return ExitCode::FAILURE;
    }
    if let Some(seeds) = args.seeds.filter(|seeds| done < *seeds) {
        // On a machine with other work fewer fit the time. What ran held; too few to say so is a failure.
        println!("the time was over after {done} of {seeds} seeds");
        if done < RUNS_THAT_MUST_SHOW_ALL {
            println!("FAILED: at least {RUNS_THAT_MUST_SHOW_ALL} are needed");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn work(shared: &Shared, args: &Args, end: u64, started: &Stopwatch) {
    let most = args.most_seconds.map_or(Duration::MAX, Duration::from_secs);
    while !shared.stop.load(Relaxed) && started.elapsed() < most {
        let seed = shared.next.fetch_add(1, Relaxed);
        if seed >= end {
            return;
        }
        let outcome = run::run(Plan {
            seed,
            broken: args.broken,
            is_kept: false,
        });
        shared.counters.merge(&outcome.counters);
        if let Some(failure) = verdict(&outcome) {
            shared.stop.store(true, Relaxed);
            let mut failed = shared.failed.lock();
            if failed.as_ref().is_none_or(|(known, _)| seed < *known) {
                *failed = Some((seed, failure));
            }
        }
        let done = shared.done.fetch_add(1, Relaxed) + 1;
        if done.is_multiple_of(100) {
            println!("{done} seeds, {:.1} s", started.elapsed().as_secs_f64());
        }
    }
}

fn verdict(outcome: &Outcome) -> Option<String> {
    let operations = outcome.counters.get(Count::Operations);
    outcome.failure.clone().or_else(|| {
        (operations < OPERATIONS)
            .then(|| format!("only {operations} operations, at least {OPERATIONS} count"))
    })
}

fn summary(counters: &Counters) {
    for count in Count::ALL {
        println!("{:>12}  {}", counters.get(*count), count.text());
    }
}

/// How long it took on this machine: for people, never for the simulation.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[allow(
        clippy::disallowed_methods,
        reason = "the person who waits lives in real time"
    )]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
