//! `wiber sub`, alone, by patterns and as a member of a group, and `wiber request` and `reply`, against real nodes.

mod cluster;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use cluster::{Cluster, Running, numbered};
use serde_json::Value;

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
    let (code, _, complaint) = cluster.publish_lines(&["t"], b"2\n3\n");
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert_eq!((hear(), hear()), ("2".to_owned(), "3".to_owned()));
    assert_eq!(remark(), "wiber: goes on at offset 2 from n1");
    assert_eq!(running.code(), Some(0));
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
    let (code, ..) = cluster.publish_lines(&["t"], numbered(10).as_bytes());
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
    for (asked, there) in [("999999", "11"), ("0", "1"), ("10", "10")] {
        assert_eq!(
            cluster.says(&["groups", "seek", "t", "g", asked]),
            format!("moved g of t to offset {there}\n")
        );
    }
    assert_eq!(show(&["-c", "1"]), "10 1\n");
    assert_eq!(group()["lag"], 0);
    assert_eq!(cluster.says(&["groups", "delete", "t", "g"]), "deleted g of t\n");
    assert_eq!(cluster.says(&["groups"]), "no groups\n");
    let (code, _, complaint) = cluster.tells(&["groups", "delete", "t", "g"]);
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "wiber: there is no such group\n");
}

/// What was lost: a record that was handed out to who had seen enough, and was put aside though nobody saw it.
#[test]
fn who_wants_some_records_of_a_group_uses_up_no_delivery_of_another() {
    let cluster = Cluster::start(3);
    let (code, ..) = cluster.publish_lines(&["t"], numbered(12).as_bytes());
    assert_eq!(code, Some(0));
    let mut shown = String::new();
    for count in ["1", "2", "1", "5", "3"] {
        shown += &cluster.says(&[
            "sub",
            "t",
            "--group",
            "g",
            "--from-start",
            "--max-deliveries",
            "1",
            "-c",
            count,
            "-f",
            "%o %d\\n",
        ]);
    }
    let expected: Vec<String> = (1..=12).map(|offset| format!("{offset} 1")).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
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
    let (code, out, complaint) = cluster.tells(&["request", "shout", "hello", "--timeout", "300ms"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(complaint, "wiber: no reply came in time\n");
}
