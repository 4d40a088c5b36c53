//! The admin port as its readers see it: raw HTTP over a socket.

use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    task::JoinHandle,
    time::Instant,
};
use wiber_protocol::event::{EventKind, TraceBatch};

use super::*;
use crate::{
    clock::{FalseClock, SystemClock},
    lamport::Lamport,
    small_files::OsFiles,
    time::ClusterClock,
    trace::RING_EVENTS,
};

struct Node {
    status: Mutex<NodeStatus>,
    changed: watch::Sender<u64>,
    unready: Mutex<Option<String>>,
    trace: Trace,
    counters: Counters,
    clock: ClusterClock,
    _folder: tempfile::TempDir,
}

impl Node {
    fn change(&self, change: impl FnOnce(&mut NodeStatus)) {
        change(&mut self.status.lock());
        self.changed.send_modify(|version| *version += 1);
    }
}

impl StatusSource for Node {
    fn status(&self) -> NodeStatus {
        self.status.lock().clone()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async { self.unready.lock().clone().map_or(Ok(()), Err) })
    }

    fn trace(&self) -> Trace {
        self.trace.clone()
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn inject_clock(&self, fault: ClockFault) -> Result<InjectedFault, FaultError> {
        self.clock.inject(fault, 1)
    }
}

fn false_clock(faults_allowed: bool) -> ClusterClock {
    let clock = Arc::new(FalseClock::new(Arc::new(SystemClock::new())));
    let own = wiber_time::keeper::Own {
        name: "n1".into(),
        machine: 1,
        run: 1,
    };
    ClusterClock::new(clock.clone(), own).with_faults(clock, faults_allowed)
}

struct Served {
    node: Arc<Node>,
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(faults_allowed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lamport = Arc::new(Lamport::open(&folder.path().join("lamport"), OsFiles).unwrap());
        let node = Arc::new(Node {
            status: Mutex::new(NodeStatus {
                id: "n1".into(),
                ..NodeStatus::default()
            }),
            changed: watch::Sender::new(0),
            unready: Mutex::default(),
            trace: Trace::new(
                "n1".into(),
                1,
                ClusterClock::alone(Arc::new(SystemClock::new())),
                lamport,
                1,
            ),
            counters: Counters::default(),
            clock: false_clock(faults_allowed),
            _folder: folder,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let source = Arc::clone(&node) as Arc<dyn StatusSource>;
        let task = tokio::spawn(serve(listener, "box7".into(), source, shutdown.clone()));
        Self {
            node,
            address,
            shutdown,
            task,
        }
    }

    /// Sends a false clock; status code and the answer's body.
    async fn inject(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "POST /faults/clock HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (code, body.trim().to_owned())
    }

    /// Status code and whole answer.
    async fn ask(&self, method: &str, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "127.0.0.1:9201").await
    }

    async fn events(&self) -> EventReader {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        EventReader {
            lines: BufReader::new(stream).lines(),
        }
    }
}

struct EventReader {
    lines: Lines<BufReader<TcpStream>>,
}

impl EventReader {
    /// The next event's name and data; `None` at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        let mut name = String::new();
        while let Ok(Some(line)) = self.lines.next_line().await {
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, data.to_owned()));
            }
        }
        None
    }

    async fn status(&mut self) -> NodeStatus {
        loop {
            let (name, data) = self.next().await.unwrap();
            if name == "status" {
                return serde_json::from_str(&data).unwrap();
            }
        }
    }

    async fn trace(&mut self) -> TraceBatch {
        loop {
            let (name, data) = self.next().await.unwrap();
            if name == "trace" {
                return serde_json::from_str(&data).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn each_page_answers() {
    let served = Served::start().await;
    assert_eq!(served.get("/healthz").await.0, 200);
    let (code, answer) = served.get("/status").await;
    assert!(
        code == 200 && answer.contains("content-type: application/json"),
        "{answer}"
    );
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(
        serde_json::from_str::<NodeStatus>(body).unwrap(),
        served.node.status()
    );
    served.node.counters.publishes.store(3, Relaxed);
    let (code, answer) = served.get("/metrics").await;
    assert!(
        code == 200 && answer.contains("\nwiber_publishes_total 3\n"),
        "{answer}"
    );
    assert_eq!(served.get("/else").await.0, 404);
}

#[tokio::test]
async fn readiness_is_what_the_node_can_do_now() {
    let served = Served::start().await;
    assert_eq!(served.get("/readyz").await.0, 200);
    *served.node.unready.lock() = Some("no quorum answers".into());
    let (code, answer) = served.get("/readyz").await;
    assert!(code == 503 && answer.ends_with("no quorum answers\n"), "{answer}");
}

#[tokio::test]
async fn a_foreign_page_can_neither_read_nor_ask_for_more_than_get() {
    let served = Served::start().await;
    let (code, answer) = served.ask("GET", "/status", "evil.example:9201").await;
    assert!(code == 403 && !answer.contains("\"id\""), "{answer}");
    assert_eq!(
        served
            .ask("GET", "http://evil.example/status", "127.0.0.1")
            .await
            .0,
        403
    );
    assert_eq!(served.ask("GET", "/status", "box7:9201").await.0, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(
            served.ask(method, "/status", "localhost").await.0,
            405,
            "{method}"
        );
    }
    assert!(
        !served
            .get("/status")
            .await
            .1
            .to_ascii_lowercase()
            .contains("access-control")
    );
}

#[tokio::test]
async fn a_listener_gets_the_status_the_ring_and_then_changes() {
    let served = Served::start().await;
    let record = |count| {
        for _ in 0..count {
            served.node.trace.local(EventKind::Apply, 1, |_| {});
        }
    };
    record(RING_EVENTS);
    let mut events = served.events().await;
    assert_eq!(events.next().await.unwrap().0, "status");
    let mut seen = 0;
    while seen < RING_EVENTS {
        seen += events.trace().await.events.len();
    }
    assert_eq!(seen, RING_EVENTS);
    record(1);
    assert_eq!(events.trace().await.events[0].seq, RING_EVENTS as u64 + 1);
    served.node.change(|status| status.commit_index = 7);
    while events.status().await.commit_index != 7 {}
}

#[tokio::test]
async fn ordinary_changes_are_thinned_and_the_last_one_is_never_left_out() {
    let served = Served::start().await;
    let mut events = served.events().await;
    events.status().await;
    let started = Instant::now();
    for index in 1..=200 {
        served.node.change(|status| status.commit_index = index);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut documents = 0;
    while events.status().await.commit_index != 200 {
        documents += 1;
    }
    let tenths = u64::try_from(started.elapsed().as_millis() / 100).unwrap();
    assert!(
        documents <= tenths + 1,
        "{documents} documents in {tenths} tenths of a second"
    );
}

#[tokio::test]
async fn a_new_term_is_told_at_once() {
    let served = Served::start().await;
    let mut events = served.events().await;
    events.status().await;
    // Right after a document an ordinary change would wait for its tenth of a second.
    served.node.change(|status| status.term = 1);
    assert_eq!(events.status().await.term, 1);
    let told = Instant::now();
    for term in 2..=20 {
        served.node.change(|status| status.term = term);
        assert_eq!(events.status().await.term, term);
    }
    assert!(
        told.elapsed() < Duration::from_millis(1_900),
        "19 terms took {:?}",
        told.elapsed()
    );
}

#[tokio::test]
async fn listeners_are_bounded_and_their_places_come_back() {
    let served = Served::start().await;
    let mut listeners = Vec::new();
    for _ in 0..events::MAX_LISTENERS {
        let mut events = served.events().await;
        events.status().await;
        listeners.push(events);
    }
    assert_eq!(served.get("/events").await.0, 503);
    assert_eq!(served.get("/healthz").await.0, 200);
    drop(listeners);
    // The node notices with its next write.
    let mut events = served.events().await;
    while events.next().await.is_none() {
        served.node.change(|status| status.uptime_ms += 1);
        events = served.events().await;
    }
}

#[tokio::test]
async fn the_shutdown_ends_listeners_even_those_that_do_not_read() {
    let served = Served::start().await;
    // More than the sockets' buffers hold.
    for _ in 0..RING_EVENTS {
        let long = "x".repeat(8 * 1024);
        served
            .node
            .trace
            .local(EventKind::Fault, 1, |event| event.detail = Some(long));
    }
    let mut reads = served.events().await;
    let _stalled = served.events().await;
    let mut seen = 0;
    while seen < RING_EVENTS {
        seen += reads.trace().await.events.len();
    }
    served.shutdown.cancel();
    while reads.next().await.is_some() {}
    tokio::time::timeout(Duration::from_secs(20), served.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn a_false_clock_is_injected_and_told() {
    let served = Served::start().await;
    let (code, body) = served.inject(JSON, r#"{"skew_ms": -40, "drift_ppm": 30}"#).await;
    assert_eq!(code, 200, "{body}");
    let told: InjectedFault = serde_json::from_str(&body).unwrap();
    assert!((told.skew_ms + 40.0).abs() < 1e-9 && (told.drift_ppm - 30.0).abs() < 1e-9);
    // What is left out stays.
    let (_, body) = served.inject(JSON, r#"{"skew_ms": 0}"#).await;
    let told: InjectedFault = serde_json::from_str(&body).unwrap();
    assert!(told.skew_ms.abs() < 1e-9 && (told.drift_ppm - 30.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_false_clock_is_refused_with_what_to_do() {
    let served = Served::start().await;
    let check = async |head: &str, body: &str, code: u16, text: &str| {
        let (found, answer) = served.inject(head, body).await;
        assert!(found == code && answer.contains(text), "{body}: {found} {answer}");
    };
    check(
        JSON,
        r#"{"drift_ppm": 5000}"#,
        422,
        "drift_ppm must be from -1000 to 1000",
    )
    .await;
    check(JSON, r#"{"skew": 1}"#, 422, "unknown field `skew`").await;
    check(JSON, "skew", 422, "send JSON such as").await;
    check("", r#"{"skew_ms": 1}"#, 415, "application/json").await;
    check(JSON, &" ".repeat(2_000), 413, "1024 bytes").await;
    let from_a_page = format!("{JSON}Origin: http://localhost:8080\r\n");
    check(&from_a_page, r#"{"skew_ms": 1}"#, 403, "web page").await;
    assert_eq!(served.node.clock.injected(), None);
    let served = Served::start_with(false).await;
    let (code, body) = served.inject(JSON, r#"{"skew_ms": 1}"#).await;
    assert_eq!(
        (code, &*body),
        (403, "this node takes no faults: start it with --allow-faults")
    );
}
