//! Consumer groups of the library against real nodes.

mod cluster;
mod library;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cluster::{Cluster, PATIENCE};
use library::{all, body, client, in_time, kill_leader, publish_all};
use tokio::time::{sleep, timeout};
use wiber_client::{GroupLine, GroupOptions, Member, MemberEvent, Read, ReadFrom, SubscribeStart};

/// Works until `done`; what it got is in `seen`. Says how often it lost the leader.
async fn work(mut member: Member, seen: Arc<Mutex<BTreeSet<u64>>>, done: Arc<AtomicBool>) -> u32 {
    let mut losses = 0;
    while !done.load(Ordering::Relaxed) {
        let Ok(event) = timeout(Duration::from_millis(50), member.next()).await else {
            continue;
        };
        match event.expect("the group stays") {
            MemberEvent::Record(record) => {
                seen.lock().expect("no panic").insert(record.offset);
                member.ack(&record).await.expect("acknowledged");
            }
            MemberEvent::Ended { reason } => panic!("{reason}"),
            MemberEvent::Disconnected { .. } => losses += 1,
            _ => {}
        }
    }
    losses
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_get_every_record_although_their_leader_is_killed() {
    const RECORDS: usize = 600;
    let mut cluster = Cluster::start(3);
    let (seen, done) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let options = GroupOptions::new()
        .start(SubscribeStart::Beginning)
        .max_in_flight(16);
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let member = client(&cluster).join("t", "g", options).expect("a group");
            tokio::spawn(work(member, Arc::clone(&seen), Arc::clone(&done)))
        })
        .collect();
    let looker = client(&cluster);
    let until = async |is_so: &dyn Fn(&GroupLine) -> bool| loop {
        match &looker.groups(Some("t")).await.expect("a list")[..] {
            [group] if is_so(group) => break,
            _ => sleep(Duration::from_millis(2)).await,
        }
    };
    in_time(until(&|group| group.members == Some(3))).await;
    let publisher = client(&cluster);
    let publishing = [tokio::spawn(async move {
        publish_all(&publisher, "t", 0..RECORDS).await;
    })];
    in_time(until(&|group| group.next_offset > 20)).await;
    kill_leader(&mut cluster, &publishing);
    for task in publishing {
        in_time(task).await.expect("no panic");
    }
    let client = client(&cluster);
    let group = in_time(async {
        loop {
            match &client.groups(Some("t")).await.expect("a list")[..] {
                [group] if group.lag == 0 && group.next_offset == RECORDS as u64 + 1 => {
                    break group.clone();
                }
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
    assert_eq!((group.outstanding, group.dead_letters), (0, 0));
    assert_eq!(group.members, Some(3));
    done.store(true, Ordering::Relaxed);
    for worker in workers {
        let losses = in_time(worker).await.expect("no panic");
        assert!(losses > 0, "every member lost the leader");
    }
    let seen = seen.lock().expect("no panic").clone();
    assert_eq!(seen, (1..=RECORDS as u64).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_given_back_too_often_is_put_aside_and_a_group_can_be_moved_and_ended() {
    let cluster = Cluster::start(1);
    let client = client(&cluster);
    publish_all(&client, "t", 0..3).await;
    let options = GroupOptions::new()
        .start(SubscribeStart::Beginning)
        .max_in_flight(1)
        .max_deliveries(2);
    let mut member = client.join("t", "g", options).expect("a group");
    for delivery in [1, 2] {
        let record = in_time(member.next_record()).await.expect("a record");
        assert_eq!((record.offset, record.delivery), (1, Some(delivery)));
        member.nack(&record).await;
    }
    let mut next = async || in_time(member.next_record()).await;
    let second = next().await.expect("a record");
    assert_eq!((second.offset, second.delivery), (2, Some(1)));
    let dead = all(&client, Read::new("dead.t.g", ReadFrom::Last)).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body().expect("base64"), body(0));
    let header = |key: &str| dead[0].headers.get(key).map(String::as_str);
    assert_eq!((header("dead-offset"), header("number")), (Some("1"), Some("0")));
    client.seek_group("t", "g", 1, PATIENCE).await.expect("moved");
    let again = next().await.expect("a record");
    assert_eq!((again.offset, again.delivery), (1, Some(1)));
    client.delete_group("t", "g", PATIENCE).await.expect("deleted");
    in_time(async { while next().await.is_some() {} }).await;
    let left = client.groups(None).await.expect("a list");
    assert_eq!(left, []);
    let topics = client.topics(Some("dead.>")).await.expect("a list");
    assert_eq!(topics.len(), 1);
}
