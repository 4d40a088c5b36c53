//! A cluster of real processes on ports and in a folder of its own. Whatever happens to the test, none is left.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, conn::Conn, http, ports::Block, process::Process, wait_for};

pub(crate) struct Cluster {
    pub(crate) block: Block,
    folder: TempDir,
    /// By position: node 0 is `n1`.
    nodes: Vec<Option<Process>>,
}

impl Cluster {
    /// Writes the configuration of `count` nodes and starts none.
    pub(crate) fn of(count: usize) -> Self {
        let block = Block::claim();
        let folder = tempfile::tempdir().expect("a folder");
        let node = |at: usize| {
            let (id, port) = (Self::id(at), block.first + u16::try_from(at).expect("few nodes"));
            format!("  - {{ id: {id}, host: 127.0.0.1, port: {port} }}\n")
        };
        let nodes: Vec<String> = (0..count).map(node).collect();
        let config = format!("nodes:\n{}", nodes.concat());
        fs::write(folder.path().join("cluster.yaml"), config).expect("a configuration");
        Self {
            block,
            folder,
            nodes: (0..count).map(|_| None).collect(),
        }
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.config();
        let config = fs::read_to_string(&path).expect("a configuration");
        fs::write(&path, config + text).expect("a configuration");
    }

    /// Starts `count` nodes and waits until they are one cluster with a leader.
    #[track_caller]
    pub(crate) fn start(count: usize) -> Self {
        let mut cluster = Self::of(count);
        for at in 0..count {
            cluster.start_node(at);
        }
        cluster.wait_for_leader();
        cluster
    }

    pub(crate) fn id(at: usize) -> String {
        format!("n{}", at + 1)
    }

    pub(crate) fn port(&self, at: usize) -> u16 {
        self.block.first + u16::try_from(at).expect("few nodes")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("cluster.yaml")
    }

    pub(crate) fn data_root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn node_folder(&self, at: usize) -> PathBuf {
        self.data_root().join(Self::id(at))
    }

    /// The command that starts a node.
    pub(crate) fn command(&self, at: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiber-node"));
        command
            .args(["--id", &Self::id(at)])
            .arg("--config")
            .arg(self.config());
        command.arg("--data-root").arg(self.data_root());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        self.start_node_with(at, &[]);
    }

    pub(crate) fn start_node_with(&mut self, at: usize, options: &[&str]) {
        assert!(self.nodes[at].is_none(), "{} runs", Self::id(at));
        let stderr = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.stderr_file(at))
            .expect("a file for stderr");
        let mut command = self.command(at);
        self.nodes[at] = Some(Process::spawn(command.args(options).stderr(stderr)));
    }

    fn stderr_file(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("{}.stderr", Self::id(at)))
    }

    #[track_caller]
    fn take(&mut self, at: usize) -> Process {
        self.nodes[at].take().expect("a running node")
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self, at: usize) {
        let mut node = self.take(at);
        node.kill();
        node.wait();
    }

    /// `kill -9` of all running nodes at once.
    pub(crate) fn kill_all(&mut self) {
        let mut nodes: Vec<Process> = self.nodes.iter_mut().filter_map(Option::take).collect();
        nodes.iter_mut().for_each(Process::kill);
        for mut node in nodes {
            node.wait();
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn open_files(&self, at: usize) -> usize {
        self.nodes[at].as_ref().expect("a running node").open_files()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn resident_bytes(&self, at: usize) -> u64 {
        self.nodes[at].as_ref().expect("a running node").resident_bytes()
    }

    pub(crate) fn signal(&self, at: usize, signal: Signal) {
        self.nodes[at].as_ref().expect("a running node").signal(signal);
    }

    /// Waits for a node's own end.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self, at: usize) -> ExitStatus {
        self.take(at).wait()
    }

    pub(crate) fn is_running(&mut self, at: usize) -> bool {
        self.nodes[at]
            .as_mut()
            .is_some_and(|node| node.exit_status().is_none())
    }

    /// The positions of the nodes that were started and not killed.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|at| self.nodes[*at].is_some())
            .collect()
    }

    pub(crate) fn conn(&self, at: usize) -> Conn {
        Conn::to(self.port(at))
    }

    pub(crate) fn status(&self, at: usize) -> Option<Value> {
        let (200, _, body) = http::get(self.port(at) + 100, "/status")? else {
            return None;
        };
        Some(serde_json::from_str(&body).expect("/status is JSON"))
    }

    /// Waits until all running nodes follow the same leader, one of them, and gives its position.
    #[track_caller]
    pub(crate) fn wait_for_leader(&self) -> usize {
        wait_for("a leader that all follow", PATIENCE, || self.leader())
    }

    /// The leader on which all running nodes agree.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.leader_among(&self.running())
    }

    /// The leader on which these nodes agree, one of them.
    pub(crate) fn leader_among(&self, running: &[usize]) -> Option<usize> {
        let statuses: Option<Vec<Value>> = running.iter().map(|at| self.status(*at)).collect();
        let statuses = statuses?;
        let leading: Vec<usize> = running
            .iter()
            .zip(&statuses)
            .filter(|(_, status)| status["role"] == "leader")
            .map(|(at, _)| *at)
            .collect();
        let [leader] = leading[..] else { return None };
        let follow = |status: &Value| {
            status["leader"] == Self::id(leader).as_str()
                && (status["role"] == "leader" || status["role"] == "follower")
        };
        statuses.iter().all(follow).then_some(leader)
    }

    /// A running node that does not lead.
    #[track_caller]
    pub(crate) fn follower(&self) -> usize {
        let leader = self.wait_for_leader();
        self.running()
            .into_iter()
            .find(|at| *at != leader)
            .expect("a follower")
    }

    /// Waits until all running nodes have everything of a topic that is committed by then, and gives its lines. A strong read
    /// comes first: a node that has just started may have applied less than it knows to be committed later.
    #[track_caller]
    pub(crate) fn settled_history(&self, topic: &str) -> Vec<String> {
        let running = self.running();
        wait_for("every node has the same history", PATIENCE, || {
            let mut histories: Vec<_> = running
                .iter()
                .map(|at| {
                    let mut conn = self.conn(*at);
                    conn.reads_strongly(topic).then(|| conn.history(topic, 1_000_000))
                })
                .collect::<Option<_>>()?;
            let last = histories.pop()?;
            histories.iter().all(|history| *history == last).then_some(last)
        })
    }

    /// Everything a failing test should show.
    fn show(&self) {
        for at in 0..self.nodes.len() {
            for path in [
                self.stderr_file(at),
                self.node_folder(at).join("logs").join("console.log"),
            ] {
                show_end(&path);
            }
        }
    }
}

fn show_end(path: &Path) {
    const LINES: usize = 40;
    let Ok(bytes) = fs::read(path) else { return };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("--- {} ---", path.display());
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("{line}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
        }
        // Before its folder and its ports.
        self.nodes.clear();
    }
}
