//! Consumer groups on real nodes: who gets what, until it is acknowledged, whatever ends meanwhile.

use std::io;

use serde_json::Value;

use crate::{
    one,
    support::{PATIENCE, cluster::Cluster, conn::Conn, http, rows::id_of, wait_for},
};

/// A record as it was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    offset: u64,
    delivery: u64,
    text: String,
}

#[track_caller]
fn got(line: &str) -> Got {
    let json = line
        .strip_prefix("RECORD ")
        .unwrap_or_else(|| panic!("no record: `{line}`"));
    let record: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!((&record["topic"], &record["group"]), (&"t".into(), &"g".into()));
    Got {
        offset: record["offset"].as_u64().expect("an offset"),
        delivery: record["delivery"].as_u64().expect("a delivery"),
        text: record["text"].as_str().expect("a text").to_owned(),
    }
}

/// Offset and delivery of the next record.
#[track_caller]
fn next(conn: &mut Conn) -> (u64, u64) {
    let got = got(&conn.line());
    (got.offset, got.delivery)
}

#[track_caller]
fn publish(conn: &mut Conn, texts: std::ops::RangeInclusive<u64>) {
    for text in texts {
        let answer = conn.ask(&format!("PUB t {text}"));
        assert!(
            id_of(&answer, "published").is_some() || answer.starts_with("OK REDIRECTED"),
            "{answer}"
        );
    }
}

/// A connection that is a member of group `g` of topic `t`.
#[track_caller]
fn member(cluster: &Cluster, at: usize, options: &str) -> Conn {
    let mut conn = cluster.conn(at);
    conn.check(
        &format!("SUBSCRIBE t --group g {options}"),
        "OK subscribed t group g",
    );
    conn
}

#[track_caller]
fn ack(conn: &mut Conn, offset: u64) {
    conn.check(&format!("ACK t g {offset}"), &format!("OK acked t g {offset}"));
}

/// What `GROUPS` says of the group.
#[track_caller]
fn listed(conn: &mut Conn) -> Option<Value> {
    conn.send("GROUPS t\n");
    let mut lines = Vec::new();
    loop {
        let line = conn.line();
        if let Some(count) = line.strip_prefix("OK groups_end ") {
            assert_eq!(count, lines.len().to_string());
            return lines.pop();
        }
        let json = line.strip_prefix("GROUP ").expect("a group");
        lines.push(serde_json::from_str(json).expect("JSON"));
    }
}

/// Waits until everything up to here is acknowledged.
#[track_caller]
fn await_next_offset(conn: &mut Conn, next_offset: u64) {
    wait_for("the group is there", PATIENCE, || {
        (listed(conn)?["next_offset"] == next_offset).then_some(())
    });
}

#[test]
fn members_share_the_records_and_what_is_acknowledged_is_done() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    publish(&mut publisher, 1..=3);
    let (mut a, mut b) = (member(&cluster, 0, "--start"), member(&cluster, 0, ""));
    publish(&mut publisher, 4..=20);
    // Whoever has it acknowledges it; one of them on another connection.
    let mut offsets = Vec::new();
    for _ in 0..3 {
        let (offset, delivery) = next(&mut a);
        assert_eq!(delivery, 1);
        ack(&mut publisher, offset);
        offsets.push(offset);
    }
    a.send("UNSUB t\n");
    loop {
        let line = a.line();
        if line == "OK unsubscribed t" {
            break;
        }
        got(&line);
    }
    while offsets.len() < 20 {
        let (offset, _) = next(&mut b);
        assert!(!offsets.contains(&offset), "{offset} was acknowledged");
        offsets.push(offset);
        b.send(format!("ACK t g {offset}\n"));
        // The answer may stand behind more records.
        let mut line = b.line();
        while line.starts_with("RECORD ") {
            let offset = got(&line).offset;
            publisher.ask(&format!("ACK t g {offset}"));
            if !offsets.contains(&offset) {
                offsets.push(offset);
            }
            line = b.line();
        }
        assert_eq!(line, format!("OK acked t g {offset}"));
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=20).collect::<Vec<_>>());
    await_next_offset(&mut publisher, 21);
}

#[test]
fn a_new_group_begins_with_what_is_published_after_it() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    publish(&mut publisher, 1..=3);
    let mut conn = member(&cluster, 0, "");
    publish(&mut publisher, 4..=4);
    assert_eq!(next(&mut conn), (4, 1));
    // Later commands say nothing about where it begins.
    let mut other = member(&cluster, 0, "--from 1");
    publish(&mut publisher, 5..=6);
    let mut offsets = vec![next(&mut other).0, next(&mut conn).0];
    offsets.sort_unstable();
    assert_eq!(offsets, [5, 6]);
}

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

#[test]
fn what_was_never_handed_out_cannot_be_acknowledged() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=3);
    conn.check("ACK t g 1", "ERR no_group t g");
    let mut a = member(&cluster, 0, "--start --max-in-flight 2");
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    conn.check("ACK t g 1 --through 3", "ERR not_delivered 3");
    conn.check("ACK t g 1 --through 2", "OK acked t g 2");
    conn.check("ACK t g 1", "OK acked t g 1");
    assert_eq!(next(&mut a), (3, 1));
}

#[test]
fn a_deleted_group_ends_for_its_members_and_a_moved_one_begins_again() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=3);
    let mut a = member(&cluster, 0, "--start");
    assert_eq!(
        (next(&mut a), next(&mut a), next(&mut a)),
        ((1, 1), (2, 1), (3, 1))
    );
    ack(&mut conn, 2);
    conn.check("GROUP t g --seek 2", "OK group_moved t g 2");
    assert_eq!((next(&mut a), next(&mut a)), ((2, 1), (3, 1)));
    conn.check("GROUP t g --delete", "OK group_deleted t g");
    a.expect("ENDED t no_group");
    conn.check("GROUP t g --delete", "ERR no_group t g");
    conn.check("GROUP t g --seek 1", "ERR no_group t g");
    assert_eq!(listed(&mut conn), None);
    // The connection goes on, and so may the group, as a new one.
    a.check("SUBSCRIBE t --group g --from 3", "OK subscribed t group g");
    assert_eq!(next(&mut a), (3, 1));
}

#[test]
fn a_member_that_does_not_read_holds_up_nobody() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    let _lazy = member(
        &cluster,
        0,
        "--max-in-flight 4 --ack-timeout 500 --max-deliveries 1000",
    );
    let mut eager = member(&cluster, 0, "");
    let text = "x".repeat(100_000);
    for _ in 0..100 {
        publisher.ask(&format!("PUB t {text}"));
    }
    let mut done = std::collections::BTreeSet::new();
    while done.len() < 100 {
        let (offset, _) = next(&mut eager);
        ack(&mut publisher, offset);
        done.insert(offset);
    }
}

#[test]
fn the_list_and_the_settings_of_groups() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=5);
    let mut a = member(&cluster, 0, "--start --max-in-flight 2 --ack-timeout 60000");
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    let _b = member(&cluster, 0, "--max-deliveries 9 --max-in-flight 1");
    ack(&mut conn, 2);
    let expected = serde_json::json!({
        "topic": "t", "group": "g", "next_offset": 1, "lag": 4, "redelivered": 0, "dead_letters": 0,
        "ack_timeout_ms": 60_000, "max_deliveries": 9, "members": 2,
    });
    wait_for("the list says so", PATIENCE, || {
        let mut group = listed(&mut conn)?;
        // Both are handed more as they have room.
        let outstanding = group.as_object_mut()?.remove("outstanding")?;
        (group == expected && outstanding.as_u64()? >= 3).then_some(())
    });
    conn.send("GROUPS other.>\n");
    conn.expect("OK groups_end 0");
}

#[test]
fn status_and_metrics_show_the_groups_that_lag_most_first() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=5);
    for group in ["small", "large", "none"] {
        let from = match group {
            "small" => "--from 5",
            "large" => "--from 2",
            _ => "",
        };
        let join = format!("SUBSCRIBE t --group {group} {from}");
        let mut member = cluster.conn(0);
        member.check(&join, &format!("OK subscribed t group {group}"));
    }
    let status = cluster.status(0).expect("a status");
    let groups = status["groups"].as_array().expect("groups");
    let pairs: Vec<_> = groups
        .iter()
        .map(|group| (group["group"].as_str(), group["lag"].as_u64()))
        .collect();
    let expected = [("large", 4), ("small", 1), ("none", 0)];
    assert_eq!(pairs, expected.map(|(group, lag)| (Some(group), Some(lag))));
    assert_eq!(status["group_count"], 3);
    let (200, _, metrics) = http::get(cluster.port(0) + 100, "/metrics").expect("an answer") else {
        panic!("no metrics");
    };
    let sample = "wiber_group_lag{topic=\"t\",group=\"large\"} 4\n";
    assert!(metrics.contains(sample), "{metrics}");
}

#[test]
fn a_follower_sends_members_to_the_leader_and_takes_acknowledgements() {
    let cluster = Cluster::start(3);
    let (leader, follower) = (cluster.wait_for_leader(), cluster.follower());
    let redirect = format!("REDIRECT 127.0.0.1 {}", cluster.port(leader));
    let mut conn = cluster.conn(follower);
    conn.check("SUBSCRIBE t --group g", &redirect);
    let mut a = member(&cluster, leader, "");
    publish(&mut conn, 1..=2);
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    ack(&mut conn, 2);
    ack(&mut conn, 1);
    await_next_offset(&mut conn, 3);
    assert_eq!(listed(&mut conn).expect("the group")["members"], Value::Null);
    conn.check("NACK t g 1", "ERR not_delivered 1");
}

/// Joins where the leader is, which may change meanwhile.
#[track_caller]
fn member_anywhere(cluster: &Cluster) -> Conn {
    wait_for("a leader lets a member in", PATIENCE, || {
        let at = cluster.leader()?;
        let mut conn = cluster.conn(at);
        let answer = conn.try_ask("SUBSCRIBE t --group g").ok()?;
        (answer == "OK subscribed t group g").then_some(conn)
    })
}

#[test]
fn a_group_goes_on_under_the_next_leader_and_after_all_were_killed() {
    let mut cluster = Cluster::start(3);
    let first = cluster.wait_for_leader();
    let mut conn = cluster.conn(cluster.follower());
    let mut a = member(&cluster, first, "--ack-timeout 60000");
    publish(&mut conn, 1..=4);
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    assert_eq!((next(&mut a), next(&mut a)), ((3, 1), (4, 1)));
    ack(&mut conn, 1);
    ack(&mut conn, 3);
    cluster.kill(first);
    assert!(matches!(a.try_line(), Err(error) if error.kind() != io::ErrorKind::WouldBlock));
    let mut b = member_anywhere(&cluster);
    assert_eq!((next(&mut b), next(&mut b)), ((2, 2), (4, 2)));
    ack(&mut b, 2);

    cluster.kill_all();
    for at in 0..3 {
        cluster.start_node(at);
    }
    cluster.wait_for_leader();
    let mut c = member_anywhere(&cluster);
    assert_eq!(next(&mut c), (4, 3), "acknowledgements and counts are kept");
    ack(&mut c, 4);
    let group = listed(&mut c).expect("the group");
    assert_eq!(
        (
            &group["next_offset"],
            &group["ack_timeout_ms"],
            &group["redelivered"]
        ),
        (&5.into(), &60_000.into(), &3.into())
    );
}
