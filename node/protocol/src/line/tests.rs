use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::*;
use crate::record::{MAX_BODY_BYTES, MAX_ID_BYTES, MAX_TOPIC_BYTES};

fn parse(line: &str) -> Result<Command<'_>, LineError> {
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

fn read(topic: &str, range: ReadRange, consistency: Consistency) -> Command<'_> {
    Command::Read {
        topic,
        range,
        consistency,
    }
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
fn a_read_takes_its_options_in_any_order() {
    use Consistency::{Local, Strong};
    let last = |count| ReadRange::Last { count };
    let from = |offset, limit| ReadRange::From { offset, limit };
    assert_eq!(parse("READ t"), Ok(read("t", last(50), Strong)));
    assert_eq!(parse("READ t --last 3 --local"), Ok(read("t", last(3), Local)));
    assert_eq!(
        parse("READ t --strong --limit 2 --last 3"),
        Ok(read("t", last(2), Strong))
    );
    assert_eq!(parse("READ t --last 20000"), Ok(read("t", last(10_000), Strong)));
    assert_eq!(parse("READ t --from 7"), Ok(read("t", from(7, 10_000), Strong)));
    assert_eq!(
        parse("READ t --limit 5 --local --from 0"),
        Ok(read("t", from(0, 5), Local))
    );
    for line in [
        "READ",
        "READ t --last",
        "READ t --last 1 --from 2",
        "READ t --last 1 --last 2",
        "READ t --strong --local",
        "READ t 50",
        "READ t --all",
    ] {
        answers(
            line,
            "ERR usage: READ <topic> [--last <n> | --from <offset>] [--limit <n>] [--strong | --local]",
        );
    }
    answers("READ t --last x", "ERR n_must_be_int");
    answers("READ t --from -1", "ERR n_must_be_int");
}

#[test]
fn a_subscribe_takes_a_first_offset() {
    assert_eq!(
        parse("SUBSCRIBE t"),
        Ok(Command::Subscribe {
            topic: "t",
            from: None
        })
    );
    assert_eq!(
        parse("SUBSCRIBE t --from 9"),
        Ok(Command::Subscribe {
            topic: "t",
            from: Some(9)
        })
    );
    for line in [
        "SUBSCRIBE",
        "SUBSCRIBE t 9",
        "SUBSCRIBE t --from",
        "SUBSCRIBE t --from 9 10",
    ] {
        answers(line, "ERR usage: SUBSCRIBE <topic> [--from <offset>]");
    }
    answers("SUBSCRIBE t --from x", "ERR n_must_be_int");
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
        "PUBLISH t 5",
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
    assert!(
        Command::Subscribe {
            topic: "t --from 5",
            from: None
        }
        .write(&mut out)
        .is_err()
    );
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

#[test]
fn answers_have_the_contract_s_bytes() {
    let id = "m-1";
    let cases = [
        (Reply::Pong, "PONG\n"),
        (Reply::Bye, "OK bye\n"),
        (
            Reply::Published {
                id,
                offset: Some(7),
                logical_time: Some(40),
            },
            "OK published m-1 7 40\n",
        ),
        (
            Reply::Published {
                id,
                offset: None,
                logical_time: None,
            },
            "OK published m-1\n",
        ),
        (Reply::Duplicate { id }, "OK duplicate m-1\n"),
        (Reply::Redirected { id }, "OK REDIRECTED m-1\n"),
        (
            Reply::Redirect {
                host: "127.0.0.1",
                port: 9102,
            },
            "REDIRECT 127.0.0.1 9102\n",
        ),
        (
            Reply::Subscribed {
                topic: "dm:a:b",
                next_offset: None,
            },
            "OK subscribed dm:a:b\n",
        ),
        (
            Reply::Subscribed {
                topic: "t",
                next_offset: Some(8),
            },
            "OK subscribed t 8\n",
        ),
        (Reply::HistoryEnd, "OK history_end\n"),
        (
            Reply::ReadEnd {
                high_watermark: 7,
                log_start_offset: 1,
                consistency: Consistency::Strong,
            },
            "OK read_end 7 1 strong\n",
        ),
        (
            Reply::ReadEnd {
                high_watermark: 0,
                log_start_offset: 1,
                consistency: Consistency::Local,
            },
            "OK read_end 0 1 local\n",
        ),
        (Reply::NotLeader, "ERR not_leader\n"),
        (Reply::TimeoutWaitingCommit, "ERR timeout_waiting_commit\n"),
        (Reply::IdConflict { id }, "ERR id_conflict m-1\n"),
        (
            Reply::Unavailable {
                reason: "no read index in 500 ms",
            },
            "ERR unavailable no read index in 500 ms\n",
        ),
        (
            Reply::Refused {
                text: "usage: SUB <topic>",
            },
            "ERR usage: SUB <topic>\n",
        ),
        (Reply::Refused { text: "unknown" }, "ERR unknown\n"),
    ];
    for (reply, line) in cases {
        let mut out = Vec::new();
        reply.write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), line);
        assert_eq!(Reply::parse(line.trim_end()), Some(reply));
    }
    let mut out = Vec::new();
    Reply::Unavailable {
        reason: "disk\r\nfull",
    }
    .write(&mut out);
    assert_eq!(out, b"ERR unavailable disk  full\n");
}

#[test]
fn an_answer_may_carry_more_fields_but_none_of_its_own_may_be_missing() {
    let more = Reply::parse("OK published m-1 7 40 later fields");
    assert_eq!(
        more,
        Some(Reply::Published {
            id: "m-1",
            offset: Some(7),
            logical_time: Some(40)
        })
    );
    for line in [
        "",
        "OK",
        "OK published",
        "OK read_end 5",
        "OK read_end 5 1 maybe",
        "REDIRECT h",
        "MSG t",
        "ok bye",
    ] {
        assert_eq!(Reply::parse(line), None, "{line}");
    }
}

fn view(body: &[u8], binary_safe: bool) -> RecordView<'_> {
    RecordView {
        topic: "dm:a:b",
        id: "m-1",
        offset: 7,
        ts_us: 1_729_459_200_123_456,
        corrected_us: 1_729_459_200_000_001,
        logical_time: 40,
        node: "n2",
        log_index: 12,
        body,
        binary_safe,
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("lines are UTF-8")
}

#[test]
fn records_have_nine_fields() {
    let head = "dm:a:b m-1 7 1729459200.123456 1729459200.000001 40 logical";
    assert_eq!(
        written(|out| view(b"hi  there", false).write_msg(out)),
        format!("MSG {head} hi  there\n")
    );
    assert_eq!(
        written(|out| view(b"hi", false).write_history(out)),
        format!("HISTORY {head} hi\n")
    );
    let nameless = RecordView {
        id: "",
        ..view(b"hi", false)
    };
    assert!(written(|out| nameless.write_msg(out)).starts_with("MSG dm:a:b - 7 "));
}

#[test]
fn only_what_came_binary_safe_is_escaped() {
    let text = |body: &[u8], binary_safe| {
        let line = written(|out| view(body, binary_safe).write_msg(out));
        line.trim_end_matches('\n')
            .splitn(9, ' ')
            .nth(8)
            .expect("nine fields")
            .to_owned()
    };
    assert_eq!(text(br"C:\new", false), r"C:\new");
    assert_eq!(text(b"C:\\new\r\nline", true), r"C:\\new\r\nline");
    assert_eq!(text(b"\xffa\xc3", true), "\u{fffd}a\u{fffd}");
    assert_eq!(text(b"", true), "");
}

#[test]
fn times_are_exact_decimals() {
    for (us, secs) in [
        (0, "0.000000"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (-1_500_000, "-1.500000"),
        (9_007_199_254_740_993, "9007199254.740993"),
        (i64::MAX, "9223372036854.775807"),
        (i64::MIN, "-9223372036854.775808"),
    ] {
        let line = written(|out| {
            let view = RecordView {
                ts_us: us,
                ..view(b"x", false)
            };
            view.write_history(out);
        });
        assert_eq!(line.split(' ').nth(4), Some(secs));
        let line = written(|out| {
            let view = RecordView {
                corrected_us: us,
                ..view(b"x", false)
            };
            view.write_record(out);
        });
        assert!(line.contains(&format!("\"corrected_ts\":{secs},")), "{line}");
    }
}

#[test]
fn a_record_line_is_json_with_six_decimals() {
    let line = written(|out| {
        let view = RecordView {
            corrected_us: 1_500_000,
            ..view(b"\"a\\\n\xff", true)
        };
        view.write_record(out);
    });
    let expected = r#"RECORD {"topic":"dm:a:b","id":"m-1","offset":7,"ts":1729459200.123456,"corrected_ts":1.500000,"logical_time":40,"clock_type":"logical","node":"n2","log_index":12,"text":"\"a\\\n�"}"#;
    assert_eq!(line, format!("{expected}\n"));
    let record = RecordLine::parse(expected).expect("reads back");
    assert_eq!(
        (record.ts_us, record.corrected_us),
        (1_729_459_200_123_456, 1_500_000)
    );
    assert_eq!(record.text, "\"a\\\n\u{fffd}");
    assert!(RecordLine::parse(&expected.replace("\"node\"", "\"later\":[1],\"node\"")).is_ok());
    assert!(RecordLine::parse("MSG t").is_err());
    assert!(RecordLine::parse("RECORD {}").is_err());
}

fn lines(splitter: &mut LineSplitter, chunk: &[u8], out: &mut Vec<Line>) {
    splitter.buffer().put_slice(chunk);
    out.extend(std::iter::from_fn(|| splitter.next_line()));
}

#[test]
fn lines_end_with_lf_or_crlf_and_have_a_bound() {
    let mut out = Vec::new();
    let mut splitter = LineSplitter::new(4);
    lines(
        &mut splitter,
        b"PING\nab\r\n\n\r\nabc\r\nabcd\r\nabcde\nab\rc\nlast",
        &mut out,
    );
    let text = |text: &'static str| Line::Text(Bytes::from_static(text.as_bytes()));
    let too_long = Line::TooLong;
    let expected = [
        text("PING"),
        text("ab"),
        text(""),
        text(""),
        text("abc"),
        too_long.clone(),
        too_long,
        text("ab\rc"),
    ];
    assert_eq!(out, expected);
}

#[test]
fn an_endless_line_is_told_once_and_takes_no_memory() {
    let mut out = Vec::new();
    let mut splitter = LineSplitter::new(64);
    for _ in 0..1000 {
        lines(&mut splitter, &[b'x'; 100], &mut out);
        assert!(splitter.buffer().len() <= 64);
    }
    lines(&mut splitter, b"end\nPING\n", &mut out);
    assert_eq!(out, [Line::TooLong, Line::Text(Bytes::from_static(b"PING"))]);
}

/// Words that are near to commands, so that parsing gets past the verb.
fn near_command() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("PUB"),
        Just("SUB"),
        Just("HISTORY"),
        Just("READ"),
        Just("SUBSCRIBE"),
        Just("QUIT"),
        Just("ping"),
        Just("--id"),
        Just("--last"),
        Just("--from"),
        Just("--limit"),
        Just("--local"),
        Just("t"),
        Just("m-1"),
        Just("7"),
        Just("-1"),
        Just("\u{a0}"),
        Just("\r"),
        Just("é"),
        Just("\u{0}"),
    ];
    let spaced = (word, prop_oneof![Just(" "), Just("  "), Just("\t"), Just("")]);
    proptest::collection::vec(spaced, 0..8).prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, space)| [word, space])
            .collect()
    })
}

proptest! {
    #[test]
    fn no_line_makes_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Command::parse(&line);
        let _ = looks_like_http(&line);
        let text = String::from_utf8_lossy(&line);
        let _ = Reply::parse(&text);
        let _ = RecordLine::parse(&text);
    }

    #[test]
    fn a_command_that_was_read_is_written_and_read_as_the_same(line in near_command()) {
        if let Ok(command) = parse(&line) {
            let mut out = Vec::new();
            command.write(&mut out).expect("what a line said can be said in a line");
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert_eq!(Command::parse(&out), Ok(command));
        }
    }

    #[test]
    fn what_can_be_written_is_read_back(topic in ".{0,8}", id in proptest::option::of(".{0,8}"), text in ".{0,12}") {
        let command = Command::Pub { topic: &topic, id: id.as_deref(), text: text.trim() };
        let mut out = Vec::new();
        if command.write(&mut out).is_ok() {
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(Command::parse(&out), Ok(command));
        }
    }

    #[test]
    fn a_record_line_reads_back(
        words in ("[^\\s]{1,8}", "[^\\s]{1,8}"),
        numbers: (u64, u64, u64),
        times in (-4_000_000_000_000_000_i64..4_000_000_000_000_000, -4_000_000_000_000_000_i64..4_000_000_000_000_000),
        text in ".{0,20}",
    ) {
        let view = RecordView {
            topic: &words.0,
            id: &words.1,
            offset: numbers.0,
            logical_time: numbers.1,
            log_index: numbers.2,
            ts_us: times.0,
            corrected_us: times.1,
            ..view(text.as_bytes(), true)
        };
        let line = written(|out| view.write_record(out));
        let record = RecordLine::parse(line.trim_end_matches('\n')).expect("reads back");
        prop_assert_eq!((&record.topic, &record.id, &record.text), (&words.0, &words.1, &text));
        prop_assert_eq!((record.offset, record.logical_time, record.log_index), numbers);
        prop_assert_eq!((record.ts_us, record.corrected_us), times);
        let json = serde_json::to_string(&record).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<RecordLine>(&json).expect("reads back"), record);
    }

    #[test]
    fn any_pieces_give_the_same_lines(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x'), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        lines(&mut LineSplitter::new(12), &bytes, &mut whole);
        let (mut splitter, mut rest) = (LineSplitter::new(12), bytes.as_slice());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            lines(&mut splitter, piece, &mut pieces);
            rest = after;
        }
        lines(&mut splitter, rest, &mut pieces);
        prop_assert_eq!(pieces, whole);
    }
}
