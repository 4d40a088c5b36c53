//! What the commands about one topic have in common: a client of the cluster, and positions in the topic.

use std::time::Duration;

use anyhow::anyhow;
use wiber_client::{Client, ClientOptions, Consistency, ReadError, ReadFrom, ReadPage};
use wiber_protocol::{
    config::{ClusterConfig, Limits, NodeSpec, Retention},
    line::{LineError, check_group, check_pattern, check_topic},
    pattern::Pattern,
    status::{NodeStatus, Role},
};

use crate::board::{self, Board, Heard};

/// A topic's name, checked while the command line is read.
pub(crate) fn topic_name(text: &str) -> Result<String, String> {
    check_topic(text).map_err(in_words)?;
    Ok(text.to_owned())
}

/// A topic's name or a pattern of names.
pub(crate) fn pattern(text: &str) -> Result<String, String> {
    check_pattern(text).map_err(in_words)?;
    Ok(text.to_owned())
}

/// A group's name.
pub(crate) fn group(text: &str) -> Result<String, String> {
    check_group(text).map_err(in_words)?;
    Ok(text.to_owned())
}

/// Whether it is more than one topic.
pub(crate) fn is_pattern(text: &str) -> bool {
    Pattern::new(text).is_ok_and(|pattern| !pattern.is_literal())
}

/// Why a member cannot be of a pattern's topics.
pub(crate) const NO_GROUP_OF_PATTERN: &str = "a --group is of one topic";

/// What the protocol says of a mistake, for people.
pub(crate) fn in_words(error: LineError) -> String {
    error.to_string().trim_start_matches("ERR usage: ").to_owned()
}

/// A person waits: a node that says nothing is left sooner than by a service.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn client(nodes: Vec<NodeSpec>) -> Client {
    let config = ClusterConfig {
        nodes,
        retention: Retention::default(),
        limits: Limits::default(),
    };
    let options = ClientOptions {
        read_timeout: READ_TIMEOUT,
        ..ClientOptions::default()
    };
    Client::new(&config, options)
}

/// The nodes, the leader first: it is the one that tells a record's offset, and needs no other to publish it.
pub(crate) async fn leader_first(mut nodes: Vec<NodeSpec>) -> Vec<NodeSpec> {
    let mut board = Board::<NodeStatus>::new(nodes.clone(), false);
    let leads = |status: &NodeStatus| status.role == Role::Leader;
    board.refresh_until(board::ALL, leads).await;
    let is_leader = |heard: &Heard<NodeStatus>| heard.said.as_ref().is_ok_and(leads);
    if let Some(at) = board.nodes().iter().position(is_leader) {
        nodes[..=at].rotate_right(1);
    }
    nodes
}

/// Where the topic stands.
pub(crate) async fn tail(client: &Client, topic: &str, consistency: Consistency) -> anyhow::Result<ReadPage> {
    page(client, topic, ReadFrom::Last, 1, consistency).await
}

pub(crate) async fn page(
    client: &Client,
    topic: &str,
    from: ReadFrom,
    limit: u64,
    consistency: Consistency,
) -> anyhow::Result<ReadPage> {
    let mut from = from;
    loop {
        match client.read(topic, from, limit, consistency).await {
            // Retention went on since the offset was found.
            Err(ReadError::OffsetOutOfRange { start, .. }) if matches!(from, ReadFrom::Offset(offset) if offset < start) =>
            {
                from = ReadFrom::Offset(start);
            }
            read => return read.map_err(|error| anyhow!(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_none_is_refused_in_words() {
        assert_eq!(topic_name("lobby").unwrap(), "lobby");
        let error = topic_name("two words").unwrap_err();
        assert!(error.starts_with("a topic has 1 to 249 bytes"), "{error}");
    }
}
