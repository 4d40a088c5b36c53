//! Does the index's jobs, in order and off the apply path.

use std::{io, sync::Arc, time::Duration};

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

/// Jobs that may wait. With more, applying waits: what is not yet in a file is held in memory.
pub const MAX_JOBS: usize = 4;

/// While the disk is full, it is tried again so often.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// Writes what the state sealed, once the log is flushed that far.
pub struct Keeper {
    pub state: Arc<RwLock<State>>,
    pub index: Arc<Index>,
    /// Moves on when the state has a new job.
    pub work: Arc<Notify>,
    /// Moves on when a job is done.
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
            let job = self.state.read().jobs().1.cloned();
            let work = self.work.clone();
            let doing = async {
                if let Some(job) = job {
                    self.finish(job).await
                } else {
                    work.notified().await;
                    Ok(())
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                result = doing => result?,
            }
        }
    }

    async fn finish(&mut self, job: Job) -> io::Result<()> {
        if let Job::Save(part) = &job {
            // A restart must never find a part beyond the log. The sender lives as long as the log's writer.
            let last = part.meta.last.index;
            let reached = self
                .flushed
                .wait_for(|flushed| flushed.is_some_and(|at| at >= last));
            if reached.await.is_err() {
                return std::future::pending().await;
            }
        }
        while let Err(error) = self.write(job.clone()).await {
            if !is_full(&error) {
                return Err(error);
            }
            tokio::time::sleep(LOOK_FOR_ROOM).await;
        }
        if let Job::Cut(at) = job {
            self.cut.send_replace(Some(at));
        }
        self.state.write().job_done(&job);
        self.done.notify_waiters();
        Ok(())
    }

    async fn write(&self, job: Job) -> io::Result<()> {
        let index = self.index.clone();
        let write = move || match &job {
            Job::Save(part) => index.save(part),
            Job::Cut(at) => index.cut(*at),
        };
        runtime::blocking(write).await?
    }
}
