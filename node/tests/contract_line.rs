//! Section 2 of the compatibility contract, row by row: raw bytes to a real node, golden bytes back.

mod support;

use std::{
    collections::BTreeSet,
    io::Write as _,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use support::{
    PATIENCE,
    cluster::Cluster,
    rows::{assert_gapless, id_of, row, rows},
    wait_for,
};

const MAX_BODY_BYTES: usize = 1 << 20;

/// A cluster of one node: what a node says does not depend on how many there are.
fn one() -> Cluster {
    Cluster::start(1)
}

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
fn a_subscription_delivers_from_its_answer_on_and_leaves_the_connection_usable() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    publisher.ask("PUB t before");
    conn.check("SUB t", "OK subscribed t");
    publisher.ask("PUB t --id m-2 after");
    publisher.ask("PUB u elsewhere");
    publisher.ask("PUB t --id m-3 later");
    let (two, three) = (row(&conn.line()), row(&conn.line()));
    assert_eq!(
        (two.kind.as_str(), two.offset, two.id.as_str(), two.text.as_str()),
        ("MSG", 2, "m-2", "after")
    );
    assert_eq!(
        (three.kind.as_str(), three.offset, three.id.as_str()),
        ("MSG", 3, "m-3")
    );
    let same: Vec<String> = publisher
        .history("t", 2)
        .iter()
        .map(|line| line.replacen("HISTORY", "MSG", 1))
        .collect();
    assert_eq!(rows(&same), [two, three], "MSG and HISTORY show the same record");

    conn.check("PING", "PONG");
    conn.check("SUB u", "OK subscribed u");
    publisher.ask("PUB u again");
    assert_eq!(row(&conn.line()).text, "again");
    // A duplicate is no record.
    publisher.check("PUB t --id m-3 later", "OK duplicate m-3");
    publisher.ask("PUB t last");
    assert_eq!(row(&conn.line()).text, "last");
    conn.check("QUIT", "OK bye");
    conn.expect_end();
}

#[test]
fn a_subscriber_sees_what_it_publishes_itself() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    conn.send("SUB t\nPUB t --id m-1 a\nPUB t --id m-2 b\nPING\n");
    conn.expect("OK subscribed t");
    let lines: Vec<String> = (0..5).map(|_| conn.line()).collect();
    let answers: Vec<String> = lines
        .iter()
        .filter(|line| !line.starts_with("MSG "))
        .cloned()
        .collect();
    assert_eq!(id_of(&answers[0], "published").as_deref(), Some("m-1"));
    assert_eq!(id_of(&answers[1], "published").as_deref(), Some("m-2"));
    assert_eq!(answers[2..], ["PONG"]);
    let messages: Vec<String> = lines
        .into_iter()
        .filter(|line| line.starts_with("MSG "))
        .collect();
    let texts: Vec<(u64, String)> = rows(&messages)
        .into_iter()
        .map(|row| (row.offset, row.text))
        .collect();
    assert_eq!(texts, [(1, "a".to_owned()), (2, "b".to_owned())]);
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

#[test]
fn a_client_that_sends_no_more_still_gets_its_answers() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    conn.send("PUB t --id m-1 a\nPING\n");
    conn.end_sending();
    assert!(id_of(&conn.line(), "published").is_some());
    conn.expect("PONG");
    conn.expect_end();
}

#[test]
fn lines_may_arrive_in_any_pieces() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    for byte in b"PUB t --id m-1 gr\xc3\xbc\xc3\x9fe\r\nPING\r\n" {
        conn.send([*byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(id_of(&conn.line(), "published").is_some());
    conn.expect("PONG");
    let mut half = cluster.conn(0);
    half.send("PUB t --id m-2 cut off in the mid");
    half.end_sending();
    half.expect_end();
    let rows = rows(&conn.history("t", 9));
    assert_eq!(rows.len(), 1, "half a line was never said: {rows:?}");
    assert_eq!(rows[0].text, "grüße");
}

#[test]
fn a_browser_cannot_publish() {
    let cluster = one();
    for request in [
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20\r\n\r\nPUB t hello\nPUB t hi\n",
        "GET /PUB%20t%20hello HTTP/1.1\r\nHost: x\r\nPUB t hello\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\n\r\nPUB t hello\r\n",
        "PUB /x HTTP/1.1\r\nHost: x\r\n\r\nPUB t hello\r\n",
    ] {
        let mut conn = cluster.conn(0);
        conn.send(request);
        conn.expect_end();
    }
    // A request line over every bound is a first line all the same.
    let mut conn = cluster.conn(0);
    let path = "x".repeat(2 << 20);
    let _ =
        conn.try_send(format!("POST /{path} HTTP/1.1\r\nHost: x\r\n\r\nPUB t hello\r\nPING\r\n").as_bytes());
    while let Ok(answer) = conn.try_line() {
        assert!(
            answer.starts_with("ERR usage: "),
            "only that may be answered: {answer}"
        );
    }
    let mut conn = cluster.conn(0);
    conn.check("HISTORY t 9", "OK history_end");
    let answer = conn.ask("PUB t HTTP/1.1");
    assert!(
        id_of(&answer, "published").is_some(),
        "that is a message: {answer}"
    );
    let answer = cluster.conn(0).ask("PUB t HTTP/1.1");
    assert!(
        id_of(&answer, "published").is_some(),
        "also as a first line: {answer}"
    );
}

#[test]
fn a_line_has_a_bound() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let largest = "x".repeat(MAX_BODY_BYTES);
    let answer = conn.ask(&format!("PUB t {largest}"));
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    assert_eq!(row(&conn.history("t", 1)[0]).text, largest);
    let answer = conn.ask(&format!("PUB t {largest}x"));
    assert!(answer.starts_with("ERR usage: "), "{answer}");

    // Far over every bound: refused, and the node neither falls nor believes the end of it.
    let mut endless = cluster.conn(0);
    let mut line = vec![b'x'; 16 << 20];
    line.extend_from_slice(b"\nPUB t smuggled\n");
    let _ = endless.try_send(&line);
    if let Ok(answer) = endless.try_line() {
        assert!(answer.starts_with("ERR usage: "), "{answer}");
    }
    let mut other = cluster.conn(0);
    other.check("PING", "PONG");
    assert!(other.history("t", 9).len() <= 2);
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    conn.send(b"PUB t \xff\xfe\nPUB \xc3 a\nPING\n");
    for _ in 0..2 {
        let answer = conn.line();
        assert!(answer.starts_with("ERR "), "{answer}");
    }
    conn.expect("PONG");
    conn.check("HISTORY t 9", "OK history_end");
}

#[test]
fn topics_and_ids_have_bounds_and_no_control_characters() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let long = "x".repeat(300);
    for line in [
        format!("PUB {long} a"),
        format!("PUB t --id {long} a"),
        format!("SUB {long}"),
        format!("HISTORY {long} 1"),
        "PUB a\u{7}b a".to_owned(),
        "PUB t --id a\u{1b}b a".to_owned(),
    ] {
        let answer = conn.ask(&line);
        assert!(answer.starts_with("ERR usage: "), "{answer}");
    }
    let topic = "x".repeat(200);
    assert!(id_of(&conn.ask(&format!("PUB {topic} --id {topic} a")), "published").is_some());
}

#[test]
fn a_subscriber_that_does_not_read_delays_nobody_and_loses_nothing() {
    const RECORDS: usize = 3000;
    let cluster = one();
    let (mut lazy, mut eager, mut publisher) = (cluster.conn(0), cluster.conn(0), cluster.conn(0));
    lazy.check("SUB t", "OK subscribed t");
    eager.check("SUB t", "OK subscribed t");
    let text = "x".repeat(8000);
    for start in (0..RECORDS).step_by(100) {
        let lines: Vec<String> = (start..start + 100)
            .map(|at| format!("PUB t --id m-{at} {text}\n"))
            .collect();
        publisher.send(lines.concat());
        for _ in 0..100 {
            assert!(id_of(&publisher.line(), "published").is_some());
        }
    }
    for conn in [&mut eager, &mut lazy] {
        for at in 0..RECORDS {
            assert_eq!(row(&conn.line()).id, format!("m-{at}"));
        }
    }
}

/// The JSON of `RECORD` lines and the line that ends them.
fn read(conn: &mut support::conn::Conn, command: &str) -> (Vec<Value>, String) {
    let mut line = conn.ask(command);
    let mut records = Vec::new();
    while let Some(json) = line.strip_prefix("RECORD ") {
        records.push(serde_json::from_str(json).expect("JSON"));
        line = conn.line();
    }
    (records, line)
}

#[test]
fn a_read_says_how_sure_it_is() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    for at in 1..=5 {
        conn.ask(&format!("PUB t --id m-{at} text \"{at}\""));
    }
    let offsets = |records: &[Value]| {
        records
            .iter()
            .map(|record| record["offset"].clone())
            .collect::<Vec<_>>()
    };
    let (records, end) = read(&mut conn, "READ t");
    assert_eq!(
        (offsets(&records), end.as_str()),
        (
            vec![1, 2, 3, 4, 5].into_iter().map(Value::from).collect(),
            "OK read_end 5 1 strong"
        )
    );
    let (records, end) = read(&mut conn, "READ t --last 2 --local");
    assert_eq!(
        (offsets(&records), end.as_str()),
        (vec![4.into(), 5.into()], "OK read_end 5 1 local")
    );
    let (records, end) = read(&mut conn, "READ t --from 2 --limit 2");
    assert_eq!(
        (offsets(&records), end.as_str()),
        (vec![2.into(), 3.into()], "OK read_end 5 1 strong")
    );
    assert_eq!(read(&mut conn, "READ t --from 6").1, "OK read_end 5 1 strong");
    assert_eq!(
        read(&mut conn, "READ nobody"),
        (vec![], "OK read_end 0 1 strong".to_owned())
    );
    assert!(conn.ask("READ t --last 1 --from 2").starts_with("ERR usage: "));

    conn.send("READ t --last 1\n");
    let line = conn.line();
    let history = row(&{
        conn.expect("OK read_end 5 1 strong");
        conn.history("t", 1).remove(0)
    });
    let json = line.strip_prefix("RECORD ").expect("a record");
    let record: Value = serde_json::from_str(json).expect("JSON");
    let keys = [
        "topic",
        "id",
        "offset",
        "ts",
        "corrected_ts",
        "logical_time",
        "clock_type",
        "node",
        "log_index",
        "text",
    ];
    for key in keys {
        assert!(record.get(key).is_some(), "{key} in {record}");
    }
    assert_eq!(
        (&record["id"], &record["node"], &record["text"]),
        (&"m-5".into(), &"n1".into(), &"text \"5\"".into())
    );
    assert_eq!(record["logical_time"], history.logical_time);
    assert!(
        json.contains(&format!(
            "\"ts\":{},\"corrected_ts\":{},",
            history.ts, history.corrected_ts
        )),
        "{json}"
    );
    assert!(record["log_index"].as_u64() > Some(0));
}

#[test]
fn a_subscribe_resumes_at_an_offset() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    for at in 1..=3 {
        publisher.ask(&format!("PUB t text {at}"));
    }
    let next = |conn: &mut support::conn::Conn| {
        let line = conn.line();
        let record: Value = serde_json::from_str(line.strip_prefix("RECORD ").expect(&line)).expect("JSON");
        record["offset"].as_u64().expect("an offset")
    };
    conn.check("SUBSCRIBE t --from 2", "OK subscribed t 2");
    assert_eq!([next(&mut conn), next(&mut conn)], [2, 3]);
    let mut tail = cluster.conn(0);
    tail.check("SUBSCRIBE t", "OK subscribed t 4");
    tail.check("PING", "PONG");
    publisher.ask("PUB t text 4");
    assert_eq!([next(&mut conn), next(&mut tail)], [4, 4]);
}

#[cfg(target_os = "linux")]
#[test]
fn subscribers_that_left_are_forgotten_though_nothing_is_published() {
    let cluster = one();
    let mut stays = cluster.conn(0);
    stays.check("SUB t", "OK subscribed t");
    let before = cluster.open_files(0);
    for at in 0..40 {
        let mut conn = cluster.conn(0);
        let (verb, answer) = if at % 2 == 0 {
            ("SUB", "OK subscribed t")
        } else {
            ("SUBSCRIBE", "OK subscribed t 1")
        };
        conn.check(&format!("{verb} t"), answer);
    }
    wait_for("their sockets are closed", PATIENCE, || {
        (cluster.open_files(0) <= before).then_some(())
    });
    cluster.conn(0).ask("PUB t a");
    assert_eq!(row(&stays.line()).text, "a");
}

#[test]
fn a_subscriber_of_a_node_that_dies_gets_the_rest_from_its_next_life() {
    let mut cluster = one();
    let mut publisher = cluster.conn(0);
    for at in 1..=3 {
        publisher.ask(&format!("PUB t text {at}"));
    }
    cluster.kill(0);
    publisher.expect_end();
    cluster.start_node(0);
    cluster.wait_for_leader();
    let mut conn = cluster.conn(0);
    let rows = wait_for("the records are back", PATIENCE, || {
        Some(rows(&conn.history("t", 9))).filter(|rows| rows.len() == 3)
    });
    assert_gapless(&rows);
    conn.check("SUB t", "OK subscribed t");
    cluster.conn(0).ask("PUB t text 4");
    let fourth = row(&conn.line());
    assert_eq!(fourth.offset, 4);
    assert!(
        fourth.logical_time > rows[2].logical_time,
        "a restarted clock goes on above"
    );
}
