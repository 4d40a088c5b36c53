//! Messages of any bytes, with headers and expectations, against nodes that do what the test says.

mod support;

use support::{DEADLINE, FakeNode, client, options, soon};
use wiber_client::{Publish, PublishError};

fn message() -> Publish {
    Publish::new("t", "hi").id("m-1").deadline(DEADLINE)
}

#[tokio::test]
async fn a_body_goes_behind_its_line_and_every_refusal_is_told_apart() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let id = || "m-1".to_owned();
    let conflict = PublishError::IdConflict { id: id() };
    let expired = PublishError::IdExpired { id: id() };
    let answers = [
        ("ERR offset_mismatch 9", PublishError::OffsetMismatch { end: 9 }),
        ("ERR too_large 1", PublishError::TooLarge { max_bytes: 1 }),
        ("ERR too_many_topics 2", PublishError::TooManyTopics { max: 2 }),
        ("ERR id_conflict m-1", conflict),
        ("ERR id_expired m-1", expired),
    ];
    let script = async {
        let mut talk = node.accept().await;
        let lines = answers.iter().map(|(line, _)| *line);
        for answer in lines.chain(["OK duplicate m-1 7"]) {
            talk.expect("PUBLISH t 2 --id m-1 --header a=%25 --expect 7")
                .await;
            talk.expect("hi").await;
            talk.say(answer).await;
        }
    };
    let calls = async {
        let message = message().header("a", "%").expect(7);
        for (_, error) in &answers {
            assert_eq!(soon(client.send(&message)).await.as_ref(), Err(error));
        }
        let stored = soon(client.send(&message)).await.expect("published");
        assert_eq!((stored.offset, stored.duplicate), (Some(7), true));
    };
    tokio::join!(script, calls);
}

/// An attempt that is on its way is stored when the topic reaches the expected offset after all.
#[tokio::test]
async fn a_mismatch_behind_an_unknown_attempt_is_final_only_if_the_topic_is_past_it() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let script = async {
        let mut talk = node.accept().await;
        for answers in [
            &["ERR timeout_waiting_commit", "ERR offset_mismatch 9"][..],
            &[
                "ERR timeout_waiting_commit",
                "ERR offset_mismatch 6",
                "OK duplicate m-1 8",
            ],
        ] {
            for answer in answers {
                talk.expect("PUBLISH t 2 --id m-1 --expect 7").await;
                talk.expect("hi").await;
                talk.say(answer).await;
            }
        }
    };
    let calls = async {
        let message = message().expect(7);
        let mismatch = PublishError::OffsetMismatch { end: 9 };
        assert_eq!(soon(client.send(&message)).await, Err(mismatch));
        assert_eq!(
            soon(client.send(&message)).await.expect("published").offset,
            Some(8)
        );
    };
    tokio::join!(script, calls);
}
