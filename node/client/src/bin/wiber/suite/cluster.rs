//! A private cluster of real nodes.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use wiber_protocol::{
    config::NodeSpec,
    status::{NodeStatus, PeerStatus, Role},
};

use super::{
    guard::Guard,
    home::{self, Home},
    machine::{self, Memory},
    wait_for,
};
use crate::admin;

/// Longer than a start, a stop or an election takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longer than a restart with millions of messages takes while the whole log is read.
const RESTART_PATIENCE: Duration = Duration::from_mins(5);

/// What each node is started with beyond its name and its folders, by position.
pub(super) type NodeOptions = [&'static [&'static str]; home::NODES as usize];

pub(super) struct Cluster {
    home: Arc<Home>,
    guard: Arc<Guard>,
    folder: PathBuf,
    nodes: Vec<NodeSpec>,
    options: NodeOptions,
    /// By position, as in `nodes`.
    running: Vec<Option<Child>>,
    /// When the last of the nodes was started for the first time.
    started_at: Instant,
}

impl Cluster {
    /// Starts three nodes, and does not wait for them.
    pub(super) fn start(home: Arc<Home>, guard: Arc<Guard>, options: NodeOptions) -> anyhow::Result<Self> {
        let nodes = home::free_nodes()?;
        let folder = home.folder().join(format!("cluster-{}", nodes[0].port));
        fs::create_dir_all(&folder)?;
        let lines: Vec<String> = nodes
            .iter()
            .map(|NodeSpec { id, host, port }| format!("  - {{ id: {id}, host: {host}, port: {port} }}\n"))
            .collect();
        fs::write(folder.join("cluster.yaml"), format!("nodes:\n{}", lines.concat()))?;
        let mut cluster = Self {
            home,
            guard,
            folder,
            running: nodes.iter().map(|_| None).collect(),
            nodes,
            options,
            started_at: Instant::now(),
        };
        for at in 0..cluster.nodes.len() {
            cluster.started_at = Instant::now();
            cluster.start_node(at)?;
        }
        Ok(cluster)
    }

    pub(super) fn started_at(&self) -> Instant {
        self.started_at
    }

    pub(super) fn nodes(&self) -> &[NodeSpec] {
        &self.nodes
    }

    pub(super) fn start_node(&mut self, at: usize) -> anyhow::Result<()> {
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("stderr"))?;
        let binary = self.home.node_binary();
        let child = Command::new(binary)
            .args(["--id", &self.nodes[at].id])
            .arg("--config")
            .arg(self.folder.join("cluster.yaml"))
            .arg("--data-root")
            .arg(self.folder.join("data"))
            .args(self.options[at])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        self.guard.watch(child.id())?;
        self.running[at] = Some(child);
        Ok(())
    }

    pub(super) fn signal(&self, at: usize, signal: Signal) -> anyhow::Result<()> {
        let child = self.running[at].as_ref().context("the node does not run")?;
        kill_process(Pid::from_child(child), signal).context("cannot signal a node")
    }

    /// Waits for a node's end after a signal.
    pub(super) fn await_exit(&mut self, at: usize) -> anyhow::Result<()> {
        let mut child = self.running[at].take().context("the node does not run")?;
        wait_for("the node ends", PATIENCE, || Ok(child.try_wait()?))?;
        self.guard.forget(child.id())?;
        Ok(())
    }

    pub(super) fn status(&self, at: usize) -> Option<NodeStatus> {
        admin::status(&self.nodes[at])
    }

    /// The position of the leader whom all nodes follow.
    pub(super) fn leader(&self) -> anyhow::Result<usize> {
        wait_for("a leader whom all follow", PATIENCE, || Ok(self.settled(false)))
    }

    /// Waits until all nodes follow one leader and have applied all it has committed; gives its position.
    pub(super) fn await_settled(&self) -> anyhow::Result<usize> {
        wait_for("all nodes have applied the same log", RESTART_PATIENCE, || {
            Ok(self.settled(true))
        })
    }

    /// Waits until every node hears every other one regularly, as it does but for the first moments.
    pub(super) fn await_hearing(&self) -> anyhow::Result<()> {
        wait_for("all nodes hear each other", RESTART_PATIENCE, || {
            let hears = |at: usize| {
                let peers = self.status(at)?.peers;
                let calm = |peer: &PeerStatus| peer.suspicion.is_some_and(|phi| phi < 1.0);
                peers.iter().all(calm).then_some(())
            };
            Ok((0..self.nodes.len()).map(hears).collect::<Option<()>>())
        })
    }

    fn settled(&self, level: bool) -> Option<usize> {
        let statuses = (0..self.nodes.len())
            .map(|at| self.status(at))
            .collect::<Option<Vec<_>>>()?;
        let leader = statuses.iter().position(|status| status.role == Role::Leader)?;
        let last = statuses[leader].last_log_index;
        let follows = |status: &NodeStatus| {
            matches!(status.role, Role::Leader | Role::Follower)
                && status.leader.as_deref() == Some(self.nodes[leader].id.as_str())
                && (!level || status.applied_index >= last)
        };
        statuses.iter().all(follows).then_some(leader)
    }

    /// From the start of a stopped node until it says that it is ready.
    pub(super) fn time_to_ready(&mut self, at: usize) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.start_node(at)?;
        wait_for("the node is ready", RESTART_PATIENCE, || {
            let child = self.running[at].as_mut().context("the node does not run")?;
            ensure!(
                child.try_wait()?.is_none(),
                "the node ended instead of becoming ready"
            );
            let ready = admin::get(&self.nodes[at], "/readyz").is_some_and(|(code, _)| code == 200);
            Ok(ready.then_some(()))
        })?;
        Ok(began.elapsed())
    }

    /// Of each running node, where the system tells it.
    pub(super) fn memory(&self) -> Vec<Memory> {
        let running = self.running.iter().flatten();
        running.filter_map(|child| machine::memory(child.id())).collect()
    }

    /// What each running node has used so far, where the system tells it.
    pub(super) fn processor_times(&self) -> Vec<Duration> {
        let running = self.running.iter().flatten();
        running
            .filter_map(|child| machine::processor_time(child.id()))
            .collect()
    }

    /// After a row went wrong: every node runs and goes on.
    pub(super) fn revive(&mut self) -> anyhow::Result<()> {
        for at in 0..self.nodes.len() {
            let ended = match &mut self.running[at] {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended {
                if let Some(child) = self.running[at].take() {
                    self.guard.forget(child.id())?;
                }
                self.start_node(at)?;
            } else {
                self.signal(at, Signal::CONT)?;
            }
        }
        Ok(())
    }

    /// What the nodes said last on stderr.
    pub(super) fn last_words(&self) -> String {
        let said = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        match said.lines().last() {
            Some(line) => format!("the nodes' last words: {line}"),
            None => "the nodes complained of nothing".to_owned(),
        }
    }

    /// Ends the nodes and removes their data.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.kill_all();
        fs::remove_dir_all(&self.folder).context("cannot remove the cluster's data")
    }

    fn kill_all(&mut self) {
        for child in self.running.iter_mut().filter_map(Option::take) {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
            let _ = self.guard.forget(child.id());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}
