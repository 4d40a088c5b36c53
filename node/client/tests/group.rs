//! Members of groups, with nodes that do what the test says.

mod support;

use std::time::Duration;

use support::{FakeNode, client, options, record, soon};
use wiber_client::{AckError, GroupOptions, Member, MemberEvent, SubscribeStart};

fn handed_out(offset: u64, delivery: u32) -> String {
    let group = format!(r#""group":"g","delivery":{delivery},"text""#);
    record("t", offset).replace("\"text\"", &group)
}

async fn expect_joined(member: &mut Member, node: &str) {
    let node = node.to_owned();
    assert_eq!(soon(member.next()).await, Some(MemberEvent::Joined { node }));
}

async fn expect_disconnected(member: &mut Member, words: &str) {
    match soon(member.next()).await {
        Some(MemberEvent::Disconnected { reason }) => assert!(reason.contains(words), "{reason}"),
        event => panic!("{event:?}"),
    }
}

/// What was lost: who gives back what it held would have waited for ever, with nobody there to take it.
#[tokio::test]
async fn who_gives_back_to_a_member_that_had_all_it_wanted_does_not_wait() {
    const MORE_THAN_WAIT: u64 = 200;
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let mut member = client
        .join("t", "g", GroupOptions::new().limit(1))
        .expect("a group");
    let mut talk = node.accept().await;
    talk.expect("SUBSCRIBE t --group g --limit 1").await;
    talk.say("OK subscribed t group g").await;
    talk.say(&handed_out(1, 1)).await;
    soon(member.next_record()).await.expect("a record");
    drop(talk);
    expect_disconnected(&mut member, "n1: ").await;
    let handle = member.handle();
    for offset in 1..=MORE_THAN_WAIT {
        soon(handle.nack_offset(offset)).await;
        // While it waits to connect again it takes them; that must be over for most of them.
        tokio::time::sleep(options().backoff_max / 20).await;
    }
}

#[tokio::test]
async fn a_member_goes_where_the_leader_is_and_joins_again_when_it_is_lost() {
    let nodes = [
        FakeNode::start("n1").await,
        FakeNode::start("n2").await,
        FakeNode::start("n3").await,
    ];
    let client = client(&[&nodes[0].spec, &nodes[1].spec, &nodes[2].spec], options());
    let group = GroupOptions::new()
        .start(SubscribeStart::Beginning)
        .ack_timeout(Duration::from_secs(1))
        .max_deliveries(3)
        .max_in_flight(2);
    let join = "SUBSCRIBE t --start --group g --ack-timeout 1000 --max-deliveries 3 --max-in-flight 2";
    let mut member = client.join("t", "g", group).expect("a group");
    let script = async {
        let mut talk = nodes[0].accept().await;
        talk.expect(join).await;
        talk.say(&format!("REDIRECT 127.0.0.1 {}", nodes[2].spec.port))
            .await;
        let mut talk = nodes[2].accept().await;
        talk.expect(join).await;
        talk.say("OK subscribed t group g").await;
        talk.say(&handed_out(1, 1)).await;
        talk.say("SKIPPED t g 2 5\nENDED t not_leader").await;
        talk.expect_end().await;
        let mut talk = nodes[0].accept().await;
        talk.expect(join).await;
        talk.say("OK subscribed t group g").await;
        talk.say(&handed_out(1, 2)).await;
        talk.expect("NACK t g 1").await;
        talk.say("OK nacked t g 1").await;
        talk.say(&handed_out(1, 3)).await;
        talk.expect("NACK t g 1").await;
        talk.say("ERR not_delivered 1\nENDED t no_group").await;
    };
    let events = async {
        expect_joined(&mut member, "n3").await;
        let first = soon(member.next_record()).await.expect("a record");
        assert_eq!((first.offset, first.delivery), (1, Some(1)));
        assert_eq!(
            soon(member.next()).await,
            Some(MemberEvent::Skipped { first: 2, last: 5 })
        );
        expect_disconnected(&mut member, "n3: answered `ENDED t not_leader`").await;
        expect_joined(&mut member, "n1").await;
        for delivery in [2, 3] {
            let record = soon(member.next_record()).await.expect("a record");
            assert_eq!(record.delivery, Some(delivery));
            member.nack(&record).await;
        }
        let reason = "n1: the group was deleted".to_owned();
        assert_eq!(soon(member.next()).await, Some(MemberEvent::Ended { reason }));
        assert_eq!(soon(member.next()).await, None);
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn a_new_group_whose_beginning_was_dropped_begins_with_what_is_kept() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let group = GroupOptions::new().start(SubscribeStart::From(3));
    let mut member = client.join("t", "g", group).expect("a group");
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE t --from 3 --group g").await;
        talk.say("ERR offset_out_of_range 8 20").await;
        talk.expect("SUBSCRIBE t --from 8 --group g").await;
        // Still more was dropped meanwhile.
        talk.say("ERR offset_out_of_range 9 20").await;
        talk.expect("SUBSCRIBE t --from 9 --group g").await;
        talk.say("OK subscribed t group g").await;
        talk.say(&handed_out(9, 1)).await;
        talk
    };
    let events = async {
        for (first, last) in [(3, 7), (8, 8)] {
            let skipped = MemberEvent::Skipped { first, last };
            assert_eq!(soon(member.next()).await, Some(skipped));
        }
        expect_joined(&mut member, "n1").await;
        assert_eq!(
            soon(member.next_record()).await.map(|record| record.offset),
            Some(9)
        );
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn records_can_be_given_back_by_who_takes_no_events_meanwhile() {
    let node = FakeNode::start("n1").await;
    let client = client(&[&node.spec], options());
    let group = GroupOptions::new().max_in_flight(1);
    let mut member = client.join("t", "g", group).expect("a group");
    let script = async {
        let mut talk = node.accept().await;
        talk.expect("SUBSCRIBE t --group g --max-in-flight 1").await;
        talk.say("OK subscribed t group g").await;
        for delivery in 1..=200 {
            talk.say(&handed_out(1, delivery)).await;
        }
        for _ in 0..200 {
            talk.expect("NACK t g 1").await;
        }
    };
    let events = async {
        let record = soon(member.next_record()).await.expect("a record");
        for _ in 0..200 {
            soon(member.nack(&record)).await;
        }
    };
    tokio::join!(script, events);
}

#[tokio::test]
async fn an_acknowledgement_is_said_to_any_node_until_one_took_it() {
    let nodes = [FakeNode::start("n1").await, FakeNode::start("n2").await];
    let client = client(&[&nodes[0].spec, &nodes[1].spec], options());
    let script = async {
        let mut first = nodes[0].accept().await;
        first.expect("ACK t g 3 --through 5").await;
        first.say("ERR timeout_waiting_commit").await;
        let mut second = nodes[1].accept().await;
        second.expect("ACK t g 3 --through 5").await;
        second.say("OK acked t g 5").await;
        for answer in ["ERR not_delivered 9", "ERR no_group t g"] {
            second.expect("ACK t g 9").await;
            second.say(answer).await;
        }
        second.expect("GROUP t g --seek 7").await;
        second.say("OK group_moved t g 7").await;
        second.expect("GROUP t g --delete").await;
        second.say("OK group_deleted t g").await;
    };
    let ack = |first, last| soon(client.ack("t", "g", first..=last, support::DEADLINE));
    let calls = async {
        assert_eq!(ack(3, 5).await, Ok(()));
        assert_eq!(ack(9, 9).await, Err(AckError::NotDelivered { offset: 9 }));
        assert_eq!(ack(9, 9).await, Err(AckError::NoSuchGroup));
        let moved = client.seek_group("t", "g", 7, support::DEADLINE);
        assert_eq!(soon(moved).await, Ok(()));
        let deleted = client.delete_group("t", "g", support::DEADLINE);
        assert_eq!(soon(deleted).await, Ok(()));
    };
    tokio::join!(script, calls);
}

/// A seek that took effect and is repeated hands out again what was done since.
#[tokio::test]
async fn a_seek_or_a_deletion_that_may_have_been_done_is_not_repeated() {
    let nodes = [FakeNode::start("n1").await, FakeNode::start("n2").await];
    let client = client(&[&nodes[0].spec, &nodes[1].spec], options());
    let script = async {
        let mut first = nodes[0].accept().await;
        first.expect("GROUP t g --seek 7").await;
        // That node did nothing, so another one is asked.
        first.say("ERR not_leader").await;
        let mut second = nodes[1].accept().await;
        second.expect("GROUP t g --seek 7").await;
        second.say("ERR timeout_waiting_commit").await;
        first.expect("GROUP t g --delete").await;
        first.say("ERR timeout_waiting_commit").await;
        first.expect("ACK t g 3").await;
        first.say("OK acked t g 3").await;
        second
    };
    let calls = async {
        let moved = soon(client.seek_group("t", "g", 7, support::DEADLINE)).await;
        let reason = "n2: not committed in time; n1: no leader is known".to_owned();
        assert_eq!(moved, Err(AckError::Unknown(reason)));
        let deleted = soon(client.delete_group("t", "g", support::DEADLINE)).await;
        let reason = "n1: not committed in time".to_owned();
        assert_eq!(deleted, Err(AckError::Unknown(reason)));
        assert_eq!(soon(client.ack("t", "g", 3..=3, support::DEADLINE)).await, Ok(()));
    };
    tokio::join!(script, calls);
}
