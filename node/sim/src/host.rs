//! One machine with its disk, and the node that runs on it, again and again.

mod damage;
mod life;

pub use self::life::{LAG_RECORDS, PART_LIMITS};

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wiber_node::{
    group::{GroupCell, Leader},
    lamport::Lamport,
    metrics::Counters,
    runtime::Process,
    time::ClusterClock,
};
use wiber_protocol::config::ClusterConfig;
use wiber_storage::{DiskOp, MemoryDisk};
use wiber_time::keeper::Own;

use self::damage::Damage;
use crate::{
    clock::SimClock,
    count::Count,
    dice::Dice,
    network::Network,
    oracle::Cursor,
    process::{Death, SimProcess},
    say,
    world::World,
};

/// A process has this long to end by itself.
const ORDERLY_END: Duration = Duration::from_secs(3);
/// A process whose disk failed gives up within this time.
const GIVING_UP: Duration = Duration::from_secs(5);

/// How a process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`: the machine's cache stays.
    Kill,
    /// The machine goes with it, and what was not synced.
    PowerLoss,
    /// It is asked to stop.
    Orderly,
    /// Killed, and its disk replaced by an empty one.
    Wipe,
    /// Killed, and its folder set aside: it starts with `--rebuild`.
    Rebuild,
    /// Killed, and a byte changed that was synced.
    Damage,
}

pub struct Host {
    pub world: World,
    pub network: Network,
    pub config: ClusterConfig,
    pub index: usize,
    pub name: String,
    pub clock: Arc<SimClock>,
    dice: Dice,
    disk: Mutex<MemoryDisk>,
    /// The disk's time for a sync, milliseconds.
    pub sync_ms: AtomicU64,
    /// What a disk that dies in a step takes with it.
    step_takes_power: AtomicBool,
    /// The disk was full before the node had opened its files: then there may be no reserve. Later it must stand it.
    excused: AtomicBool,
    is_full: AtomicBool,
    /// What is wrong with the folder.
    damaged: Mutex<Option<Damage>>,
    /// The next start is one with `--rebuild`.
    join_only: AtomicBool,
    /// What `--form-without` names.
    pub form_without: Mutex<Vec<String>>,
    /// The host stays down until this is taken back.
    pub held_down: AtomicBool,
    /// Starts without a pause.
    pub hurry: AtomicBool,
    running: Mutex<Option<Running>>,
    orders: Mutex<Option<End>>,
    ordered: Notify,
    released: Notify,
    runs: AtomicU64,
}

/// The process that runs now.
#[derive(Clone)]
struct Running {
    process: Arc<SimProcess>,
    group: Arc<Mutex<Option<GroupCell>>>,
    cluster_clock: Arc<ClusterClock>,
    lamport: Arc<Mutex<Option<Arc<Lamport>>>>,
    counters: Arc<Mutex<Option<Arc<Counters>>>>,
    cursor: Arc<Mutex<Cursor>>,
    stop: CancellationToken,
    /// The log's writer has finished.
    written: CancellationToken,
}

impl Host {
    pub fn new(world: World, network: Network, config: ClusterConfig, index: usize) -> Arc<Self> {
        Arc::new(Self {
            name: config.nodes[index].id.clone(),
            clock: Arc::new(clock(&world, index)),
            dice: Dice::new(world.seed(), "host", index as u64),
            world,
            network,
            config,
            index,
            disk: Mutex::new(MemoryDisk::new()),
            sync_ms: AtomicU64::new(1),
            step_takes_power: AtomicBool::new(false),
            excused: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            damaged: Mutex::default(),
            join_only: AtomicBool::new(false),
            form_without: Mutex::default(),
            held_down: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            running: Mutex::new(None),
            orders: Mutex::new(None),
            ordered: Notify::new(),
            released: Notify::new(),
            runs: AtomicU64::new(0),
        })
    }

    pub fn disk(&self) -> MemoryDisk {
        self.disk.lock().clone()
    }

    /// Ends the process that runs, if one does.
    pub fn order(&self, end: End) {
        *self.orders.lock() = Some(end);
        self.ordered.notify_one();
    }

    pub fn is_running(&self) -> bool {
        self.running.lock().is_some()
    }

    pub fn process(&self) -> Option<Arc<SimProcess>> {
        self.running
            .lock()
            .as_ref()
            .map(|running| running.process.clone())
    }

    pub fn group(&self) -> Option<Arc<wiber_node::group::Group>> {
        let running = self.running.lock().clone()?;
        let cell = running.group.lock().clone()?;
        cell.get()
    }

    /// Cluster time as the node that runs reads it.
    pub fn cluster_time(&self) -> Option<Arc<ClusterClock>> {
        Some(self.running.lock().as_ref()?.cluster_clock.clone())
    }

    /// How many receives of the node that runs were not later than their send. A node whose disk failed is about to end, and
    /// its clock may have had to stand still.
    pub fn lamport_violations(&self) -> u64 {
        let running = self.running.lock().clone();
        let healthy = running.filter(|running| running.process.disk_failure().is_none());
        let lamport = healthy.and_then(|running| running.lamport.lock().clone());
        lamport.map_or(0, |lamport| lamport.behind())
    }

    /// Counts how often the node that ends took a leader for gone by its silence.
    fn count_suspicions(&self, running: &Running) {
        if let Some(counters) = &*running.counters.lock() {
            let many = counters.leaders_suspected.load(Relaxed);
            self.world.counters().add_many(Count::LeaderSuspected, many);
        }
    }

    fn cluster_clock(&self, process: &SimProcess) -> Arc<ClusterClock> {
        let own = Own {
            name: self.name.clone(),
            // In a simulation everybody's truth is known.
            machine: 1,
            run: process.random_u64(),
        };
        Arc::new(ClusterClock::new(self.clock.clone(), own))
    }

    pub fn leads(&self) -> bool {
        self.group()
            .is_some_and(|group| matches!(group.leader(), Leader::Own { .. }))
    }

    /// Whether the node's log knows of room on its disk; `None` without a log.
    pub fn has_log_room(&self) -> Option<bool> {
        Some(self.group()?.log.log().has_room())
    }

    /// Lets the oracle look at what the node holds.
    pub fn look(&self) {
        let Some(running) = self.running.lock().clone() else {
            return;
        };
        if let Some(group) = self.group() {
            self.world
                .oracle()
                .look(&self.world, &self.name, &group, &mut running.cursor.lock());
        }
    }

    /// The disk dies with the process after so many steps.
    pub fn die_after_disk_steps(&self, steps: u64, takes_power: bool) {
        self.step_takes_power.store(takes_power, Relaxed);
        self.disk().cut_power_after(steps);
    }

    /// The disk has so little room left, or enough again.
    pub fn set_room(&self, room_bytes: Option<u64>) {
        self.is_full.store(room_bytes.is_some(), Relaxed);
        let is_early = self.group().is_none();
        self.excused.fetch_or(is_early && room_bytes.is_some(), Relaxed);
        self.disk().set_room(room_bytes);
    }

    /// The next operation of this kind fails.
    pub fn fail_next(&self, op: DiskOp) {
        self.disk().fail_next(op);
    }

    pub fn release(&self) {
        self.held_down.store(false, Relaxed);
        self.released.notify_one();
    }

    /// Runs the node for ever: starts it, sees it end, starts it again.
    pub async fn keep(self: Arc<Self>) {
        loop {
            while self.held_down.load(Relaxed) {
                self.released.notified().await;
            }
            self.run_once().await;
            let pause = if self.hurry.load(Relaxed) {
                Duration::from_millis(1)
            } else {
                self.dice.pause(1, self.dice.pick(&[10, 300, 3_000]))
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn run_once(self: &Arc<Self>) {
        let run = self.runs.fetch_add(1, Relaxed) + 1;
        let process = SimProcess::new(&self.name, Dice::new(self.world.seed(), &self.name, run));
        self.orders.lock().take();
        self.excused.store(self.is_full.load(Relaxed), Relaxed);
        let running = Running {
            process: process.clone(),
            group: Arc::default(),
            cluster_clock: self.cluster_clock(&process),
            lamport: Arc::default(),
            counters: Arc::default(),
            cursor: Arc::default(),
            stop: CancellationToken::new(),
            written: CancellationToken::new(),
        };
        *self.running.lock() = Some(running.clone());
        say!(self.world, self.name, "starts, run {run}");
        self.note_damaged_log();
        let mut life = self.begin(&running);
        let (end, death) = tokio::select! {
            biased;
            death = process.died() => (self.end_of(death), Some(death)),
            ended = &mut life => (self.ended_by_itself(&process, ended.unwrap_or(Ok(()))), None),
            op = process.outlives_disk(GIVING_UP) => (self.goes_on(op), None),
            end = self.next_order() => (end, None),
        };
        self.refuses_damage();
        // What it held to its end counts.
        self.look();
        if end == End::Orderly && death.is_none() {
            running.stop.cancel();
            let orderly = async {
                let outcome = (&mut life).await;
                // Nothing was opened by a node that stops early.
                if self.group().is_some() {
                    running.written.cancelled().await;
                }
                outcome
            };
            tokio::select! {
                biased;
                _ = process.died() => {}
                _ = orderly => {}
                () = tokio::time::sleep(ORDERLY_END) => {}
            }
            self.look();
        }
        self.bury(&running, end).await;
    }

    async fn next_order(&self) -> End {
        loop {
            if let Some(end) = self.orders.lock().take() {
                return end;
            }
            self.ordered.notified().await;
        }
    }

    fn end_of(&self, death: Death) -> End {
        let count = match death {
            Death::AtAwait => Count::CrashAtAwait,
            Death::AtDiskStep if self.step_takes_power.load(Relaxed) => Count::PowerLossAtDiskStep,
            Death::AtDiskStep => Count::CrashAtDiskStep,
        };
        self.world.count(count);
        if count == Count::PowerLossAtDiskStep {
            End::PowerLoss
        } else {
            End::Kill
        }
    }

    /// A node gives up only for a reason.
    fn ended_by_itself(&self, process: &SimProcess, outcome: Result<(), String>) -> End {
        let text = outcome.err().unwrap_or_else(|| "no reason".to_owned());
        say!(self.world, self.name, "gives up: {text}");
        if self.told_damage(&text) {
            return End::Rebuild;
        }
        let names_file = text.contains(&format!("/{}", self.name));
        match process.disk_failure() {
            Some(_) if names_file => self.world.count(Count::EndedByDisk),
            Some(op) => self.world.fail(format!(
                "{} gave up after a failed {op:?} without saying of which file: {text}",
                self.name
            )),
            None if self.excused.load(Relaxed) => {}
            None => self
                .world
                .fail(format!("{} gave up without a disk fault: {text}", self.name)),
        }
        End::Kill
    }

    /// After a failure nobody knows what the disk holds.
    fn goes_on(&self, op: DiskOp) -> End {
        self.world
            .fail(format!("{} goes on after a failed {op:?}", self.name));
        End::Kill
    }

    /// Takes the process off the machine, and with it what goes with its end.
    async fn bury(&self, running: &Running, end: End) {
        let silent = matches!(end, End::PowerLoss | End::Wipe);
        say!(self.world, self.name, "ends: {end:?}");
        self.count_suspicions(running);
        self.network.unlisten(self.index, silent);
        running.process.kill();
        self.running.lock().take();
        // Its tasks are dropped when the scheduler comes to them, and with them its handles and connections.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let disk = self.disk();
        match end {
            End::Kill | End::Orderly => disk.end_process(),
            End::Rebuild => {
                disk.end_process();
                self.set_aside();
            }
            End::Damage => {
                disk.end_process();
                let group = running.group.lock().clone().and_then(|cell| cell.get());
                if let Some(group) = group {
                    self.damage(&group);
                }
            }
            End::PowerLoss => disk.crash(self.dice.word()),
            End::Wipe => {
                *self.disk.lock() = MemoryDisk::new();
                self.is_full.store(false, Relaxed);
            }
        }
    }
}

/// In most runs no clock is right, and none runs as fast as another.
fn clock(world: &World, index: usize) -> SimClock {
    let dice = Dice::new(world.seed(), "clock", index as u64);
    if Dice::new(world.seed(), "clocks", 0).permille(200) {
        return SimClock::new(world.clone(), 0, 0);
    }
    let within =
        |most: u64| i64::try_from(dice.between(0, 2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0);
    SimClock::new(world.clone(), within(300_000), within(100_000))
}
