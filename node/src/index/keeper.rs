//! Does the index's jobs, off the apply path.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wiber_protocol::ids::LogId;

use super::Index;
use crate::{
    runtime,
    small_files::is_full,
    state::{Job, State},
};

/// While the disk is full, it is tried again so often.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// Writes what the state sealed, once the log is flushed that far.
pub struct Keeper {
    pub state: Arc<RwLock<State>>,
    pub index: Arc<Index>,
    /// Moves on when the state has a new job.
    pub work: Arc<Notify>,
    /// Moves on when a job is done, and when more jobs may wait.
    pub done: Arc<Notify>,
    /// The newest flushed entry.
    pub flushed: watch::Receiver<Option<u64>>,
    /// The newest cut whose state is on disk: the log up to there may go.
    pub cut: watch::Sender<Option<LogId>>,
}

impl Keeper {
    /// Runs until `stop`; `Err` when the index can't be written.
    pub async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                result = self.take_turn() => result?,
            }
        }
    }

    /// Tries the first job, or waits for one.
    async fn take_turn(&mut self) -> io::Result<()> {
        let job = self.state.read().jobs().1.cloned();
        let Some(job) = job else {
            self.waits_no_more();
            self.work.notified().await;
            return Ok(());
        };
        if let Some(newest) = job.parts().last() {
            // A restart must never find a part beyond the log. The sender lives as long as the log's writer.
            let last = newest.meta.last.index;
            let reached = self
                .flushed
                .wait_for(|flushed| flushed.is_some_and(|at| at >= last));
            if reached.await.is_err() {
                return std::future::pending().await;
            }
        }
        match self.write(job.clone()).await {
            Ok(()) => self.done(&job),
            Err(error) if is_full(&error) => {
                if !self.index.lacks_room.swap(true, Relaxed) {
                    tracing::warn!(target: "storage", "the index waits for room, and holds in memory what it cannot write: {error}");
                    self.done.notify_waiters();
                }
                // Then whatever comes first: a cut may have come, which makes room.
                tokio::time::sleep(LOOK_FOR_ROOM).await;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn done(&self, job: &Job) {
        if let Job::Cut { at, .. } = job {
            self.cut.send_replace(Some(*at));
        }
        self.state.write().job_done(job);
        // A cut does with the room that was kept for it, which says nothing about the parts that wait.
        if matches!(job, Job::Save(_)) {
            self.waits_no_more();
        }
        self.done.notify_waiters();
    }

    fn waits_no_more(&self) {
        if self.index.lacks_room.swap(false, Relaxed) {
            tracing::info!(target: "storage", "the index waits for room no more");
        }
    }

    async fn write(&self, job: Job) -> io::Result<()> {
        let index = self.index.clone();
        let write = move || match &job {
            Job::Save(part) => index.save(part),
            Job::Cut { at, unsaved } => index.cut(*at, unsaved),
        };
        runtime::blocking(write).await?
    }
}
