//! Publishing in order against nodes that do what the test says.

mod support;

use std::time::Duration;

use support::{DEADLINE, FakeNode, client, dead_node, options, soon};
use wiber_client::{Message, PublishError};

fn messages(numbers: impl IntoIterator<Item = u32>) -> Vec<Message> {
    let message = |number| Message {
        id: format!("m-{number}"),
        text: format!("text {number}"),
        ..Message::default()
    };
    numbers.into_iter().map(message).collect()
}

fn line(number: u32) -> String {
    format!("PUB t --id m-{number} text {number}")
}

#[tokio::test]
async fn a_node_that_took_one_message_gets_the_others_together() {
    let node = FakeNode::start("n1").await;
    let mut publisher = client(&[&node.spec], options())
        .publish_in_order("t")
        .expect("a topic");
    let script = async {
        let mut talk = node.accept().await;
        talk.expect(&line(1)).await;
        talk.say("OK published m-1 1 1").await;
        for number in 2..=4 {
            talk.expect(&line(number)).await;
        }
        for number in 2..=4 {
            talk.say(&format!("OK published m-{number} {number} {number}"))
                .await;
        }
        // It is proven: the next call need not try again with one.
        talk.expect(&line(5)).await;
        talk.expect(&line(6)).await;
        talk.say("OK published m-5 5 5\nOK published m-6 6 6").await;
    };
    let call = async {
        for numbers in [1..=4, 5..=6] {
            let count = numbers.clone().count();
            let results = soon(publisher.publish(&messages(numbers), DEADLINE)).await;
            assert_eq!(results.len(), count);
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        }
    };
    tokio::join!(script, call);
}

#[tokio::test]
async fn what_was_lost_goes_out_again_in_order_and_one_first() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let client = client(&[&first.spec, &second.spec], options());
    let mut publisher = client.publish_in_order("t").expect("a topic");
    let script = async {
        let mut talk = first.accept().await;
        talk.expect(&line(1)).await;
        talk.say("OK published m-1 1 1").await;
        for number in 2..=5 {
            talk.expect(&line(number)).await;
        }
        talk.say("OK published m-2 2 2").await;
        drop(talk);
        let mut talk = second.accept().await;
        talk.expect(&line(3)).await;
        talk.say("ERR not_leader").await;
        let mut talk_again = first.accept().await;
        talk_again.expect(&line(3)).await;
        talk_again.say("OK duplicate m-3").await;
        talk_again.expect(&line(4)).await;
        talk_again.expect(&line(5)).await;
        talk_again.say("OK duplicate m-4\nOK published m-5 5 5").await;
        talk
    };
    let call = async {
        let results = soon(publisher.publish(&messages(1..=5), DEADLINE)).await;
        let duplicates: Vec<bool> = results
            .into_iter()
            .map(|result| result.expect("published").duplicate)
            .collect();
        assert_eq!(duplicates, [false, false, true, true, false]);
    };
    let (mut refused, ()) = tokio::join!(script, call);
    drop((publisher, client));
    refused.expect_end().await;
}

#[tokio::test]
async fn a_message_that_is_refused_does_not_keep_the_others() {
    let node = FakeNode::start("n1").await;
    let mut publisher = client(&[&node.spec], options())
        .publish_in_order("t")
        .expect("a topic");
    let mut messages = messages(1..=3);
    messages[1].text = "a\nPUB t b".to_owned();
    let script = async {
        let mut talk = node.accept().await;
        talk.expect(&line(1)).await;
        talk.say("ERR id_conflict m-1").await;
        talk.expect(&line(3)).await;
        talk.say("OK published m-3 1 1").await;
    };
    let call = async {
        let results = soon(publisher.publish(&messages, DEADLINE)).await;
        let id = "m-1".to_owned();
        assert_eq!(results[0], Err(PublishError::IdConflict { id }));
        assert!(
            matches!(results[1], Err(PublishError::Rejected(_))),
            "{results:?}"
        );
        assert!(results[2].is_ok(), "{results:?}");
    };
    tokio::join!(script, call);
}

/// It may be an attempt of this very call that was stored before the id expired.
#[tokio::test]
async fn an_id_that_expired_is_final_and_unknown_only_behind_an_unknown_attempt() {
    let node = FakeNode::start("n1").await;
    let mut publisher = client(&[&node.spec], options())
        .publish_in_order("t")
        .expect("a topic");
    let script = async {
        let mut talk = node.accept().await;
        talk.expect(&line(1)).await;
        talk.say("ERR id_expired m-1").await;
        talk.expect(&line(2)).await;
        talk.say("ERR timeout_waiting_commit").await;
        talk.expect(&line(2)).await;
        talk.say("ERR id_expired m-2").await;
        // Neither keeps what stands behind it.
        talk.expect(&line(3)).await;
        talk.say("OK published m-3 1 1").await;
    };
    let messages = messages(1..=3);
    let ((), results) = tokio::join!(script, soon(publisher.publish(&messages, DEADLINE)));
    let id = "m-1".to_owned();
    assert_eq!(results[0], Err(PublishError::IdExpired { id }));
    let reason = "n1: not committed in time".to_owned();
    assert_eq!(results[1], Err(PublishError::Unknown(reason)));
    assert_eq!(results[2].as_ref().map(|stored| stored.offset), Ok(Some(1)));
}

#[tokio::test]
async fn at_the_end_of_the_patience_what_may_have_left_is_unknown_and_the_rest_is_not_published() {
    let (node, dead) = (FakeNode::start("n1").await, dead_node("n2"));
    let client = client(&[&node.spec, &dead.spec], options());
    let mut publisher = client.publish_in_order("t").expect("a topic");
    let script = async {
        let mut talk = node.accept().await;
        while let Some(heard) = talk.hear().await {
            assert_eq!(heard, line(1), "nothing goes out past what is unknown");
            talk.say("ERR timeout_waiting_commit").await;
        }
    };
    let call = async {
        let results = soon(publisher.publish(&messages(1..=2), Duration::from_millis(150))).await;
        let reason = || "n1: not committed in time; n2: cannot be reached".to_owned();
        assert_eq!(results[0], Err(PublishError::Unknown(reason())));
        assert_eq!(results[1], Err(PublishError::Unavailable(reason())));
        drop((publisher, client));
    };
    tokio::join!(script, call);
}

/// What was lost: why it is not known. What became of a message that went out together with it had taken that away.
#[tokio::test]
async fn what_is_unknown_says_why_though_others_of_its_company_were_settled() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let client = client(&[&first.spec, &second.spec], options());
    let mut publisher = client.publish_in_order("t").expect("a topic");
    let script = async {
        let mut talk = first.accept().await;
        talk.expect(&line(1)).await;
        talk.say("OK published m-1 1 1").await;
        talk.expect(&line(2)).await;
        talk.expect(&line(3)).await;
        drop((talk, first));
        let mut talk = second.accept().await;
        talk.expect(&line(2)).await;
        talk.say("OK duplicate m-2 2").await;
        while let Some(heard) = talk.hear().await {
            assert_eq!(heard, line(3));
            talk.say("ERR not_leader").await;
        }
    };
    let call = async {
        let results = soon(publisher.publish(&messages(1..=3), Duration::from_millis(150))).await;
        assert!(results[..2].iter().all(Result::is_ok), "{results:?}");
        let Err(PublishError::Unknown(reason)) = &results[2] else {
            panic!("{results:?}")
        };
        assert!(
            reason.starts_with("n1: the node closed the connection, then cannot connect to ")
                && reason.ends_with("; n2: no leader is known"),
            "{reason}"
        );
        drop((publisher, client));
    };
    tokio::join!(script, call);
}

#[tokio::test]
async fn messages_with_headers_go_by_their_bodies_among_the_others() {
    let node = FakeNode::start("n1").await;
    let mut publisher = client(&[&node.spec], options())
        .publish_in_order("t")
        .expect("a topic");
    let with_header = Message {
        headers: vec![("kind".to_owned(), "a b".to_owned())],
        ..messages([2]).remove(0)
    };
    let all = [messages([1]), vec![with_header], messages([3])].concat();
    let script = async {
        let mut talk = node.accept().await;
        talk.expect(&line(1)).await;
        talk.say("OK published m-1 1 1").await;
        talk.expect("PUBLISH t 6 --id m-2 --header kind=a%20b").await;
        talk.expect("text 2").await;
        talk.expect(&line(3)).await;
        talk.say("OK published m-2 2 2\nOK published m-3 3 3").await;
    };
    let ((), results) = tokio::join!(script, soon(publisher.publish(&all, DEADLINE)));
    let offsets: Vec<_> = results
        .into_iter()
        .map(|result| result.expect("published").offset)
        .collect();
    assert_eq!(offsets, [Some(1), Some(2), Some(3)]);
}
