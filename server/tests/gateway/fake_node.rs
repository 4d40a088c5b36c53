//! A node's outside without its inside: lock file, admin events, and the line protocol ([`line`]) over a list in memory
//! ([`log`]).
//!
//! It is this very test program: the gateway is given a script that starts it again as the ignored test
//! [`fake_node`]. Files in its data folder make it misbehave:
//! `refuse` (a start that fails), `deaf` (SIGTERM is ignored), `mute` (the admin port never opens),
//! `no_strong` (no read index), `no_leader` (no publish), `unheard` (a publish is never answered), `stored_unheard` (nor is
//! one that is stored), `full` (no new topic),
//! `lag` (who subscribes is told to be behind), `kept_from` (the first offset that is kept, of every topic),
//! `cluster` (the id of the cluster it says it is in), and `say` (server-sent events to pass on). Its clock can be
//! made false where it was started with `--allow-faults`, or has the file `faults`.

mod line;
mod log;

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    process::exit,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};
use wiber_protocol::{
    config::{ClusterConfig, NodeSpec},
    ids::ClusterId,
    status::{ClockFault, ClockStatus, InjectedFault, NodeStatus, Role},
};

use self::log::Log;

/// How the script hands over its arguments.
pub(crate) const ARGUMENTS: &str = "WIBER_FAKE_NODE_ARGUMENTS";

#[test]
#[ignore = "not a test: the process that other tests start as a node"]
fn fake_node() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let words: Vec<&str> = arguments.split(' ').collect();
    let option = |name: &str| {
        let place = words.iter().position(|word| *word == name).unwrap();
        words[place + 1].to_owned()
    };
    let config = std::fs::read(option("--config")).unwrap();
    let config = ClusterConfig::parse_bytes(&config, "config").unwrap();
    let spec = config.node(&option("--id")).unwrap().clone();
    let folder = PathBuf::from(option("--data-root")).join(&spec.id);
    std::fs::create_dir_all(folder.join("logs")).unwrap();
    if folder.join("refuse").exists() {
        refuse("the reason stands in the last line");
    }
    let lock = take_lock(&folder, &spec, &option("--started-by"));
    let is_first = config.nodes[0].id == spec.id;
    if words.contains(&"--allow-faults") {
        File::create(folder.join("faults")).unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Node::new(spec, folder, is_first).run());
    drop(lock);
    exit(0);
}

fn refuse(reason: &str) -> ! {
    eprintln!("wiber-node: first line\nwiber-node: {reason}\n");
    exit(2)
}

fn take_lock(folder: &std::path::Path, spec: &NodeSpec, started_by: &str) -> File {
    let path = folder.join("node.lock");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    if file.try_lock().is_err() {
        refuse("the data folder is in use");
    }
    let (pid, port) = (std::process::id(), spec.admin_port());
    file.set_len(0).unwrap();
    writeln!(
        file,
        r#"{{"pid":{pid},"started_by":"{started_by}","started_at_us":1,"admin_port":{port}}}"#
    )
    .unwrap();
    file
}

#[derive(Clone)]
struct Node {
    spec: NodeSpec,
    folder: PathBuf,
    role: Role,
    log: Arc<Mutex<Log>>,
    /// Counts what happened to the log.
    changed: watch::Sender<u64>,
    injected: Arc<Mutex<Option<InjectedFault>>>,
}

impl Node {
    fn new(spec: NodeSpec, folder: PathBuf, is_first: bool) -> Self {
        let role = if is_first { Role::Leader } else { Role::Follower };
        Self {
            spec,
            folder,
            role,
            log: Arc::default(),
            changed: watch::channel(0).0,
            injected: Arc::default(),
        }
    }

    fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self) {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let Ok(lines) = TcpListener::bind((self.spec.host.as_str(), self.spec.port)).await else {
            refuse("the port is in use")
        };
        if !self.has("mute") {
            let Ok(admin) = TcpListener::bind((self.spec.host.as_str(), self.spec.admin_port())).await else {
                refuse("the admin port is in use")
            };
            let node = self.clone();
            tokio::spawn(async move {
                loop {
                    let (stream, _) = admin.accept().await.unwrap();
                    tokio::spawn(node.clone().events(stream));
                }
            });
        }
        let node = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = lines.accept().await.unwrap();
                tokio::spawn(node.clone().line(stream));
            }
        });
        loop {
            terminate.recv().await;
            if !self.has("deaf") {
                return;
            }
        }
    }

    async fn events(self, mut stream: TcpStream) {
        let mut head = [0; 1024];
        let length = stream.read(&mut head).await.unwrap_or(0);
        if head.starts_with(b"POST /faults/clock HTTP/1.1\r\n") {
            let mut request = head[..length].to_vec();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream
                .write_all(self.make_false(&request).as_bytes())
                .await
                .unwrap();
            return;
        }
        assert!(head[..length].starts_with(b"GET /events HTTP/1.1\r\n"));
        let mut out = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
        let mut said = 0;
        loop {
            let status = serde_json::to_string(&self.status()).unwrap();
            out.push_str(&format!("event: status\ndata: {status}\n\n"));
            let say = std::fs::read_to_string(self.folder.join("say")).unwrap_or_default();
            out.push_str(&say[said..]);
            said = say.len();
            if stream.write_all(out.as_bytes()).await.is_err() {
                return;
            }
            out.clear();
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The answer to a request for a false clock, whose body is JSON and the last thing in it.
    fn make_false(&self, request: &[u8]) -> String {
        let answer = |status: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        if !self.has("faults") {
            return answer("403 Forbidden", "not allowed");
        }
        let text = std::str::from_utf8(request).unwrap().to_lowercase();
        assert!(text.contains("\r\ncontent-type: application/json\r\n"), "{text}");
        let fault: ClockFault = serde_json::from_str(&text[text.find("\r\n\r\n").unwrap()..]).unwrap();
        if fault.skew_ms == Some(13.0) {
            return answer("422 Unprocessable Entity", "an unlucky number\n");
        }
        let mut injected = self.injected.lock().unwrap_or_else(PoisonError::into_inner);
        let now = injected.get_or_insert_default();
        if let Some(skew_ms) = fault.skew_ms {
            (now.skew_ms, now.offset_ms) = (skew_ms, skew_ms);
        }
        now.drift_ppm = fault.drift_ppm.unwrap_or(now.drift_ppm);
        answer("200 OK", &serde_json::to_string(now).unwrap())
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            id: self.spec.id.clone(),
            cluster_id: std::fs::read_to_string(self.folder.join("cluster"))
                .ok()
                .map(|id| ClusterId(id.parse().unwrap())),
            pid: std::process::id(),
            role: self.role,
            term: 1,
            record_count: self.log().records.len() as u64,
            clock: ClockStatus {
                faults_allowed: self.has("faults"),
                injected: *self.injected.lock().unwrap_or_else(PoisonError::into_inner),
                ..ClockStatus::default()
            },
            ..NodeStatus::default()
        }
    }
}
