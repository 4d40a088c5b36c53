//! Subscribing and reading: `SUB`, and the new `READ` and `SUBSCRIBE`.

use serde_json::Value;

use crate::{
    one,
    support::{
        PATIENCE,
        conn::Conn,
        rows::{assert_gapless, id_of, row, rows},
        wait_for,
    },
};

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

/// The JSON of `RECORD` lines and the line that ends them.
fn read(conn: &mut Conn, command: &str) -> (Vec<Value>, String) {
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
            "OK read_end 5 1 strong 6"
        )
    );
    let (records, end) = read(&mut conn, "READ t --last 2 --local");
    assert_eq!(
        (offsets(&records), end.as_str()),
        (vec![4.into(), 5.into()], "OK read_end 5 1 local 6")
    );
    let (records, end) = read(&mut conn, "READ t --from 2 --limit 2");
    assert_eq!(
        (offsets(&records), end.as_str()),
        (vec![2.into(), 3.into()], "OK read_end 5 1 strong 4")
    );
    assert_eq!(read(&mut conn, "READ t --from 6").1, "OK read_end 5 1 strong 6");
    assert_eq!(
        read(&mut conn, "READ nobody"),
        (vec![], "OK read_end 0 1 strong 1".to_owned())
    );
    assert!(conn.ask("READ t --last 1 --from 2").starts_with("ERR usage: "));

    conn.send("READ t --last 1\n");
    let line = conn.line();
    let history = row(&{
        conn.expect("OK read_end 5 1 strong 6");
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

/// Of large records an answer holds what fits a bound, not what was asked for.
#[test]
fn a_read_of_large_records_ends_in_time() {
    const RECORDS: u64 = 40;
    const MOST_BYTES: usize = 33 << 20;
    let cluster = one();
    let mut conn = cluster.conn(0);
    let text = "x".repeat(1_000_000);
    for at in 1..=RECORDS {
        let answer = conn.ask(&format!("PUB t --id m-{at} {text}"));
        assert!(id_of(&answer, "published").is_some(), "{answer}");
    }
    for (command, newest) in [
        ("READ t --last 10000", true),
        ("READ t --from 1 --limit 10000", false),
    ] {
        let (records, end) = read(&mut conn, command);
        let ends = format!("OK read_end {RECORDS} 1 strong ");
        assert!(end.starts_with(&ends), "{end}");
        let bytes: usize = records.iter().map(|record| record.to_string().len()).sum();
        assert!(bytes <= MOST_BYTES, "{command}: {bytes} bytes");
        assert!(records.len() >= 30, "{command}: only {}", records.len());
        let offsets: Vec<u64> = records
            .iter()
            .filter_map(|record| record["offset"].as_u64())
            .collect();
        assert!(
            offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{offsets:?}"
        );
        let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
        assert_eq!(
            if newest { last } else { first },
            if newest { RECORDS } else { 1 },
            "{command}"
        );
    }
    // A large record among small ones costs none of them.
    for at in 1..=50 {
        conn.ask(&format!("PUB t --id small-{at} text {at}"));
    }
    let (records, _) = read(&mut conn, "READ t --last 52");
    assert_eq!(records.len(), 52);
}

#[test]
fn a_subscribe_resumes_at_an_offset() {
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    for at in 1..=3 {
        publisher.ask(&format!("PUB t text {at}"));
    }
    let next = |conn: &mut Conn| {
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
