//! A start that cannot be: one clear line on stderr, exit code 2, and nothing touched.

mod support;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

use support::{PATIENCE, cluster::Cluster, wait_for};

/// Runs a node that must refuse to start.
fn run(command: &mut Command) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a node");
    // One that starts after all would run for ever.
    let until = std::time::Instant::now() + PATIENCE;
    while child.try_wait().expect("a child").is_none() {
        if std::time::Instant::now() > until {
            let _ = child.kill();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

/// Checks that the command is refused with one line that has `words` in it.
#[track_caller]
fn refused(command: &mut Command, words: &[&str]) {
    let output = run(command);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.ends_with('\n'), "{stderr:?}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
}

fn node(id: &str, config: &Path, data_root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wiber-node"));
    command
        .args(["--id", id])
        .arg("--config")
        .arg(config)
        .arg("--data-root")
        .arg(data_root)
        .stdin(Stdio::null());
    command
}

#[test]
fn an_unknown_id_is_refused() {
    let cluster = Cluster::of(3);
    refused(
        &mut node("n9", &cluster.config(), &cluster.data_root()),
        &["n9", "n1, n2, n3"],
    );
    refused(
        &mut node("../n1", &cluster.config(), &cluster.data_root()),
        &["../n1"],
    );
    assert!(!cluster.data_root().exists());
}

#[test]
fn a_missing_option_or_file_is_refused() {
    let cluster = Cluster::of(1);
    refused(&mut Command::new(env!("CARGO_BIN_EXE_wiber-node")), &["--id"]);
    refused(
        node("n1", &cluster.config(), &cluster.data_root()).arg("--nonsense"),
        &["--nonsense"],
    );
    refused(
        &mut node("n1", Path::new("no/such.yaml"), &cluster.data_root()),
        &["no/such.yaml"],
    );
    assert!(!cluster.data_root().exists());
}

#[test]
fn a_bad_configuration_is_refused_with_file_and_line() {
    let good = "nodes:\n  - { id: n1, host: 127.0.0.1, port: 9101 }\n";
    let cases = [
        ("", 1),
        ("nodes: []\n", 1),
        ("# c\n- n1\n", 2),
        ("nodes:\n  - { id: n1, host: 127.0.0.1 }\n", 2),
        ("nodes:\n  - { id: n1, port: 9101 }\n", 2),
        ("nodes:\n  - { host: 127.0.0.1, port: 9101 }\n", 2),
        ("nodes:\n  - { id: n1, host: 127.0.0.1, port: 0 }\n", 2),
        ("nodes:\n  - { id: n1, host: 127.0.0.1, port: 64536 }\n", 2),
        ("nodes:\n  - id: n1\n    host: 127.0.0.1\n    port: '9101'\n", 4),
        ("nodes:\n  - id: n1\n    host: 127.0.0.1\n    port: 9101.5\n", 4),
        (
            "nodes:\n  - id: n1\n    host: 127.0.0.1\n    port: 9101\n    weight: 1\n",
            5,
        ),
        (
            &format!("{good}  - {{ id: n1, host: 127.0.0.1, port: 9102 }}\n"),
            3,
        ),
        (
            &format!("{good}  - {{ id: n2, host: 127.0.0.1, port: 9101 }}\n"),
            3,
        ),
        (&format!("{good}timeout: 5\n"), 3),
        (&format!("{good}  - {{ id: n2\n"), 3),
        (&format!("{good}\t- n2\n"), 3),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let (config, data_root) = (folder.path().join("cluster.yaml"), folder.path().join("data"));
    for (text, line) in cases {
        fs::write(&config, text).expect("a configuration");
        refused(
            &mut node("n1", &config, &data_root),
            &[&format!("{}:{line}: ", config.display())],
        );
        assert!(!data_root.exists(), "nothing is created for:\n{text}");
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let cluster = Cluster::of(1);
    for port in [
        cluster.port(0),
        cluster.port(0) + 100,
        cluster.port(0) + 200,
        cluster.port(0) + 1000,
    ] {
        let _taken = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        refused(
            &mut node("n1", &cluster.config(), &cluster.data_root()),
            &[&port.to_string()],
        );
        assert!(!cluster.data_root().exists(), "nothing is created");
    }
}

#[test]
fn a_data_folder_in_use_is_refused_and_its_user_goes_on() {
    let cluster = Cluster::start(1);
    // Another configuration, so that no port is in the way.
    let elsewhere = Cluster::of(1);
    refused(
        &mut node("n1", &elsewhere.config(), &cluster.data_root()),
        &[&cluster.node_folder(0).display().to_string()],
    );
    let answer = cluster.conn(0).ask("PUB t a");
    assert!(answer.starts_with("OK published "), "{answer}");
    assert!(!elsewhere.data_root().exists());
}

#[test]
fn a_node_keeps_to_its_own_folder() {
    let cluster = Cluster::start(1);
    let console = cluster.node_folder(0).join("logs").join("console.log");
    wait_for("the console's file", PATIENCE, || {
        fs::metadata(&console).ok().filter(|file| file.len() > 0)
    });
    let names: Vec<_> = fs::read_dir(cluster.data_root())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["n1"]);
}
