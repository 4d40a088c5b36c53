//! The library against real nodes whose leader is killed in the middle.

mod cluster;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cluster::{Cluster, PATIENCE};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use wiber_client::{
    Client, ClientOptions, Consistency, GroupOptions, Member, MemberEvent, Publish, PublishError, Read,
    ReadFrom, RecordLine, Subscribe, SubscribeStart, Subscription, SubscriptionEvent,
};
use wiber_protocol::config::ClusterConfig;

fn client(cluster: &Cluster) -> Client {
    let config = std::fs::read(cluster.config()).expect("a configuration");
    let config = ClusterConfig::parse_bytes(&config, "cluster.yaml").expect("a configuration");
    let options = ClientOptions {
        read_timeout: Duration::from_secs(10),
        ..ClientOptions::default()
    };
    Client::new(&config, options)
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Kills the leader in the middle of the work and starts it again when another one leads.
fn kill_leader<T>(cluster: &mut Cluster, work: &[JoinHandle<T>]) {
    let leader = cluster.leader();
    cluster.kill(leader);
    assert!(work.iter().any(|task| !task.is_finished()), "it is the middle");
    cluster.leader();
    cluster.start_node(leader);
}

fn body(number: usize) -> Vec<u8> {
    format!("{number}")
        .into_bytes()
        .into_iter()
        .chain([0, 0xff, b'\n'])
        .collect()
}

async fn publish_all(client: &Client, topic: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let message = Publish::new(topic, body(number))
            .id(format!("m-{number}"))
            .header("number", number.to_string())
            .deadline(PATIENCE);
        let published = client.send(&message).await.expect("published");
        assert!(published.offset.is_some(), "whichever node was asked");
    }
}

async fn all(client: &Client, read: Read) -> Vec<RecordLine> {
    let mut records = client.read_all(read);
    let mut all = Vec::new();
    while let Some(record) = records.next().await.expect("a record") {
        all.push(record);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_any_bytes_are_stored_once_whatever_happens_to_the_leader() {
    const EACH: usize = 400;
    let mut cluster = Cluster::start(3);
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let client = client(&cluster);
            tokio::spawn(async move { publish_all(&client, "t", task * EACH..(task + 1) * EACH).await })
        })
        .collect();
    for _ in 0..2 {
        sleep(Duration::from_millis(100)).await;
        kill_leader(&mut cluster, &tasks);
    }
    for task in tasks {
        in_time(task).await.expect("no panic");
    }
    let client = client(&cluster);
    let records = all(&client, Read::new("t", ReadFrom::Offset(1)).max_bytes(20_000)).await;
    assert_eq!(records.len(), 4 * EACH);
    let mut numbers = BTreeSet::new();
    for (record, offset) in records.iter().zip(1..) {
        assert_eq!(record.offset, offset);
        let number: usize = record.headers["number"].parse().expect("a number");
        assert_eq!(record.id, format!("m-{number}"));
        assert_eq!(record.body().expect("base64"), body(number));
        assert!(numbers.insert(number), "{number} is stored twice");
    }
    let middle = &records[2 * EACH];
    let since = all(&client, Read::new("t", ReadFrom::Since(middle.corrected_us))).await;
    let before = records.len() - since.len();
    assert!(since[0].corrected_us >= middle.corrected_us);
    assert!(before == 0 || records[before - 1].corrected_us < middle.corrected_us);
    let last = all(&client, Read::new("t", ReadFrom::Last).limit(7)).await;
    assert_eq!(last, records[records.len() - 7..]);
}

/// A counter that several writers raise: each raise expects the end that it saw.
#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_expect_the_same_end_one_wins_also_when_the_leader_changes() {
    const EACH: u64 = 40;
    let mut cluster = Cluster::start(3);
    let raise = async |client: Client| {
        let mut end = 0;
        for _ in 0..EACH {
            loop {
                let count = Publish::new("t", (end + 1).to_string())
                    .expect(end)
                    .deadline(PATIENCE);
                match client.send(&count).await {
                    Ok(published) => {
                        assert_eq!(published.offset, Some(end + 1));
                        end += 1;
                        break;
                    }
                    Err(PublishError::OffsetMismatch { end: found }) => end = found,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    let tasks: Vec<_> = (0..3).map(|_| tokio::spawn(raise(client(&cluster)))).collect();
    sleep(Duration::from_millis(50)).await;
    kill_leader(&mut cluster, &tasks);
    for task in tasks {
        in_time(task).await.expect("no panic");
    }
    let records = all(&client(&cluster), Read::new("t", ReadFrom::Offset(1))).await;
    assert_eq!(records.len() as u64, 3 * EACH);
    for record in records {
        assert_eq!(record.text, record.offset.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_to_a_topic_and_to_a_pattern_miss_nothing_and_repeat_nothing() {
    const RECORDS: usize = 900;
    let mut cluster = Cluster::start(3);
    let subscriber = client(&cluster);
    let one = Subscribe::new("a.0").start(SubscribeStart::Beginning);
    let many = Subscribe::new("a.*").start(SubscribeStart::After(0));
    let by_origin = many.clone().order(Duration::from_millis(200));
    let listen = async |subscribe: Subscribe, count: usize| {
        let mut subscription = subscriber.subscribe_to(&subscribe).expect("a pattern");
        let mut records = Vec::new();
        let mut losses = 0;
        while records.len() < count {
            match subscription.next().await {
                SubscriptionEvent::Record(record) => records.push(*record),
                SubscriptionEvent::Skipped { .. } => panic!("nothing is dropped"),
                SubscriptionEvent::Disconnected { .. } => losses += 1,
                _ => {}
            }
        }
        (records, losses)
    };
    let publisher = client(&cluster);
    let publishing = [tokio::spawn(async move {
        for number in 0..RECORDS {
            let message = Publish::new(format!("a.{}", number % 3), number.to_string()).deadline(PATIENCE);
            publisher.send(&message).await.expect("published");
            // Not for the pattern.
            if number % 10 == 0 {
                publisher
                    .send(&Publish::new("b", "other"))
                    .await
                    .expect("published");
            }
        }
    })];
    let chaos = async {
        for _ in 0..2 {
            sleep(Duration::from_millis(150)).await;
            tokio::task::block_in_place(|| kill_leader(&mut cluster, &publishing));
        }
    };
    let listening = async {
        tokio::join!(
            listen(one, RECORDS / 3),
            listen(many, RECORDS),
            listen(by_origin, RECORDS)
        )
    };
    let (((one, _), (many, losses), (by_origin, _)), ()) =
        in_time(async { tokio::join!(listening, chaos) }).await;
    for task in publishing {
        in_time(task).await.expect("no panic");
    }
    assert!(losses > 0, "the subscriber's node was killed");
    for (record, offset) in one.iter().zip(1..) {
        assert_eq!((record.topic.as_str(), record.offset), ("a.0", offset));
    }
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    for pair in many.windows(2) {
        assert!(pair[0].logical_time < pair[1].logical_time);
    }
    for record in &many {
        let next = next.entry(&record.topic).or_insert(1);
        assert_eq!(record.offset, *next, "{}", record.topic);
        *next += 1;
    }
    assert_eq!(next.len(), 3);
    let place = |record: &RecordLine| (record.corrected_us, record.logical_time, record.node.clone());
    let in_order: Vec<_> = by_origin
        .iter()
        .filter(|record| !record.late)
        .map(place)
        .collect();
    assert!(in_order.is_sorted());
    let times = |records: &[RecordLine]| -> BTreeSet<u64> {
        records.iter().map(|record| record.logical_time).collect()
    };
    assert_eq!(times(&by_origin), times(&many), "each once");
}

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
    let publisher = client(&cluster);
    let publishing = [tokio::spawn(async move {
        publish_all(&publisher, "t", 0..RECORDS).await;
    })];
    sleep(Duration::from_millis(150)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_although_the_leader_is_killed() {
    const REQUESTS: usize = 150;
    let mut cluster = Cluster::start(3);
    let servers: Vec<_> = (0..2)
        .map(|_| {
            let client = client(&cluster);
            tokio::spawn(async move {
                let answer = async |request: RecordLine| Some(request.text.to_uppercase());
                client.serve("shout", "s", GroupOptions::new(), answer).await
            })
        })
        .collect();
    let asker = client(&cluster);
    // Requests are for who joined before.
    let is_joined = async |client: &Client| {
        let groups = client.groups(Some("shout")).await.expect("a list");
        groups.first().is_some_and(|group| group.members == Some(2))
    };
    in_time(async {
        while !is_joined(&asker).await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let asking = [tokio::spawn(async move {
        for number in 0..REQUESTS {
            let reply = asker.request("shout", format!("hi {number}"), PATIENCE).await;
            assert_eq!(reply.expect("a reply").text, format!("HI {number}"));
        }
        asker
    })];
    sleep(Duration::from_millis(200)).await;
    kill_leader(&mut cluster, &asking);
    let [asking] = asking;
    let asker = in_time(asking).await.expect("no panic");
    for server in servers {
        assert!(!server.is_finished());
        server.abort();
    }
    let inboxes = asker.topics(Some("_inbox.*")).await.expect("a list");
    assert_eq!(inboxes.len(), 1);
    let page = asker
        .read("shout", ReadFrom::Last, 1_000, Consistency::Strong)
        .await;
    assert_eq!(
        page.expect("a page").records.len(),
        REQUESTS,
        "each is asked once"
    );
}

/// The next event that is not about the connection.
async fn next_of(subscription: &mut Subscription) -> SubscriptionEvent {
    loop {
        match in_time(subscription.next()).await {
            SubscriptionEvent::Connected { .. }
            | SubscriptionEvent::ConnectedAfter { .. }
            | SubscriptionEvent::Lagging { .. } => {}
            event => return event,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_dropped_is_told_and_everything_else_is_given() {
    let cluster = Cluster::start_with(1, "retention: { max_bytes: 1MiB }\n");
    let client = client(&cluster);
    let from_start = GroupOptions::new().start(SubscribeStart::Beginning);
    let mut member = client.join("a.large", "g", from_start).expect("a group");
    assert!(matches!(
        in_time(member.next()).await,
        Some(MemberEvent::Joined { .. })
    ));
    drop(member);
    let large = vec![0xff; (1 << 20) - 1_000];
    for _ in 0..80 {
        let message = Publish::new("a.large", large.clone()).deadline(PATIENCE);
        client.send(&message).await.expect("published");
    }
    let start = in_time(async {
        loop {
            let page = client
                .read("a.large", ReadFrom::Last, 1, Consistency::Strong)
                .await;
            match page.expect("a page").log_start_offset {
                0 | 1 => sleep(Duration::from_millis(50)).await,
                start => break start,
            }
        }
    })
    .await;
    let kept = all(&client, Read::new("a.large", ReadFrom::Offset(1))).await;
    assert_eq!(kept.first().map(|record| record.offset), Some(start));
    assert_eq!(kept.last().map(|record| record.offset), Some(80));

    let mut topic = client.subscribe("a.large", Some(1)).expect("a topic");
    let skipped = SubscriptionEvent::Skipped {
        from: Some(1),
        to: start,
    };
    assert_eq!(next_of(&mut topic).await, skipped);
    let pattern = Subscribe::new("a.*").start(SubscribeStart::After(0));
    let mut pattern = client.subscribe_to(&pattern).expect("a pattern");
    let SubscriptionEvent::Skipped { from: Some(0), to } = next_of(&mut pattern).await else {
        panic!("not all is kept")
    };
    assert!(to < kept[0].logical_time, "everything that is kept comes");
    for record in &kept {
        let given = SubscriptionEvent::Record(Box::new(record.clone()));
        assert!(next_of(&mut topic).await == given, "offset {}", record.offset);
        assert!(next_of(&mut pattern).await == given, "offset {}", record.offset);
    }

    let mut member = client.join("a.large", "g", from_start).expect("a group");
    assert!(matches!(
        in_time(member.next()).await,
        Some(MemberEvent::Joined { .. })
    ));
    let last = start - 1;
    assert_eq!(
        in_time(member.next()).await,
        Some(MemberEvent::Skipped { first: 1, last })
    );
    let record = in_time(member.next_record()).await.expect("a record");
    assert_eq!(record.offset, start);
}
