//! `wiber-node`: one node of a Wiber cluster.

use std::{process::ExitCode, sync::Arc};

use rand::Rng;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wiber_node::{
    cli::{self, Args},
    clock::{Clock, FalseClock, SystemClock},
    console::{self, ConsoleGuard},
    folder::{self, DataFolder},
    identity::Identity,
    lamport::Lamport,
    line::LAG_RECORDS,
    machine::{Machine, machine_id},
    node::{self, Start},
    ports::Ports,
    small_files::OsFiles,
    state::PartLimits,
    time::ClusterClock,
};
use wiber_storage::{LogOptions, Stamp};
use wiber_time::keeper::Own;

fn main() -> ExitCode {
    let args = match cli::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let (start, ports, _folder, _console) = match prepare(&args) {
        Ok(prepared) => prepared,
        Err(error) => return cli::start_error(error),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        builder.worker_threads(worker_threads());
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::start_error(error),
    };
    let name = start.own.name.clone();
    // On a worker: what this thread waits for itself would wake another thread each time.
    let ended = runtime.block_on(runtime.spawn(run(start, ports)));
    match ended.map_err(anyhow::Error::from).flatten() {
        Ok(()) => {
            tracing::info!(target: "node", "{name} stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(target: "node", "{name} ends: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Half of the processors, at most eight. A message passes many tasks on its way, and to wake one on the same thread costs a
/// fraction of waking another thread (`docs/performance.md`).
fn worker_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (processors / 2).clamp(1, 8)
}

/// Everything that may refuse the start: first what touches nothing, then the folder.
fn prepare(args: &Args) -> anyhow::Result<(Start, Ports, DataFolder, ConsoleGuard)> {
    let (config, spec) = cli::read_config(args)?;
    let ports = Ports::bind(&spec)?;
    let false_clock = Arc::new(FalseClock::new(Arc::new(SystemClock::new())));
    if args.clock_skew_ms != 0.0 || args.clock_drift_ppm != 0.0 {
        false_clock.inject(args.clock_fault());
    }
    let clock: Arc<dyn Clock> = false_clock.clone();
    let now_us = clock.wall_us();
    let aside = if args.rebuild {
        folder::set_aside(&args.data_root, &args.id, now_us)?
    } else {
        None
    };
    let folder = DataFolder::open(
        &args.data_root,
        &args.id,
        args.started_by,
        spec.admin_port(),
        now_us,
    )?;
    let mut rng = rand::rng();
    let identity = Identity::load_or_create(&folder.identity_path(), &args.id, &mut rng, &OsFiles)?;
    let lamport = Arc::new(Lamport::open(&folder.lamport_path(), OsFiles)?);
    let console = console::install(&folder.console_path(), args.log.as_deref(), clock.clone())?;
    tracing::info!(
        target: "node",
        pid = std::process::id(),
        identity = %identity.raft_id,
        "starts as {} on {}:{}", args.id, spec.host, spec.port
    );
    if let Some(injected) = false_clock.injected() {
        let (skew_ms, drift_ppm) = (injected.skew_ms, injected.drift_ppm);
        tracing::warn!(target: "clock", "runs on a false clock: {skew_ms:+} ms, {drift_ppm:+} ppm");
    }
    if let Some(aside) = aside {
        tracing::warn!(target: "node", "set its data aside as {}; joins anew", aside.display());
    }
    let own = Own {
        name: args.id.clone(),
        machine: machine_id(),
        run: rng.next_u64(),
    };
    let start = Start {
        machine: Machine::real(),
        config,
        own: node::member(&spec),
        form_without: args.form_without.clone(),
        join_only: args.rebuild,
        identity,
        identity_path: folder.identity_path(),
        log_dir: folder.log_dir(),
        log_options: LogOptions::new(Stamp::default()),
        index_dir: folder.index_dir(),
        part_limits: PartLimits::default(),
        lag_records: LAG_RECORDS,
        lamport,
        clock: Arc::new(ClusterClock::new(clock, own).with_faults(false_clock, args.allow_faults)),
        run_seed: rng.next_u64(),
    };
    Ok((start, ports, folder, console))
}

async fn run(start: Start, ports: Ports) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.cancel();
    });
    node::run(start, ports, stop).await
}
