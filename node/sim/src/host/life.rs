//! One run of the node's own code on the simulated machine.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wiber_node::{
    identity::Identity,
    lamport::Lamport,
    machine::Machine,
    node::{self, Node, Start},
    runtime::{self, Process},
    small_files::DiskFiles,
    state::PartLimits,
};
use wiber_storage::{Disk, LogOptions, Stamp, Writer};

use super::{Host, Running};
use crate::{count::Count, disk::SimDisk, network::Listening};

/// Small, so that a short run has many segments and reads go to files.
const SEGMENT_BYTES: u64 = 24 << 10;
const HOT_TAIL_BYTES: usize = 8 << 10;
/// Filled up every few flushes.
const FILL_BYTES: u64 = 2 << 10;
/// So small that a run has many parts of the index, and retention something to drop.
pub const PART_LIMITS: PartLimits = PartLimits {
    bytes: 12 << 10,
    entries: 48,
};

/// So few that a run has subscribers that are behind.
pub const LAG_RECORDS: u64 = 8;

impl Host {
    /// Starts the process.
    pub(super) fn begin(self: &Arc<Self>, running: &Running) -> JoinHandle<Result<(), String>> {
        let (host, running) = (self.clone(), running.clone());
        let process: Arc<dyn Process> = running.process.clone();
        let life = async move { host.live(running).await.map_err(|error| format!("{error:#}")) };
        runtime::spawn_in(&process, life)
    }

    async fn live(self: Arc<Self>, running: Running) -> anyhow::Result<()> {
        let disk = Arc::new(SimDisk {
            world: self.world.clone(),
            memory: self.disk(),
            process: running.process.clone(),
        });
        let folder = PathBuf::from("/").join(&self.name);
        disk.create_dir_all(&folder)?;
        let machine = Machine {
            disk: disk.clone(),
            transport: self.network.endpoint(self.index),
            drive: Some(self.drive(&running)),
            probes: Some(self.network.datagrams(self.index)),
        };
        let identity_path = folder.join("identity.json");
        let files = machine.small_files();
        let identity = Identity::load_or_create(&identity_path, &self.name, &mut runtime::rng(), &*files)?;
        let lamport = Lamport::open_threadless(&folder.join("lamport"), DiskFiles(disk))?;
        let lamport = Arc::new(lamport);
        *running.lamport.lock() = Some(lamport.clone());
        let node = Node::new(Start {
            machine,
            own: node::member(&self.config.nodes[self.index]),
            config: self.config.clone(),
            form_without: self.form_without.lock().clone(),
            join_only: self.join_only.swap(false, Relaxed),
            identity,
            identity_path,
            log_dir: folder.join("log"),
            index_dir: folder.join("index"),
            part_limits: PART_LIMITS,
            lag_records: LAG_RECORDS,
            log_options: LogOptions {
                segment_bytes: SEGMENT_BYTES,
                hot_tail_bytes: HOT_TAIL_BYTES,
                fill_bytes: FILL_BYTES,
                ..LogOptions::new(Stamp::default())
            },
            lamport,
            clock: running.cluster_clock.clone(),
            run_seed: running.process.random_u64(),
        });
        *running.group.lock() = Some(node.group());
        *running.counters.lock() = Some(node.clients().counters.clone());
        let ended = CancellationToken::new();
        let _ends_with_this = ended.clone().drop_guard();
        self.network.listen(
            self.index,
            Listening {
                process: running.process.clone(),
                server: node.server(),
                clients: node.clients(),
                ended: ended.clone(),
            },
        );
        self.world.count(Count::Recovered);
        node.live(&running.stop, &ended).await
    }

    /// Gives a log's writer its turns: each takes the time of a sync, in which more gathers.
    fn drive(self: &Arc<Self>, running: &Running) -> Arc<dyn Fn(Writer) + Send + Sync> {
        let (host, written) = (self.clone(), running.written.clone());
        Arc::new(move |mut writer: Writer| {
            let work = Arc::new(Notify::new());
            let hear = work.clone();
            writer.on_work(Box::new(move || hear.notify_one()));
            let (host, written) = (host.clone(), written.clone());
            runtime::spawn(async move {
                while !writer.is_done() {
                    let slowest_ms = host.sync_ms.load(Relaxed);
                    let sync = Duration::from_millis(host.dice.between(0, slowest_ms + 1));
                    tokio::time::sleep(sync).await;
                    if !writer.take_turn() {
                        let next_look = writer.next_look().unwrap_or(Duration::MAX);
                        drop(tokio::time::timeout(next_look, work.notified()).await);
                    }
                }
                writer.finish();
                written.cancel();
            });
        })
    }
}
