//! What is not acknowledged: given back, too late, or left behind.

use super::*;

#[test]
fn what_is_not_acknowledged_in_time_goes_to_another_member() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    let mut a = member(&cluster, 0, "--ack-timeout 300");
    publish(&mut publisher, 1..=1);
    assert_eq!(next(&mut a), (1, 1));
    let mut b = member(&cluster, 0, "");
    assert_eq!(next(&mut b), (1, 2));
    // Who lost it may still have done it.
    ack(&mut a, 1);
    ack(&mut b, 1);
    await_next_offset(&mut publisher, 2);
    let group = listed(&mut publisher).expect("the group");
    assert_eq!((&group["redelivered"], &group["lag"]), (&1.into(), &0.into()));
}

#[test]
fn what_a_lost_member_held_goes_to_the_others() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    let mut a = member(&cluster, 0, "");
    publish(&mut publisher, 1..=2);
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    ack(&mut a, 1);
    let mut b = member(&cluster, 0, "");
    drop(a);
    assert_eq!(next(&mut b), (2, 2));
    // So does what one gives up without leaving.
    b.check("UNSUB t", "OK unsubscribed t");
    let mut c = member(&cluster, 0, "");
    assert_eq!(next(&mut c), (2, 3));
    b.check("NACK t g 2", "ERR not_delivered 2");
    b.check("PING", "PONG");
}

#[test]
fn what_is_given_back_is_handed_out_at_once() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    let mut a = member(&cluster, 0, "--max-in-flight 1");
    publish(&mut publisher, 1..=2);
    assert_eq!(next(&mut a), (1, 1));
    publisher.check("NACK t g 1", "ERR not_delivered 1");
    a.check("NACK t g 2", "ERR not_delivered 2");
    a.check("NACK t other 1", "ERR not_delivered 1");
    a.check("NACK t g 1", "OK nacked t g 1");
    assert_eq!(next(&mut a), (1, 2));
    ack(&mut a, 1);
    assert_eq!(next(&mut a), (2, 1));
    a.check("NACK t g 1", "ERR not_delivered 1");
}

#[test]
fn what_nobody_acknowledges_becomes_a_dead_letter_and_is_done() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    publisher.send("PUBLISH t 3 --header kind=x\na\nb");
    assert!(id_of(&publisher.line(), "published").is_some());
    let mut a = member(&cluster, 0, "--start --max-deliveries 2");
    assert_eq!(next(&mut a), (1, 1));
    a.check("NACK t g 1", "OK nacked t g 1");
    assert_eq!(next(&mut a), (1, 2));
    a.check("NACK t g 1", "OK nacked t g 1");
    await_next_offset(&mut publisher, 2);
    publisher.send("READ dead.t.g --from 1\n");
    let line = publisher.line();
    let record: Value = serde_json::from_str(line.strip_prefix("RECORD ").expect("a record")).expect("JSON");
    assert_eq!(record["text"], "a\nb");
    let headers = serde_json::json!({
        "kind": "x", "dead-topic": "t", "dead-group": "g", "dead-offset": "1", "dead-deliveries": "2", "dead-reason": "nack",
    });
    assert_eq!(record["headers"], headers);
    assert!(publisher.line().starts_with("OK read_end 1 1 "));
    assert_eq!(listed(&mut publisher).expect("the group")["dead_letters"], 1);
    // What it cannot be is acknowledged by nobody, and the rest goes on.
    publish(&mut publisher, 2..=2);
    assert_eq!(next(&mut a), (2, 1));
}
