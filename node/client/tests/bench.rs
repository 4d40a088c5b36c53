//! The `wiber` command against real nodes: what it says about a cluster is true, and it ends all it started.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

fn wiber(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wiber"))
        .args(words)
        .output()
        .expect("the command runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The node's executable, which cargo builds beside this package's own.
fn node_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_wiber")).with_file_name("wiber-node");
    assert!(
        path.is_file(),
        "{} is missing: cargo build -p wiber-node",
        path.display()
    );
    path
}

#[test]
fn a_mistake_is_refused_with_code_2_and_one_line() {
    for words in [
        &["bench", "--size", "0"][..],
        &["bench", "--topic", "two words", "--addr", "127.0.0.1:1"],
        &["bench", "--config", "no/such.yaml"],
        &[
            "bench",
            "--conns",
            "2",
            "--inflight",
            "1",
            "--addr",
            "127.0.0.1:1",
        ],
        &["no-such-command"],
        &[],
    ] {
        let output = wiber(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = stderr(&output);
        assert!(said.starts_with("wiber: ") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn without_a_cluster_a_bench_fails_and_says_where_it_looked() {
    let output = wiber(&["bench", "--addr", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "wiber: no node answers: tried 127.0.0.1:1\n");
    assert!(output.stdout.is_empty());
}

/// A cluster of one on free ports, gone with the value.
struct Solo {
    node: Child,
    config: PathBuf,
    _folder: TempDir,
}

impl Solo {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("cluster.yaml");
        let is_free = |port: &u16| {
            [*port, port + 100, port + 200, port + 1000]
                .into_iter()
                .all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        };
        // Free of the ports that other tests take, which begin at 9101 and at 10000.
        let port = (8400..8500).find(is_free).expect("a free port");
        let nodes = format!("nodes:\n  - {{ id: solo, host: 127.0.0.1, port: {port} }}\n");
        std::fs::write(&config, nodes).expect("a configuration");
        let node = Command::new(node_binary())
            .args(["--id", "solo", "--config"])
            .arg(&config)
            .arg("--data-root")
            .arg(folder.path().join("data"))
            .stdout(Stdio::null())
            .spawn()
            .expect("a node");
        Self {
            node,
            config,
            _folder: folder,
        }
    }

    /// Asks until the node takes messages.
    fn bench(&self, words: &[&str]) -> Output {
        let config = self.config.to_str().expect("a path in UTF-8");
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let output = wiber(&[&["bench", "--config", config], words].concat());
            if output.status.success() {
                return output;
            }
            assert!(Instant::now() < until, "{}", stderr(&output));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

#[test]
fn a_bench_publishes_what_it_says_and_its_result_is_one_line() {
    let solo = Solo::start();
    let output = solo.bench(&["--count", "1000", "--conns", "3", "--inflight", "64"]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(said.lines().count(), 1);
    for part in ["msg/s", "MB/s", "p50", "p99", "max", "errors 0", "1000 × 256 B"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let large = [
        "--count",
        "20",
        "--size",
        "1048576",
        "--inflight",
        "4",
        "--ids",
        "--json",
    ];
    let result: Value = serde_json::from_slice(&solo.bench(&large).stdout).expect("JSON");
    assert_eq!(
        (&result["acknowledged"], &result["errors"]),
        (&json!(20), &json!(0))
    );
    let timed = ["--seconds", "1", "--inflight", "1", "--json"];
    let result: Value = serde_json::from_slice(&solo.bench(&timed).stdout).expect("JSON");
    assert!(result["acknowledged"].as_u64().expect("a number") > 0);
    let elapsed_s = result["elapsed_s"].as_f64().expect("a number");
    assert!((0.9..30.0).contains(&elapsed_s), "{elapsed_s}");
}

/// Small, but all of it: private clusters, a load, a failover, false clocks, and everything read back from each node.
#[test]
fn a_private_cluster_is_measured_read_back_and_removed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
    let json = folder.path().join("bench.json");
    let output = Command::new(env!("CARGO_BIN_EXE_wiber"))
        .args(["bench-suite", "--smoke", "pipelined", "silence", "clocks"])
        .arg("--dir")
        .arg(folder.path())
        .arg("--json")
        .arg(&json)
        .arg("--node-binary")
        .arg(node_binary())
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("nothing missing, nothing double"), "{said}");
    let result: Value = serde_json::from_slice(&std::fs::read(&json).expect("figures")).expect("JSON");
    let figures = result["figures"].as_array().expect("a list");
    let mut rows: Vec<&str> = figures
        .iter()
        .filter_map(|figure| figure["row"].as_str())
        .collect();
    rows.dedup();
    assert_eq!(rows, ["pipelined", "silence", "clocks"]);
    let met = |name: &str| {
        let mut named = figures.iter().filter(|figure| figure["name"] == name);
        named.next().map(|figure| figure["met"].clone())
    };
    assert_eq!(
        met("records of different nodes that can be compared"),
        Some(json!(true))
    );
    // Elsewhere nodes cannot know that they share a machine.
    if cfg!(target_os = "linux") {
        assert_eq!(met("measurements that held the truth"), Some(json!(true)));
    }
    assert!(result["floor"]["flush_us"].as_f64().expect("a number") > 0.0);
    assert_eq!(result["broken"].as_array().map(Vec::len), Some(0));
    for readback in result["readback"].as_array().expect("a list") {
        assert_eq!(readback["nodes"], 3);
        assert_eq!(readback["records_per_node"], readback["acknowledged"]);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "only the figures are left: {left:?}");
}
