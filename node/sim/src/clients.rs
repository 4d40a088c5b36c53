//! The clients: they speak the line protocol to the nodes, survive everything, and tell the oracle what they did and saw.

mod follower;
mod history;
mod library;
mod member;
mod operator;
mod ordered;
mod pattern;
mod publisher;
mod reader;
mod subscriber;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    time::timeout,
};

use crate::{
    cluster::Cluster, count::Count, dice::Dice, host::LAG_RECORDS, network::ClientStream, process::SimProcess,
};

pub const TOPICS: [&str; 3] = ["in.alpha", "in.beta", "out.gamma"];

/// Some of the topics, and all.
const PATTERNS: [&str; 2] = ["in.*", ">"];

/// A client hears nothing for so long and gives the connection up: longer than a node's own limit.
const PATIENCE: Duration = Duration::from_secs(7);

/// The first number of the clients that probe for progress.
const PROBE: u64 = 1_000;

/// What all clients share.
#[derive(Clone)]
pub struct Clients {
    pub cluster: Cluster,
    /// Nobody begins anything new.
    pub winding_down: Arc<AtomicBool>,
    /// Publishers that still have something under way.
    pub busy: Arc<AtomicU64>,
    probes: Arc<AtomicU64>,
}

impl Clients {
    pub fn start(cluster: &Cluster, publishers: u64, readers: u64) -> Self {
        let clients = Self {
            cluster: cluster.clone(),
            winding_down: Arc::default(),
            busy: Arc::new(AtomicU64::new(publishers)),
            probes: Arc::default(),
        };
        clients.start_library();
        for number in 0..publishers {
            tokio::spawn(clients.publisher(number).run());
        }
        for number in 0..readers {
            tokio::spawn(clients.reader(number).run());
        }
        tokio::spawn(clients.historian().run());
        tokio::spawn(clients.follower().run());
        let members = clients.members();
        if let Some(operator) = clients.operator(&members) {
            tokio::spawn(operator.run());
        }
        for member in members {
            tokio::spawn(member.run());
        }
        for (number, topic) in (0..).zip(TOPICS) {
            tokio::spawn(clients.subscriber(number, topic).run());
        }
        for (number, pattern) in (0..).zip(PATTERNS) {
            tokio::spawn(clients.pattern_subscriber(number, pattern).run());
            tokio::spawn(clients.ordered_subscriber(number, pattern).run());
        }
        clients
    }

    /// Publishes through a node until that is acknowledged.
    pub async fn publish_through(&self, host: usize) {
        self.publisher(self.probe()).publish_through(host).await;
    }

    /// Publishes through a node once; whether there was an answer, and be it that nothing was published.
    pub async fn publish_once(&self, host: usize) -> bool {
        self.publisher(self.probe()).publish_once(host).await
    }

    /// Reads every topic from a node, strongly and locally, until it has answered. Strong reads only as long as the node can
    /// be expected to have what they show.
    pub async fn read_through(&self, host: usize, has_all: impl Fn() -> bool) {
        self.reader(self.probe()).read_through(host, has_all).await;
    }

    fn probe(&self) -> u64 {
        PROBE + self.probes.fetch_add(1, Relaxed)
    }

    fn dice(&self, name: &str, number: u64) -> Dice {
        Dice::new(self.cluster.world.seed(), name, number)
    }

    fn is_winding_down(&self) -> bool {
        self.winding_down.load(Relaxed)
    }

    /// Something was asked and answered.
    fn operation(&self) {
        self.cluster.world.count(Count::Operations);
    }

    /// A node told a subscriber that it is so many records behind. `behind` says how many by all that nodes hold.
    fn lags(&self, wire: &Wire, records: u64, behind: impl FnOnce() -> u64) {
        self.cluster.look();
        let most = behind();
        self.cluster.world.count(Count::Lag);
        // What only a process that has ended since held is not known.
        let lives = match (&wire.process, self.cluster.hosts[wire.host].process()) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, &now),
            _ => false,
        };
        if records <= LAG_RECORDS || (lives && records > most) {
            self.cluster.world.fail(format!(
                "{} says that a subscriber is {records} records behind, of {most}",
                wire.node
            ));
        }
    }

    /// A connection to some node.
    fn connect(&self, dice: &Dice) -> Option<Wire> {
        let host = dice.index(self.cluster.hosts.len());
        self.connect_to(host)
    }

    pub fn connect_to(&self, host: usize) -> Option<Wire> {
        Wire::connect(&self.cluster, host)
    }
}

/// A connection to a node.
pub struct Wire {
    pub node: String,
    host: usize,
    /// Which of that node's lives it leads to.
    process: Option<Arc<SimProcess>>,
    read: BufReader<ReadHalf<ClientStream>>,
    write: WriteHalf<ClientStream>,
}

impl Wire {
    pub fn connect(cluster: &Cluster, host: usize) -> Option<Self> {
        let stream = cluster.network.connect_client(host)?;
        let (read, write) = tokio::io::split(stream);
        Some(Self {
            node: cluster.hosts[host].name.clone(),
            host,
            process: cluster.hosts[host].process(),
            read: BufReader::new(read),
            write,
        })
    }

    pub async fn send(&mut self, line: &str) -> Option<()> {
        self.write.write_all(line.as_bytes()).await.ok()?;
        self.write.write_all(b"\n").await.ok()
    }

    /// A line and the body that it announces.
    pub async fn send_body(&mut self, line: &str, body: &[u8]) -> Option<()> {
        self.send(line).await?;
        self.write.write_all(body).await.ok()
    }

    /// The next line; `None` when there will be none, or none came in time.
    pub async fn line(&mut self, patience: Duration) -> Option<String> {
        let mut line = String::new();
        let read = timeout(patience, self.read.read_line(&mut line))
            .await
            .ok()?
            .ok()?;
        // What the node did not finish to say was not said.
        (read > 0).then_some(())?;
        line.strip_suffix('\n').map(str::to_owned)
    }
}
