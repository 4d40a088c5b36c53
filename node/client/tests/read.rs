//! Reading from nodes that do what the test says.

mod support;

use std::time::Duration;

use support::{FakeNode, client, dead_node, options, record, soon};
use tokio::time::Instant;
use wiber_client::{ClientOptions, Consistency, ReadError, ReadFrom};

#[tokio::test]
async fn a_page_is_asked_for_in_the_protocol_s_words() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("READ t --last 2 --strong").await;
        talk.say(&format!(
            "{}\n{}\nOK read_end 7 1 strong",
            record("t", 6),
            record("t", 7)
        ))
        .await;
        let mut talk = node.accept().await;
        talk.expect("READ t --from 5 --limit 10000 --local").await;
        talk.say("OK read_end 3 2 local").await;
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
            "{}\n{}\nOK read_end 7 1 strong",
            record("t", 5),
            record("t", 7)
        ))
        .await;
        let mut talk = nodes[2].accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say(&format!("{}\nOK read_end 1 1 strong", record("t", 1)))
            .await;
    };
    let call = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong));
    let ((), page) = tokio::join!(script, call);
    assert_eq!(page.expect("a page").records.len(), 1);
}

#[tokio::test]
async fn without_a_node_that_answers_the_read_is_unavailable() {
    let node = FakeNode::start("n1").await;
    let dead = dead_node("n2");
    let client = client(&[&node.spec, &dead.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say(&record("t", 1)).await;
        drop(talk);
        let mut talk = node.accept().await;
        talk.expect("READ t --last 9 --strong").await;
        talk.say("ERR usage: something else").await;
    };
    let calls = async {
        let result = soon(client.read("t", ReadFrom::Last, 9, Consistency::Strong)).await;
        assert!(matches!(result, Err(ReadError::Unavailable(_))), "{result:?}");
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
        Err(ReadError::Unavailable("n2: no answer in time".to_owned()))
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
            talk.say(&format!("{}\nOK read_end 1 1 local", record("t", 1)))
                .await;
        };
        let (page, ()) = tokio::join!(soon(local), answers);
        assert_eq!(page.expect("a page").records.len(), 1);
        for _ in 0..6 {
            waiting.say("ERR unavailable no majority answered in time").await;
        }
    }
    let pages = soon(strong.join_all()).await;
    assert!(pages.iter().all(Result::is_err), "{pages:?}");
}
