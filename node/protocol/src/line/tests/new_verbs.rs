//! The verbs that are not of old.

use std::time::Duration;

use super::{answers, parse};
use crate::{group_op::MAX_GROUP_BYTES, line::*};

fn read(topic: &str, start: ReadStart) -> ReadCommand<'_> {
    ReadCommand::new(topic, start)
}

#[test]
fn a_read_takes_its_options_in_any_order() {
    let local = Consistency::Local;
    let check = |line: &str, expected: ReadCommand<'_>| {
        assert_eq!(parse(line), Ok(Command::Read(expected)), "{line}");
    };
    check("READ t", read("t", ReadStart::Last(50)));
    check(
        "READ t --last 3 --local",
        ReadCommand {
            consistency: local,
            ..read("t", ReadStart::Last(3))
        },
    );
    check(
        "READ t --strong --limit 2 --last 3",
        ReadCommand {
            limit: 2,
            ..read("t", ReadStart::Last(2))
        },
    );
    check("READ t --last 20000", read("t", ReadStart::Last(10_000)));
    check("READ t --from 7", read("t", ReadStart::From(7)));
    check(
        "READ t --limit 5 --local --from 0 --json",
        ReadCommand {
            limit: 5,
            consistency: local,
            json: true,
            ..read("t", ReadStart::From(0))
        },
    );
    check(
        "READ t --since 1795378200.5 --bytes 1000",
        ReadCommand {
            max_bytes: 1_000,
            ..read("t", ReadStart::Since(1_795_378_200_500_000))
        },
    );
    for line in [
        "READ",
        "READ t --last",
        "READ t --last 1 --from 2",
        "READ t --since 1 --from 2",
        "READ t --last 1 --last 2",
        "READ t --strong --local",
        "READ t --json --json",
        "READ t 50",
        "READ t --all",
    ] {
        let usage = "ERR usage: READ <topic> [--last <n> | --from <offset> | --since <time>] [--limit <n>] [--bytes <n>] \
                     [--strong | --local] [--json]";
        answers(line, usage);
    }
    answers("READ t --last x", "ERR n_must_be_int");
    answers("READ t --from -1", "ERR n_must_be_int");
}

#[test]
fn a_time_is_unix_seconds() {
    for (word, us) in [
        ("0", 0),
        ("1", 1_000_000),
        ("-1.5", -1_500_000),
        ("1795378200.123456", 1_795_378_200_123_456),
        ("1.1234567", 1_123_456),
        ("1.", 1_000_000),
    ] {
        assert_eq!(parse_seconds(word), Ok(us), "{word}");
    }
    for word in [
        "",
        "-",
        ".5",
        "1.x",
        "1e3",
        "NaN",
        "+1",
        "2026-11-27",
        "99999999999999999999",
    ] {
        assert!(parse_seconds(word).is_err(), "{word}");
    }
    answers(
        "SUBSCRIBE t --since now",
        "ERR usage: a time is Unix seconds, such as 1795378200.123456",
    );
}

#[test]
fn a_publish_says_how_long_its_message_is() {
    let publish = |line: &str| match parse(line) {
        Ok(Command::Publish(publish)) => format!("{publish:?}"),
        other => panic!("{line}: {other:?}"),
    };
    let plain = PublishCommand {
        topic: "t",
        body_bytes: 5,
        ..PublishCommand::default()
    };
    assert_eq!(publish("PUBLISH t 5"), format!("{plain:?}"));
    let full = PublishCommand {
        id: Some("m-1"),
        headers: vec![
            ("kind".to_owned(), "a b%\u{e9}".to_owned()),
            ("empty".to_owned(), String::new()),
        ],
        expect: Some(7),
        ..plain.clone()
    };
    let line = "PUBLISH t 5 --header kind=a%20b%25%c3%A9 --expect 7 --header empty= --id m-1";
    assert_eq!(publish(line), format!("{full:?}"));
    let mut out = Vec::new();
    Command::Publish(full).write(&mut out).expect("can be said");
    let written = b"PUBLISH t 5 --id m-1 --header kind=a%20b%25%C3%A9 --header empty= --expect 7\n";
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(written));
}

#[test]
fn of_a_wrong_publish_it_is_told_what_to_skip() {
    let skipped = |line: &[u8]| match Command::parse(line) {
        Err(CommandError::Publish(error)) => error.body_bytes,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(line)),
    };
    for line in [
        "PUBLISH t 5 --id",
        "PUBLISH t 5 --id m 1",
        "PUBLISH t 5 --id m --id m",
        "PUBLISH t 5 --header k",
        "PUBLISH t 5 --header =v",
        "PUBLISH t 5 --header k%=v",
        "PUBLISH t 5 --header k=%zz",
        "PUBLISH t 5 --header k=%ff",
        "PUBLISH t 5 --header k=1 --header k=2",
        "PUBLISH t 5 --expect -1",
        "PUBLISH t\u{7} 5",
        "PUBLISH t 5 hello",
    ] {
        assert_eq!(skipped(line.as_bytes()), Some(5), "{line}");
    }
    for line in [
        &b"PUBLISH"[..],
        b"PUBLISH t",
        b"PUBLISH t five",
        b"PUBLISH t -5",
        b"PUBLISH t 99999999999999999999",
        b"PUBLISH \xff 5",
        b"PUBLISH\xc2\xa0\xff 5",
        b" PUBLISH t\xff 5",
    ] {
        assert_eq!(skipped(line), None, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn headers_have_bounds() {
    let header = |key: String, value: &str| (key, value.to_owned());
    let many: Vec<_> = (0..33).map(|n| header(format!("k{n}"), "v")).collect();
    assert!(check_headers(&many[..32]).is_ok() && check_headers(&many).is_err());
    assert!(check_headers(&[header("k".to_owned(), &"v".repeat(8_191))]).is_ok());
    assert!(check_headers(&[header("k".to_owned(), &"v".repeat(8_192))]).is_err());
    assert!(check_headers(&[header("k".repeat(64), "")]).is_ok());
    assert!(check_headers(&[header("k".repeat(65), "")]).is_err());
}

#[test]
fn a_subscription_begins_anywhere() {
    use SubscribeStart::{After, Beginning, From, New, Since};
    for (line, start) in [
        ("SUBSCRIBE t", New),
        ("SUBSCRIBE t --start", Beginning),
        ("SUBSCRIBE t --from 9", From(9)),
        ("SUBSCRIBE t --since 1.5", Since(1_500_000)),
        ("SUBSCRIBE t --after 40", After(40)),
    ] {
        let expected = SubscribeCommand::new("t", start);
        assert_eq!(parse(line), Ok(Command::Subscribe(expected)), "{line}");
    }
    let ordered = SubscribeCommand {
        order: Some(Duration::from_millis(250)),
        ..SubscribeCommand::new("t.>", Beginning)
    };
    assert_eq!(
        parse("SUBSCRIBE t.> --order 250 --start"),
        Ok(Command::Subscribe(ordered))
    );
    let member = SubscribeCommand {
        group: Some(Membership {
            group: "g",
            ack_timeout: Some(Duration::from_secs(1)),
            max_deliveries: None,
            max_in_flight: Some(8),
            limit: Some(3),
        }),
        ..SubscribeCommand::new("t", New)
    };
    assert_eq!(
        parse("SUBSCRIBE t --group g --ack-timeout 1000 --max-in-flight 8 --limit 3"),
        Ok(Command::Subscribe(member))
    );
}

#[test]
fn a_subscription_that_makes_no_sense_is_told_why() {
    for line in [
        "SUBSCRIBE",
        "SUBSCRIBE t 9",
        "SUBSCRIBE t --from",
        "SUBSCRIBE t --from 9 10",
        "SUBSCRIBE t --start --from 1",
    ] {
        let usage = "ERR usage: SUBSCRIBE <topic> [--from <offset> | --start | --since <time> | --after <logical_time>] \
                     [--order <ms>] [--group <group> [--ack-timeout <ms>] [--max-deliveries <n>] [--max-in-flight <n>] [--limit <n>]]";
        answers(line, usage);
    }
    answers("SUBSCRIBE t --from x", "ERR n_must_be_int");
    for (line, part) in [
        ("SUBSCRIBE a.>.b", "> is the last part"),
        ("SUBSCRIBE t.* --from 1", "--from and --group are for one topic"),
        ("SUBSCRIBE t.* --group g", "--from and --group are for one topic"),
        ("SUBSCRIBE t --order 0", "--order is 1 to 60000"),
        ("SUBSCRIBE t --order 60001", "--order is 1 to 60000"),
        ("SUBSCRIBE t --group g --order 5", "a --group has no --order"),
        ("SUBSCRIBE t --group g --after 5", "a --group has no --order"),
        ("SUBSCRIBE t --ack-timeout 500", "are for a --group"),
        ("SUBSCRIBE t --group g --ack-timeout 5", "100 to 86400000"),
        ("SUBSCRIBE t --group g --max-deliveries 0", "1 to 1000000"),
        ("SUBSCRIBE t --group g --max-in-flight 1025", "1 to 1024"),
        (
            "SUBSCRIBE t --group g --limit 0",
            "--limit is a number of records from 1 up",
        ),
        ("SUBSCRIBE t --limit 1", "--group"),
    ] {
        let error = parse(line).expect_err(line).to_string();
        assert!(
            error.starts_with("ERR usage: ") && error.contains(part),
            "{line}: {error}"
        );
    }
    let long = "g".repeat(MAX_GROUP_BYTES + 1);
    assert!(parse(&format!("SUBSCRIBE t --group {long}")).is_err());
}

#[test]
fn the_verbs_of_groups_and_lists_take_just_what_they_need() {
    let (topic, group) = ("t", "g");
    let check = |line: &str, expected: Command<'_>| assert_eq!(parse(line), Ok(expected), "{line}");
    check("UNSUB t.*", Command::Unsub { pattern: "t.*" });
    let ack = |first, last| Command::Ack {
        topic,
        group,
        first,
        last,
    };
    check("ACK t g 7", ack(7, 7));
    check("ACK t g 7 --through 9", ack(7, 9));
    check(
        "NACK t g 7",
        Command::Nack {
            topic,
            group,
            offset: 7,
        },
    );
    let topics = |pattern, after, limit| Command::Topics {
        pattern,
        after,
        limit,
    };
    check("TOPICS", topics(None, None, 1_000));
    check(
        "TOPICS a.* --after a.b --limit 5",
        topics(Some("a.*"), Some("a.b"), 5),
    );
    check("GROUPS", Command::Groups { pattern: None });
    check("GROUPS t", Command::Groups { pattern: Some("t") });
    check("GROUP t g --delete", Command::DeleteGroup { topic, group });
    let seek = Command::SeekGroup {
        topic,
        group,
        next_offset: 3,
    };
    check("GROUP t g --seek 3", seek);
    for line in [
        "UNSUB",
        "UNSUB a b",
        "ACK t g",
        "ACK t g 9 --through 7",
        "NACK t g",
        "NACK t g 1 2",
        "TOPICS a b",
        "TOPICS --all",
        "TOPICS --limit 0",
        "GROUPS a b",
        "GROUP t g",
        "GROUP t g --seek",
        "GROUP t g --delete now",
    ] {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.starts_with("ERR usage: "), "{line}: {error}");
    }
}

/// Who gets an empty page takes it for the end of the list.
#[test]
fn no_page_of_topics_is_asked_for_that_can_have_none() {
    let none = Command::Topics {
        pattern: None,
        after: None,
        limit: 0,
    };
    let said = "ERR usage: --limit is a number of topics from 1 up";
    assert_eq!(
        none.write(&mut Vec::new()).expect_err("nothing").to_string(),
        said
    );
    assert_eq!(parse("TOPICS --limit 0").expect_err("nothing").to_string(), said);
}

#[test]
fn what_a_line_cannot_say_is_refused_in_words_before_it_is_said() {
    let refused = |command: Command<'_>| command.write(&mut Vec::new()).expect_err("refused").to_string();
    let backwards = Command::Ack {
        topic: "t",
        group: "g",
        first: 9,
        last: 7,
    };
    assert_eq!(
        refused(backwards),
        "ERR usage: --through is the last of several offsets, and not before the first"
    );
    let option = Command::Topics {
        pattern: Some("--limit"),
        after: None,
        limit: 1,
    };
    assert_eq!(
        refused(option),
        "ERR usage: a pattern of a list does not begin with --"
    );
}
