//! `SUBSCRIBE` of a pattern: all topics that match, in the order of the log.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    one,
    support::{PATIENCE, cluster::Cluster, conn::Conn, rows::record, wait_for},
};

/// The topic, offset and Lamport time of a record.
fn place(record: &Value) -> (String, u64, u64) {
    let number = |key: &str| record[key].as_u64().expect("a number");
    let topic = record["topic"].as_str().expect("a topic").to_owned();
    (topic, number("offset"), number("logical_time"))
}

fn next(conn: &mut Conn) -> (String, u64, u64) {
    place(&record(&conn.skip_while(|line| line.starts_with("LAG "))))
}

/// The Lamport time after which a pattern begins.
#[track_caller]
fn follow(conn: &mut Conn, pattern: &str, start: &str) -> u64 {
    let answer = conn.ask(&format!("SUBSCRIBE {pattern} {start}"));
    let after = answer.strip_prefix(&format!("OK subscribed {pattern} after "));
    after
        .and_then(|after| after.parse().ok())
        .unwrap_or_else(|| panic!("{answer}"))
}

/// Publishes these topics' records at once.
fn publish(conn: &mut Conn, topics: &[String]) {
    for some in topics.chunks(500) {
        let lines: Vec<String> = some.iter().map(|topic| format!("PUB {topic} x\n")).collect();
        conn.send(lines.concat());
        for _ in some {
            let answer = conn.line();
            assert!(answer.starts_with("OK published "), "{answer}");
        }
    }
}

#[test]
fn a_pattern_brings_what_matches_in_the_order_of_the_log_and_topics_made_later() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    let topics = |round: usize| {
        let names = ["in.a", "in.b", "out.a", "in.a", "in", "in.a.b"].map(str::to_owned);
        let mut names = names.to_vec();
        names.push(format!("in.new-{round}"));
        names
    };
    publish(&mut publisher, &topics(0));
    assert_eq!(follow(&mut conn, "in.*", "--start"), 0);
    for round in 1..=3 {
        publish(&mut publisher, &topics(round));
    }
    let mut places = Vec::new();
    for round in 0..=3 {
        for expected in ["in.a", "in.b", "in.a", &format!("in.new-{round}")] {
            let place = next(&mut conn);
            assert_eq!(place.0, expected, "round {round}");
            places.push(place);
        }
    }
    assert!(places.windows(2).all(|pair| pair[0].2 < pair[1].2), "{places:?}");
    let mut ends = BTreeMap::new();
    for (topic, offset, _) in &places {
        let end = ends.entry(topic).or_insert(0);
        *end += 1;
        assert_eq!(offset, end, "{topic} has no gap");
    }
    // From any of them on it goes on behind it, on another connection.
    for (at, (_, _, logical_time)) in places.iter().enumerate() {
        let mut conn = cluster.conn(0);
        let start = format!("--after {logical_time}");
        assert_eq!(follow(&mut conn, "in.*", &start), *logical_time);
        for expected in &places[at + 1..] {
            assert_eq!(next(&mut conn), *expected);
        }
    }
    // From now on.
    let mut conn = cluster.conn(0);
    follow(&mut conn, ">", "");
    publish(&mut publisher, &["elsewhere".to_owned()]);
    assert_eq!(next(&mut conn).0, "elsewhere");
    conn.check("UNSUB >", "OK unsubscribed >");
    publish(&mut publisher, &["elsewhere".to_owned()]);
    conn.check("PING", "PONG");
    assert!(conn.ask("SUBSCRIBE in.* --from 1").starts_with("ERR usage: "));
}

#[test]
fn a_pattern_begins_at_a_moment() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    let mut member = cluster.conn(0);
    member.check("SUBSCRIBE t.0 --group g --start", "OK subscribed t.0 group g");
    for at in 0..10 {
        publish(&mut publisher, &[format!("t.{}", at % 3), "other".to_owned()]);
        if at % 3 == 0 {
            // Some entries without messages between them.
            let offset = record(&member.line())["offset"].to_string();
            for _ in 0..3 {
                member.check(
                    &format!("ACK t.0 g {offset}"),
                    &format!("OK acked t.0 g {offset}"),
                );
            }
        }
    }
    follow(&mut conn, "t.*", "--start");
    let records: Vec<Value> = (0..10).map(|_| record(&conn.line())).collect();
    for (at, wanted) in records.iter().enumerate() {
        let time = &wanted["corrected_ts"];
        let is_later = |earlier: &Value| earlier["corrected_ts"].as_f64() < time.as_f64();
        if records[..at].iter().all(is_later) {
            let mut conn = cluster.conn(0);
            follow(&mut conn, "t.*", &format!("--since {time}"));
            assert_eq!(next(&mut conn), place(wanted), "since {time}");
        }
    }
    let mut conn = cluster.conn(0);
    follow(&mut conn, "t.*", "--since 99999999999");
    publish(&mut publisher, &["t.new".to_owned()]);
    assert_eq!(next(&mut conn).0, "t.new");
}

/// Far more than what is known of the newest entries, and some parts that are sealed.
#[test]
fn a_rare_topic_in_a_busy_log_is_found_and_lag_is_told() {
    const RARE: u64 = 40;
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    let text = "x".repeat(100_000);
    for round in 0..RARE {
        let lines: Vec<String> = (0..20)
            .map(|at| format!("PUB busy.{} {text}\n", at % 7))
            .collect();
        publisher.send(lines.concat());
        publisher.send(format!("PUB rare.{} x\n", round % 3));
        for _ in 0..=20 {
            let answer = publisher.line();
            assert!(answer.starts_with("OK published "), "{answer}");
        }
    }
    follow(&mut conn, "rare.*", "--start");
    let places: Vec<_> = (0..RARE).map(|_| next(&mut conn)).collect();
    assert!(places.windows(2).all(|pair| pair[0].2 < pair[1].2));
    let (_, _, middle) = places[20];
    let mut again = cluster.conn(0);
    follow(&mut again, "rare.*", &format!("--after {middle}"));
    assert_eq!(next(&mut again), places[21]);
    let many: Vec<String> = (0..6_000).map(|at| format!("many.{}", at % 50)).collect();
    publish(&mut publisher, &many);
    let mut behind = cluster.conn(0);
    follow(&mut behind, "many.*", "--start");
    behind.expect("LAG many.* 6000");
    for _ in 0..6_000 {
        assert!(next(&mut behind).0.starts_with("many."));
    }
}

#[test]
fn a_pattern_that_fell_behind_retention_is_told_where_to_go_on() {
    let mut cluster = Cluster::of(1);
    cluster.configure("retention: { max_bytes: 1MiB }\n");
    cluster.start_node(0);
    cluster.wait_for_leader();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    publish(&mut publisher, &["t.first".to_owned()]);
    follow(&mut conn, "t.*", "--start");
    let text = "x".repeat(1_000_000);
    for at in 0..100 {
        publisher.ask(&format!("PUB t.{} {text}", at % 3));
    }
    let status = wait_for("the oldest are gone", PATIENCE, || {
        let mut asked = cluster.conn(0);
        let answer = asked.ask("SUBSCRIBE t.* --after 1");
        answer.strip_prefix("ERR offset_out_of_range ").map(str::to_owned)
    });
    let ended = conn.skip_while(|line| line.starts_with("RECORD ") || line.starts_with("LAG "));
    assert_eq!(ended, format!("ENDED t.* offset_out_of_range {status}"));
    conn.check("UNSUB t.*", "ERR not_subscribed t.*");
    let (start, end) = status.split_once(' ').expect("two times");
    assert_eq!(
        follow(&mut conn, "t.*", &format!("--after {start}")).to_string(),
        start
    );
    let kept = next(&mut conn);
    assert_eq!(follow(&mut cluster.conn(0), "t.*", "--start").to_string(), start);
    let mut last = kept;
    while last.2.to_string() != end {
        let place = next(&mut conn);
        assert!(place.2 > last.2);
        last = place;
    }
    // Of topics that lost nothing all is there.
    publish(&mut publisher, &["u.new".to_owned()]);
    follow(&mut conn, "u.*", "--after 1");
    assert_eq!(next(&mut conn).0, "u.new");
}
