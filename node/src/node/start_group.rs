//! Opening a member's files and starting its engine.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wiber_protocol::status::Formation;
use wiber_storage::{LogOptions, Stamp};

use super::{Node, flushes::FlushObserver};
use crate::{
    group::Group,
    index::{self, Keeper},
    publish::{Batcher, Forwarder, Publisher},
    raft::{self, LogStore, Network, Raft, StateMachine},
    retention, runtime,
    watermark::Watermarks,
};

impl Node {
    pub(super) async fn start_group(
        &self,
        fatal: mpsc::Sender<String>,
        ended: &CancellationToken,
    ) -> anyhow::Result<Arc<Group>> {
        let identity = &self.local.identity;
        let formed = identity.formed().expect("forming ends with a cluster");
        anyhow::ensure!(
            !identity.log_started() || self.machine.has_folder(&self.log_dir)?,
            "{} is missing, and this folder was a member of cluster {}: its votes are lost with it. Restore it, \
             or remove the node's whole folder to rejoin as a new member",
            self.log_dir.display(),
            formed.cluster_id,
        );
        let stamp = Stamp {
            cluster: formed.cluster_id.0,
            group: 0,
        };
        let newest = watch::Sender::new(None);
        let flushed = newest.subscribe();
        let observer = Arc::new(FlushObserver {
            board: self.board.clone(),
            fatal: fatal.clone(),
            newest: newest.clone(),
        });
        let trace = self.local.trace.clone();
        let shared = identity.clone();
        let names = self.names.clone();
        let (machine, log_dir) = (self.machine.clone(), self.log_dir.clone());
        let options = LogOptions {
            stamp,
            ..self.log_options.clone()
        };
        let (index_dir, limits) = (self.index_dir.clone(), self.part_limits);
        let (log, recovered, store, opened) = runtime::blocking(move || -> anyhow::Result<_> {
            let (log, recovered) = machine.open_log(&log_dir, options, observer)?;
            let store = LogStore::new(log.clone(), &recovered, names, trace)?;
            let opened = index::open(index_dir, machine.disk.clone(), stamp, limits, &log)?;
            shared.note_log_started()?;
            Ok((log, recovered, store, opened))
        })
        .await??;
        if recovered.cut_bytes > 0 {
            tracing::info!(target: "storage", "cut {} bytes of a torn tail that was never acknowledged", recovered.cut_bytes);
        }
        let last = recovered.last.map_or(0, |(_, index)| index);
        tracing::info!(target: "storage", "opened the log: {} segments, last entry {last}", log.stats().segments);
        for bad in &opened.dropped {
            tracing::warn!(target: "storage", "makes a part of the index again: {bad}");
        }
        newest.send_replace(log.flushed_index());
        self.local.lamport.observe(opened.state.lamport);
        let state = Arc::new(RwLock::new(opened.state));
        let index = Arc::new(opened.index);
        let watermarks = Arc::new(Watermarks::default());
        let machine = StateMachine {
            state: state.clone(),
            index: index.clone(),
            watermarks: watermarks.clone(),
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
            flushed,
            cut,
        };
        // Before the engine: it applies the tail of the log while it starts.
        runtime::spawn(keep(keeper, fatal, ended.clone()));
        let network = Network {
            links: self.links.clone(),
        };
        let own = identity.raft_id();
        let raft = Raft::new(own.0, raft::config()?, network, store.clone(), machine).await?;
        let purging = retention::purge(raft.clone(), cuts);
        runtime::spawn(ended.clone().run_until_cancelled_owned(purging));
        let (publisher, queues) = Publisher::new();
        let batcher = Batcher {
            raft: raft.clone(),
            state: state.clone(),
            clock: self.local.clock.clone(),
            trace: self.local.trace.clone(),
        };
        let forwarder = Forwarder {
            links: self.links.clone(),
        };
        queues.start(batcher, forwarder, ended);
        let group = Arc::new(Group {
            own,
            raft,
            log: store,
            index,
            state,
            watermarks,
            publisher,
            links: self.links.clone(),
            clock: self.local.clock.clone(),
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
