//! What is no command, or comes in odd pieces: browsers, endless lines, bytes that are no text.

use std::time::Duration;

use crate::{
    one,
    support::rows::{id_of, row, rows},
};

const MAX_BODY_BYTES: usize = 1 << 20;

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
fn a_client_that_sends_no_more_still_gets_its_answers() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    conn.send("PUB t --id m-1 a\nPING\n");
    conn.end_sending();
    assert!(id_of(&conn.line(), "published").is_some());
    conn.expect("PONG");
    conn.expect_end();
}
