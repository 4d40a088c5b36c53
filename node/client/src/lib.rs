//! The async client of a Wiber cluster: publish, read and subscribe, over whichever node answers.
//!
//! A caller of this library should not have to know which node leads, or that it just changed. A publish is
//! retried under one id until its deadline, so it is one record however often it was sent; a read asks the nodes
//! in turn; a subscription goes on at the next offset wherever it was cut off. What cannot be known (did the
//! lost node commit it?) is said to be unknown and never guessed.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use wiber_client::{Client, ClientOptions, Publish, Read, ReadFrom};
//! use wiber_protocol::config::ClusterConfig;
//!
//! let config = ClusterConfig::parse_bytes(&std::fs::read("config/cluster.yaml")?, "config/cluster.yaml")?;
//! let client = Client::new(&config, ClientOptions::default());
//! let published = client.send(&Publish::new("lobby", "hello")).await?;
//! println!("stored as {} at offset {:?}", published.id, published.offset);
//! let mut records = client.read_all(Read::new("lobby", ReadFrom::Last).limit(10));
//! while let Some(record) = records.next().await? {
//!     println!("{}: {}", record.offset, record.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A node has three kept connections here, opened when first needed, because it answers the commands of one in the
//! order sent: one for publishes, so that a long page delays none; one for strong reads, which may have to wait for
//! a majority; and one for local reads, which have not. Every subscription and every member of a group has one of its
//! own.

#![warn(missing_docs)]

mod attempts;
mod backoff;
mod group;
mod link;
mod listing;
mod options;
mod ordered;
mod outside;
mod publish;
mod read;
mod read_all;
mod request;
mod subscribe;
mod wire;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use wiber_protocol::config::{ClusterConfig, NodeSpec};
pub use wiber_protocol::line::{Consistency, GroupLine, LineError, RecordLine, SubscribeStart, TopicLine};

use crate::{backoff::Backoff, link::Link, outside::Machine, request::Inbox};
pub use crate::{
    group::{AckError, DEFAULT_ACK_DEADLINE, GroupOptions, Member, MemberEvent, MemberHandle},
    options::ClientOptions,
    ordered::{MAX_TOGETHER, Message, OrderedPublisher},
    outside::{Connecting, Incoming, Outgoing, Outside},
    publish::{DEFAULT_PUBLISH_DEADLINE, Publish, PublishError, Published},
    read::{Read, ReadError, ReadFrom, ReadPage},
    read_all::ReadAll,
    request::{ReplyError, RequestError, ServeError},
    subscribe::{Subscribe, Subscription, SubscriptionEvent},
};

/// A client of one cluster. Clones share its connections; they are closed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    /// Beside what the tasks of subscriptions share, as it has such a task.
    inbox: Arc<Inbox>,
}

#[derive(Debug)]
struct Inner {
    options: ClientOptions,
    outside: Arc<dyn Outside>,
    nodes: Vec<Node>,
    /// Index of the node that gave the last good answer: the one to ask first.
    preferred: AtomicUsize,
    /// Names this client in the ids it makes.
    producer: u64,
    /// How many ids it has made.
    sequence: AtomicU64,
}

/// One node of the configuration and the kept connections to it.
#[derive(Debug)]
struct Node {
    spec: NodeSpec,
    publishes: Link,
    strong_reads: Link,
    local_reads: Link,
}

impl Node {
    fn reads(&self, consistency: Consistency) -> &Link {
        match consistency {
            Consistency::Strong => &self.strong_reads,
            Consistency::Local => &self.local_reads,
        }
    }
}

impl Client {
    /// Connects to nothing yet. Must be called within a tokio runtime, on which the connections will live.
    ///
    /// # Panics
    /// If `config` names no node, which [`ClusterConfig::parse`] does not allow.
    pub fn new(config: &ClusterConfig, options: ClientOptions) -> Self {
        Self::within(Arc::new(Machine), config, options)
    }

    /// The same, with connections and randomness of the caller's.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn within(outside: Arc<dyn Outside>, config: &ClusterConfig, options: ClientOptions) -> Self {
        assert!(!config.nodes.is_empty(), "a cluster without nodes");
        let node = |spec: &NodeSpec| Node {
            spec: spec.clone(),
            publishes: Link::open(spec, &options, &outside),
            strong_reads: Link::open(spec, &options, &outside),
            local_reads: Link::open(spec, &options, &outside),
        };
        let nodes = config.nodes.iter().map(node).collect();
        Self {
            inner: Arc::new(Inner {
                options,
                nodes,
                preferred: AtomicUsize::new(0),
                producer: outside.random_u64(),
                outside,
                sequence: AtomicU64::new(0),
            }),
            inbox: Arc::default(),
        }
    }

    /// An id that no other publish has. For who must know it before the answer, to send the same again when its fate is
    /// unknown; [`Client::send`] makes one by itself. The ids of a client are numbered upwards, and are to be used in that
    /// order: one that is first published when the cluster has forgotten a higher one of the topic is refused, as
    /// [`PublishError::IdExpired`]; see [`Publish::id`].
    pub fn make_id(&self) -> String {
        self.inner.make_id()
    }
}

impl Inner {
    fn backoff(&self) -> Backoff {
        Backoff::new(&self.options, &self.outside)
    }

    fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    fn prefer(&self, node: usize) {
        self.preferred.store(node, Ordering::Relaxed);
    }

    fn after(&self, node: usize) -> usize {
        (node + 1) % self.nodes.len()
    }

    /// An id that no other publish has: producer and sequence.
    fn make_id(&self) -> String {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{:016x}-{sequence}", self.producer)
    }
}
