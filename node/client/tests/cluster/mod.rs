//! A cluster of real nodes, and the `wiber` command beside it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "../../../tests/support/ports.rs"]
mod ports;
#[path = "../../../tests/support/process.rs"]
mod process;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use self::{ports::Block, process::Process};

/// Longer than anything takes on a busy machine, so that a failing test ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until there is a value.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) struct Cluster {
    /// By position: node 0 is `n1`.
    nodes: Vec<Option<Process>>,
    folder: TempDir,
    _block: Block,
}

impl Cluster {
    /// Starts `count` nodes and waits until all follow one of them.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, "")
    }

    /// The same, with more in the configuration than the nodes.
    pub(crate) fn start_with(count: usize, settings: &str) -> Self {
        let block = Block::claim();
        let folder = tempfile::tempdir().expect("a folder");
        let lines: Vec<String> = (1..)
            .zip(block.first..)
            .take(count)
            .map(|(number, port)| format!("  - {{ id: n{number}, host: 127.0.0.1, port: {port} }}\n"))
            .collect();
        fs::write(
            folder.path().join("cluster.yaml"),
            format!("nodes:\n{}{settings}", lines.concat()),
        )
        .expect("a configuration");
        let mut cluster = Self {
            nodes: (0..count).map(|_| None).collect(),
            folder,
            _block: block,
        };
        for at in 0..count {
            cluster.start_node(at);
        }
        cluster.leader();
        cluster
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        let binary = Path::new(env!("CARGO_BIN_EXE_wiber")).with_file_name("wiber-node");
        assert!(
            binary.is_file(),
            "{} is missing: cargo build -p wiber-node",
            binary.display()
        );
        let mut command = Command::new(binary);
        command
            .args(["--id", &format!("n{}", at + 1), "--config"])
            .arg(self.config())
            .arg("--data-root")
            .arg(self.folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.nodes[at] = Some(Process::spawn(&mut command));
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self, at: usize) {
        let mut node = self.nodes[at].take().expect("a running node");
        node.kill();
        node.wait();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("cluster.yaml")
    }

    /// The position of the node that all running nodes follow.
    pub(crate) fn leader(&self) -> usize {
        let running: Vec<usize> = (0..self.nodes.len())
            .filter(|at| self.nodes[*at].is_some())
            .collect();
        self.leader_among(&running)
    }

    /// The position of the one among these nodes that all of them follow.
    pub(crate) fn leader_among(&self, nodes: &[usize]) -> usize {
        wait_for("a leader that all follow", PATIENCE, || {
            let output = self.wiber(&["status", "--json"]);
            let said: Value = serde_json::from_slice(&output.stdout).ok()?;
            let leader = |at: &usize| said["nodes"][*at]["status"]["leader"].as_str();
            let name = leader(nodes.first()?)?;
            let at = name.strip_prefix('n')?.parse::<usize>().ok()? - 1;
            let agreed = nodes.iter().all(|other| leader(other) == Some(name));
            (agreed && nodes.contains(&at)).then_some(at)
        })
    }

    pub(crate) fn signal(&self, at: usize, signal: Signal) {
        self.nodes[at].as_ref().expect("a running node").signal(signal);
    }

    /// The command against this cluster.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiber"));
        command
            .args(&words[..1])
            .arg("--config")
            .arg(self.config())
            .args(&words[1..])
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn wiber(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the command runs")
    }

    /// What it says, when all goes well.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let (code, out, complaint) = told(&self.wiber(words));
        assert_eq!(code, Some(0), "{complaint}");
        out
    }
}

pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A command that goes on by itself, ended with the value at the latest.
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self {
            child: command.spawn().expect("it starts"),
        }
    }

    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it runs");
    }

    /// Waits for its own end.
    #[track_caller]
    pub(crate) fn code(mut self) -> Option<i32> {
        wait_for("the command ends", PATIENCE, || {
            self.child.try_wait().expect("a child")
        })
        .code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
