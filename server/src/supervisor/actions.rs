//! What a person may do to nodes: start, stop, kill, restart, and the stop of all when the gateway ends.
//!
//! Each action runs in a task of its own, so it is finished even if the one who asked hangs up, and holds the
//! slot's action lock, so two actions on one node never interleave.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use wiber_app::{
    service::{ActionDone, ActionReport, NodeAction, ServiceError, StartError, StartReport, StartStatus},
    view::ProcessState,
};
use wiber_protocol::config::NodeSpec;

use super::{
    Supervisor,
    process::Process,
    slot::{Asked, Slot},
};
use crate::cluster::Deed;

/// How long a started node may take until its admin port answers.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the system may take to end a killed process; longer only if it hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a start came to.
enum Start {
    Started,
    AlreadyRunning,
}

impl Supervisor {
    /// Starts every local node that does not run.
    pub(crate) async fn start_all(&self) -> StartReport {
        let starts = (0..self.inner.slots.len()).map(|index| {
            let supervisor = self.clone();
            tokio::spawn(async move { supervisor.start_one(index).await })
        });
        let results = join_all(starts).await;
        let mut report = StartReport {
            status: StartStatus::Ok,
            started: Vec::new(),
            already_running: Vec::new(),
            errors: Vec::new(),
        };
        for (spec, result) in self.specs().zip(results) {
            let node = spec.id.clone();
            match result.unwrap_or_else(|_| Err("the start was cut off".to_owned())) {
                Ok(Start::Started) => report.started.push(node),
                Ok(Start::AlreadyRunning) => report.already_running.push(node),
                Err(error) => report.errors.push(StartError { node, error }),
            }
        }
        if !report.errors.is_empty() {
            let any_runs = !(report.started.is_empty() && report.already_running.is_empty());
            report.status = if any_runs {
                StartStatus::Partial
            } else {
                StartStatus::Error
            };
        }
        report
    }

    /// Does one thing to one node.
    pub(crate) async fn act(&self, node: String, action: NodeAction) -> Result<ActionReport, ServiceError> {
        let index = self.index_of(&node)?;
        let supervisor = self.clone();
        let done = tokio::spawn(async move {
            let slot = &supervisor.inner.slots[index];
            let _one_at_a_time = slot.action.lock().await;
            supervisor.act_locked(index, action).await
        });
        let action = done
            .await
            .map_err(|_| ServiceError::Unavailable(format!("the action on {node} was cut off")))??;
        Ok(ActionReport {
            status: "ok".to_owned(),
            node,
            action,
        })
    }

    /// Stops what a gateway started, and returns when all of it has ended.
    pub(crate) async fn shutdown(&self) {
        self.inner.closing.send_replace(true);
        let stops = self.inner.slots.iter().map(|slot| async move {
            let _one_at_a_time = slot.action.lock().await;
            let ours = {
                let mut current = slot.current.lock();
                current.asked = Asked::Shutdown;
                current.process.clone().filter(|_| current.by_gateway)
            };
            if let Some(process) = ours
                && let Err(error) = stop(slot, &process, Asked::Shutdown).await
            {
                tracing::error!("{error}");
            }
        });
        join_all(stops).await;
    }

    pub(crate) fn index_of(&self, node: &str) -> Result<usize, ServiceError> {
        self.specs().position(|spec| spec.id == node).ok_or_else(|| {
            let known: Vec<_> = self.specs().map(|spec| spec.id.as_str()).collect();
            ServiceError::UnknownNode(format!(
                "There is no node {node}; cluster.yaml names {}.",
                known.join(", ")
            ))
        })
    }

    /// Where a node is that runs.
    pub(crate) fn running_spec(&self, node: &str) -> Result<&NodeSpec, ServiceError> {
        let slot = &self.inner.slots[self.index_of(node)?];
        if !slot.state.borrow().is_running() {
            return Err(ServiceError::WrongState(format!("{node} is not running.")));
        }
        Ok(&slot.spec)
    }

    async fn act_locked(&self, index: usize, action: NodeAction) -> Result<ActionDone, ServiceError> {
        let slot = &self.inner.slots[index];
        let id = &slot.spec.id;
        match action {
            NodeAction::Start => match self.start_locked(index).await {
                Ok(Start::Started) => Ok(ActionDone::Started),
                Ok(Start::AlreadyRunning) => {
                    Err(ServiceError::WrongState(format!("{id} is running already.")))
                }
                Err(error) => Err(ServiceError::Unavailable(format!("{id} did not start: {error}"))),
            },
            NodeAction::Kill => {
                kill(slot, &self.running(index)?, Asked::Kill).await?;
                Ok(ActionDone::Killed)
            }
            NodeAction::Stop => {
                stop(slot, &self.running(index)?, Asked::Stop).await?;
                Ok(ActionDone::Stopped)
            }
            NodeAction::Restart => {
                let was_running = self.running(index).ok();
                if let Some(process) = &was_running {
                    kill(slot, process, Asked::Kill).await?;
                } else if !slot.local || slot.state.borrow().is_running() {
                    return Err(remote(slot));
                }
                match self.start_locked(index).await {
                    Ok(_) if was_running.is_some() => Ok(ActionDone::Restarted),
                    Ok(_) => Ok(ActionDone::Started),
                    Err(error) => Err(ServiceError::Unavailable(format!("{id} did not start: {error}"))),
                }
            }
        }
    }

    /// The process to act on.
    fn running(&self, index: usize) -> Result<Process, ServiceError> {
        let slot = &self.inner.slots[index];
        self.adopt_by_lock(index);
        match slot.process() {
            Some(process) => Ok(process),
            None if slot.state.borrow().is_running() => Err(remote(slot)),
            None => Err(ServiceError::WrongState(format!(
                "{} is not running.",
                slot.spec.id
            ))),
        }
    }

    async fn start_one(&self, index: usize) -> Result<Start, String> {
        let _one_at_a_time = self.inner.slots[index].action.lock().await;
        self.start_locked(index).await
    }

    /// Starts a node and waits until its admin port answers.
    async fn start_locked(&self, index: usize) -> Result<Start, String> {
        let slot = &self.inner.slots[index];
        self.adopt_by_lock(index);
        let mut state = slot.state.subscribe();
        if state.borrow_and_update().is_running() {
            return Ok(Start::AlreadyRunning);
        }
        if !slot.local {
            return Err(format!(
                "{} is on {}, not on this machine: start it there",
                slot.spec.id, slot.spec.host
            ));
        }
        if *self.inner.closing.borrow() {
            return Err("the gateway is about to end".to_owned());
        }
        let launcher = &self.inner.launcher;
        let started = launcher.spawn(&slot.spec.id).and_then(|child| {
            Process::of_child(child).map_err(|error| format!("cannot watch the process: {error}"))
        });
        let process = match started {
            Ok(process) => process,
            Err(why) => {
                self.inner
                    .cluster
                    .deed(index, &Deed::StartFailed { why: why.clone() });
                return Err(why);
            }
        };
        let pid = process.pid;
        if self.take_on(index, process, true) {
            self.inner.cluster.deed(index, &Deed::Started { pid });
        }
        let settled =
            state.wait_for(|state| !matches!(state, ProcessState::Starting { .. } | ProcessState::Stopped));
        let mut closing = self.inner.closing.subscribe();
        let settled = tokio::select! {
            settled = tokio::time::timeout(START_TIMEOUT, settled) => settled,
            _ = closing.wait_for(|closing| *closing) => return Err("the gateway is about to end".to_owned()),
        };
        match settled {
            Ok(Ok(state)) => match &*state {
                ProcessState::Exited { how, .. } => {
                    Err(launcher.last_error(&slot.spec.id).unwrap_or_else(|| how.clone()))
                }
                _ => Ok(Start::Started),
            },
            _ => Err(format!(
                "it runs (process {pid}), but its admin port {} does not answer after {} s",
                slot.spec.admin_port(),
                START_TIMEOUT.as_secs()
            )),
        }
    }
}

/// A node that runs, but not as a process known here.
fn remote(slot: &Slot) -> ServiceError {
    let NodeSpec { id, host, .. } = &slot.spec;
    ServiceError::WrongState(if slot.local {
        format!("{id} answers on {host}, but no process here is known to be it: end it where it was started.")
    } else {
        format!("{id} is on {host}, not on this machine: its process can be reached there only.")
    })
}

/// SIGKILL, and the end.
async fn kill(slot: &Slot, process: &Process, asked: Asked) -> Result<(), ServiceError> {
    signal(slot, process, Signal::KILL, asked)?;
    if has_ended(slot, process, KILL_TIMEOUT).await {
        return Ok(());
    }
    let id = &slot.spec.id;
    Err(ServiceError::Unavailable(format!(
        "{id} (process {}) was killed and has not ended yet.",
        process.pid
    )))
}

/// SIGTERM, and SIGKILL if that does not help in time.
async fn stop(slot: &Slot, process: &Process, asked: Asked) -> Result<(), ServiceError> {
    signal(slot, process, Signal::TERM, asked)?;
    if has_ended(slot, process, STOP_TIMEOUT).await {
        return Ok(());
    }
    tracing::warn!(
        node = slot.spec.id,
        pid = process.pid,
        "did not stop in time: killing it"
    );
    kill(slot, process, Asked::KillAfterStop).await
}

fn signal(slot: &Slot, process: &Process, signal: Signal, asked: Asked) -> Result<(), ServiceError> {
    let before = std::mem::replace(&mut slot.current.lock().asked, asked);
    process.signal(signal).map_err(|error| {
        slot.current.lock().asked = before;
        let id = &slot.spec.id;
        ServiceError::WrongState(format!(
            "{id} (process {}) can't be signalled: {error}.",
            process.pid
        ))
    })
}

/// Waits until the process is gone and its slot says so. Returns false if that takes too long.
async fn has_ended(slot: &Slot, process: &Process, within: Duration) -> bool {
    let mut state = slot.state.subscribe();
    let gone = async {
        process.ended().await;
        // Fails only without a sender, and the slot has it.
        let _ = state.wait_for(|state| pid_of(state) != Some(process.pid)).await;
    };
    tokio::time::timeout(within, gone).await.is_ok()
}

fn pid_of(state: &ProcessState) -> Option<u32> {
    match state {
        ProcessState::Starting { pid } | ProcessState::Running { pid, .. } => Some(*pid),
        ProcessState::Stopped | ProcessState::Exited { .. } => None,
    }
}
