//! The library beside a cluster of real nodes.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use wiber_client::{Client, ClientOptions, Publish, Read, RecordLine};
use wiber_protocol::config::ClusterConfig;

use crate::cluster::{Cluster, PATIENCE};

pub(crate) fn client(cluster: &Cluster) -> Client {
    let config = std::fs::read(cluster.config()).expect("a configuration");
    let config = ClusterConfig::parse_bytes(&config, "cluster.yaml").expect("a configuration");
    let options = ClientOptions {
        read_timeout: Duration::from_secs(10),
        ..ClientOptions::default()
    };
    Client::new(&config, options)
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Kills the leader in the middle of the work and starts it again when another one leads.
pub(crate) fn kill_leader<T>(cluster: &mut Cluster, work: &[JoinHandle<T>]) {
    let leader = cluster.leader();
    cluster.kill(leader);
    assert!(work.iter().any(|task| !task.is_finished()), "it is the middle");
    cluster.leader();
    cluster.start_node(leader);
}

pub(crate) fn body(number: usize) -> Vec<u8> {
    format!("{number}")
        .into_bytes()
        .into_iter()
        .chain([0, 0xff, b'\n'])
        .collect()
}

pub(crate) async fn publish_all(client: &Client, topic: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let message = Publish::new(topic, body(number))
            .id(format!("m-{number}"))
            .header("number", number.to_string())
            .deadline(PATIENCE);
        let published = client.send(&message).await.expect("published");
        assert!(published.offset.is_some(), "whichever node was asked");
    }
}

pub(crate) async fn all(client: &Client, read: Read) -> Vec<RecordLine> {
    let mut records = client.read_all(read);
    let mut all = Vec::new();
    while let Some(record) = records.next().await.expect("a record") {
        all.push(record);
    }
    all
}
