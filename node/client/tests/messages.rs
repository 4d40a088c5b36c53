//! `wiber pub`, `sub` and `history` against real nodes.

mod cluster;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use cluster::{Cluster, Running, told};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

fn publish_lines(cluster: &Cluster, words: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = cluster
        .command(&[&["pub"], words].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input)
        .expect("it reads");
    told(&child.wait_with_output().expect("it ends"))
}

fn numbered(count: u32) -> String {
    (1..=count).fold(String::new(), |text, number| text + &format!("line {number}\n"))
}

#[test]
fn a_message_is_published_once_under_its_id_and_read_back() {
    let cluster = Cluster::start(1);
    assert_eq!(
        cluster.says(&["history", "lobby"]),
        "",
        "a topic that is not there is empty"
    );
    let said = cluster.says(&["pub", "lobby", "hello", "there", "--id", "m-1"]);
    assert!(said.starts_with("published m-1 offset 1 lamport "), "{said}");
    let again = cluster.says(&["pub", "lobby", "hello there", "--id", "m-1"]);
    assert_eq!(again, "duplicate m-1\n");
    let (code, out, complaint) = told(&cluster.wiber(&["pub", "lobby", "else", "--id", "m-1"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(complaint.contains("id_conflict m-1"), "{complaint}");
    assert_eq!(
        cluster.says(&["history", "lobby", "-f", "%t %o %k %s\\n"]),
        "lobby 1 m-1 hello there\n"
    );
    let json: Value =
        serde_json::from_str(&cluster.says(&["history", "lobby", "--json", "--local"])).expect("JSON");
    assert_eq!(
        (&json["id"], &json["text"]),
        (&"m-1".into(), &"hello there".into())
    );
    let readable = cluster.says(&["history", "lobby"]);
    assert!(
        readable.starts_with("     1  20") && readable.ends_with("  hello there\n"),
        "{readable}"
    );
}

#[test]
fn a_message_of_any_bytes_has_headers_and_is_stored_only_where_it_is_expected() {
    let cluster = Cluster::start(1);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let words = [
        "t",
        "--whole",
        "--header",
        "kind=a b%",
        "-H",
        "n=1",
        "--expect",
        "0",
        "--id",
        "w",
    ];
    let (code, out, complaint) = publish_lines(&cluster, &words, &bytes);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(out.starts_with("published w offset 1 lamport "), "{out}");
    let (code, out, _) = publish_lines(&cluster, &words, &bytes);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "duplicate w offset 1\n"),
        "ids come first"
    );
    let read = cluster.says(&["history", "t", "--json"]);
    let record: wiber_client::RecordLine = serde_json::from_str(&read).expect("a record");
    assert_eq!(record.body().expect("base64"), bytes);
    let piped = cluster.wiber(&["history", "t", "-f", "%s"]);
    assert_eq!(piped.stdout, bytes);
    let header = |key: &str| record.headers.get(key).map(String::as_str);
    assert_eq!((header("kind"), header("n")), (Some("a b%"), Some("1")));
    let (code, _, complaint) = told(&cluster.wiber(&["pub", "t", "hi", "--expect", "0"]));
    assert_eq!(code, Some(1));
    assert_eq!(
        complaint,
        "wiber: offset_mismatch: the topic's newest offset is 1\n"
    );
    let (code, ..) = publish_lines(&cluster, &["t", "--header", "line=yes"], b"a\nb\n");
    assert_eq!(code, Some(0));
    assert_eq!(
        cluster.says(&["history", "t", "-n", "2", "-f", "%o %h %s\\n"]),
        "2 line=yes a\n3 line=yes b\n"
    );
    let readable = cluster.says(&["history", "t", "-n", "1", "--headers"]);
    assert!(readable.ends_with("  line=yes  b\n"), "{readable}");
    let (code, _, complaint) = publish_lines(&cluster, &["t", "--whole"], &vec![0; (1 << 20) + 1]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("too_large"), "{complaint}");
}

#[test]
fn lines_that_can_be_no_message_are_named_and_the_others_stored() {
    let cluster = Cluster::start(1);
    let (code, out, complaint) = publish_lines(&cluster, &["t"], b"a\n\n\n\xff\nb");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        complaint,
        "\
wiber: lines 2 to 3: a message is not empty
wiber: line 4: a message is UTF-8 text
wiber: 3 lines failed, 2 stored
"
    );
    assert_eq!(cluster.says(&["history", "t", "-f", "%o %s\\n"]), "1 a\n2 b\n");
    let (code, out, _) = publish_lines(&cluster, &["t", "-", "--json"], b"c\n\nd\n");
    assert_eq!(code, Some(1));
    let states: Vec<(u64, String)> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|said| {
            (
                said["line"].as_u64().expect("a number"),
                said["state"].as_str().expect("a state").to_owned(),
            )
        })
        .collect();
    let state = |number, state: &str| (number, state.to_owned());
    assert_eq!(
        states,
        [state(1, "published"), state(2, "failed"), state(3, "published")]
    );
}

#[test]
fn a_file_is_published_line_by_line_and_read_by_position() {
    let cluster = Cluster::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lines");
    std::fs::write(&file, numbered(1000)).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let said = cluster.says(&["pub", "t", "--file", file, "-v"]);
    assert_eq!(said.lines().count(), 1000);
    assert!(said.lines().all(|line| line.starts_with("published ")));
    let text = ["-f", "%s\\n"];
    let check = |words: &[&str], expected: &str| {
        assert_eq!(cluster.says(&[words, &text].concat()), expected, "{words:?}");
    };
    check(&["history", "t", "-n", "2"], "line 999\nline 1000\n");
    check(&["history", "t", "-n", "100000"], &numbered(1000));
    check(&["sub", "t", "--from-start", "--count", "2"], "line 1\nline 2\n");
    check(&["sub", "t", "--offset", "998", "--count", "1"], "line 998\n");
    check(
        &["sub", "t", "--last", "2", "--count", "2"],
        "line 999\nline 1000\n",
    );
}

#[test]
fn a_subscription_begins_now_and_ends_with_code_0_at_an_interrupt_or_a_closed_pipe() {
    let cluster = Cluster::start(1);
    cluster.says(&["pub", "t", "before"]);
    let subscribe = |words: &[&str]| {
        let mut running = Running::start(
            cluster
                .command(&[&["sub", "t", "-f", "%s\\n"], words].concat())
                .stdout(Stdio::piped()),
        );
        let lines = BufReader::new(running.child.stdout.take().expect("piped"));
        (running, lines)
    };
    let (running, mut lines) = subscribe(&[]);
    let mut line = String::new();
    // What is published before it is connected is not for it.
    let first = std::thread::scope(|scope| {
        let heard = scope.spawn(|| lines.read_line(&mut line));
        while !heard.is_finished() {
            cluster.says(&["pub", "t", "after"]);
        }
        heard.join().expect("no panic")
    });
    assert_eq!((first.expect("a line"), line.as_str()), (6, "after\n"));
    running.interrupt();
    assert_eq!(running.code(), Some(0));

    let (running, mut lines) = subscribe(&["--from-start"]);
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert_eq!(line, "before\n");
    drop(lines);
    cluster.says(&["pub", "t", "nobody reads this"]);
    assert_eq!(running.code(), Some(0));
}

#[test]
fn a_subscription_goes_on_without_a_gap_when_its_node_comes_back() {
    let mut cluster = Cluster::start(1);
    let mut running = Running::start(
        cluster
            .command(&["sub", "t", "--from-start", "--count", "3", "-f", "%s\\n"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut lines = BufReader::new(running.child.stdout.take().expect("piped")).lines();
    let mut remarks = BufReader::new(running.child.stderr.take().expect("piped")).lines();
    let mut hear = || lines.next().expect("it goes on").expect("UTF-8");
    cluster.says(&["pub", "t", "1"]);
    assert_eq!(hear(), "1");
    cluster.kill(0);
    let mut remark = || remarks.next().expect("it goes on").expect("UTF-8");
    assert!(remark().starts_with("wiber: n1: "));
    cluster.start_node(0);
    let (code, _, complaint) = publish_lines(&cluster, &["t"], b"2\n3\n");
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert_eq!((hear(), hear()), ("2".to_owned(), "3".to_owned()));
    assert_eq!(remark(), "wiber: goes on at offset 2 from n1");
    assert_eq!(running.code(), Some(0));
}

#[test]
fn without_a_majority_a_message_fails_in_time_and_says_what_is_known() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    for other in (0..3).filter(|at| *at != leader) {
        cluster.kill(other);
    }
    let begun = Instant::now();
    let (code, out, complaint) = told(&cluster.wiber(&["pub", "t", "hi", "--id", "m-1", "--timeout", "1s"]));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(complaint.lines().count(), 1);
    assert!(
        complaint.contains("it is not known whether") && complaint.contains("with --id m-1"),
        "{complaint}"
    );
    let (code, _, complaint) = publish_lines(&cluster, &["t", "--timeout", "500ms"], b"a\nb\n");
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with("wiber: line") && complaint.ends_with("0 stored, nothing sent after line 2\n"),
        "{complaint}"
    );
    cluster.kill(leader);
    let (code, _, complaint) = told(&cluster.wiber(&["pub", "t", "hi", "--timeout", "300ms"]));
    assert_eq!(code, Some(1));
    assert!(
        complaint.contains("no node could take the message"),
        "{complaint}"
    );
    let (code, _, complaint) = told(&cluster.wiber(&["history", "t"]));
    assert_eq!(code, Some(1));
    assert!(complaint.contains("no node could answer the read"), "{complaint}");
}

/// The leader is killed and started again, again and again, while lines go in and out.
#[test]
fn ten_thousand_lines_survive_the_leaders_in_order_once_each_and_a_subscription_misses_none() {
    const LINES: u32 = 10_000;
    let mut cluster = Cluster::start(3);
    let mut subscriber = Running::start(
        cluster
            .command(&["sub", "t", "--from-start", "--count", "10000", "-f", "%o %s\\n"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut heard = subscriber.child.stdout.take().expect("piped");
    let heard = std::thread::spawn(move || {
        let mut text = String::new();
        heard.read_to_string(&mut text).expect("UTF-8");
        text
    });
    let mut publisher = Running::start(
        cluster
            .command(&["pub", "t", "--timeout", "30s"])
            .stdin(Stdio::piped()),
    );
    let mut input = publisher.child.stdin.take().expect("piped");
    for part in 0..10 {
        for number in part * LINES / 10 + 1..=(part + 1) * LINES / 10 {
            writeln!(input, "line {number}").expect("it reads");
        }
        if part % 3 == 1 {
            let leader = cluster.leader();
            cluster.kill(leader);
            cluster.start_node(leader);
        }
    }
    drop(input);
    assert_eq!(publisher.code(), Some(0));
    assert_eq!(
        cluster.says(&["history", "t", "-n", "100000", "-f", "%s\\n"]),
        numbered(LINES)
    );
    assert_eq!(subscriber.code(), Some(0));
    let heard = heard.join().expect("no panic");
    for (line, number) in heard.lines().zip(1..) {
        assert_eq!(line, format!("{number} line {number}"));
    }
    assert_eq!(heard.lines().count(), 10_000);
}

/// What the command shows on a terminal that is its stdout and stderr; `look` sees all of it after each part.
fn on_terminal(command: &mut Command, look: impl Fn(&str) + Send + 'static) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("its other end");
    unlockpt(&terminal).expect("its other end");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let open = || {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().expect("UTF-8"));
        file.expect("it opens")
    };
    let reader = std::thread::spawn(move || {
        let mut file = std::fs::File::from(terminal);
        let (mut seen, mut part) = (Vec::new(), [0; 4096]);
        // Its end is an end of file on some systems and an error on others.
        while let Ok(count @ 1..) = file.read(&mut part) {
            seen.extend_from_slice(&part[..count]);
            look(&String::from_utf8_lossy(&seen));
        }
        String::from_utf8(seen).expect("UTF-8")
    });
    let running = Running::start(command.env("TERM", "xterm").stdout(open()).stderr(open()));
    // The command's own ends, which else would keep the terminal open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(running.code(), Some(0));
    reader.join().expect("no panic")
}

#[test]
fn on_a_terminal_there_are_colours_and_a_message_is_no_command_to_it() {
    let cluster = Cluster::start(1);
    let (code, ..) = publish_lines(&cluster, &["t"], b"it\x1b[2J is\n");
    assert_eq!(code, Some(0));
    let mut history = cluster.command(&["history", "t"]);
    let seen = on_terminal(history.env_remove("NO_COLOR"), |_| ());
    assert!(
        seen.starts_with("\x1b[2m     1  ") && seen.ends_with("\x1b[0m  it[2J is\r\n"),
        "{seen:?}"
    );
    let seen = on_terminal(history.env("NO_COLOR", "1"), |_| ());
    assert!(
        !seen.contains('\x1b') && seen.ends_with("  it[2J is\r\n"),
        "{seen:?}"
    );
    assert_eq!(
        cluster.says(&["history", "t", "-f", "%s"]),
        "it\x1b[2J is",
        "a pipe gets every byte"
    );
}

#[test]
fn on_a_terminal_a_long_input_is_counted_and_nothing_of_it_stays() {
    let cluster = Cluster::start(1);
    let (input, mut writer) = std::io::pipe().expect("a pipe");
    let (tell_counted, counted) = mpsc::channel();
    let feeder = std::thread::spawn(move || {
        // A counter is drawn only after a while.
        while counted.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
            writer.write_all(numbered(10).as_bytes()).expect("it reads");
        }
    });
    let seen = on_terminal(cluster.command(&["pub", "t"]).stdin(input), move |seen| {
        if seen.contains("0 published, ") {
            let _ = tell_counted.send(());
        }
    });
    feeder.join().expect("no panic");
    assert!(
        seen.starts_with("\r\x1b[K") && seen.ends_with("\r\x1b[K"),
        "{seen:?}"
    );
}

#[test]
fn patterns_and_moments_are_followed_and_read() {
    let cluster = Cluster::start(1);
    for topic in ["orders.eu", "orders.us", "lobby"] {
        cluster.says(&["pub", topic, &format!("to {topic}")]);
    }
    let shown = cluster.says(&["sub", "orders.*", "--from-start", "-c", "2", "-f", "%t %o %s\\n"]);
    assert_eq!(shown, "orders.eu 1 to orders.eu\norders.us 1 to orders.us\n");
    let ordered = [
        "sub",
        ">",
        "--from-start",
        "--order",
        "100ms",
        "-c",
        "3",
        "-f",
        "%s\\n",
    ];
    assert_eq!(cluster.says(&ordered).lines().count(), 3);
    let readable = cluster.says(&["sub", ">", "--since", "10m", "--count", "3"]);
    assert!(readable.ends_with("  lobby  to lobby\n"), "{readable}");
    let time = cluster.says(&["history", "orders.us", "-f", "%C"]);
    let text = ["-f", "%s\\n"];
    let history = |words: &[&str]| cluster.says(&[&["history", "orders.us"], words, &text].concat());
    assert_eq!(history(&["--since", &time]), "to orders.us\n");
    assert_eq!(history(&["--since", "1h"]), "to orders.us\n");
    assert_eq!(history(&["--since", "2100-01-01T00:00:00Z"]), "");
    cluster.says(&["pub", "orders.us", "more"]);
    assert_eq!(history(&["--offset", "1", "-n", "1"]), "to orders.us\n");
    assert_eq!(history(&["--offset", "2"]), "more\n");
}

#[test]
fn a_member_of_a_group_acknowledges_what_it_has_shown() {
    let cluster = Cluster::start(3);
    let (code, ..) = publish_lines(&cluster, &["t"], numbered(10).as_bytes());
    assert_eq!(code, Some(0));
    let member = ["sub", "t", "--group", "g", "--from-start", "-f", "%o %d\\n"];
    let show = |words: &[&str]| cluster.says(&[&member, words].concat());
    assert_eq!(show(&["--no-ack", "-c", "2"]), "1 1\n2 1\n");
    assert_eq!(show(&["-c", "3", "--ack-timeout", "5s"]), "1 2\n2 2\n3 1\n");
    let group = || -> Value {
        let said: Value = serde_json::from_str(&cluster.says(&["groups", "--json"])).expect("JSON");
        assert_eq!(said["group_count"], 1);
        said["groups"][0].clone()
    };
    let told = group();
    assert_eq!((&told["next_offset"], &told["lag"]), (&4.into(), &7.into()));
    assert_eq!(told["ack_timeout_ms"], 5000);
    assert!(cluster.says(&["groups", "t"]).contains("\nt      g "));
    assert_eq!(
        cluster.says(&["groups", "seek", "t", "g", "10"]),
        "moved g of t to offset 10\n"
    );
    assert_eq!(show(&["-c", "1"]), "10 1\n");
    assert_eq!(group()["lag"], 0);
    assert_eq!(cluster.says(&["groups", "delete", "t", "g"]), "deleted g of t\n");
    assert_eq!(cluster.says(&["groups"]), "no groups\n");
    let (code, _, complaint) = told_of(&cluster, &["groups", "delete", "t", "g"]);
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "wiber: there is no such group\n");
}

fn told_of(cluster: &Cluster, words: &[&str]) -> (Option<i32>, String, String) {
    told(&cluster.wiber(words))
}

#[test]
fn a_request_is_answered_by_a_command_that_reads_it() {
    let cluster = Cluster::start(1);
    let mut reply = cluster.command(&["reply", "shout", "--command", "tr a-z A-Z"]);
    let running = Running::start(&mut reply);
    cluster::wait_for("somebody answers", cluster::PATIENCE, || {
        let said: Value = serde_json::from_str(&cluster.says(&["groups", "--json"])).ok()?;
        (said["groups"][0]["members"] == 1).then_some(())
    });
    assert_eq!(
        cluster.says(&["request", "shout", "hello", "there"]),
        "HELLO THERE\n"
    );
    let json = cluster.says(&["request", "shout", "again", "--json"]);
    let record: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(record["text"], "AGAIN");
    running.interrupt();
    assert_eq!(running.code(), Some(0));
    let (code, out, complaint) = told_of(&cluster, &["request", "shout", "hello", "--timeout", "300ms"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(complaint, "wiber: no reply came in time\n");
}

#[test]
fn a_mistake_is_refused_with_code_2_and_one_line() {
    for words in [
        &["pub"][..],
        &["pub", "two words", "hi"],
        &["pub", "t", "", "--addr", "127.0.0.1:1"],
        &["pub", "t", "hi", "--config", "no/such.yaml"],
        &["pub", "t", "--id", "m-1", "--addr", "127.0.0.1:1"],
        &["pub", "t", "hi", "--header", "no", "--addr", "127.0.0.1:1"],
        &["sub", "t.*", "--offset", "3", "--addr", "127.0.0.1:1"],
        &["sub", "t", "--since", "soon"],
        &["sub", "t.*", "--group", "g", "--addr", "127.0.0.1:1"],
        &["sub", "t", "--no-ack"],
        &["sub", "t", "--order", "2h"],
        &["groups", "seek", "t", "g"],
        &["request", "t"],
        &["reply", "t"],
        &["sub", "t", "--from-start", "--last", "3"],
        &["sub", "t", "-f", "%x", "--addr", "127.0.0.1:1"],
        &["history", "t", "-n", "many"],
        &["history", "t", "--json", "-f", "%s"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_wiber")).args(words).output();
        let (code, out, complaint) = told(&output.expect("the command runs"));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            complaint.starts_with("wiber: ") && complaint.lines().count() == 1,
            "{words:?}: {complaint}"
        );
    }
}
