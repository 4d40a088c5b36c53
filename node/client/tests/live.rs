//! The library against real nodes whose leader is killed in the middle: publishing, reading, following, asking.

mod cluster;
mod library;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cluster::{Cluster, PATIENCE};
use library::{all, body, client, in_time, kill_leader, publish_all};
use tokio::time::sleep;
use wiber_client::{
    Client, Consistency, GroupOptions, Publish, PublishError, Read, ReadFrom, RecordLine, Subscribe,
    SubscribeStart, SubscriptionEvent,
};

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
