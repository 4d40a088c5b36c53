//! The engine's own storage test suite against the real log on a real disk.
//!
//! The suite takes snapshots where it has just applied something, which may begin in the middle of a log. A node takes them
//! at retention cuts alone, so here taking a snapshot installs one as of the last entry first.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::Stream;
use openraft::{
    OptionalSend, RaftSnapshotBuilder, StorageError,
    storage::{EntryResponder, RaftStateMachine},
    testing::log::{StoreBuilder, Suite},
};
use parking_lot::RwLock;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wiber_storage::{Log, LogOptions, NoObserver, RealDisk, Stamp};

use super::{
    LogStore, StateMachine, TypeConfig,
    state_machine::to_engine,
    types::{self, LogId, SnapshotMeta, StoredMembership},
};
use crate::{
    clock::SystemClock,
    index::{self, Keeper},
    lamport::Lamport,
    rates::Rates,
    small_files::OsFiles,
    state::{Snapshot, StateLimits},
    time::ClusterClock,
    trace::Trace,
};

#[derive(Clone)]
struct CutsHere(StateMachine);

impl RaftSnapshotBuilder<TypeConfig> for CutsHere {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<types::Snapshot, io::Error> {
        let snapshot = {
            let state = self.0.state.read();
            if state.applied.is_none() {
                return to_engine(&Snapshot::default());
            }
            Snapshot {
                checkpoint: state.checkpoint().without_records(),
                ids: state.dedup.newest(usize::MAX).collect(),
            }
        };
        self.0.index.install(&snapshot)?;
        self.0.clone().build_snapshot().await
    }
}

impl RaftStateMachine<TypeConfig> for CutsHere {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        self.0.applied_state().await
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        self.0.apply(entries).await
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Bytes) -> Result<(), io::Error> {
        self.0.install_snapshot(meta, data).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<types::Snapshot>, io::Error> {
        self.0.get_current_snapshot().await
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, CutsHere, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, CutsHere), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let lamport = Arc::new(Lamport::open(&folder.path().join("lamport"), OsFiles).expect("a clock"));
        let trace = Trace::new(
            "n1".into(),
            0,
            ClusterClock::alone(Arc::new(SystemClock::new())),
            lamport.clone(),
            1,
        );
        let stamp = Stamp::default();
        let disk = Arc::new(RealDisk::default());
        let (log, recovered) = Log::open(
            &folder.path().join("log"),
            LogOptions::new(stamp),
            disk.clone(),
            Arc::new(NoObserver),
        )
        .expect("a log");
        let every_entry = StateLimits {
            part_bytes: u64::MAX,
            part_entries: 1,
            ..StateLimits::default()
        };
        let opened =
            index::open(folder.path().join("index"), disk, stamp, every_entry, &log).expect("an index");
        let store = LogStore::new(log, &recovered, Arc::default(), trace.clone()).expect("a store");
        let machine = StateMachine {
            state: Arc::new(RwLock::new(opened.state)),
            index: Arc::new(opened.index),
            watermarks: Arc::default(),
            rates: Arc::new(Rates::new(Arc::new(SystemClock::new()))),
            lamport,
            trace,
            work: Arc::default(),
            done: Arc::default(),
        };
        let keeper = Keeper {
            state: machine.state.clone(),
            index: machine.index.clone(),
            work: machine.work.clone(),
            done: machine.done.clone(),
            // The suite applies entries it never appends.
            flushed: watch::Sender::new(Some(u64::MAX)).subscribe(),
            cut: watch::Sender::new(None),
        };
        tokio::spawn(keeper.run(CancellationToken::new()));
        Ok((folder, store, CutsHere(machine)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engines_storage_suite_passes_on_the_real_log() {
    if let Err(error) = Suite::test_all(Builder).await {
        panic!("{error:?}");
    }
}
