//! The nodes' processes: starts them, ends them, finds those it did not start, and knows at once when one is gone.
//!
//! Every configured node has a [`Slot`]. A process comes onto it in three ways: started here, found by the lock
//! in its data folder, or found because its admin port answers ([`Supervisor::answers`], called by the node's
//! event feed). From then on a task waits for its end. Actions are in [`actions`]; each tells the
//! [`Cluster`] what changed, so the page and the REST forms read one state.

mod actions;
mod handle;
mod identify;
mod launch;
mod lock;
mod process;
mod slot;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::MissedTickBehavior};
use wiber_app::view::ProcessState;
use wiber_protocol::{
    config::{ClusterConfig, NodeSpec},
    lock::StartedBy,
};

pub(crate) use self::launch::Launcher;
use self::{
    lock::LockFile,
    process::Process,
    slot::{Asked, Current, Slot},
};
use crate::cluster::{Cluster, Deed, now_ms};

/// How often the lock files of nodes without a process are looked at.
const LOOK_FOR_LOCKS: Duration = Duration::from_millis(500);

/// The nodes' processes. Clones share them.
#[derive(Clone)]
pub(crate) struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    slots: Vec<Slot>,
    launcher: Launcher,
    cluster: Cluster,
    /// Set once: the gateway ends, and nothing is started any more.
    closing: watch::Sender<bool>,
}

impl Supervisor {
    /// Takes in the nodes that run already, then goes on looking for such nodes.
    pub(crate) fn new(config: &ClusterConfig, launcher: Launcher, cluster: Cluster) -> Self {
        let slots = config
            .nodes
            .iter()
            .map(|spec| Slot::new(spec.clone(), LockFile::new(&launcher.data_root, &spec.id)))
            .collect();
        let closing = watch::channel(false).0;
        let supervisor = Self {
            inner: Arc::new(Inner {
                slots,
                launcher,
                cluster,
                closing,
            }),
        };
        supervisor.adopt_by_locks();
        tokio::spawn(supervisor.clone().look_for_locks());
        supervisor
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = &NodeSpec> {
        self.inner.slots.iter().map(|slot| &slot.spec)
    }

    /// The node's process state, and its changes. `index` is the node's place in the configuration.
    pub(crate) fn state(&self, index: usize) -> watch::Receiver<ProcessState> {
        self.inner.slots[index].state.subscribe()
    }

    pub(crate) fn is_local(&self, index: usize) -> bool {
        self.inner.slots[index].local
    }

    /// The node's admin port answers as this node with this process id. Returns whether to believe it: while
    /// another process is known to run the node, the answer is not that node's.
    pub(crate) fn answers(&self, index: usize, pid: u32) -> bool {
        let slot = &self.inner.slots[index];
        let known = slot.current.lock().process.as_ref().map(|process| process.pid);
        match known {
            Some(known) if known != pid => return false,
            Some(_) => {}
            None => {
                let holder = slot.lock.holder().filter(|holder| holder.pid == pid);
                let is_ours = slot.local && (holder.is_some() || identify::runs_as(pid, &slot.spec.id));
                let by_gateway = holder.is_some_and(|holder| holder.started_by == StartedBy::Gateway);
                if !(is_ours && self.adopt(index, pid, by_gateway)) {
                    self.set_remote(index, pid);
                    return true;
                }
            }
        }
        let by_gateway = {
            let current = slot.current.lock();
            if current.process.as_ref().is_none_or(|process| process.pid != pid) {
                return false;
            }
            current.by_gateway
        };
        self.set_state(index, ProcessState::Running { pid, by_gateway });
        true
    }

    /// The node's admin port can't be reached. For a node without a process here that is all there is to know.
    pub(crate) fn silent(&self, index: usize) {
        let slot = &self.inner.slots[index];
        let is_lost = slot.current.lock().process.is_none() && slot.state.borrow().is_running();
        if is_lost {
            let how = format!("no longer answers on {}", slot.spec.host);
            self.inner.cluster.deed(
                index,
                &Deed::Silent {
                    host: slot.spec.host.clone(),
                },
            );
            self.set_state(
                index,
                ProcessState::Exited {
                    how,
                    at_ms: now_ms(),
                    expected: false,
                },
            );
        }
    }

    async fn look_for_locks(self) {
        let mut ticks = tokio::time::interval(LOOK_FOR_LOCKS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = self.inner.closing.subscribe();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.adopt_by_locks(),
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    fn adopt_by_locks(&self) {
        for index in 0..self.inner.slots.len() {
            self.adopt_by_lock(index);
        }
    }

    /// Takes on the process that holds the node's lock, if there is one that is not known yet.
    fn adopt_by_lock(&self, index: usize) {
        let slot = &self.inner.slots[index];
        if slot.local
            && slot.process().is_none()
            && let Some(holder) = slot.lock.holder()
        {
            self.adopt(index, holder.pid, holder.started_by == StartedBy::Gateway);
        }
    }

    fn adopt(&self, index: usize, pid: u32, by_gateway: bool) -> bool {
        let Ok(process) = Process::adopt(pid) else {
            return false;
        };
        if self.take_on(index, process, by_gateway) {
            self.inner.cluster.deed(index, &Deed::Found { pid, by_gateway });
        }
        true
    }

    fn set_remote(&self, index: usize, pid: u32) {
        let state = ProcessState::Running {
            pid,
            by_gateway: false,
        };
        if *self.inner.slots[index].state.borrow() != state {
            self.inner.cluster.deed(
                index,
                &Deed::Found {
                    pid,
                    by_gateway: false,
                },
            );
        }
        self.set_state(index, state);
    }

    /// Puts a process on a free slot and waits for its end. Returns false if the slot is taken.
    fn take_on(&self, index: usize, process: Process, by_gateway: bool) -> bool {
        let slot = &self.inner.slots[index];
        let pid = process.pid;
        {
            let mut current = slot.current.lock();
            if current.process.is_some() {
                return false;
            }
            *current = Current {
                process: Some(process.clone()),
                by_gateway,
                asked: Asked::Run,
            };
        }
        self.set_state(index, ProcessState::Starting { pid });
        let supervisor = self.clone();
        tokio::spawn(async move {
            let exit = process.ended().await;
            supervisor.has_ended(index, exit);
        });
        true
    }

    fn has_ended(&self, index: usize, exit: process::Exit) {
        let slot = &self.inner.slots[index];
        let ended = std::mem::take(&mut *slot.current.lock());
        let expected = ended.asked != Asked::Run;
        let last_error = if ended.by_gateway {
            self.inner.launcher.last_error(&slot.spec.id)
        } else {
            None
        };
        let how = ended.asked.describe(exit, last_error.as_deref());
        let never_ran = matches!(*slot.state.borrow(), ProcessState::Starting { .. });
        let deed = if never_ran && !expected {
            Deed::StartFailed { why: how.clone() }
        } else {
            Deed::Ended {
                how: how.clone(),
                expected,
            }
        };
        self.inner.cluster.deed(index, &deed);
        self.set_state(
            index,
            ProcessState::Exited {
                how,
                at_ms: now_ms(),
                expected,
            },
        );
    }

    fn set_state(&self, index: usize, state: ProcessState) {
        self.inner.cluster.process(index, state.clone());
        self.inner.slots[index].state.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }
}
