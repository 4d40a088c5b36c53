//! `SUBSCRIBE --order`: by time of origin, held back for so long at most.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    one,
    support::{PATIENCE, cluster::Cluster, conn::Conn, http, rows::record, wait_for},
};

#[test]
fn a_record_is_held_back_for_so_long_and_no_longer() {
    const HOLD: Duration = Duration::from_millis(400);
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    conn.check("SUBSCRIBE t --order 400", "OK subscribed t 1");
    let before = Instant::now();
    publisher.ask("PUB t --id m-1 x");
    publisher.ask("PUB t --id m-2 x");
    conn.check("PING", "PONG");
    let ids = [record(&conn.line()), record(&conn.line())].map(|record| record["id"].clone());
    assert_eq!(ids, ["m-1", "m-2"]);
    assert!(before.elapsed() >= HOLD, "{:?}", before.elapsed());
    conn.check("UNSUB t", "OK unsubscribed t");
    assert!(conn.ask("SUBSCRIBE t --order 0").starts_with("ERR usage: "));
}

/// The newest record of a topic, as a majority knows it.
#[track_caller]
fn newest(conn: &mut Conn, topic: &str) -> Value {
    conn.send(format!("READ {topic} --last 1\n"));
    let newest = record(&conn.line());
    assert!(conn.line().starts_with("OK read_end "));
    newest
}

/// Publishes under this id again and again, until the topic's newest record is as said.
#[track_caller]
fn publish_until(conn: &mut Conn, topic: &str, id: &str, is_as_said: impl Fn(&Value) -> bool) {
    let mut attempt = 0;
    wait_for("such a record", PATIENCE, || {
        attempt += 1;
        let answer = conn.ask(&format!("PUB {topic} --id {id}-{attempt} x"));
        assert!(answer.starts_with("OK published "), "{answer}");
        is_as_said(&newest(conn, topic)).then_some(())
    });
}

/// One that is so much newer lets go of what is held, though its own time would come long after this test.
#[test]
fn a_much_newer_record_lets_the_older_ones_go() {
    const HOLD_S: f64 = 60.0;
    let mut cluster = Cluster::of(1);
    cluster.start_node_with(0, &["--allow-faults"]);
    cluster.wait_for_leader();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    conn.check("SUBSCRIBE t --order 60000", "OK subscribed t 1");
    publisher.ask("PUB t --id m-1 x");
    publisher.ask("PUB t --id m-2 x");
    conn.check("PING", "PONG");
    let last_s = seconds(&newest(&mut publisher, "t"));
    // The clock is set ahead, and cluster time follows.
    let fault = json!({"skew_ms": 3.0 * HOLD_S * 1_000.0}).to_string();
    let (code, body) = http::post(cluster.port(0) + 100, "/faults/clock", &fault).expect("an answer");
    assert_eq!(code, 200, "{body}");
    publish_until(&mut publisher, "t", "newer", |record| {
        seconds(record) >= last_s + HOLD_S
    });
    let records = [record(&conn.line()), record(&conn.line())];
    assert_eq!(
        records.each_ref().map(|record| record["id"].clone()),
        ["m-1", "m-2"]
    );
    assert!(records.iter().all(|record| record.get("late").is_none()));
}

fn seconds(record: &Value) -> f64 {
    record["corrected_ts"].as_f64().expect("a time")
}

/// A node whose clock is a minute behind, in the moment after its start in which it does not know cluster time yet.
#[test]
fn a_record_that_comes_too_late_is_marked_and_delivered() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let behind = cluster.follower();
    let mut publisher = cluster.conn(leader);
    let (mut of_topic, mut of_pattern) = (cluster.conn(leader), cluster.conn(leader));
    of_topic.check("SUBSCRIBE t.a --order 1", "OK subscribed t.a 1");
    let answer = of_pattern.ask("SUBSCRIBE t.* --order 1");
    assert!(answer.starts_with("OK subscribed t.* after "), "{answer}");
    publisher.ask("PUB t.a --id in-time x");
    for conn in [&mut of_topic, &mut of_pattern] {
        let record = record(&conn.line());
        assert_eq!((&record["id"], record.get("late")), (&"in-time".into(), None));
    }
    // Where that moment has passed when the node is heard, it is started anew.
    let mut sent = 0;
    let late = wait_for("a record of before", PATIENCE, || {
        cluster.kill(behind);
        cluster.start_node_with(behind, &["--clock-skew-ms", "-60000", "--allow-faults"]);
        wait_for("the node takes a message", PATIENCE, || {
            let mut conn = Conn::open(cluster.port(behind)).ok()?;
            let answer = conn.try_ask(&format!("PUB t.a --id late-{sent} x")).ok()?;
            answer.starts_with("OK ").then_some(())
        });
        sent += 1;
        let newest = newest(&mut publisher, "t.a");
        assert_eq!(newest["node"], Cluster::id(behind));
        newest.get("bound").is_none().then_some(newest)
    });
    for conn in [&mut of_topic, &mut of_pattern] {
        for at in 0..sent {
            let shown = record(&conn.line());
            assert_eq!(shown["id"], format!("late-{at}"));
            if shown["id"] == late["id"] {
                assert_eq!(shown["late"], true, "{shown}");
            }
        }
    }
    // What comes then comes in its order, and so does nothing of before.
    publisher.ask("PUB t.a --id last x");
    for conn in [&mut of_topic, &mut of_pattern] {
        let record = record(&conn.line());
        assert_eq!((&record["id"], record.get("late")), (&"last".into(), None));
    }
}

/// Whatever the order in which three nodes' records are committed.
#[test]
fn records_of_several_nodes_come_by_time_of_origin_and_all_of_them() {
    const ROUNDS: usize = 150;
    let cluster = Cluster::start(3);
    let mut conn = cluster.conn(0);
    let answer = conn.ask("SUBSCRIBE t.* --order 1000");
    assert!(answer.starts_with("OK subscribed t.* after "), "{answer}");
    let mut publishers: Vec<_> = (0..3).map(|at| cluster.conn(at)).collect();
    for round in 0..ROUNDS {
        for (at, publisher) in publishers.iter_mut().enumerate() {
            publisher.send(format!("PUB t.{at} --id m-{round}-{at} x\n"));
        }
        for publisher in &mut publishers {
            let answer = publisher.line();
            assert!(answer.starts_with("OK "), "{answer}");
        }
    }
    let mut last = None;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 * ROUNDS {
        let record = record(&conn.line());
        let key = (
            record["corrected_ts"].to_string(),
            record["logical_time"].as_u64(),
            record["node"].to_string(),
        );
        assert!(ids.insert(record["id"].to_string()), "twice: {record}");
        if record.get("late").is_none() {
            assert!(last.as_ref() < Some(&key), "{last:?} before {key:?}");
            last = Some(key);
        } else {
            assert!(last.as_ref() > Some(&key), "{key:?} is not late behind {last:?}");
        }
    }
    conn.check("UNSUB t.*", "OK unsubscribed t.*");
}
