//! What each command of the contract answers.

use std::{collections::BTreeSet, io::Write as _, time::SystemTime};

use crate::{
    one,
    support::rows::{assert_gapless, id_of, row, rows},
};

#[test]
fn ping_is_answered_in_any_case_and_with_either_line_end() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    for ping in ["PING\n", "ping\n", "PiNg\n", "PING\r\n", "ping\r\n"] {
        conn.send(ping);
        conn.expect("PONG");
    }
}

#[test]
fn the_node_makes_an_id_where_the_client_gives_none() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let mut ids = BTreeSet::new();
    for _ in 0..50 {
        let answer = conn.ask("PUB t hello");
        ids.insert(id_of(&answer, "published").expect(&answer));
    }
    assert_eq!(ids.len(), 50, "every id is another");
    let rows = rows(&conn.history("t", 100));
    assert_gapless(&rows);
    assert_eq!(
        rows.iter().map(|row| row.id.clone()).collect::<BTreeSet<_>>(),
        ids
    );
}

#[test]
fn an_id_is_one_record_however_often_it_is_published() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let answer = conn.ask("PUB t --id m-1 hello  you");
    assert_eq!(id_of(&answer, "published").as_deref(), Some("m-1"), "{answer}");
    conn.check("PUB t --id m-1 hello  you", "OK duplicate m-1");
    conn.check("PUB t --id m-1   hello  you  \r", "OK duplicate m-1");
    conn.check("PUB t --id m-1 hello you", "ERR id_conflict m-1");
    let elsewhere = conn.ask("PUB u --id m-1 something else");
    assert_eq!(
        id_of(&elsewhere, "published").as_deref(),
        Some("m-1"),
        "ids belong to a topic: {elsewhere}"
    );
    assert_eq!(conn.history("t", 10).len(), 1);
    // The same within one write, so within one batch.
    conn.send("PUB t --id m-2 a\nPUB t --id m-2 a\nPUB t --id m-2 b\nPUB t --id m-3 c\n");
    assert!(id_of(&conn.line(), "published").is_some());
    conn.expect("OK duplicate m-2");
    conn.expect("ERR id_conflict m-2");
    assert!(id_of(&conn.line(), "published").is_some());
    assert_eq!(conn.history("t", 10).len(), 3);
}

#[test]
fn a_message_is_the_rest_of_its_line() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let texts = [
        ("PUB t a", "a"),
        ("PUB t   a  b\tc \t", "a  b\tc"),
        ("PUB t C:\\new \\n", "C:\\new \\n"),
        ("PUB t {\"json\": \"yes\"}", "{\"json\": \"yes\"}"),
        ("PUB t grüße 🎉", "grüße 🎉"),
        ("PUB t PUB t a", "PUB t a"),
        ("PUB t -- a", "-- a"),
        ("PUB t --strong a", "--strong a"),
        ("PUB t --idx m a", "--idx m a"),
        ("PUB t a --id m", "a --id m"),
        ("PUB t --id m-1 --id m-2", "--id m-2"),
        ("PUB t OK history_end", "OK history_end"),
    ];
    for (line, _) in texts {
        let answer = conn.ask(line);
        assert!(id_of(&answer, "published").is_some(), "{answer}");
    }
    let rows = rows(&conn.history("t", 100));
    assert_eq!(
        rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(),
        texts.map(|(_, text)| text)
    );
    assert_eq!(rows[10].id, "m-1");
}

#[test]
fn a_record_has_nine_fields() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let now = || {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs_f64()
    };
    let before = now();
    conn.ask("PUB dm:a:b --id m-1 hi  there");
    let after = now();
    let row = row(&conn.history("dm:a:b", 1)[0]);
    assert_eq!(
        (row.kind.as_str(), row.topic.as_str(), row.id.as_str()),
        ("HISTORY", "dm:a:b", "m-1")
    );
    assert_eq!(
        (row.offset, row.clock_type.as_str(), row.text.as_str()),
        (1, "logical", "hi  there")
    );
    assert!(row.logical_time > 0);
    for time in [&row.ts, &row.corrected_ts] {
        let (secs, decimals) = time.split_once('.').expect("decimals");
        assert_eq!(decimals.len(), 6, "{time}");
        assert!(
            secs.bytes()
                .chain(decimals.bytes())
                .all(|byte| byte.is_ascii_digit()),
            "{time}"
        );
    }
    let ts: f64 = row.ts.parse().expect("a number");
    assert!(
        ts >= before - 0.001 && ts <= after + 0.001,
        "{before} {ts} {after}"
    );
}

#[test]
fn logical_times_rise_across_topics() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let mut times = Vec::new();
    for at in 0..20 {
        let topic = format!("t{}", at % 3);
        conn.ask(&format!("PUB {topic} x"));
        times.push(row(&conn.history(&topic, 1)[0]).logical_time);
    }
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

#[test]
fn a_history_is_the_newest_records_oldest_first() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    conn.check("HISTORY nobody 5", "OK history_end");
    for at in 1..=9 {
        conn.ask(&format!("PUB t text {at}"));
    }
    let offsets = |lines: Vec<String>| rows(&lines).into_iter().map(|row| row.offset).collect::<Vec<_>>();
    assert_eq!(offsets(conn.history("t", 3)), [7, 8, 9]);
    assert_eq!(offsets(conn.history("t", 9)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(conn.history("t", 1_000_000_000_000).len(), 9);
    conn.check("HISTORY t 0", "OK history_end");
    conn.check("HISTORY t x", "ERR n_must_be_int");
    conn.check("HISTORY t 1.5", "ERR n_must_be_int");
    conn.check("HISTORY t -1", "ERR n_must_be_int");
    conn.check("PING", "PONG");
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    conn.send("PUB t a\nQUIT\nPUB t b\n");
    assert!(id_of(&conn.line(), "published").is_some());
    conn.expect("OK bye");
    conn.expect_end();
    assert_eq!(
        cluster.conn(0).history("t", 9).len(),
        1,
        "what follows QUIT is not read"
    );
}

#[test]
fn anything_else_is_unknown_and_malformed_forms_are_told_the_right_one() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    for line in [
        "",
        " ",
        "HELLO",
        "pub t a",
        "Sub t",
        "history t 1",
        "quit",
        "PUBt a",
    ] {
        conn.check(line, "ERR unknown");
    }
    for line in [
        "PUB",
        "PUB t",
        "PUB t  ",
        "PUB t --id",
        "PUB t --id m",
        "SUB",
        "SUB a b",
        "HISTORY",
        "HISTORY t",
    ] {
        let answer = conn.ask(line);
        assert!(answer.starts_with("ERR usage: "), "{answer} to `{line}`");
    }
    conn.check("PING", "PONG");
    conn.check("HISTORY t 9", "OK history_end");
}

#[test]
fn a_thousand_commands_sent_without_waiting_are_answered_in_their_order() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let mut lines = Vec::new();
    for at in 0..250 {
        write!(
            lines,
            "PUB t --id m-{at} text {at}\nPING\nHISTORY nobody 1\nNONSENSE\n"
        )
        .expect("memory");
    }
    conn.send(&lines);
    for at in 0..250 {
        let answer = conn.line();
        assert_eq!(id_of(&answer, "published"), Some(format!("m-{at}")), "{answer}");
        conn.expect("PONG");
        conn.expect("OK history_end");
        conn.expect("ERR unknown");
    }
    let rows = rows(&conn.history("t", 1000));
    assert_gapless(&rows);
    let ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
    assert_eq!(
        ids,
        (0..250).map(|at| format!("m-{at}")).collect::<Vec<_>>(),
        "records commit in the order sent"
    );
}
