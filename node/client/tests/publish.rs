//! Publishing against nodes that do what the test says.

mod support;

use std::time::Duration;

use support::{DEADLINE, FakeNode, client, dead_node, options, soon};
use wiber_client::{Client, ClientOptions, PublishError, Published};

/// Publishes `hi` to `t` under `m-1`, in the background.
async fn publish(client: &Client, deadline: Duration) -> Result<Published, PublishError> {
    soon(client.publish("t", "hi", Some("m-1".to_owned()), deadline)).await
}

fn published(line: &str, offset: Option<u64>, logical_time: Option<u64>) -> Published {
    let duplicate = line.starts_with("OK duplicate");
    Published {
        id: "m-1".to_owned(),
        offset,
        logical_time,
        duplicate,
        line: line.to_owned(),
    }
}

#[tokio::test]
async fn an_answer_is_told_with_its_positions() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        for answer in [
            "OK published m-1 7 40",
            "OK published m-1",
            "OK REDIRECTED m-1",
            "OK duplicate m-1",
        ] {
            talk.expect("PUB t --id m-1 hi").await;
            talk.say(answer).await;
        }
    };
    let calls = async {
        for (line, offset, logical_time) in [
            ("OK published m-1 7 40", Some(7), Some(40)),
            ("OK published m-1", None, None),
            ("OK REDIRECTED m-1", None, None),
            ("OK duplicate m-1", None, None),
        ] {
            assert_eq!(
                publish(&client, DEADLINE).await,
                Ok(published(line, offset, logical_time))
            );
        }
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn ids_are_made_and_publishes_share_one_connection_without_waiting_for_each_other() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let line = talk.hear().await.expect("a publish");
            let (id, text) = line
                .strip_prefix("PUB t --id ")
                .and_then(|rest| rest.split_once(' '))
                .expect("the form");
            assert_eq!(text, "hi");
            ids.push(id.to_owned());
        }
        for (at, id) in ids.iter().enumerate() {
            talk.say(&format!("OK published {id} {at} 1")).await;
        }
        ids
    };
    let call = || soon(client.publish("t", "hi", None, DEADLINE));
    let (ids, a, b, c) = tokio::join!(script, call(), call(), call());
    let mut told: Vec<String> = [a, b, c]
        .into_iter()
        .map(|result| result.expect("published").id)
        .collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 3, "every id is another");
    let mut ids = ids;
    ids.sort();
    assert_eq!(told, ids);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_elsewhere_under_the_same_id() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let client = client(&[&first.spec, &second.spec], options());
    let script = async {
        let mut talk = first.accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        drop(talk);
        let mut talk = second.accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK duplicate m-1").await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK published m-1 1 1").await;
    };
    let calls = async {
        assert!(publish(&client, DEADLINE).await.expect("published").duplicate);
        // The node that answered is asked first from now on.
        assert!(publish(&client, DEADLINE).await.is_ok());
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_left_for_another() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let options = ClientOptions {
        attempt_timeout: Duration::from_millis(100),
        ..options()
    };
    let client = client(&[&first.spec, &second.spec], options);
    let script = async {
        let mut silent = first.accept().await;
        silent.expect("PUB t --id m-1 hi").await;
        let mut talk = second.accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK published m-1 1 1").await;
        // Nothing was heard for twice the attempt's time: the connection is given up.
        silent.expect_end().await;
    };
    let ((), result) = tokio::join!(script, publish(&client, DEADLINE));
    assert_eq!(result, Ok(published("OK published m-1 1 1", Some(1), Some(1))));
}

#[tokio::test]
async fn a_redirect_is_followed_to_the_node_it_names() {
    let nodes = [
        FakeNode::start("n1").await,
        FakeNode::start("n2").await,
        FakeNode::start("n3").await,
    ];
    let client = client(&[&nodes[0].spec, &nodes[1].spec, &nodes[2].spec], options());
    let script = async {
        let mut talk = nodes[0].accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say(&format!("REDIRECT 127.0.0.1 {}", nodes[2].spec.port))
            .await;
        let mut talk = nodes[2].accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK published m-1 1 1").await;
    };
    let ((), result) = tokio::join!(script, publish(&client, DEADLINE));
    assert!(result.is_ok());
}

#[tokio::test]
async fn an_election_is_waited_for() {
    let (node, dead) = (FakeNode::start("n1").await, dead_node("n2"));
    let client = client(&[&dead.spec, &node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        for answer in [
            "ERR not_leader",
            "REDIRECT 127.0.0.1 1",
            "ERR unavailable no room",
            "OK published m-1 1 1",
        ] {
            talk.expect("PUB t --id m-1 hi").await;
            talk.say(answer).await;
        }
    };
    let ((), result) = tokio::join!(script, publish(&client, DEADLINE));
    assert!(result.is_ok());
}

#[tokio::test]
async fn what_may_have_been_published_is_unknown_at_the_deadline() {
    let (node, dead) = (FakeNode::start("n1").await, dead_node("n2"));
    let client = client(&[&node.spec, &dead.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        let mut count = 0;
        while let Some(line) = talk.hear().await {
            assert_eq!(line, "PUB t --id m-1 hi");
            talk.say("ERR timeout_waiting_commit").await;
            count += 1;
        }
        count
    };
    let call = async {
        let result = publish(&client, Duration::from_millis(150)).await;
        drop(client);
        result
    };
    let (count, result) = tokio::join!(script, call);
    assert_eq!(
        result,
        Err(PublishError::Unknown(
            "n1: not committed in time; n2: cannot be reached".to_owned()
        ))
    );
    assert!(count > 1, "it went on trying");
}

/// The dead nodes were asked last, and are not what is wrong.
#[tokio::test]
async fn without_a_leader_a_publish_fails_for_what_the_live_node_says() {
    let (node, a, b) = (FakeNode::start("n1").await, dead_node("n2"), dead_node("n3"));
    let client = client(&[&node.spec, &a.spec, &b.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        while talk.hear().await.is_some() {
            talk.say("ERR not_leader").await;
        }
    };
    let call = async {
        let result = publish(&client, Duration::from_millis(150)).await;
        drop(client);
        result
    };
    let ((), result) = tokio::join!(script, call);
    let reason = "n1: no leader is known; n2, n3: cannot be reached".to_owned();
    assert_eq!(result, Err(PublishError::Unavailable(reason)));
}

#[tokio::test]
async fn what_never_left_is_unavailable_at_the_deadline() {
    let (a, b) = (dead_node("n1"), dead_node("n2"));
    let result = publish(
        &client(&[&a.spec, &b.spec], options()),
        Duration::from_millis(100),
    )
    .await;
    let Err(PublishError::Unavailable(reason)) = result else {
        panic!("{result:?}")
    };
    let said = |port: u16| format!("cannot connect to 127.0.0.1:{port}: ");
    assert!(
        reason.contains(&said(a.spec.port)) && reason.contains(&said(b.spec.port)),
        "{reason}"
    );
}

#[tokio::test]
async fn a_wrong_request_is_not_tried_again() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        for answer in ["ERR id_conflict m-1", "ERR usage: no such thing"] {
            talk.expect("PUB t --id m-1 hi").await;
            talk.say(answer).await;
        }
    };
    let calls = async {
        let id = "m-1".to_owned();
        assert_eq!(
            publish(&client, DEADLINE).await,
            Err(PublishError::IdConflict { id })
        );
        let text = "ERR usage: no such thing".to_owned();
        assert_eq!(
            publish(&client, DEADLINE).await,
            Err(PublishError::Rejected(text))
        );
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn what_a_line_cannot_say_never_leaves() {
    let client = client(&[&dead_node("n1").spec], options());
    for (topic, text, id) in [
        ("t", "a\nPUB t b", None),
        ("t x", "a", None),
        ("t", "a", Some("m 1")),
        ("t", "  ", None),
        ("", "a", None),
    ] {
        let result = client.publish(topic, text, id.map(str::to_owned), DEADLINE).await;
        assert!(
            matches!(result, Err(PublishError::Rejected(_))),
            "{topic:?} {text:?} {id:?}: {result:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_no_answer() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let client = client(&[&first.spec, &second.spec], options());
    let script = async {
        let mut talk = first.accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK published another 1 1").await;
        let mut talk = second.accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK duplicate m-1").await;
    };
    let ((), result) = tokio::join!(script, publish(&client, DEADLINE));
    assert!(result.is_ok());
}

#[tokio::test]
async fn a_node_that_came_back_is_connected_to_again() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        for _ in 0..3 {
            let mut talk = node.accept().await;
            talk.expect("PUB t --id m-1 hi").await;
            talk.say("OK published m-1 1 1").await;
        }
    };
    let calls = async {
        for _ in 0..3 {
            assert!(publish(&client, DEADLINE).await.is_ok());
        }
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn dropping_the_client_closes_its_connections() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("PUB t --id m-1 hi").await;
        talk.say("OK published m-1 1 1").await;
        talk.expect_end().await;
    };
    let call = async {
        assert!(publish(&client, DEADLINE).await.is_ok());
        drop(client);
    };
    tokio::join!(script, call);
}

/// Without an attempt before it, `id_expired` says that this call stored nothing.
#[tokio::test]
async fn an_id_that_expired_behind_an_unknown_attempt_is_unknown() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        for answer in [
            "ERR id_expired m-1",
            "ERR timeout_waiting_commit",
            "ERR id_expired m-1",
        ] {
            talk.expect("PUB t --id m-1 hi").await;
            talk.say(answer).await;
        }
    };
    let calls = async {
        let id = "m-1".to_owned();
        assert_eq!(
            publish(&client, DEADLINE).await,
            Err(PublishError::IdExpired { id })
        );
        let reason = "ERR id_expired m-1".to_owned();
        assert_eq!(
            publish(&client, DEADLINE).await,
            Err(PublishError::Unknown(reason))
        );
    };
    tokio::join!(script, calls);
}
