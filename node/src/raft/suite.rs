//! The engine's own storage test suite against the real log on a real disk.

use std::sync::Arc;

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use parking_lot::RwLock;
use tempfile::TempDir;
use wiber_storage::{Log, LogOptions, NoObserver, RealDisk, Stamp};

use super::{LogStore, StateMachine, TypeConfig};
use crate::{clock::SystemClock, lamport::Lamport, small_files::OsFiles, state::State, trace::Trace};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let lamport = Arc::new(Lamport::open(&folder.path().join("lamport"), OsFiles).expect("a clock"));
        let trace = Trace::new("n1".into(), 0, Arc::new(SystemClock::new()), lamport.clone(), 1);
        let options = LogOptions::new(Stamp::default());
        let disk = Arc::new(RealDisk::default());
        let (log, recovered) =
            Log::open(&folder.path().join("log"), options, disk, Arc::new(NoObserver)).expect("a log");
        let store = LogStore::new(log, &recovered, Arc::default(), trace.clone()).expect("a store");
        let machine = StateMachine::new(
            Arc::new(RwLock::new(State::default())),
            Arc::default(),
            lamport,
            trace,
        );
        Ok((folder, store, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engines_storage_suite_passes_on_the_real_log() {
    if let Err(error) = Suite::test_all(Builder).await {
        panic!("{error:?}");
    }
}
