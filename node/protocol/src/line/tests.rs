//! The lines a node reads.

mod answers;
mod bodies;
mod listings;
mod new_verbs;
mod properties;

use super::*;
use crate::record::{MAX_BODY_BYTES, MAX_ID_BYTES, MAX_TOPIC_BYTES};

fn parse(line: &str) -> Result<Command<'_>, CommandError> {
    Command::parse(line.as_bytes())
}

#[track_caller]
fn answers(line: &str, answer: &str) {
    let error = parse(line).expect_err(line);
    assert_eq!(error.to_string(), answer, "to `{line}`");
}

fn publish<'a>(topic: &'a str, id: Option<&'a str>, text: &'a str) -> Command<'a> {
    Command::Pub { topic, id, text }
}

#[test]
fn ping_is_taken_in_any_case() {
    for ping in ["PING", "ping", "PiNg", " PING ", "PING\t"] {
        assert_eq!(parse(ping), Ok(Command::Ping));
    }
    answers("PING me", "ERR usage: PING");
}

#[test]
fn a_message_keeps_its_inner_spacing_and_loses_its_ends() {
    assert_eq!(parse("PUB t hello"), Ok(publish("t", None, "hello")));
    assert_eq!(parse("PUB t   a  b\t c \t "), Ok(publish("t", None, "a  b\t c")));
    assert_eq!(
        parse("PUB dm:a:b \u{a0}grüß  dich\u{2003}"),
        Ok(publish("dm:a:b", None, "grüß  dich"))
    );
    assert_eq!(
        parse("PUB t a\\nb \"c\" {d}"),
        Ok(publish("t", None, "a\\nb \"c\" {d}"))
    );
}

#[test]
fn an_id_is_an_option_only_directly_after_the_topic() {
    assert_eq!(
        parse("PUB t --id m-1 hello  you"),
        Ok(publish("t", Some("m-1"), "hello  you"))
    );
    assert_eq!(
        parse("PUB  t  --id  m-1  hello"),
        Ok(publish("t", Some("m-1"), "hello"))
    );
    assert_eq!(
        parse("PUB t --id m-1 --id m-2"),
        Ok(publish("t", Some("m-1"), "--id m-2"))
    );
    assert_eq!(
        parse("PUB t hello --id m-1"),
        Ok(publish("t", None, "hello --id m-1"))
    );
    for text in [
        "--idx m-1 hello",
        "--id=m-1 hello",
        "-- hello",
        "--strong hello",
        "--ID m-1 hello",
    ] {
        assert_eq!(parse(&format!("PUB t {text}")), Ok(publish("t", None, text)));
    }
}

#[test]
fn a_publish_without_all_its_parts_is_told_the_form() {
    for line in [
        "PUB",
        "PUB ",
        "PUB t",
        "PUB t ",
        "PUB t --id",
        "PUB t --id m",
        "PUB t --id m  ",
    ] {
        answers(line, "ERR usage: PUB <topic> [--id <id>] <message>");
    }
}

#[test]
fn sub_and_quit_take_just_what_they_need() {
    assert_eq!(parse("SUB dm:a:b"), Ok(Command::Sub { topic: "dm:a:b" }));
    assert_eq!(parse("QUIT"), Ok(Command::Quit));
    answers("SUB", "ERR usage: SUB <topic>");
    answers("SUB a b", "ERR usage: SUB <topic>");
    answers("QUIT now", "ERR usage: QUIT");
}

#[test]
fn a_history_takes_a_whole_number_from_zero_up() {
    for (n, count) in [
        ("0", 0),
        ("1", 1),
        ("+7", 7),
        ("007", 7),
        ("1000000", 1_000_000),
        ("1000001", 1_000_000),
    ] {
        assert_eq!(
            parse(&format!("HISTORY t {n}")),
            Ok(Command::History { topic: "t", count })
        );
    }
    let count = MAX_HISTORY_RECORDS;
    assert_eq!(
        parse("HISTORY t 99999999999999999999999"),
        Ok(Command::History { topic: "t", count })
    );
    for n in ["x", "-1", "1.5", "+", "--last", "1e3", "0x10", "٣", "1_000"] {
        answers(&format!("HISTORY t {n}"), "ERR n_must_be_int");
    }
    for line in ["HISTORY", "HISTORY t", "HISTORY t 5 6"] {
        answers(line, "ERR usage: HISTORY <topic> <n>");
    }
}

#[test]
fn anything_else_is_unknown() {
    for line in [
        "",
        " ",
        "pub t hello",
        "Sub t",
        "quit",
        "history t 5",
        "PONG",
        "PUBt hi",
        "\u{0}",
    ] {
        answers(line, "ERR unknown");
    }
}

#[test]
fn what_is_not_utf_8_is_refused() {
    assert_eq!(
        Command::parse(b"PUB t \xff\xfe").map_err(|e| e.to_string()),
        Err("ERR usage: a line is UTF-8 text".into())
    );
}

#[test]
fn topics_ids_and_messages_have_bounds() {
    let long = |n| "x".repeat(n);
    assert!(parse(&format!("SUB {}", long(MAX_TOPIC_BYTES))).is_ok());
    answers(
        &format!("SUB {}", long(MAX_TOPIC_BYTES + 1)),
        &format!(
            "ERR usage: a topic has 1 to {MAX_TOPIC_BYTES} bytes and no white space or control characters"
        ),
    );
    answers(
        "PUB a\u{7}b hi",
        "ERR usage: a topic has 1 to 249 bytes and no white space or control characters",
    );
    assert!(parse(&format!("PUB t --id {} hi", long(MAX_ID_BYTES))).is_ok());
    answers(
        &format!("PUB t --id {} hi", long(MAX_ID_BYTES + 1)),
        &format!("ERR usage: an id has 1 to {MAX_ID_BYTES} bytes and no white space or control characters"),
    );
    assert!(parse(&format!("PUB t {}  ", long(MAX_BODY_BYTES))).is_ok());
    let too_long = format!("ERR usage: a message has at most {MAX_BODY_BYTES} bytes");
    answers(&format!("PUB t {}", long(MAX_BODY_BYTES + 1)), &too_long);
    assert_eq!(
        LineError::TOO_LONG.to_string(),
        format!("ERR usage: a line has at most {MAX_LINE_BYTES} bytes")
    );
    let longest = format!("PUB {} --id {} ", long(MAX_TOPIC_BYTES), long(MAX_ID_BYTES));
    assert!(longest.len() + MAX_BODY_BYTES <= MAX_LINE_BYTES);
}

#[test]
fn a_browser_s_first_line_is_known() {
    for line in [
        "GET / HTTP/1.1",
        "POST /x?PUB+t+hi HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT example.com:443 HTTP/1.1",
        "PRI * HTTP/2.0",
        "PUB /x HTTP/1.1",
        "get / http/1.0",
        "HEAD http://h/ HTTP/1.1",
        "GET /",
        "\u{16}\u{3}\u{1}",
    ] {
        assert!(looks_like_http(line.as_bytes()), "{line}");
    }
    assert!(looks_like_http(b"GET /\xff HTTP/1.1"));
    for line in [
        "",
        "PING",
        "PUB t HTTP/1.1",
        "PUB t GET / HTTP/1.1",
        "PUB /t hello",
        "PUB /t HTTP/1.1 is old",
        "SUB /t",
        "HISTORY /t 5",
        "QUIT",
        "GETAWAY / x",
    ] {
        assert!(!looks_like_http(line.as_bytes()), "{line}");
    }
}

#[test]
fn no_part_of_a_command_can_smuggle_in_another() {
    let mut out = Vec::new();
    for (topic, id, text) in [
        ("t\nPUB u x", None, "hi"),
        ("t x", None, "hi"),
        ("", None, "hi"),
        ("t", Some("m\nPUB u x"), "hi"),
        ("t", Some("m x"), "hi"),
        ("t", Some(""), "hi"),
        ("t", None, "hi\nPUB u x"),
        ("t", None, "--id m hi"),
        ("t", None, " \n "),
        ("t", None, ""),
    ] {
        assert!(
            Command::Pub { topic, id, text }.write(&mut out).is_err(),
            "{topic:?} {id:?} {text:?}"
        );
    }
    let subscribe = |pattern| Command::Subscribe(SubscribeCommand::new(pattern, SubscribeStart::New));
    assert!(subscribe("t --from 5").write(&mut out).is_err());
    assert_eq!(out, b"");
    Command::Pub {
        topic: "t",
        id: Some("m"),
        text: "--id x hi",
    }
    .write(&mut out)
    .expect("can be said");
    assert_eq!(out, b"PUB t --id m --id x hi\n");
}
