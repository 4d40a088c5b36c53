//! What the library and `wiber history` make of records that retention dropped.

mod cluster;
mod library;

use std::time::Duration;

use cluster::{Cluster, PATIENCE, wait_for};
use library::{all, client, in_time};
use tokio::time::sleep;
use wiber_client::{
    Client, Consistency, GroupOptions, MemberEvent, Publish, Read, ReadFrom, Subscribe, SubscribeStart,
    Subscription, SubscriptionEvent,
};

/// 80 messages: more than a node keeps at least.
async fn publish_large(client: &Client, topic: &str) {
    let large = vec![0xff; (1 << 20) - 1_000];
    for _ in 0..80 {
        let message = Publish::new(topic, large.clone()).deadline(PATIENCE);
        client.send(&message).await.expect("published");
    }
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
    publish_large(&client, "a.large").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_what_was_all_dropped_is_empty_and_says_where_the_topic_goes_on() {
    let cluster = Cluster::start_with(1, "retention: { max_bytes: 1MiB }\n");
    for text in ["a", "b"] {
        let said = cluster.says(&["pub", "old", text]);
        assert!(said.starts_with("published "), "{said}");
    }
    publish_large(&client(&cluster), "large").await;
    wait_for("all of it is dropped", PATIENCE, || {
        let (_, out, _) = cluster.tells(&["history", "old"]);
        out.is_empty().then_some(())
    });
    for words in [
        &[][..],
        &["--json"],
        &["--local"],
        &["--offset", "1"],
        &["--since", "1h"],
    ] {
        let (code, out, complaint) = cluster.tells(&[&["history", "old"], words].concat());
        assert_eq!((code, out.as_str()), (Some(0), ""), "{words:?}");
        assert_eq!(
            complaint, "wiber: offsets 1 to 2 are no longer kept: old goes on at 3\n",
            "{words:?}"
        );
    }
    cluster.says(&["pub", "old", "c"]);
    let (code, out, complaint) = cluster.tells(&["history", "old", "-f", "%o %s\\n"]);
    assert_eq!((code, out.as_str(), complaint.as_str()), (Some(0), "3 c\n", ""));
    for (words, dropped) in [
        (&["-n", "1000"][..], "offsets 1 to 2 are no longer kept"),
        (&["-n", "2"], "offsets 2 to 2 are no longer kept"),
        (&["-n", "1"], ""),
        (&["--offset", "3"], ""),
        (
            &["--since", "1h"],
            "offsets 1 to 2 are no longer kept, and some of them may have been from then on, too",
        ),
    ] {
        let (code, out, complaint) = cluster.tells(&[&["history", "old", "-f", "%o %s\\n"], words].concat());
        assert_eq!((code, out.as_str()), (Some(0), "3 c\n"), "{words:?}");
        let expected = if dropped.is_empty() {
            String::new()
        } else {
            format!("wiber: {dropped}\n")
        };
        assert_eq!(complaint, expected, "{words:?}");
    }
    let nothing = cluster.tells(&["history", "none"]);
    assert_eq!(nothing, (Some(0), String::new(), String::new()));
}
