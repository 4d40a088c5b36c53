//! Requests and replies, with nodes that do what the test says.

mod support;

use std::{sync::Mutex, time::Duration};

use support::{DEADLINE, FakeNode, Talk, client, dead_node, options, record, soon};
use tokio::sync::Notify;
use wiber_client::{GroupOptions, RecordLine, ReplyError, RequestError, ServeError};

fn with_headers(topic: &str, offset: u64, headers: &[(&str, &str)]) -> String {
    let headers: Vec<String> = headers
        .iter()
        .map(|(key, value)| format!(r#""{key}":"{value}""#))
        .collect();
    record(topic, offset).replace(
        "\"text\"",
        &format!(r#""headers":{{{}}},"text""#, headers.join(",")),
    )
}

/// Hears a request; gives its inbox and its id.
async fn hear_request(talk: &mut Talk) -> (String, String) {
    let line = talk.hear().await.expect("a request");
    let words: Vec<&str> = line.split(' ').collect();
    let (inbox, id) = (words[6], words[8]);
    let inbox = inbox.strip_prefix("reply-to=").expect(&line);
    let id = id.strip_prefix("correlation-id=").expect(&line);
    assert_eq!(&words[..5], ["PUBLISH", "t", "2", "--id", id]);
    talk.expect("hi").await;
    (inbox.to_owned(), id.to_owned())
}

#[tokio::test]
async fn a_reply_is_told_by_its_correlation_id_from_those_of_others() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut inbox = node.accept().await;
        let line = inbox.hear().await.expect("the inbox");
        let topic = line.strip_prefix("SUBSCRIBE ").expect(&line).to_owned();
        assert!(topic.len() == 9 && topic.starts_with("_inbox."), "{topic}");
        let asked_too_soon = tokio::time::timeout(Duration::from_millis(50), node.accept());
        assert!(asked_too_soon.await.is_err(), "nobody could hear the reply yet");
        inbox.say(&format!("OK subscribed {topic} 5")).await;
        let mut talk = node.accept().await;
        let (reply_to, id) = hear_request(&mut talk).await;
        assert_eq!(reply_to, topic);
        inbox.say(&record(&topic, 5)).await;
        let other = with_headers(&topic, 6, &[("correlation-id", "another's")]);
        inbox.say(&other).await;
        // A reply may come before the request is acknowledged.
        inbox
            .say(&with_headers(&topic, 7, &[("correlation-id", &id)]))
            .await;
        let (_, id) = hear_request(&mut talk).await;
        // The connection is lost between request and reply.
        drop(inbox);
        let mut inbox = node.accept().await;
        inbox.expect(&format!("SUBSCRIBE {topic} --from 8")).await;
        inbox.say(&format!("OK subscribed {topic} 8")).await;
        let reply = with_headers(&topic, 8, &[("correlation-id", &id)]);
        inbox.say(&reply).await;
        hear_request(&mut talk).await;
        talk
    };
    let calls = async {
        for offset in [7, 8] {
            let reply = soon(client.request("t", "hi", DEADLINE)).await.expect("a reply");
            assert_eq!(reply.offset, offset);
        }
        let late = client.request("t", "hi", Duration::from_millis(200));
        assert_eq!(soon(late).await, Err(RequestError::NoReply));
    };
    tokio::join!(script, calls);
}

/// The inbox waited at its old place, and every reply of the new cluster went by.
#[tokio::test]
async fn replies_arrive_in_a_cluster_that_was_made_anew() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut inbox = node.accept().await;
        let line = inbox.hear().await.expect("the inbox");
        let topic = line.strip_prefix("SUBSCRIBE ").expect(&line).to_owned();
        inbox.say(&format!("OK subscribed {topic} 8")).await;
        let mut talk = node.accept().await;
        let (_, id) = hear_request(&mut talk).await;
        drop(inbox);
        let mut inbox = node.accept().await;
        inbox.expect(&format!("SUBSCRIBE {topic} --from 8")).await;
        inbox.say(&format!("OK subscribed {topic} 8")).await;
        let mut reads = node.accept().await;
        reads.expect(&format!("READ {topic} --last 1 --strong")).await;
        // No majority says it yet.
        reads.say("ERR not_leader").await;
        reads.expect(&format!("READ {topic} --last 1 --strong")).await;
        reads.say(&record(&topic, 1)).await;
        reads.say("OK read_end 1 1 strong 2").await;
        inbox.expect_end().await;
        let mut inbox = node.accept().await;
        inbox.expect(&format!("SUBSCRIBE {topic} --start")).await;
        inbox
            .say(&format!("OK subscribed {topic} 1\n{}", record(&topic, 1)))
            .await;
        let reply = with_headers(&topic, 2, &[("correlation-id", &id)]);
        inbox.say(&reply).await;
        (inbox, talk)
    };
    let call = async {
        let reply = soon(client.request("t", "hi", DEADLINE)).await.expect("a reply");
        assert_eq!(reply.offset, 2);
    };
    tokio::join!(script, call);
}

#[tokio::test]
async fn without_an_inbox_nothing_is_asked() {
    let dead = dead_node("n1");
    let client = client(&[&dead.spec], options());
    let asked = client.request("t", "hi", Duration::from_millis(200));
    let Err(RequestError::NoInbox(reason)) = soon(asked).await else {
        panic!("there is no node")
    };
    assert!(reason.contains("cannot connect"), "{reason}");
    let no_request = client.reply(&RecordLine::default(), "hi").await;
    assert_eq!(no_request, Err(ReplyError::NoRequest));
}

#[tokio::test]
async fn dropping_the_client_closes_its_inbox() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut inbox = node.accept().await;
        let line = inbox.hear().await.expect("the inbox");
        let topic = line.strip_prefix("SUBSCRIBE ").expect(&line);
        inbox.say(&format!("OK subscribed {topic} 5")).await;
        let mut talk = node.accept().await;
        hear_request(&mut talk).await;
        inbox.expect_end().await;
    };
    let call = async {
        let asked = client.request("t", "hi", Duration::from_millis(200));
        assert_eq!(soon(asked).await, Err(RequestError::NoReply));
        drop(client);
    };
    tokio::join!(script, call);
}

#[tokio::test]
async fn a_request_is_acknowledged_when_its_reply_is_stored() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut member = node.accept().await;
        member.expect("SUBSCRIBE t --group g").await;
        member.say("OK subscribed t group g").await;
        let headers = [("reply-to", "_inbox.07"), ("correlation-id", "c-1")];
        let request = with_headers("t", 1, &headers);
        let handed_out = |line: String| line.replace("\"text\":", r#""group":"g","delivery":1,"text":"#);
        member.say(&handed_out(request)).await;
        let mut talk = node.accept().await;
        let line = talk.hear().await.expect("a reply");
        let (start, end) = line.split_once(" --id ").expect(&line);
        assert_eq!(start, "PUBLISH _inbox.07 6");
        let (id, end) = end.split_once(' ').expect(&line);
        assert_eq!(end, "--header correlation-id=c-1");
        talk.expect("TEXT 1").await;
        talk.say(&format!("OK published {id} 1 1")).await;
        talk.expect("ACK t g 1").await;
        talk.say("OK acked t g 1").await;
        member.say(&handed_out(record("t", 2))).await;
        talk.expect("ACK t g 2").await;
        talk.say("OK acked t g 2").await;
        member.say(&handed_out(record("t", 3))).await;
        member.expect("NACK t g 3").await;
        member.say("OK nacked t g 3\nENDED t no_group").await;
    };
    let answer = async |request: RecordLine| {
        let is_wanted = request.offset != 3;
        is_wanted.then(|| request.text.to_uppercase())
    };
    let ((), ended) = tokio::join!(script, client.serve("t", "g", GroupOptions::new(), answer));
    let reason = "n1: the group was deleted".to_owned();
    assert_eq!(ended, Err(ServeError::Ended(reason)));
}

/// What was lost: the time of all who ask while one answer takes long.
#[tokio::test]
async fn answers_are_made_side_by_side_and_no_more_than_may_be_held() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let may_end = [const { Notify::const_new() }; 3];
    let begun = Mutex::new(Vec::new());
    let begun_offsets = || begun.lock().expect("no panic").clone();
    let at = |offset: u64| usize::try_from(offset - 1).expect("it is small");
    let script = async {
        let mut member = node.accept().await;
        member.expect("SUBSCRIBE t --group g --max-in-flight 2").await;
        member.say("OK subscribed t group g").await;
        // As after a lost connection, when as many are handed out again.
        for offset in 1..=3 {
            let line = record("t", offset).replace("\"text\":", r#""group":"g","delivery":1,"text":"#);
            member.say(&line).await;
        }
        may_end[at(2)].notify_one();
        let mut talk = node.accept().await;
        talk.expect("ACK t g 2").await;
        assert_eq!(begun_offsets(), [1, 2]);
        talk.say("OK acked t g 2").await;
        for offset in [3, 1] {
            may_end[at(offset)].notify_one();
            talk.expect(&format!("ACK t g {offset}")).await;
            talk.say(&format!("OK acked t g {offset}")).await;
        }
        member.say("ENDED t no_group").await;
    };
    let answer = async |request: RecordLine| {
        begun.lock().expect("no panic").push(request.offset);
        may_end[at(request.offset)].notified().await;
        Some("done")
    };
    let options = GroupOptions::new().max_in_flight(2);
    let ((), ended) = tokio::join!(script, client.serve("t", "g", options, answer));
    assert!(matches!(ended, Err(ServeError::Ended(_))), "{ended:?}");
}
