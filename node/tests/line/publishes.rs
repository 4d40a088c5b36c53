//! `PUBLISH`: any bytes, headers, expectations, and what is too large.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    one,
    support::{cluster::Cluster, conn::Conn, rows::row},
};

const MAX_BODY_BYTES: usize = 1 << 20;

/// Publishes a body and gives the answer.
#[track_caller]
fn publish(conn: &mut Conn, head: &str, body: &[u8]) -> String {
    let (topic, options) = head.split_once(' ').unwrap_or((head, ""));
    let mut sent = format!("PUBLISH {topic} {} {options}\n", body.len()).into_bytes();
    sent.extend_from_slice(body);
    conn.send(sent);
    conn.line()
}

/// The records of a topic from an offset on.
#[track_caller]
fn read(conn: &mut Conn, topic: &str, from: u64) -> Vec<Value> {
    conn.send(format!("READ {topic} --from {from}\n"));
    let mut records = Vec::new();
    loop {
        let line = conn.line();
        let Some(json) = line.strip_prefix("RECORD ") else {
            assert!(line.starts_with("OK read_end "), "{line}");
            return records;
        };
        records.push(serde_json::from_str(json).expect("JSON"));
    }
}

#[test]
fn any_bytes_are_stored_and_read_back() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let all: Vec<u8> = (0..=255).collect();
    let answer = publish(&mut conn, "t --id m-1", &all);
    let words: Vec<&str> = answer.split(' ').collect();
    assert_eq!(words[..4], ["OK", "published", "m-1", "1"], "{answer}");
    assert!(words[4].parse::<u64>().expect("a Lamport time") > 0);
    assert!(publish(&mut conn, "t", b"two\nlines\r\n").starts_with("OK published "));
    assert!(
        publish(&mut conn, "t", b"").starts_with("OK published "),
        "an empty message is one"
    );
    assert!(publish(&mut conn, "t", b"PUB u hi\nQUIT\n").starts_with("OK published "));
    let records = read(&mut conn, "t", 1);
    let data = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==";
    assert_eq!(records[0]["data"], data);
    assert_eq!(records[1]["text"], "two\nlines\r\n");
    assert_eq!(records[1].get("data"), None, "what is text is said as text");
    assert_eq!(records[2]["text"], "");
    assert_eq!(records[3]["text"], "PUB u hi\nQUIT\n");
    let shown = conn.history("t", 3);
    assert_eq!(row(&shown[0]).text, r"two\nlines\r\n", "old forms stay one line");
    conn.check("HISTORY u 5", "OK history_end");
}

#[test]
fn headers_are_kept_and_belong_to_the_content() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let head = "t --id m-1 --header kind=a%20b --header empty= --header path=%2Fx%3D%25";
    assert!(publish(&mut conn, head, b"hi").starts_with("OK published m-1 1 "));
    assert_eq!(publish(&mut conn, head, b"hi"), "OK duplicate m-1 1");
    assert_eq!(publish(&mut conn, "t --id m-1", b"hi"), "ERR id_conflict m-1");
    let records = read(&mut conn, "t", 1);
    assert_eq!(
        records[0]["headers"],
        json!({ "kind": "a b", "empty": "", "path": "/x=%" })
    );
    assert_eq!(records.len(), 1);
}

/// Batches are closed by what headers take, too, or many of them would be more than an entry can hold.
#[test]
fn many_messages_that_are_all_headers_are_stored() {
    const MESSAGES: usize = 3_000;
    let cluster = one();
    let mut conn = cluster.conn(0);
    let line = format!("PUBLISH t 0 --header k={}\n", "v".repeat(8_000));
    let (mut listener, mut speaker) = Conn::to(cluster.port(0)).split();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..MESSAGES {
                speaker.send(&line);
            }
        });
        for at in 1..=MESSAGES {
            let answer = listener.line();
            assert_eq!(
                answer.split(' ').nth(3),
                Some(at.to_string().as_str()),
                "{answer}"
            );
        }
    });
    assert_eq!(conn.history("t", MESSAGES as u64).len(), MESSAGES);
}

#[test]
fn what_expects_another_end_is_not_stored() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    assert_eq!(publish(&mut conn, "t --expect 1", b"no"), "ERR offset_mismatch 0");
    assert!(publish(&mut conn, "t --expect 0 --id a", b"one").starts_with("OK published a 1 "));
    assert_eq!(
        publish(&mut conn, "t --expect 0 --id b", b"two"),
        "ERR offset_mismatch 1"
    );
    assert_eq!(
        publish(&mut conn, "t --expect 0 --id a", b"one"),
        "OK duplicate a 1",
        "a retry of what is stored"
    );
    assert!(publish(&mut conn, "t --expect 1 --id b", b"two").starts_with("OK published b 2 "));
    // In one batch, only the first of those who saw the same end is stored.
    let mut sent = String::new();
    for at in 0..5 {
        write!(sent, "PUBLISH t 1 --expect 2\n{at}").expect("memory");
    }
    conn.send(sent);
    assert!(conn.line().starts_with("OK published "));
    for _ in 1..5 {
        conn.expect("ERR offset_mismatch 3");
    }
    let texts: Vec<Value> = read(&mut conn, "t", 1)
        .into_iter()
        .map(|record| record["text"].clone())
        .collect();
    assert_eq!(texts, ["one", "two", "0"]);
}

#[test]
fn what_is_too_large_is_refused_and_skipped() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    let largest = vec![b'x'; MAX_BODY_BYTES];
    assert!(publish(&mut conn, "t", &largest).starts_with("OK published "));
    conn.send(format!("PUBLISH t {}\n", MAX_BODY_BYTES + 1));
    conn.expect("ERR too_large 1048576");
    // The answer does not wait for the body, which is no command.
    let mut body = b"PUB u no\n".repeat((MAX_BODY_BYTES + 1).div_ceil(9));
    body.truncate(MAX_BODY_BYTES + 1);
    conn.send(body);
    conn.check("PING", "PONG");
    conn.check("HISTORY u 5", "OK history_end");
    assert_eq!(read(&mut conn, "t", 1).len(), 1);
}

#[test]
fn a_cluster_may_take_less() {
    let cluster = Cluster::of(1);
    cluster.configure("limits: { max_message: 1KiB }\n");
    let mut cluster = cluster;
    cluster.start_node(0);
    cluster.wait_for_leader();
    let mut conn = cluster.conn(0);
    assert!(publish(&mut conn, "t", &[b'x'; 1024]).starts_with("OK published "));
    assert_eq!(publish(&mut conn, "t", &[b'x'; 1025]), "ERR too_large 1024");
    let long = "x".repeat(1025);
    conn.check(&format!("PUB t {long}"), "ERR too_large 1024");
    conn.check("PING", "PONG");
}

#[test]
fn a_wrong_publish_is_answered_once_and_its_bytes_are_no_commands() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    for head in [
        "PUBLISH t 9 --id",
        "PUBLISH t 9 --header k",
        "PUBLISH t 9 --header k=%zz",
        "PUBLISH t 9 --expect soon",
        "PUBLISH t 9 PUB",
    ] {
        conn.send(format!("{head}\nPUB u hi\n\nPING\n"));
        let answer = conn.line();
        assert!(
            answer.starts_with("ERR usage: ") || answer == "ERR n_must_be_int",
            "{answer} to `{head}`"
        );
        conn.expect("PONG");
    }
    // Where nobody can tell how long the message is, the connection ends.
    for head in ["PUBLISH t", "PUBLISH t five", "PUBLISH t 99999999999999999999"] {
        let mut conn = cluster.conn(0);
        conn.send(format!("PING\n{head}\nPUB u hi\nPING\n"));
        conn.expect("PONG");
        let answer = conn.line();
        assert!(answer.starts_with("ERR usage: PUBLISH "), "{answer}");
        conn.expect_end();
    }
    cluster.conn(0).check("HISTORY u 5", "OK history_end");
}

#[test]
fn a_follower_tells_offset_and_lamport_time_too() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader().expect("a leader");
    for at in (0..3).filter(|at| *at != leader) {
        let id = format!("m-{at}");
        let mut conn = cluster.conn(at);
        let answer = publish(&mut conn, &format!("t --id {id}"), b"hi");
        let words: Vec<&str> = answer.split(' ').collect();
        assert_eq!(words[..3], ["OK", "published", &id], "{answer}");
        assert_eq!(words.len(), 5, "{answer}");
        let record = read(&mut conn, "t", words[3].parse().expect("an offset"));
        assert_eq!(record[0]["id"], id.as_str());
        assert_eq!(record[0]["logical_time"].to_string(), words[4]);
        assert!(record[0]["bound"].is_number() || record[0].get("bound").is_none());
    }
}
