//! A member of a group with real nodes, of which the leader stands still until another one leads.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, PATIENCE};
use rustix::process::Signal;
use tokio::time::timeout;
use wiber_client::{Client, ClientOptions, GroupOptions, Member, MemberEvent, RecordLine, SubscribeStart};
use wiber_protocol::config::ClusterConfig;

fn client(cluster: &Cluster) -> Client {
    let config = std::fs::read(cluster.config()).expect("a configuration");
    let config = ClusterConfig::parse_bytes(&config, "cluster.yaml").expect("a configuration");
    let options = ClientOptions {
        // A node that stands still is not to be left for that.
        keepalive: PATIENCE,
        ..ClientOptions::default()
    };
    Client::new(&config, options)
}

async fn publish(client: &Client, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let published = client.publish("t", &number.to_string(), None, PATIENCE).await;
        published.expect("it is stored");
    }
}

async fn event(member: &mut Member) -> MemberEvent {
    let event = timeout(PATIENCE, member.next()).await;
    event.expect("it happens in time").expect("the group is there")
}

async fn record(member: &mut Member) -> RecordLine {
    match event(member).await {
        MemberEvent::Record(record) => *record,
        event => panic!("{event:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_node_leads_no_more_goes_on_at_the_next_leader_and_misses_nothing() {
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let old = cluster.leader();
    let others: Vec<usize> = (0..3).filter(|at| *at != old).collect();
    let options = GroupOptions::new()
        .start(SubscribeStart::Beginning)
        .ack_timeout(Duration::from_mins(1));
    let mut member = client.join("t", "g", options).expect("a group");
    let node = format!("n{}", old + 1);
    assert_eq!(event(&mut member).await, MemberEvent::Joined { node });
    publish(&client, 1..=3).await;
    for offset in 1..=3 {
        let record = record(&mut member).await;
        assert_eq!((record.offset, record.delivery), (offset, Some(1)));
        if offset == 2 {
            member.ack(&record).await.expect("it is acknowledged");
        }
    }
    cluster.signal(old, Signal::STOP);
    cluster.leader_among(&others);
    publish(&client, 4..=4).await;
    cluster.signal(old, Signal::CONT);
    match event(&mut member).await {
        MemberEvent::Disconnected { reason } => {
            assert!(reason.ends_with("answered `ENDED t not_leader`"), "{reason}");
        }
        event => panic!("{event:?}"),
    }
    // The next one it asks may have no leader to name yet.
    while let MemberEvent::Disconnected { .. } = event(&mut member).await {}
    for expected in [(1, Some(2)), (3, Some(2)), (4, Some(1))] {
        let record = record(&mut member).await;
        assert_eq!((record.offset, record.delivery), expected);
        member.ack(&record).await.expect("it is acknowledged");
    }
    publish(&client, 5..=5).await;
    assert_eq!(record(&mut member).await.offset, 5);
}
