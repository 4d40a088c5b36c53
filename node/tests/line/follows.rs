//! `SUBSCRIBE` of one topic and `UNSUB`: where it begins, what it says beside records, and how it ends.

use std::time::Duration;

use crate::{
    one,
    support::{
        PATIENCE,
        cluster::Cluster,
        conn::Conn,
        rows::{record, row},
        wait_for,
    },
};

const QUIET: Duration = Duration::from_millis(300);

fn next(conn: &mut Conn) -> u64 {
    record(&conn.line())["offset"].as_u64().expect("an offset")
}

/// Publishes so many records at once, and waits until they are committed.
fn publish(conn: &mut Conn, topic: &str, count: usize, text: &str) {
    let lines: Vec<String> = (0..count).map(|_| format!("PUB {topic} {text}\n")).collect();
    for some in lines.chunks(500) {
        conn.send(some.concat());
        for _ in some {
            let answer = conn.line();
            assert!(answer.starts_with("OK published "), "{answer}");
        }
    }
}

#[test]
fn a_subscription_begins_where_it_is_asked_to() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    for at in 1..=4 {
        publisher.ask(&format!("PUB other text {at}"));
        publisher.ask(&format!("PUB t text {at}"));
    }
    let rows: Vec<_> = publisher.history("t", 4).iter().map(|line| row(line)).collect();
    conn.check("SUBSCRIBE t --start", "OK subscribed t 1");
    assert_eq!([1, 2, 3, 4].map(|_| next(&mut conn)), [1, 2, 3, 4]);
    for (at, row) in rows.iter().enumerate() {
        let place = at as u64 + 1;
        let begins = |option: &str, offset: u64| {
            let mut conn = cluster.conn(0);
            conn.check(
                &format!("SUBSCRIBE t {option}"),
                &format!("OK subscribed t {offset}"),
            );
            if offset <= 4 {
                assert_eq!(next(&mut conn), offset, "{option}");
            }
        };
        let time = &row.corrected_ts;
        if rows[..at].iter().all(|earlier| earlier.corrected_ts < *time) {
            begins(&format!("--since {time}"), place);
        }
        begins(&format!("--after {}", row.logical_time), place + 1);
        begins(&format!("--after {}", row.logical_time - 1), place);
    }
    let mut conn = cluster.conn(0);
    conn.check("SUBSCRIBE none --start", "OK subscribed none 1");
    conn.check("SUBSCRIBE t --after 0", "OK subscribed t 1");
    conn.send("SUBSCRIBE u --after 999999999999\n");
    let answer = conn.skip_while(|line| line.starts_with("RECORD "));
    assert!(answer.starts_with("ERR unavailable "), "{answer}");
}

#[test]
fn nothing_comes_after_an_unsub() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    publish(&mut publisher, "t", 3_000, &"x".repeat(1_000));
    for round in 0..20 {
        conn.check("SUBSCRIBE t --start", "OK subscribed t 1");
        conn.send("SUB t\n");
        let is_of_it = |line: &str| line.starts_with("RECORD ") || line.starts_with("LAG ");
        assert_eq!(conn.skip_while(is_of_it), "OK subscribed t", "{round}");
        // In the middle of its records.
        conn.send("UNSUB t\nPING\n");
        assert_eq!(conn.skip_while(is_of_it), "OK unsubscribed t");
        conn.expect("PONG");
    }
    publish(&mut publisher, "t", 10, "later");
    conn.expect_silence(QUIET);
    conn.check("UNSUB t", "ERR not_subscribed t");
    conn.check("SUB t", "OK subscribed t");
    publish(&mut publisher, "t", 1, "again");
    assert_eq!(row(&conn.line()).text, "again");
}

#[test]
fn a_subscriber_that_is_behind_is_told_how_far() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    publish(&mut publisher, "t", 6_000, "text");
    conn.check("SUBSCRIBE t --from 2", "OK subscribed t 2");
    conn.expect("LAG t 5999");
    for offset in 2..=6_000 {
        let line = conn.skip_while(|line| line.starts_with("LAG "));
        assert_eq!(record(&line)["offset"], offset);
    }
    conn.check("SUBSCRIBE t --from 1905", "OK subscribed t 1905");
    assert_eq!(next(&mut conn), 1905, "4,096 records are not far");
}

#[test]
fn a_subscriber_that_fell_behind_retention_is_told_where_to_go_on() {
    let mut cluster = Cluster::of(1);
    cluster.configure("retention: { max_bytes: 1MiB }\n");
    cluster.start_node(0);
    cluster.wait_for_leader();
    let mut publisher = cluster.conn(0);
    let (mut new, mut old) = (cluster.conn(0), cluster.conn(0));
    new.check("SUBSCRIBE t --start", "OK subscribed t 1");
    old.check("SUB t", "OK subscribed t");
    publish(&mut publisher, "t", 100, &"x".repeat(1_000_000));
    publisher.ask("PUB u --id last x");
    let start = wait_for("the oldest are gone", PATIENCE, || {
        let answer = cluster.conn(0).ask("READ t --from 1 --limit 1 --local");
        let range = answer.strip_prefix("ERR offset_out_of_range ")?;
        range.split_once(' ')?.0.parse::<u64>().ok()
    });
    let ended = new.skip_while(|line| line.starts_with("RECORD ") || line.starts_with("LAG "));
    assert_eq!(ended, format!("ENDED t offset_out_of_range {start} 100"));
    let ended = old.skip_while(|line| line.starts_with("MSG "));
    assert_eq!(ended, format!("ERR offset_out_of_range {start} 100"));
    for conn in [&mut new, &mut old] {
        conn.check("UNSUB t", "ERR not_subscribed t");
        conn.check("PING", "PONG");
    }
    // From a time on that is partly gone.
    let answer = new.ask("SUBSCRIBE t --after 1");
    assert_eq!(answer, format!("ERR offset_out_of_range {start} 100"));
    new.check("SUBSCRIBE t --start", &format!("OK subscribed t {start}"));
    assert_eq!(next(&mut new), start);
}
