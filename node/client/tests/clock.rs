//! `wiber clock` against nodes that say what a test tells them to say: what it shows, how it ends, and with which code.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use wiber_protocol::status::{ClockPeer, ClockState, ClockStatus, NodeStatus, ProbeState};

/// Longer than anything here takes, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is behind a node's admin port.
enum Node {
    /// Answers `/status` with this.
    Says(String),
    /// Takes connections and says nothing.
    Silent,
    /// Nobody listens.
    Down,
}

/// A configuration whose nodes are these, on ports of their own for as long as the value lives.
struct Cluster {
    config: PathBuf,
    _folder: TempDir,
    _down: Vec<TcpSocket>,
    _silent: Vec<TcpListener>,
}

impl Cluster {
    fn start(nodes: Vec<(&str, Node)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("cluster.yaml");
        let mut yaml = "nodes:\n".to_owned();
        let (mut down, mut silent) = (Vec::new(), Vec::new());
        // Ports that are less than 100 apart have no derived ports in common. Other tests take them from 8400 on.
        let mut ports = 7000..7100;
        for (id, node) in nodes {
            let port = match node {
                Node::Says(text) => {
                    let (port, listener) = next_free(&mut ports, bound);
                    thread::spawn(move || {
                        for stream in listener.incoming().flatten() {
                            answer(stream, &text);
                        }
                    });
                    port
                }
                Node::Silent => {
                    let (port, listener) = next_free(&mut ports, bound);
                    silent.push(listener);
                    port
                }
                Node::Down => {
                    let (port, socket) = next_free(&mut ports, |port| {
                        let socket = TcpSocket::new_v4().ok()?;
                        socket.bind(([127, 0, 0, 1], port).into()).ok()?;
                        Some(socket)
                    });
                    down.push(socket);
                    port
                }
            };
            let _ = writeln!(yaml, "  - {{ id: {id}, host: 127.0.0.1, port: {port} }}");
        }
        std::fs::write(&config, yaml).expect("a configuration");
        Self {
            config,
            _folder: folder,
            _down: down,
            _silent: silent,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiber"));
        command.arg("clock").arg("--config").arg(&self.config).args(words);
        command
    }

    fn clock(&self, words: &[&str]) -> (Option<i32>, String, String) {
        told(&self.command(words).output().expect("the command runs"))
    }
}

/// The next client port whose admin port can be had.
fn next_free<T>(ports: &mut impl Iterator<Item = u16>, take: impl Fn(u16) -> Option<T>) -> (u16, T) {
    ports
        .find_map(|port| Some((port, take(port + 100)?)))
        .expect("a free port")
}

fn bound(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

/// A client that went away is no concern of the node's.
fn answer(mut stream: TcpStream, text: &str) {
    let mut request = String::new();
    let mut lines = BufReader::new(&stream);
    while lines.read_line(&mut request).is_ok_and(|count| count > 2) {}
    let (status, body) = if request.starts_with("GET /status HTTP/1.1\r\n") {
        ("200 OK", text)
    } else {
        ("404 Not Found", "")
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A node of this state that measures another's clock to be 250 ms ahead.
fn says(id: &str, state: ClockState) -> Node {
    let status = NodeStatus {
        id: id.to_owned(),
        clock: ClockStatus {
            lamport: 7,
            offset_ms: Some(0.012),
            error_bound_ms: Some(0.031),
            state,
            peers: vec![ClockPeer {
                id: "other".to_owned(),
                state: ProbeState::Good,
                offset_ms: Some(250.013),
                error_bound_ms: Some(0.014),
                ..ClockPeer::default()
            }],
            ..ClockStatus::default()
        },
        ..NodeStatus::default()
    };
    Node::Says(serde_json::to_string(&status).expect("JSON"))
}

fn well() -> Cluster {
    let node = |id| (id, says(id, ClockState::Synchronised));
    Cluster::start(vec![node("n1"), node("n2")])
}

#[test]
fn synchronised_nodes_are_a_table_and_code_0() {
    let (code, table, complaint) = well().clock(&[]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(!table.contains('\x1b'), "no colours on a pipe: {table:?}");
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[1].starts_with("n1    synchronised  +12 µs ± 31 µs"),
        "{table}"
    );
    assert!(
        lines[2].starts_with("n2    synchronised  +12 µs ± 31 µs"),
        "{table}"
    );
    assert!(
        table.contains("n2 → other  good   +250.013 ms ± 14 µs"),
        "{table}"
    );
}

#[test]
fn a_node_that_is_not_synchronised_or_not_there_is_shown_and_code_1() {
    let cluster = Cluster::start(vec![
        ("n1", says("n1", ClockState::Synchronised)),
        ("n2", says("n2", ClockState::Unsynchronised)),
        ("n3", Node::Down),
        ("n4", says("n5", ClockState::Synchronised)),
        ("n6", Node::Says("nothing that could be read".to_owned())),
    ]);
    let (code, table, complaint) = cluster.clock(&[]);
    assert_eq!(code, Some(1));
    let line = |at: usize| table.lines().nth(at).expect("a line");
    assert!(line(2).starts_with("n2    unsynchronised  "), "{table}");
    assert_eq!(line(3), "n3    no answer: connection refused");
    assert_eq!(line(4), "n4    no answer: a node that calls itself `n5` is there");
    assert!(
        line(5).starts_with("n6    no answer: cannot read its status: "),
        "{table}"
    );
    let expected = "wiber: n2: unsynchronised; n3: connection refused; n4: a node";
    assert!(complaint.starts_with(expected), "{complaint}");
    assert_eq!(complaint.lines().count(), 1);
}

#[test]
fn silent_nodes_are_given_up_together() {
    let silent = |id| (id, Node::Silent);
    let cluster = Cluster::start(vec![
        silent("n1"),
        silent("n2"),
        silent("n3"),
        ("n4", says("n4", ClockState::Synchronised)),
    ]);
    let begun = Instant::now();
    let (code, table, _) = cluster.clock(&[]);
    let elapsed = begun.elapsed();
    assert_eq!(code, Some(1));
    for id in ["n1", "n2", "n3"] {
        let expected = format!("{id}    no answer: connected, but silent for 1 s\n");
        assert!(table.contains(&expected), "{table}");
    }
    assert!(table.contains("n4    synchronised"), "{table}");
    assert!(
        elapsed < Duration::from_millis(2900),
        "one after another: {elapsed:?}"
    );
}

#[test]
fn json_has_a_clock_or_an_error_for_each_node() {
    let cluster = Cluster::start(vec![
        ("n1", says("n1", ClockState::Synchronised)),
        ("n2", Node::Down),
    ]);
    let (code, text, _) = cluster.clock(&["--json"]);
    assert_eq!(code, Some(1));
    let document: Value = serde_json::from_str(&text).expect("one document");
    let nodes = document["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[0]["id"], "n1");
    assert_eq!(nodes[0]["clock"]["peers"][0]["offset_ms"], 250.013);
    assert_eq!(nodes[0].get("error"), None);
    assert_eq!(nodes[1], json!({"id": "n2", "error": "connection refused"}));
    let (code, text, complaint) = well().clock(&["--json"]);
    assert_eq!((code, text.lines().count(), complaint.as_str()), (Some(0), 1, ""));
}

#[test]
fn a_mistake_is_refused_with_code_2_and_one_line() {
    for words in [
        &["--config", "no/such.yaml"][..],
        &["--colour"],
        &["--addr", "9101"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_wiber"))
            .arg("clock")
            .args(words)
            .output();
        let (code, table, complaint) = told(&output.expect("the command runs"));
        assert_eq!((code, table.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            complaint.starts_with("wiber: ") && complaint.lines().count() == 1,
            "{complaint}"
        );
    }
}

/// A command that goes on by itself, ended with the value at the latest.
struct Watch {
    child: Child,
}

impl Watch {
    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it runs");
    }

    fn code(mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_on_a_pipe_goes_on_until_it_is_interrupted() {
    let cluster = Cluster::start(vec![
        ("n1", says("n1", ClockState::Unsynchronised)),
        ("n2", Node::Down),
    ]);
    for (words, first, again) in [
        (
            &["--watch", "--json"][..],
            r#"{"nodes":[{"id":"n1","#,
            r#"{"nodes":[{"id":"n1","#,
        ),
        (&["--watch"], "node  state", "node  state"),
    ] {
        let mut child = cluster
            .command(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let watch = Watch { child };
        let mut next = || lines.next().expect("it goes on").expect("UTF-8");
        assert!(next().starts_with(first));
        let second = loop {
            let line = next();
            if line.starts_with(again) {
                break line;
            }
        };
        assert!(second.starts_with(again));
        watch.interrupt();
        assert_eq!(watch.code(), Some(0), "{words:?}");
    }
}

#[test]
fn a_watch_ends_when_nobody_reads_it_any_more() {
    let cluster = well();
    let mut child = cluster
        .command(&["--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    assert_eq!(Watch { child }.code(), Some(0));
}

#[test]
fn on_a_terminal_a_watch_redraws_in_place_and_gives_the_cursor_back() {
    let cluster = well();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("its other end");
    unlockpt(&terminal).expect("its other end");
    let size = Winsize {
        ws_row: 40,
        ws_col: 160,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).expect("a size");
    let name = ptsname(&terminal, Vec::new())
        .expect("a name")
        .into_string()
        .expect("UTF-8");
    let other_end = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .expect("it opens");
    let child = cluster
        .command(&["--watch"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdout(other_end)
        .spawn()
        .expect("it starts");
    let watch = Watch { child };
    // The terminal's end is an end of file on some systems and an error on others.
    let (heard, hear) = mpsc::channel();
    thread::spawn(move || {
        let mut file = std::fs::File::from(terminal);
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = file.read(&mut part) {
            let _ = heard.send(String::from_utf8_lossy(&part[..count]).into_owned());
        }
    });
    let mut seen = String::new();
    while seen.matches("\x1b[H").count() < 3 {
        seen += &hear.recv_timeout(PATIENCE).expect("another picture");
    }
    watch.interrupt();
    assert_eq!(watch.code(), Some(0));
    while let Ok(part) = hear.recv_timeout(PATIENCE) {
        seen += &part;
    }
    assert!(seen.starts_with("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H"), "{seen:?}");
    assert!(seen.contains("\x1b[32msynchronised\x1b[0m"), "{seen:?}");
    let (_, left) = seen
        .rsplit_once("\x1b[?7h\x1b[?25h\x1b[?1049l")
        .expect("restored");
    assert!(
        left.contains("n1 → other") && !left.contains("\x1b[?"),
        "the last picture stays: {left:?}"
    );
}
