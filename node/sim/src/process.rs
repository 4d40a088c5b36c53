//! A simulated process: the tasks of one run of one node, which stand still and end together.

use std::{
    cell::RefCell,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle};
use wiber_node::runtime::Process;
use wiber_storage::DiskOp;

use crate::dice::Dice;

/// Finished tasks are forgotten when so many handles have gathered.
const HANDLES: usize = 256;
/// How often it is looked whether a process stands still.
const LOOK: Duration = Duration::from_millis(100);

thread_local! {
    static RUNNING: RefCell<Arc<str>> = RefCell::new(Arc::from(""));
}

/// The node whose task was polled last.
pub fn running() -> Arc<str> {
    RUNNING.with_borrow(Arc::clone)
}

/// Why a process ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It was polled as often as it was to be.
    AtAwait,
    /// Its disk did as many changes as it was to do.
    AtDiskStep,
}

pub struct SimProcess {
    name: Arc<str>,
    dice: Dice,
    state: Mutex<State>,
    died: Notify,
    disk_failed: Notify,
}

#[derive(Default)]
struct State {
    tasks: Vec<AbortHandle>,
    prune_at: usize,
    paused: bool,
    dead: Option<Death>,
    killed: bool,
    disk_failure: Option<DiskOp>,
    /// A failure after which it must end.
    last_failure: Option<DiskOp>,
    polls_left: Option<u64>,
    waiting: Vec<Waker>,
}

impl SimProcess {
    pub fn new(name: &str, dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::from(name),
            dice,
            state: Mutex::new(State {
                prune_at: HANDLES,
                ..State::default()
            }),
            died: Notify::new(),
            disk_failed: Notify::new(),
        })
    }

    /// Nothing of it runs any more.
    pub fn kill(&self) {
        let tasks = {
            let mut state = self.state.lock();
            state.killed = true;
            std::mem::take(&mut state.tasks)
        };
        for task in tasks {
            task.abort();
        }
    }

    /// It dies here and now; the keeper clears up.
    pub fn die(&self, death: Death) {
        self.state.lock().dead.get_or_insert(death);
        self.died.notify_one();
    }

    /// Dies after so many more polls of its tasks.
    pub fn die_after_polls(&self, polls: u64) {
        self.state.lock().polls_left = Some(polls);
    }

    /// Takes [`Self::die_after_polls`] back.
    pub fn live_on(&self) {
        self.state.lock().polls_left = None;
    }

    pub async fn died(&self) -> Death {
        loop {
            if let Some(death) = self.state.lock().dead {
                return death;
            }
            self.died.notified().await;
        }
    }

    /// Its disk failed to do something, which it may be allowed to try again.
    pub fn disk_fails(&self, op: DiskOp, may_be_tried_again: bool) {
        let mut state = self.state.lock();
        state.disk_failure.get_or_insert(op);
        if !may_be_tried_again {
            state.last_failure.get_or_insert(op);
            self.disk_failed.notify_one();
        }
    }

    pub fn disk_failure(&self) -> Option<DiskOp> {
        self.state.lock().disk_failure
    }

    /// Resolves when the process has run for `longest` after a failure of its disk that must end it.
    pub async fn outlives_disk(&self, longest: Duration) -> DiskOp {
        let op = loop {
            if let Some(op) = self.state.lock().last_failure {
                break op;
            }
            self.disk_failed.notified().await;
        };
        let mut ran = Duration::ZERO;
        while ran < longest {
            tokio::time::sleep(LOOK).await;
            if !self.state.lock().paused {
                ran += LOOK;
            }
        }
        op
    }

    pub fn pause(&self) {
        self.state.lock().paused = true;
    }

    pub fn resume(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.paused = false;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }
}

impl Process for SimProcess {
    fn spawned(&self, task: AbortHandle) {
        let mut state = self.state.lock();
        if state.killed {
            drop(state);
            return task.abort();
        }
        if state.tasks.len() >= state.prune_at {
            state.tasks.retain(|task| !task.is_finished());
            state.prune_at = HANDLES.max(state.tasks.len() * 2);
        }
        state.tasks.push(task);
    }

    fn may_run(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.killed || state.dead.is_some() {
            return Poll::Pending;
        }
        if state.paused {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(left) = &mut state.polls_left {
            if *left == 0 {
                drop(state);
                self.die(Death::AtAwait);
                return Poll::Pending;
            }
            *left -= 1;
        }
        RUNNING.with_borrow_mut(|running| running.clone_from(&self.name));
        Poll::Ready(())
    }

    fn random_u64(&self) -> u64 {
        self.dice.word()
    }
}
