//! Opening a member's files and starting its engine.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wiber_protocol::{ids::ClusterId, status::Formation};
use wiber_storage::{LogOptions, OpenError, Stamp};

use super::{Node, flushes::FlushObserver};
use crate::{
    group::Group,
    index::{self, Keeper},
    publish::{Batcher, Forwarder, Publisher},
    raft::{self, LogStore, Network, Raft, StateMachine},
    rates::Rates,
    retention::{self, LeaderClock},
    runtime,
    watermark::Watermarks,
};

/// A node's files, opened.
struct Files {
    store: LogStore,
    opened: index::Opened,
    /// The newest flushed entry.
    flushed: watch::Receiver<Option<u64>>,
}

impl Node {
    /// Opens the log and its index; what was torn or bad is told.
    async fn open_files(&self, fatal: mpsc::Sender<String>) -> anyhow::Result<Files> {
        let identity = &self.local.identity;
        let formed = identity.formed().expect("forming ends with a cluster");
        let cluster_id = formed.cluster_id;
        let stamp = Stamp {
            cluster: cluster_id.0,
            group: 0,
        };
        let newest = watch::Sender::new(None);
        let flushed = newest.subscribe();
        let observer = Arc::new(FlushObserver {
            board: self.board.clone(),
            fatal,
            room: self.room.clone(),
            newest: newest.clone(),
        });
        let trace = self.local.trace.clone();
        let shared = identity.clone();
        let names = self.names.clone();
        let (machine, log_dir) = (self.machine.clone(), self.log_dir.clone());
        let options = LogOptions {
            stamp,
            must_exist: identity.log_started(),
            ..self.log_options.clone()
        };
        let (index_dir, limits) = (self.index_dir.clone(), self.state_limits);
        let (recovered, store, opened) = runtime::blocking(move || -> anyhow::Result<_> {
            let (log, recovered) = machine
                .open_log(&log_dir, options, observer)
                .map_err(|error| no_log(error, cluster_id))?;
            let store = LogStore::new(log.clone(), &recovered, names, trace)?;
            let opened = index::open(index_dir, machine.disk.clone(), stamp, limits, &log)?;
            shared.note_log_started()?;
            Ok((recovered, store, opened))
        })
        .await??;
        if recovered.cut_bytes > 0 {
            tracing::info!(target: "storage", "cut {} bytes of a torn tail that was never acknowledged", recovered.cut_bytes);
        }
        let last = recovered.last.map_or(0, |(_, index)| index);
        let segments = store.log().stats().segments;
        tracing::info!(target: "storage", "opened the log: {segments} segments, last entry {last}");
        for bad in &opened.dropped {
            tracing::warn!(target: "storage", "makes a part of the index again: {bad}");
        }
        newest.send_replace(store.log().flushed_index());
        Ok(Files {
            store,
            opened,
            flushed,
        })
    }

    /// Starts the engine over the node's files.
    pub(super) async fn start_group(
        &self,
        fatal: mpsc::Sender<String>,
        ended: &CancellationToken,
    ) -> anyhow::Result<Arc<Group>> {
        let Files {
            store,
            opened,
            flushed,
        } = self.open_files(fatal.clone()).await?;
        self.local.lamport.observe(opened.state.lamport);
        let state = Arc::new(RwLock::new(opened.state));
        let index = Arc::new(opened.index);
        let watermarks = Arc::new(Watermarks::default());
        let rates = Arc::new(Rates::new(self.local.clock.clone()));
        let machine = StateMachine {
            state: state.clone(),
            index: index.clone(),
            watermarks: watermarks.clone(),
            rates: rates.clone(),
            lamport: self.local.lamport.clone(),
            trace: self.local.trace.clone(),
            work: Arc::default(),
            done: Arc::default(),
        };
        let cut = watch::Sender::new(None);
        let cuts = cut.subscribe();
        let keeper = Keeper {
            state: state.clone(),
            index: index.clone(),
            work: machine.work.clone(),
            done: machine.done.clone(),
            flushed: flushed.clone(),
            cut,
        };
        // Before the engine: it applies the tail of the log while it starts.
        runtime::spawn(keep(keeper, fatal, ended.clone()));
        let network = Network {
            links: self.links.clone(),
        };
        let own = self.local.identity.raft_id();
        let raft = Raft::new(own.0, raft::config()?, network, store.clone(), machine).await?;
        let purging = retention::purge(raft.clone(), cuts);
        runtime::spawn(ended.clone().run_until_cancelled_owned(purging));
        let (publisher, queues) = Publisher::new();
        let leader_clock = Arc::new(LeaderClock::new(state.clone(), self.local.clock.clone()));
        let batcher = Batcher {
            raft: raft.clone(),
            log: store.log().clone(),
            clock: leader_clock.clone(),
            trace: self.local.trace.clone(),
            flushed,
        };
        let forwarder = Forwarder {
            links: self.links.clone(),
            raft: raft.clone(),
        };
        queues.start(batcher, forwarder, ended);
        let group = Arc::new(Group {
            own,
            raft,
            log: store,
            index,
            state,
            watermarks,
            rates,
            publisher,
            links: self.links.clone(),
            inbound: self.server.inbound.clone(),
            clock: self.local.clock.clone(),
            cluster_clock: self.local.cluster_clock.clone(),
            caught_up: watch::Sender::new(false),
            leader_clock,
            leader_heard_us: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        self.group.set(group.clone());
        *self.formation.lock() = Formation::Formed;
        Ok(group)
    }
}

/// An index that can't be written ends the node: the state would outgrow its memory.
async fn keep(keeper: Keeper, fatal: mpsc::Sender<String>, ended: CancellationToken) {
    if let Err(error) = keeper.run(ended).await {
        drop(fatal.send(format!("the index can't be written: {error}")).await);
    }
}

/// Says what to do about a log that is gone.
fn no_log(error: OpenError, cluster_id: ClusterId) -> anyhow::Error {
    match error {
        OpenError::Missing { .. } => anyhow::anyhow!(
            "{error}, and this folder was a member of cluster {cluster_id}: its votes are lost with it. Restore it, \
             or start the node with --rebuild to rejoin as a new member"
        ),
        error => error.into(),
    }
}
