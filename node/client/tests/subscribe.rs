//! Subscribing to nodes that do what the test says.

mod support;

use std::time::Duration;

use support::{FakeNode, client, dead_node, options, record, soon};
use wiber_client::{ClientOptions, Subscribe, SubscribeStart, Subscription, SubscriptionEvent};

async fn expect_connected(subscription: &mut Subscription, node: &str, next_offset: u64) {
    let node = node.to_owned();
    assert_eq!(
        soon(subscription.next()).await,
        SubscriptionEvent::Connected { node, next_offset }
    );
}

async fn expect_record(subscription: &mut Subscription, offset: u64) {
    let event = soon(subscription.next()).await;
    let SubscriptionEvent::Record(record) = event else {
        panic!("{event:?} instead of record {offset}")
    };
    assert_eq!((record.offset, record.text), (offset, format!("text {offset}")));
}

async fn expect_disconnected(subscription: &mut Subscription, words: &str) {
    let event = soon(subscription.next()).await;
    let SubscriptionEvent::Disconnected { reason } = event else {
        panic!("{event:?} instead of a lost connection")
    };
    assert!(reason.contains(words), "`{words}` is not in `{reason}`");
}

#[tokio::test]
async fn a_lost_connection_is_resumed_elsewhere_at_the_next_offset() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let client = client(&[&first.spec, &second.spec], options());
    let mut subscription = client.subscribe("t", None).expect("a topic");
    let script = async {
        let mut talk = first.accept().await;
        talk.expect("SUBSCRIBE t").await;
        talk.say(&format!(
            "OK subscribed t 5\n{}\n{}",
            record("t", 5),
            record("t", 6)
        ))
        .await;
        drop(talk);
        let mut talk = second.accept().await;
        talk.expect("SUBSCRIBE t --from 7").await;
        talk.say(&format!("OK subscribed t 7\n{}", record("t", 7))).await;
        talk
    };
    let events = async {
        expect_connected(&mut subscription, "n1", 5).await;
        expect_record(&mut subscription, 5).await;
        expect_record(&mut subscription, 6).await;
        expect_disconnected(&mut subscription, "n1: the node closed the connection").await;
        expect_connected(&mut subscription, "n2", 7).await;
        expect_record(&mut subscription, 7).await;
    };
    let (mut talk, ()) = tokio::join!(script, events);
    drop(subscription);
    talk.expect_end().await;
}

#[tokio::test]
async fn a_gap_or_a_repeat_is_never_passed_on() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let mut subscription = client.subscribe("t", Some(0)).expect("a topic");
    let script = async {
        for (expected, sent) in [
            ("SUBSCRIBE t --from 1", vec![record("t", 1), record("t", 3)]),
            ("SUBSCRIBE t --from 2", vec![record("t", 2), record("t", 2)]),
            ("SUBSCRIBE t --from 3", vec![record("u", 3)]),
            ("SUBSCRIBE t --from 3", vec!["RECORD {}".to_owned()]),
            ("SUBSCRIBE t --from 3", vec![record("t", 3)]),
        ] {
            let mut talk = node.accept().await;
            talk.expect(expected).await;
            let next = expected.rsplit(' ').next().expect("an offset");
            talk.say(&format!("OK subscribed t {next}\n{}", sent.join("\n")))
                .await;
        }
    };
    let events = async {
        expect_connected(&mut subscription, "n1", 1).await;
        expect_record(&mut subscription, 1).await;
        expect_disconnected(
            &mut subscription,
            "offset 3 of `t` (Lamport 3) instead of offset 2",
        )
        .await;
        expect_connected(&mut subscription, "n1", 2).await;
        expect_record(&mut subscription, 2).await;
        expect_disconnected(
            &mut subscription,
            "offset 2 of `t` (Lamport 2) instead of offset 3",
        )
        .await;
        expect_connected(&mut subscription, "n1", 3).await;
        expect_disconnected(&mut subscription, "offset 3 of `u`").await;
        expect_connected(&mut subscription, "n1", 3).await;
        expect_disconnected(&mut subscription, "JSON").await;
        expect_connected(&mut subscription, "n1", 3).await;
        expect_record(&mut subscription, 3).await;
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn records_that_are_no_longer_kept_are_told_and_it_goes_on_behind_them() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let mut subscription = client.subscribe("t", Some(3)).expect("a topic");
    let script = async {
        for answer in [
            "OK subscribed t 2",
            "OK subscribed t 4",
            "OK subscribed t",
            "ENDED t offset_out_of_range 2 9",
        ] {
            let mut talk = node.accept().await;
            talk.expect("SUBSCRIBE t --from 3").await;
            talk.say(answer).await;
            talk.expect_end().await;
        }
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE t --from 3").await;
        talk.say("ENDED t offset_out_of_range 100 120").await;
        talk.expect("SUBSCRIBE t --from 100").await;
        talk.say(&format!("OK subscribed t 100\n{}", record("t", 100)))
            .await;
        talk.say("LAG t 5000\nENDED t offset_out_of_range 200 220").await;
        talk.expect("SUBSCRIBE t --from 200").await;
        talk.say(&format!("OK subscribed t 200\n{}", record("t", 200)))
            .await;
    };
    let events = async {
        expect_disconnected(&mut subscription, "starts at offset 2 instead of offset 3").await;
        expect_disconnected(&mut subscription, "starts at offset 4 instead of offset 3").await;
        expect_disconnected(&mut subscription, "answered `OK subscribed t`").await;
        expect_disconnected(&mut subscription, "does not keep offset 3").await;
        let skipped = |from, to| SubscriptionEvent::Skipped { from: Some(from), to };
        assert_eq!(soon(subscription.next()).await, skipped(3, 100));
        expect_connected(&mut subscription, "n1", 100).await;
        expect_record(&mut subscription, 100).await;
        let lagging = SubscriptionEvent::Lagging { records: 5000 };
        assert_eq!(soon(subscription.next()).await, lagging);
        assert_eq!(soon(subscription.next()).await, skipped(101, 200));
        expect_connected(&mut subscription, "n1", 200).await;
        expect_record(&mut subscription, 200).await;
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn a_pattern_goes_on_behind_the_last_lamport_time() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let client = client(&[&first.spec, &second.spec], options());
    let subscribe = Subscribe::new("a.*").start(SubscribeStart::Since(1_500_000));
    let mut subscription = client.subscribe_to(&subscribe).expect("a pattern");
    let script = async {
        let mut talk = first.accept().await;
        talk.expect("SUBSCRIBE a.* --since 1.500000").await;
        talk.say("OK subscribed a.* after 4").await;
        // In the log's order, though not in that of the offsets.
        talk.say(&[record("a.x", 7), record("a.y", 9), record("a.x", 8)].join("\n"))
            .await;
        talk.expect_end().await;
        let mut talk = second.accept().await;
        talk.expect("SUBSCRIBE a.* --after 9").await;
        talk.say(&format!("OK subscribed a.* after 9\n{}", record("b.x", 10)))
            .await;
        talk.expect_end().await;
        let mut talk = first.accept().await;
        talk.expect("SUBSCRIBE a.* --after 9").await;
        talk.say("ENDED a.* offset_out_of_range 20 30").await;
        talk.expect("SUBSCRIBE a.* --after 20").await;
        talk.say(&format!("OK subscribed a.* after 20\n{}", record("a.z", 21)))
            .await;
    };
    let after = |node: &str, logical_time| SubscriptionEvent::ConnectedAfter {
        node: node.to_owned(),
        logical_time,
    };
    let events = async {
        assert_eq!(soon(subscription.next()).await, after("n1", 4));
        expect_record(&mut subscription, 7).await;
        expect_record(&mut subscription, 9).await;
        expect_disconnected(&mut subscription, "instead of what follows Lamport 9").await;
        assert_eq!(soon(subscription.next()).await, after("n2", 9));
        expect_disconnected(&mut subscription, "`b.x` instead of `a.*`").await;
        let skipped = SubscriptionEvent::Skipped {
            from: Some(9),
            to: 20,
        };
        assert_eq!(soon(subscription.next()).await, skipped);
        assert_eq!(soon(subscription.next()).await, after("n1", 20));
        expect_record(&mut subscription, 21).await;
    };
    tokio::join!(script, events);
    let from_offset = Subscribe::new("a.*").start(SubscribeStart::From(1));
    assert!(client.subscribe_to(&from_offset).is_err());
}

#[tokio::test]
async fn records_by_time_of_origin_are_held_across_a_lost_connection() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let subscribe = Subscribe::new("a.*").order(Duration::from_millis(300));
    let mut subscription = client.subscribe_to(&subscribe).expect("a pattern");
    let at = |logical_time, secs: u64| {
        record("a.x", logical_time).replace("1729459200.123457", &format!("{secs}.000000"))
    };
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE a.*").await;
        talk.say(&format!("OK subscribed a.* after 1\n{}", at(2, 1000)))
            .await;
        // So much newer that what was before is due.
        talk.say(&at(3, 2000)).await;
        drop(talk);
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE a.* --after 3").await;
        talk.say(&format!("OK subscribed a.* after 3\n{}", at(4, 1999)))
            .await;
        talk.say(&at(5, 1)).await;
        talk
    };
    let mut given = Vec::new();
    let events = async {
        while given.len() < 4 {
            if let SubscriptionEvent::Record(record) = soon(subscription.next()).await {
                given.push((record.logical_time, record.late));
            }
        }
    };
    let (_talk, ()) = tokio::join!(script, events);
    assert_eq!(given[..1], [(2, false)]);
    let mut rest = given[1..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, [(3, false), (4, false), (5, true)]);
    let place = |logical_time| given.iter().position(|(found, _)| *found == logical_time);
    assert!(place(4) < place(3), "{given:?}");
}

#[tokio::test]
async fn a_dead_or_refusing_node_is_left_for_another() {
    let (refusing, good) = (FakeNode::start("n2").await, FakeNode::start("n3").await);
    let client = client(&[&dead_node("n1").spec, &refusing.spec, &good.spec], options());
    let mut subscription = client.subscribe("t", None).expect("a topic");
    let script = async {
        let mut talk = refusing.accept().await;
        talk.expect("SUBSCRIBE t").await;
        talk.say("ERR unavailable still recovering").await;
        let mut talk = good.accept().await;
        talk.expect("SUBSCRIBE t").await;
        talk.say("OK subscribed t 1").await;
        talk
    };
    let events = async {
        expect_disconnected(&mut subscription, "n1: cannot connect").await;
        expect_disconnected(&mut subscription, "n2: still recovering").await;
        expect_connected(&mut subscription, "n3", 1).await;
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn a_silent_node_is_asked_and_then_left() {
    let node = FakeNode::start("n1").await;
    let options = ClientOptions {
        keepalive: Duration::from_millis(100),
        ..options()
    };
    let client = client(&[&node.spec], options);
    let mut subscription = client.subscribe("t", None).expect("a topic");
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE t").await;
        talk.say("OK subscribed t 1").await;
        for _ in 0..3 {
            talk.expect("PING").await;
            talk.say("PONG").await;
        }
        talk.expect("PING").await;
        talk.expect_end().await;
    };
    let events = async {
        expect_connected(&mut subscription, "n1", 1).await;
        expect_disconnected(&mut subscription, "silent for").await;
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn a_slow_consumer_gets_every_record() {
    const RECORDS: u64 = 20_000;
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let mut subscription = client.subscribe("t", Some(1)).expect("a topic");
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE t --from 1").await;
        talk.say("OK subscribed t 1").await;
        for offset in 1..=RECORDS {
            talk.say(&record("t", offset)).await;
        }
        talk
    };
    let events = async {
        expect_connected(&mut subscription, "n1", 1).await;
        for offset in 1..=RECORDS {
            if offset % 500 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            expect_record(&mut subscription, offset).await;
        }
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn a_subscription_ends_with_its_consumer() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let subscription = client.subscribe("t", None).expect("a topic");
    let mut talk = node.accept().await;
    talk.expect("SUBSCRIBE t").await;
    drop(subscription);
    talk.expect_end().await;
    assert!(client.subscribe("no topic", None).is_err());
}
