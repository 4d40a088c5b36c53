//! A node that says what a test tells it to say.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{future::Future, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use wiber_client::{Client, ClientOptions};
use wiber_protocol::config::{ClusterConfig, Limits, NodeSpec, Retention};

/// Longer than anything here takes, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Short waits, so that tests are quick, but long enough for a busy machine to answer within one attempt.
pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(2),
        attempt_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(8),
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(20),
        keepalive: Duration::from_secs(5),
    }
}

pub(crate) struct FakeNode {
    listener: TcpListener,
    pub(crate) spec: NodeSpec,
}

impl FakeNode {
    pub(crate) async fn start(id: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let spec = NodeSpec {
            id: id.to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
        };
        Self { listener, spec }
    }

    /// The next connection somebody makes.
    pub(crate) async fn accept(&self) -> Talk {
        let (stream, _) = soon(self.listener.accept()).await.expect("a connection");
        Talk {
            stream: BufReader::new(stream),
        }
    }
}

/// A node that nobody can connect to: its port is taken, and nobody listens there.
pub(crate) struct DeadNode {
    pub(crate) spec: NodeSpec,
    _socket: TcpSocket,
}

pub(crate) fn dead_node(id: &str) -> DeadNode {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    let spec = NodeSpec {
        id: id.to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
    };
    DeadNode {
        spec,
        _socket: socket,
    }
}

pub(crate) fn client(nodes: &[&NodeSpec], options: ClientOptions) -> Client {
    Client::new(
        &ClusterConfig {
            nodes: nodes.iter().map(|node| (*node).clone()).collect(),
            retention: Retention::default(),
            limits: Limits::default(),
        },
        options,
    )
}

/// One connection, seen from the node.
pub(crate) struct Talk {
    stream: BufReader<TcpStream>,
}

impl Talk {
    /// The next line, or `None` at the end.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        soon(self.stream.read_line(&mut line))
            .await
            .ok()
            .filter(|count| *count > 0)?;
        Some(line.strip_suffix('\n').expect("a whole line").to_owned())
    }

    pub(crate) async fn expect(&mut self, line: &str) {
        assert_eq!(self.hear().await.as_deref(), Some(line));
    }

    pub(crate) async fn say(&mut self, line: &str) {
        self.stream
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("somebody listens");
    }

    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.hear().await, None);
    }
}

/// A `RECORD` line as a node sends it.
pub(crate) fn record(topic: &str, offset: u64) -> String {
    format!(
        r#"RECORD {{"topic":"{topic}","id":"m-{offset}","offset":{offset},"ts":1729459200.123456,"corrected_ts":1729459200.123457,"logical_time":{offset},"clock_type":"logical","node":"n1","log_index":9,"text":"text {offset}"}}"#
    )
}
