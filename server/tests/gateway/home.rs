//! One gateway with its own ports, configuration and data folder; everything it started ends with it.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    fake_node::ARGUMENTS,
    http::{Answer, ask},
};

/// How long anything may take that should take moments.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const MAX_NODES: u16 = 5;

/// Looks until `look` gives something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10));
    }
}

/// The first of a run of client ports, free with those derived from them, and used by no other test here.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1_800).unwrap() * 10;
    for _ in 0..2_000 {
        let step = NEXT.fetch_add(10, Ordering::Relaxed);
        let base = 11_000 + (start + step) % 18_000;
        let ports = (base..base + MAX_NODES).flat_map(|port| [port, port + 100, port + 200, port + 1_000]);
        let taken: Vec<_> = ports
            .map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .collect();
        if taken.len() == usize::from(MAX_NODES) * 4 {
            return base;
        }
    }
    panic!("no free ports");
}

pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) nodes: Vec<(String, u16)>,
    gateway: Option<Child>,
    stdout: Option<BufReader<ChildStdout>>,
    /// Nodes started without a gateway.
    by_hand: Vec<Child>,
}

impl Home {
    /// A running gateway over this many nodes, none of which runs.
    pub(crate) fn new(nodes: u16) -> Self {
        let mut home = Self::without_gateway(nodes);
        home.start_gateway();
        home
    }

    pub(crate) fn without_gateway(nodes: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = free_ports();
        let nodes: Vec<_> = (0..nodes).map(|n| (format!("n{}", n + 1), base + n)).collect();
        let lines = nodes
            .iter()
            .map(|(id, port)| format!("  - {{ id: {id}, host: 127.0.0.1, port: {port} }}\n"));
        fs::write(
            folder.path().join("cluster.yaml"),
            format!("nodes:\n{}", lines.collect::<String>()),
        )
        .unwrap();
        let own = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\n{ARGUMENTS}=\"$*\" exec '{}' fake_node::fake_node --exact --ignored --nocapture\n",
            own.display()
        );
        let binary = folder.path().join("node.sh");
        fs::write(&binary, script).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            folder,
            port: 0,
            nodes,
            gateway: None,
            stdout: None,
            by_hand: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn node_folder(&self, id: &str) -> PathBuf {
        self.path("data").join(id)
    }

    /// Makes a node misbehave (see [`crate::fake_node`]).
    pub(crate) fn tell(&self, id: &str, what: &str) {
        fs::create_dir_all(self.node_folder(id)).unwrap();
        fs::write(self.node_folder(id).join(what), "").unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiber-gateway"));
        command
            .arg("--config")
            .arg(self.path("cluster.yaml"))
            .arg("--node-binary")
            .arg(self.path("node.sh"))
            .env("NODE_DATA_ROOT", self.path("data"))
            .env("GATEWAY_PORT", "0")
            .env("LEPTOS_SITE_ROOT", self.path("site"))
            .env_remove("LEPTOS_OUTPUT_NAME")
            .env_remove("WIBER_ALLOW_FAULTS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn start_gateway(&mut self) {
        self.start_gateway_with(&[]);
    }

    pub(crate) fn start_gateway_with(&mut self, options: &[&str]) {
        let mut gateway = self.command().args(options).spawn().unwrap();
        let mut stdout = BufReader::new(gateway.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line
            .trim()
            .strip_prefix("Wiber: http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix('/'));
        self.port = port
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("said `{line}`"));
        (self.gateway, self.stdout) = (Some(gateway), Some(stdout));
    }

    pub(crate) fn gateway_pid(&self) -> u32 {
        self.gateway.as_ref().unwrap().id()
    }

    /// Ends the gateway by a signal and gives its exit status.
    pub(crate) fn end_gateway(&mut self, signal: &str) -> ExitStatus {
        send(signal, self.gateway_pid());
        let status = self.gateway.take().unwrap().wait().unwrap();
        let mut rest = String::new();
        self.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "standard output is one line");
        status
    }

    pub(crate) fn start_by_hand(&mut self, id: &str) -> u32 {
        self.start_in("data", id)
    }

    /// Starts a node on a data folder that the gateway does not know.
    pub(crate) fn start_elsewhere(&mut self, id: &str) -> u32 {
        self.start_in("elsewhere", id)
    }

    fn start_in(&mut self, data: &str, id: &str) -> u32 {
        let mut command = Command::new(self.path("node.sh"));
        command
            .args(["--id", id, "--config"])
            .arg(self.path("cluster.yaml"));
        command
            .arg("--data-root")
            .arg(self.path(data))
            .args(["--started-by", "hand"]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        self.by_hand.push(child);
        pid
    }

    /// Reaps a node started by hand that should end.
    pub(crate) fn wait_by_hand(&mut self, pid: u32) -> ExitStatus {
        let place = self.by_hand.iter().position(|child| child.id() == pid).unwrap();
        self.by_hand.swap_remove(place).wait().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(self.port, "GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        ask(self.port, "POST", path, &[], body)
    }

    /// The process of a node as `/cluster/nodes` shows it.
    pub(crate) fn process(&self, id: &str) -> Value {
        let nodes = self.get("/cluster/nodes").json();
        let nodes = nodes.as_array().unwrap();
        nodes.iter().find(|node| node["id"] == id).unwrap()["process"].clone()
    }

    /// Waits until a node's process is in a state, and gives it.
    pub(crate) fn wait_for_state(&self, id: &str, state: &str) -> Value {
        wait_for(&format!("{id} {state}"), || {
            Some(self.process(id)).filter(|process| process["state"] == state)
        })
    }

    pub(crate) fn pid_of(&self, id: &str) -> u32 {
        u32::try_from(self.wait_for_state(id, "running")["pid"].as_u64().unwrap()).unwrap()
    }

    /// Every process that ever wrote a lock file here and lives.
    fn leftover_pids(&self) -> BTreeSet<u32> {
        let locks = self
            .nodes
            .iter()
            .filter_map(|(id, _)| fs::read(self.node_folder(id).join("node.lock")).ok());
        let pids = locks.filter_map(|lock| serde_json::from_slice::<Value>(&lock).ok()?["pid"].as_u64());
        pids.filter_map(|pid| u32::try_from(pid).ok())
            .filter(|pid| is_alive(*pid))
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(mut gateway) = self.gateway.take() {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
        for mut child in self.by_hand.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in self.leftover_pids() {
            send("KILL", pid);
        }
    }
}

pub(crate) fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
    assert!(sent.is_ok());
}

/// Whether a process runs; one that ended and was not waited for does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let listed = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&listed.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
