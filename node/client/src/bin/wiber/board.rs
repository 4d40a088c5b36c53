//! Asks all nodes at the same time, and keeps the newest that each of them said.

use std::{io, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use wiber_protocol::{config::NodeSpec, status::NodeStatus};

use crate::admin;

/// For looking up the name, connecting and the whole answer. A node that is there needs some milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longer than it takes until every node has answered or was given up.
pub(crate) const ALL: Duration = Duration::from_secs(2);

/// `/status`, or the parts of it that a command wants.
pub(crate) trait Account: DeserializeOwned + Send + 'static {
    /// What the node calls itself.
    fn id(&self) -> &str;
}

impl Account for NodeStatus {
    fn id(&self) -> &str {
        &self.id
    }
}

/// What came of asking a node.
#[derive(Clone, Debug)]
pub(crate) struct Heard<T> {
    pub(crate) id: String,
    /// Or why nothing is known of it, in a few words.
    pub(crate) said: Result<T, String>,
}

pub(crate) struct Board<T> {
    specs: Vec<NodeSpec>,
    /// Whether a node must call itself as it is called here.
    check_ids: bool,
    latest: Vec<Heard<T>>,
    /// Of the nodes that are being asked. A slow node is not asked again before it has answered, so there is at most
    /// one request to each.
    asked: JoinSet<(usize, Heard<T>)>,
    is_asked: Vec<bool>,
}

impl<T: Account> Board<T> {
    pub(crate) fn new(specs: Vec<NodeSpec>, check_ids: bool) -> Self {
        let unheard = |spec: &NodeSpec| Heard {
            id: spec.id.clone(),
            said: Err("nothing heard yet".to_owned()),
        };
        Self {
            latest: specs.iter().map(unheard).collect(),
            is_asked: vec![false; specs.len()],
            asked: JoinSet::new(),
            check_ids,
            specs,
        }
    }

    /// In the order of the configuration.
    pub(crate) fn nodes(&self) -> &[Heard<T>] {
        &self.latest
    }

    /// Asks every node again and waits for the answers, but no longer than `within`: what comes later is taken by a
    /// later call.
    pub(crate) async fn refresh(&mut self, within: Duration) {
        self.refresh_until(within, |_| false).await;
    }

    /// The same, and waits no longer either once what was said is enough.
    pub(crate) async fn refresh_until(&mut self, within: Duration, enough: impl Fn(&T) -> bool) {
        for (at, spec) in self.specs.iter().enumerate() {
            if !std::mem::replace(&mut self.is_asked[at], true) {
                self.asked.spawn(asked(at, spec.clone(), self.check_ids));
            }
        }
        let until = Instant::now() + within;
        while let Ok(Some(done)) = timeout_at(until, self.asked.join_next()).await {
            let (at, node) = done.expect("asking neither panics nor is cancelled");
            self.is_asked[at] = false;
            let is_enough = node.said.as_ref().is_ok_and(&enough);
            self.latest[at] = node;
            if is_enough {
                return;
            }
        }
    }
}

async fn asked<T: Account>(at: usize, spec: NodeSpec, check_id: bool) -> (usize, Heard<T>) {
    let said = ask::<T>(&spec).await;
    let (id, said) = match said {
        Ok(said) if check_id && said.id() != spec.id => {
            let reason = format!("a node that calls itself `{}` is there", said.id());
            (spec.id, Err(reason))
        }
        Ok(said) => (said.id().to_owned(), Ok(said)),
        Err(reason) => (spec.id, Err(reason)),
    };
    (at, Heard { id, said })
}

async fn ask<T: Account>(spec: &NodeSpec) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    let connecting = TcpStream::connect((spec.host.as_str(), spec.admin_port()));
    let stream = timeout_at(deadline, connecting)
        .await
        .map_err(|_| format!("no connection within {} s", PATIENCE.as_secs()))?
        .map_err(|error| plain(&error))?;
    let answer = timeout_at(deadline, exchange(stream, &admin::request(spec, "/status")))
        .await
        .map_err(|_| format!("connected, but silent for {} s", PATIENCE.as_secs()))?
        .map_err(|error| plain(&error))?;
    match admin::split_answer(answer) {
        Some((200, body)) => {
            serde_json::from_slice(&body).map_err(|error| format!("cannot read its status: {error}"))
        }
        Some((code, _)) => Err(format!("HTTP {code}")),
        None => Err("what it sent is no HTTP".to_owned()),
    }
}

async fn exchange(mut stream: TcpStream, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(admin::MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

/// `Connection refused (os error 111)` as part of a sentence.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, serde::Deserialize)]
    struct Name {
        id: String,
    }

    impl Account for Name {
        fn id(&self) -> &str {
            &self.id
        }
    }

    #[test]
    fn an_error_is_said_without_its_number() {
        let refused = io::Error::from(rustix::io::Errno::CONNREFUSED);
        assert_eq!(plain(&refused), "connection refused");
        assert_eq!(plain(&io::Error::other("")), "unknown error");
    }

    #[tokio::test]
    async fn a_slow_node_is_waited_for_only_as_long_as_allowed_and_is_asked_once() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let spec = NodeSpec {
            id: "n1".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port() - 100,
        };
        let mut board = Board::<Name>::new(vec![spec], true);
        let error = |board: &Board<Name>| board.nodes()[0].said.clone().unwrap_err();
        for _ in 0..3 {
            board.refresh(Duration::from_millis(10)).await;
            assert_eq!(error(&board), "nothing heard yet");
        }
        board.refresh(ALL).await;
        assert_eq!(error(&board), "connected, but silent for 1 s");
        listener.accept().await.unwrap();
        let again = timeout_at(Instant::now() + Duration::from_millis(50), listener.accept()).await;
        assert!(again.is_err(), "asked again before it had answered");
    }

    #[tokio::test]
    async fn once_the_answer_looked_for_is_there_a_silent_node_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let answering = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let spec = |id: &str, listener: &tokio::net::TcpListener| NodeSpec {
            id: id.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port() - 100,
        };
        let specs = vec![spec("n1", &silent), spec("n2", &answering)];
        tokio::spawn(async move {
            let (mut stream, _) = answering.accept().await.unwrap();
            // All of it: a close with something unread would take the answer back.
            stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\n\r\n{\"id\":\"n2\"}";
            stream.write_all(answer).await.unwrap();
        });
        let mut board = Board::<Name>::new(specs, true);
        board
            .refresh_until(Duration::from_mins(1), |name| name.id == "n2")
            .await;
        assert_eq!(board.nodes()[0].said.as_ref().unwrap_err(), "nothing heard yet");
        assert_eq!(board.nodes()[1].said.as_ref().unwrap().id, "n2");
    }
}
