//! One run: a cluster, clients, faults, then healing and the last checks. A seed decides everything in it.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use tokio::{
    runtime::RngSeed,
    time::{Instant, sleep, timeout},
};

use wiber_node::runtime;
use wiber_protocol::config::Retention;

use crate::{
    clients::Clients,
    cluster::Cluster,
    count::{Count, Counters},
    dice::Dice,
    faults::Faults,
    firewall, full_disk, fuzz,
    mutants::{self, Broken},
    process, say,
    world::World,
};

/// Each run does at least so many operations. Where faults let too few through, the rest follows.
pub const OPERATIONS: u64 = 500;
/// Faults strike for so long.
const FAULTS: Duration = Duration::from_secs(10);
/// A cluster of healthy machines forms in this time.
const FORMING: Duration = Duration::from_secs(20);
/// With a majority healthy, publishes are acknowledged within this time.
pub(crate) const PROGRESS: Duration = Duration::from_secs(20);
/// With all healthy, everybody holds the same within this time.
const CONVERGENCE: Duration = Duration::from_secs(30);
/// With all clocks right, everybody knows cluster time within this time.
const CLOCKS: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub broken: Option<Broken>,
    /// Keep the trace's text, with what the nodes print.
    pub is_kept: bool,
}

/// What came out of it.
#[derive(Debug)]
pub struct Outcome {
    /// The first broken promise.
    pub failure: Option<String>,
    pub counters: Counters,
    pub trace_hash: u64,
    pub trace_lines: u64,
    pub trace: String,
    pub simulated: Duration,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Panics of simulated nodes are findings, kept for the run they belong to.
pub fn catch_panics() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !IS_RUNNING.get() {
            return otherwise(panic);
        }
        let text = format!("{} panicked: {panic}", process::running());
        PANIC.with_borrow_mut(|kept| _ = kept.get_or_insert(text));
    }));
}

/// Runs one seed.
pub fn run(plan: Plan) -> Outcome {
    run_in(plan, async |world| whole(world).await)
}

/// Sends rubbish made of `corpus` to a healthy cluster, and the corpus itself.
pub fn fuzz(seed: u64, corpus: &[Vec<u8>], sessions: u64) -> Outcome {
    let make = |world: &World| Cluster::new(world.clone(), 3);
    run_healthy(seed, make, async |cluster| {
        for bytes in corpus {
            fuzz::replay(cluster, bytes).await;
        }
        fuzz::run(cluster, corpus, sessions).await;
    })
}

/// Does `what` with a healthy cluster of so many nodes that keeps everything.
pub fn healthy(seed: u64, size: u16, what: impl AsyncFnOnce(&Cluster)) -> Outcome {
    let make = |world: &World| Cluster::calm(world.clone(), size, Retention::default());
    run_healthy(seed, make, what)
}

/// Whatever is published here, nobody asked the oracle.
fn run_healthy(seed: u64, make: impl FnOnce(&World) -> Cluster, what: impl AsyncFnOnce(&Cluster)) -> Outcome {
    let plan = Plan {
        seed,
        broken: None,
        is_kept: false,
    };
    run_in(plan, async |world| {
        let cluster = make(world);
        cluster.start_unwatched();
        if timeout(FORMING, until(|| cluster.has_formed())).await.is_err() {
            return world.fail("no cluster has formed".to_owned());
        }
        what(&cluster).await;
    })
}

/// Runs `what` in a simulated world.
fn run_in(plan: Plan, what: impl AsyncFnOnce(&World)) -> Outcome {
    mutants::switch(plan.broken);
    PANIC.with_borrow_mut(Option::take);
    IS_RUNNING.set(true);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&plan.seed.to_le_bytes()))
        .build()
        .expect("a runtime without input and output needs nothing of the machine");
    let world = {
        let _inside = runtime.enter();
        World::new(plan.seed, plan.broken, plan.is_kept)
    };
    let _printed = plan.is_kept.then(|| crate::printed::install(&world));
    let simulated = runtime.block_on(async {
        let start = Instant::now();
        tokio::select! {
            biased;
            () = world.failed() => {}
            () = what(&world) => {}
        }
        start.elapsed()
    });
    // A panic is the cause of whatever else was noticed.
    let panic = PANIC.with_borrow_mut(Option::take);
    if let Some(panic) = &panic {
        let _inside = runtime.enter();
        say!(world, "ORACLE", "{panic}");
    }
    drop(runtime);
    IS_RUNNING.set(false);
    mutants::switch(None);
    let (trace_hash, trace_lines, trace) = world.trace();
    let counters = Counters::default();
    counters.merge(world.counters());
    Outcome {
        failure: panic.or_else(|| world.failure()),
        counters,
        trace_hash,
        trace_lines,
        trace,
        simulated,
    }
}

async fn whole(world: &World) {
    let dice = Dice::new(world.seed(), "run", 0);
    let size = dice.pick(&[3, 3, 3, 5]);
    let cluster = Cluster::new(world.clone(), size);
    cluster.start();
    if timeout(FORMING, until(|| cluster.has_formed())).await.is_err() {
        return world.fail("no cluster has formed".to_owned());
    }
    say!(
        world,
        "RUN",
        "{size} nodes have formed a cluster, but for {:?}",
        cluster.latecomer
    );
    if let Some(late) = cluster.latecomer {
        world.count(Count::FormedWithout);
        let (host, delay) = (cluster.hosts[late].clone(), dice.pause(0, 5_000));
        tokio::spawn(async move {
            sleep(delay).await;
            host.release();
        });
    }
    let clients = Clients::start(&cluster, dice.between(2, 6), 2);
    let faults = tokio::spawn(Faults::new(&cluster).run());
    sleep(FAULTS).await;
    faults.abort();
    heal(&cluster, &clients, &dice).await;
}

/// Ends the faults, first where a majority needs it, and sees that everything comes to its end.
async fn heal(cluster: &Cluster, clients: &Clients, dice: &Dice) {
    let world = &cluster.world;
    // A wiped node that is not back yet leaves no minority to spare.
    let absent = (dice.permille(500) && cluster.is_whole()).then(|| dice.index(cluster.hosts.len()));
    if let Some(absent) = absent {
        let host = &cluster.hosts[absent];
        host.held_down.store(true, std::sync::atomic::Ordering::Relaxed);
        host.order(crate::host::End::PowerLoss);
        until(|| !host.is_running()).await;
    }
    cluster.network.unblock_all();
    cluster.network.set_noise(crate::network::Noise::default());
    for (index, host) in cluster.hosts.iter().enumerate() {
        host.hurry.store(true, std::sync::atomic::Ordering::Relaxed);
        if Some(index) != absent {
            cluster.heal_host(host);
        }
    }
    say!(world, "RUN", "healed, but for {absent:?}");
    if timeout(PROGRESS, progress(cluster, clients, absent))
        .await
        .is_err()
    {
        return world.fail(format!("no progress within {} s of healing", PROGRESS.as_secs()));
    }
    if timeout(PROGRESS, clients.get_reply()).await.is_err() {
        return world.fail(format!("no reply within {} s of healing", PROGRESS.as_secs()));
    }
    cluster.heal();
    say!(world, "RUN", "all healed");
    if dice.permille(250) {
        firewall::run(cluster, clients).await;
    }
    if dice.permille(250) {
        full_disk::run(cluster, clients, dice).await;
    }
    let enough = until(|| world.counters().get(Count::Operations) >= OPERATIONS);
    if timeout(PROGRESS, enough).await.is_err() {
        return world.fail(format!(
            "too few operations {} s after healing",
            PROGRESS.as_secs()
        ));
    }
    clients
        .winding_down
        .store(true, std::sync::atomic::Ordering::Relaxed);
    if timeout(
        PROGRESS,
        until(|| clients.busy.load(std::sync::atomic::Ordering::Relaxed) == 0),
    )
    .await
    .is_err()
    {
        return world.fail(format!(
            "publishers still wait {} s after healing",
            PROGRESS.as_secs()
        ));
    }
    let groups_are_done = || {
        cluster.look();
        world.oracle().groups_are_done()
    };
    if timeout(PROGRESS, until(groups_are_done)).await.is_err() {
        return world.fail(format!(
            "{} s after healing {}",
            PROGRESS.as_secs(),
            world.oracle().undone()
        ));
    }
    world.count(Count::GroupsDone);
    if timeout(CONVERGENCE, until(|| has_converged(cluster)))
        .await
        .is_err()
    {
        return world.fail(format!(
            "the nodes differ {} s after healing",
            CONVERGENCE.as_secs()
        ));
    }
    if timeout(CLOCKS, until(|| cluster.is_synchronised()))
        .await
        .is_err()
    {
        return world.fail(format!(
            "the clocks are not synchronised {} s after healing",
            CLOCKS.as_secs()
        ));
    }
    world.count(Count::ClocksAgain);
    cluster.look_at_clocks(true);
    cluster.look();
    world.count(Count::Converged);
    same_start(cluster);
    records_everywhere(cluster).await;
    // What members were handed meanwhile.
    cluster.look();
    world.oracle().settle(world);
}

/// A publish through every healthy node.
pub(crate) async fn progress(cluster: &Cluster, clients: &Clients, absent: Option<usize>) {
    for host in (0..cluster.hosts.len()).filter(|host| Some(*host) != absent) {
        clients.publish_through(host).await;
        cluster.world.count(Count::Progress);
    }
}

fn has_converged(cluster: &Cluster) -> bool {
    cluster.look();
    let committed = cluster.world.oracle().committed();
    cluster.is_whole()
        && cluster.hosts.iter().all(|host| {
            host.group()
                .is_some_and(|group| group.applied_index() + 1 == committed)
        })
}

/// What retention drops is decided in the log, so every node begins at the same record.
fn same_start(cluster: &Cluster) {
    for topic in &cluster.world.oracle().topics() {
        let starts: Vec<u64> = cluster
            .hosts
            .iter()
            .filter_map(|host| Some(host.group()?.state.read().topics.log_start_offset(topic)))
            .collect();
        cluster.world.count(Count::SameStart);
        if starts.windows(2).any(|pair| pair[0] != pair[1]) {
            cluster
                .world
                .fail(format!("{topic} begins at different records: {starts:?}"));
        }
    }
}

/// Reads every record from every node; as a task of the node, or its files would be read by another thread.
async fn records_everywhere(cluster: &Cluster) {
    for host in cluster.hosts.iter() {
        let (Some(group), Some(process)) = (host.group(), host.process()) else {
            continue;
        };
        let (world, name) = (cluster.world.clone(), host.name.clone());
        let process: Arc<dyn runtime::Process> = process;
        let read = runtime::spawn_in(&process, async move {
            for topic in &world.oracle().topics() {
                crate::oracle::read_all(&world, &name, &group, topic).await;
            }
        });
        if read.await.is_err() {
            cluster
                .world
                .fail(format!("{} ended while it was read", host.name));
        }
    }
}

pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        sleep(LOOK).await;
    }
}
