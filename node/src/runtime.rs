//! What a node's tasks run on: where they are spawned, where work that blocks is done, and where random numbers
//! come from.
//!
//! In a real process that is Tokio, its blocking pool and the machine's randomness. A simulation runs many nodes in
//! one thread: there every task belongs to a [`Process`], which can be paused and killed as one, whose random numbers
//! follow from a seed, and whose blocking work is done on the spot. Tasks inherit the process of their parent.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rand::TryRng;
use tokio::task::{AbortHandle, JoinHandle};

mod engine;

pub use engine::EngineRuntime;

/// A simulated process: what all tasks of one node's run have in common.
pub trait Process: Send + Sync {
    /// A task of this process was spawned. Aborting all of them is the process's sudden end.
    fn spawned(&self, task: AbortHandle);
    /// `Pending` while the process stands still; `context` is woken when it goes on.
    fn may_run(&self, context: &mut Context<'_>) -> Poll<()>;
    fn random_u64(&self) -> u64;
}

tokio::task_local! {
    static PROCESS: Arc<dyn Process>;
}

/// Spawns a task of the current process.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match PROCESS.try_with(Arc::clone) {
        Ok(process) => spawn_in(&process, future),
        Err(_) => tokio::spawn(future),
    }
}

/// Spawns the first task of a simulated process, or one more.
pub fn spawn_in<F>(process: &Arc<dyn Process>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let gate = process.clone();
    let gated = async move {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            ready!(gate.may_run(context));
            future.as_mut().poll(context)
        })
        .await
    };
    let task = tokio::spawn(PROCESS.scope(process.clone(), gated));
    process.spawned(task.abort_handle());
    task
}

/// Does `work`, which blocks, where it holds up no other task.
pub async fn blocking<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if PROCESS.try_with(|_| ()).is_ok() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// The current process's source of random numbers.
pub fn rng() -> NodeRng {
    NodeRng(())
}

/// Made by [`rng`].
pub struct NodeRng(());

impl TryRng for NodeRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| (word >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        match PROCESS.try_with(|process| process.random_u64()) {
            Ok(word) => Ok(word),
            Err(_) => rand::rng().try_next_u64(),
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        Ok(())
    }
}

impl fmt::Debug for NodeRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeRng")
    }
}
