//! Reading from nodes that do what the test says.

mod support;

use std::time::Duration;

use support::{FakeNode, client, dead_node, options, record, soon};
use tokio::time::Instant;
use wiber_client::{ClientOptions, Consistency, Read, ReadAll, ReadError, ReadFrom};

#[tokio::test]
async fn a_page_is_asked_for_in_the_protocol_s_words() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("READ t --last 2 --strong").await;
        talk.say(&format!(
            "{}\n{}\nOK read_end 7 1 strong 8",
            record("t", 6),
            record("t", 7)
        ))
        .await;
        let mut talk = node.accept().await;
        talk.expect("READ t --from 5 --local").await;
        talk.say("OK read_end 3 2 local 5").await;
    };
    let calls = async {
        let page = soon(client.read("t", ReadFrom::Last, 2, Consistency::Strong))
            .await
            .expect("a page");
        let texts: Vec<_> = page.records.iter().map(|record| record.text.as_str()).collect();
        assert_eq!(texts, ["text 6", "text 7"]);
        assert_eq!((page.high_watermark, page.log_start_offset), (7, 1));
        assert_eq!(page.consistency, Consistency::Strong);
        let page = soon(client.read("t", ReadFrom::Offset(5), u64::MAX, Consistency::Local))
            .await
            .expect("a page");
        assert_eq!(
            (page.records.len(), page.high_watermark, page.log_start_offset),
            (0, 3, 2)
        );
        assert_eq!(page.consistency, Consistency::Local);
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn nodes_are_asked_in_turn_until_one_gives_a_good_page() {
    let nodes = [
        FakeNode::start("n1").await,
        FakeNode::start("n2").await,
        FakeNode::start("n3").await,
    ];
    let dead = dead_node("n0");
    let client = client(
        &[&dead.spec, &nodes[0].spec, &nodes[1].spec, &nodes[2].spec],
        options(),
    );
    let script = async {
        let mut talk = nodes[0].accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say("ERR unavailable no read index in 1 s").await;
        let mut talk = nodes[1].accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say(&format!(
            "{}\n{}\nOK read_end 7 1 strong 8",
            record("t", 5),
            record("t", 7)
        ))
        .await;
        let mut talk = nodes[2].accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say(&format!("{}\nOK read_end 1 1 strong 2", record("t", 1)))
            .await;
    };
    let call = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong));
    let ((), page) = tokio::join!(script, call);
    assert_eq!(page.expect("a page").records.len(), 1);
}

#[tokio::test]
async fn nodes_are_asked_again_while_a_leader_is_elected() {
    let node = FakeNode::start("n1").await;
    let dead = dead_node("n2");
    let client = client(&[&node.spec, &dead.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say(&record("t", 1)).await;
        drop(talk);
        let mut talk = node.accept().await;
        for _ in 0..3 {
            talk.expect("READ t --last 9 --strong").await;
            talk.say("ERR not_leader").await;
        }
        talk.expect("READ t --last 9 --strong").await;
        say_page(&mut talk, 1..3, 2).await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say("ERR usage: something else").await;
    };
    let calls = async {
        let page = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong)).await;
        assert_eq!(page.expect("a page").records.len(), 2);
        let result = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong)).await;
        assert_eq!(
            result,
            Err(ReadError::Rejected("ERR usage: something else".to_owned()))
        );
        let result = soon(client.read("no topic", ReadFrom::Last, 9, Consistency::Strong)).await;
        assert!(matches!(result, Err(ReadError::Rejected(_))), "{result:?}");
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn a_read_that_reaches_no_node_fails_at_once() {
    let (a, b) = (dead_node("n1"), dead_node("n2"));
    let forever = ClientOptions {
        read_timeout: Duration::from_hours(1),
        ..options()
    };
    let client = client(&[&a.spec, &b.spec], forever);
    let result = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong)).await;
    assert!(matches!(result, Err(ReadError::Unavailable(_))), "{result:?}");
}

/// The dead nodes were asked last, and are not what is wrong.
#[tokio::test]
async fn without_a_majority_a_read_fails_for_what_the_live_node_says() {
    let (node, a, b) = (FakeNode::start("n2").await, dead_node("n1"), dead_node("n3"));
    let specs = [&a.spec, &node.spec, &b.spec];
    let quick = ClientOptions {
        read_timeout: Duration::from_secs(1),
        ..options()
    };
    let (quick, client) = (client(&specs, quick), client(&specs, options()));
    let script = async {
        let mut talk = node.accept().await;
        tokio::spawn(async move {
            while talk.hear().await.is_some() {
                talk.say("ERR unavailable no majority answered in time").await;
            }
        });
        let mut talk = node.accept().await;
        talk.expect("TOPICS").await;
        talk.say("ERR unavailable this node has not loaded its log yet")
            .await;
        talk.expect("GROUPS").await;
        talk.say("ERR unavailable this node has not loaded its log yet")
            .await;
    };
    let calls = async {
        let read = soon(quick.read("t", ReadFrom::Last, 9, Consistency::Strong)).await;
        let failed = |why: &str| ReadError::Unavailable(format!("n2: {why}; n1, n3: cannot be reached"));
        assert_eq!(read, Err(failed("no majority answered in time")));
        let why = "this node has not loaded its log yet";
        assert_eq!(soon(client.topics(None)).await, Err(failed(why)));
        assert_eq!(soon(client.groups(None)).await, Err(failed(why)));
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn silent_nodes_do_not_make_a_read_longer_than_its_time() {
    let nodes = [FakeNode::start("n1").await, FakeNode::start("n2").await];
    let options = ClientOptions {
        read_timeout: Duration::from_millis(300),
        ..options()
    };
    let client = client(&[&nodes[0].spec, &nodes[1].spec], options);
    let script = async {
        let (mut first, mut second) = (nodes[0].accept().await, nodes[1].accept().await);
        first.expect("READ t --last 9 --strong").await;
        second.expect("READ t --last 9 --strong").await;
        (first, second)
    };
    let call = async {
        let started = Instant::now();
        let result = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong)).await;
        (result, started.elapsed())
    };
    let (_, (result, took)) = tokio::join!(script, call);
    assert_eq!(
        result,
        Err(ReadError::Unavailable("n1, n2: no answer in time".to_owned()))
    );
    assert!(
        took >= Duration::from_millis(300),
        "each node had its share: {took:?}"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Without a majority a node answers one strong read after the other, each after a wait.
#[tokio::test]
async fn a_local_read_does_not_stand_behind_strong_ones_that_wait() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let mut strong = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let client = client.clone();
        strong.spawn(async move { client.read("t", ReadFrom::Last, 9, Consistency::Strong).await });
    }
    {
        let mut waiting = node.accept().await;
        waiting.expect("READ t --last 9 --strong").await;
        let local = client.read("t", ReadFrom::Last, 9, Consistency::Local);
        let answers = async {
            let mut talk = node.accept().await;
            talk.expect("READ t --last 9 --local").await;
            talk.say(&format!("{}\nOK read_end 1 1 local 2", record("t", 1)))
                .await;
        };
        let (page, ()) = tokio::join!(soon(local), answers);
        assert_eq!(page.expect("a page").records.len(), 1);
        for _ in 0..6 {
            waiting.say("ERR unavailable no majority answered in time").await;
        }
    }
    // They would ask it again.
    drop(node);
    let pages = soon(strong.join_all()).await;
    assert!(pages.iter().all(Result::is_err), "{pages:?}");
}

/// Says that the topic ends at `end`, with these records.
async fn say_page(talk: &mut support::Talk, offsets: std::ops::Range<u64>, end: u64) {
    let next = offsets.end;
    for offset in offsets {
        talk.say(&record("t", offset)).await;
    }
    talk.say(&format!("OK read_end {end} 1 strong {next}")).await;
}

async fn rest(mut records: ReadAll) -> Result<Vec<u64>, ReadError> {
    let mut offsets = Vec::new();
    while let Some(record) = soon(records.next()).await? {
        offsets.push(record.offset);
    }
    Ok(offsets)
}

#[tokio::test]
async fn reading_all_follows_the_cursor_to_what_was_the_end() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("READ t --since 5.000000 --limit 1 --bytes 200 --strong")
            .await;
        say_page(&mut talk, 3..4, 7).await;
        talk.expect("READ t --from 3 --limit 5 --bytes 200 --strong")
            .await;
        say_page(&mut talk, 3..5, 7).await;
        talk.expect("READ t --from 5 --limit 3 --bytes 200 --strong")
            .await;
        // The topic has grown, and the reader does not run after it.
        say_page(&mut talk, 5..8, 9).await;
        talk.expect("READ t --last 1 --strong").await;
        say_page(&mut talk, 9..10, 9).await;
        talk.expect("READ t --from 6 --limit 4 --strong").await;
        talk.say("ERR offset_out_of_range 8 9").await;
        talk.expect("READ t --from 8 --limit 4 --strong").await;
        say_page(&mut talk, 8..10, 9).await;
    };
    let calls = async {
        let read = Read::new("t", ReadFrom::Since(5_000_000)).max_bytes(200);
        let look = rest(client.read_all(read)).await;
        assert_eq!(look, Ok(vec![3, 4, 5, 6, 7]));
        let read = Read::new("t", ReadFrom::Last).limit(4);
        assert_eq!(rest(client.read_all(read)).await, Ok(vec![8, 9]));
    };
    tokio::join!(script, calls);
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_the_leader_is_asked_for_groups() {
    let nodes = [FakeNode::start("n1").await, FakeNode::start("n2").await];
    let client = client(&[&nodes[0].spec, &nodes[1].spec], options());
    let topic = |name: &str| {
        format!(
            r#"TOPIC {{"topic":"{name}","high_watermark":3,"log_start_offset":1,"bytes":9,"records_per_s":0.5,"bytes_per_s":1.5}}"#
        )
    };
    let group = |members: &str| {
        format!(
            r#"GROUP {{"topic":"t","group":"g","next_offset":2,"outstanding":1,"lag":3,"redelivered":0,"dead_letters":0,"ack_timeout_ms":30000,"max_deliveries":5,"members":{members}}}"#
        )
    };
    let script = async {
        let mut talk = nodes[0].accept().await;
        talk.expect("TOPICS a.*").await;
        for number in 1..=1000 {
            talk.say(&topic(&format!("a.{number:04}"))).await;
        }
        talk.say("OK topics_end 1000").await;
        talk.expect("TOPICS a.* --after a.1000").await;
        talk.say(&format!("{}\nOK topics_end 1", topic("a.1001"))).await;
        talk.expect("GROUPS").await;
        talk.say(&format!("{}\nOK groups_end 1", group("null"))).await;
        let mut second = nodes[1].accept().await;
        second.expect("GROUPS").await;
        second.say(&format!("{}\nOK groups_end 1", group("2"))).await;
    };
    let calls = async {
        let topics = soon(client.topics(Some("a.*"))).await.expect("a list");
        assert_eq!((topics.len(), topics[1000].topic.as_str()), (1001, "a.1001"));
        let groups = soon(client.groups(None)).await.expect("a list");
        assert_eq!((groups.len(), groups[0].members), (1, Some(2)));
    };
    tokio::join!(script, calls);
}
