//! The lines a node writes.

use crate::line::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a list of every answer")]
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
        (Reply::Duplicate { id, offset: None }, "OK duplicate m-1\n"),
        (Reply::Duplicate { id, offset: Some(7) }, "OK duplicate m-1 7\n"),
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
                next_offset: 8,
            },
            "OK read_end 7 1 strong 8\n",
        ),
        (
            Reply::ReadEnd {
                high_watermark: 0,
                log_start_offset: 1,
                consistency: Consistency::Local,
                next_offset: 1,
            },
            "OK read_end 0 1 local 1\n",
        ),
        (
            Reply::SubscribedAfter {
                pattern: "t.>",
                logical_time: 40,
            },
            "OK subscribed t.> after 40\n",
        ),
        (
            Reply::Joined {
                topic: "t",
                group: "g",
            },
            "OK subscribed t group g\n",
        ),
        (Reply::Unsubscribed { pattern: "t.*" }, "OK unsubscribed t.*\n"),
        (Reply::NotSubscribed { pattern: "t" }, "ERR not_subscribed t\n"),
        (
            Reply::Lag {
                pattern: "t",
                records: 5000,
            },
            "LAG t 5000\n",
        ),
        (
            Reply::Ended {
                pattern: "t",
                reason: Ended::OffsetOutOfRange { start: 5, end: 9 },
            },
            "ENDED t offset_out_of_range 5 9\n",
        ),
        (
            Reply::Ended {
                pattern: "t",
                reason: Ended::NotLeader,
            },
            "ENDED t not_leader\n",
        ),
        (
            Reply::Ended {
                pattern: "t",
                reason: Ended::NoSuchGroup,
            },
            "ENDED t no_group\n",
        ),
        (
            Reply::Skipped {
                topic: "t",
                group: "g",
                first: 3,
                last: 9,
            },
            "SKIPPED t g 3 9\n",
        ),
        (Reply::TopicsEnd { count: 2 }, "OK topics_end 2\n"),
        (Reply::GroupsEnd { count: 0 }, "OK groups_end 0\n"),
        (
            Reply::Acked {
                topic: "t",
                group: "g",
                offset: 7,
            },
            "OK acked t g 7\n",
        ),
        (
            Reply::Nacked {
                topic: "t",
                group: "g",
                offset: 7,
            },
            "OK nacked t g 7\n",
        ),
        (
            Reply::GroupDeleted {
                topic: "t",
                group: "g",
            },
            "OK group_deleted t g\n",
        ),
        (
            Reply::GroupMoved {
                topic: "t",
                group: "g",
                next_offset: 3,
            },
            "OK group_moved t g 3\n",
        ),
        (Reply::IdExpired { id }, "ERR id_expired m-1\n"),
        (Reply::OffsetMismatch { end: 7 }, "ERR offset_mismatch 7\n"),
        (Reply::TooManyTopics { max: 10 }, "ERR too_many_topics 10\n"),
        (Reply::TooManyGroups { max: 10 }, "ERR too_many_groups 10\n"),
        (
            Reply::NoSuchGroup {
                topic: "t",
                group: "g",
            },
            "ERR no_group t g\n",
        ),
        (Reply::NotDelivered { offset: 7 }, "ERR not_delivered 7\n"),
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

pub(super) fn view(body: &[u8], binary_safe: bool) -> RecordView<'_> {
    RecordView {
        topic: "dm:a:b",
        id: "m-1",
        offset: 7,
        ts_us: 1_729_459_200_123_456,
        corrected_us: 1_729_459_200_000_001,
        bound_us: None,
        logical_time: 40,
        node: "n2",
        log_index: 12,
        headers: &[],
        body,
        binary_safe,
    }
}

pub(super) fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
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
    let expected = r#"RECORD {"topic":"dm:a:b","id":"m-1","offset":7,"ts":1729459200.123456,"corrected_ts":1.500000,"logical_time":40,"clock_type":"logical","node":"n2","log_index":12,"data":"ImFcCv8=","text":"\"a\\\n�"}"#;
    assert_eq!(line, format!("{expected}\n"));
    let record = RecordLine::parse(expected).expect("reads back");
    assert_eq!(
        (record.ts_us, record.corrected_us),
        (1_729_459_200_123_456, 1_500_000)
    );
    assert_eq!(record.text, "\"a\\\n\u{fffd}");
    assert_eq!(record.body().expect("base64"), b"\"a\\\n\xff");
    assert!(RecordLine::parse(&expected.replace("\"node\"", "\"later\":[1],\"node\"")).is_ok());
    assert!(RecordLine::parse("MSG t").is_err());
    assert!(RecordLine::parse("RECORD {}").is_err());
}

#[test]
fn a_record_line_says_what_there_is_to_say() {
    let headers = [
        ("a".to_owned(), "x \"y\"".to_owned()),
        ("b".to_owned(), String::new()),
    ];
    let view = RecordView {
        bound_us: Some(22),
        headers: &headers,
        ..view(b"hi", true)
    };
    let how = HandedOut {
        group: Some(("g", 2)),
        late: true,
    };
    let line = written(|out| view.write_record_with(how, out));
    let more = r#","bound":0.000022,"headers":{"a":"x \"y\"","b":""},"group":"g","delivery":2,"late":true,"text":"hi"}"#;
    assert!(line.trim_end().ends_with(more), "{line}");
    let record = RecordLine::parse(line.trim_end()).expect("reads back");
    assert_eq!((record.bound_us, record.late), (Some(22), true));
    assert_eq!((record.group.as_deref(), record.delivery), (Some("g"), Some(2)));
    assert_eq!(record.headers.into_iter().collect::<Vec<_>>(), headers);
    let json = written(|out| view.write_json(out));
    assert!(
        json.starts_with("{\"topic\":") && json.ends_with("\"text\":\"hi\"}\n"),
        "{json}"
    );
}

#[test]
fn the_longest_lines_are_within_their_bound() {
    let word = "\u{1}".repeat(256);
    let most = |byte: u8, body_end: u8| {
        let mut body = vec![byte; crate::record::MAX_BODY_BYTES];
        body[0] = body_end;
        let headers: Vec<_> = (0..31)
            .map(|at| (format!("{at:064}"), "\u{1}".repeat(8_192 / 31 - 64)))
            .collect();
        let view = RecordView {
            topic: &word[..249],
            id: &word,
            node: "a-node-with-a-name-of-32-letters",
            offset: u64::MAX,
            ts_us: i64::MIN,
            corrected_us: i64::MIN,
            bound_us: Some(u64::MAX),
            logical_time: u64::MAX,
            log_index: u64::MAX,
            headers: &headers,
            body: &body,
            binary_safe: true,
        };
        let how = HandedOut {
            group: Some((&word[..64], u32::MAX)),
            late: true,
        };
        let (record, fields) = (
            written(|out| view.write_record_with(how, out)),
            written(|out| view.write_msg(out)),
        );
        record.len().max(fields.len())
    };
    for longest in [most(0, 0xff), most(1, 1), most(0xff, 0xff), most(b'\\', b'\\')] {
        assert!(longest <= MAX_ANSWER_LINE_BYTES, "{longest}");
    }
}
