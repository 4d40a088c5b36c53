//! What `wiber pub`, `sub` and `history` do and say when nodes are lost.

mod cluster;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Stdio,
    time::{Duration, Instant},
};

use cluster::{Cluster, PATIENCE, Running, numbered, wait_for};
use serde_json::Value;

#[test]
fn without_a_majority_a_message_fails_in_time_and_says_what_is_known() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    for other in (0..3).filter(|at| *at != leader) {
        cluster.kill(other);
    }
    let begun = Instant::now();
    let (code, out, complaint) = cluster.tells(&["pub", "t", "hi", "--id", "m-1", "--timeout", "1s"]);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(complaint.lines().count(), 1);
    assert!(
        complaint.contains("it is not known whether") && complaint.contains("with --id m-1"),
        "{complaint}"
    );
    let (code, _, complaint) = cluster.publish_lines(&["t", "--timeout", "500ms"], b"a\nb\n");
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with("wiber: line") && complaint.ends_with(", 0 stored\n"),
        "{complaint}"
    );
    let (code, _, complaint) = cluster.publish_lines(&["t", "--timeout", "500ms"], numbered(1000).as_bytes());
    assert_eq!(code, Some(1));
    assert!(
        complaint.ends_with(", 0 stored, nothing sent after line 256\n"),
        "{complaint}"
    );
    cluster.kill(leader);
    let (code, _, complaint) = cluster.tells(&["pub", "t", "hi", "--timeout", "300ms"]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.contains("no node could take the message"),
        "{complaint}"
    );
    let (code, _, complaint) = cluster.tells(&["history", "t"]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("no node could answer the read"), "{complaint}");
    let (code, _, complaint) = cluster.tells(&["request", "t", "hi", "--timeout", "2s"]);
    assert_eq!(code, Some(1));
    for node in 0..3 {
        let node = format!("n{}: ", node + 1);
        assert!(complaint.contains(&node), "{complaint}");
    }
}

/// The dead nodes are named, too, but they are not what is wrong.
#[test]
fn without_a_majority_the_reason_is_what_the_live_node_says() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let live = (leader + 1) % 3;
    let dead: Vec<usize> = (0..3).filter(|at| *at != live).collect();
    // The leader last: the two that are left could elect one.
    cluster.kill((leader + 2) % 3);
    cluster.kill(leader);
    wait_for("it knows no leader", PATIENCE, || {
        let (_, out, _) = cluster.tells(&["status", "--json"]);
        let said: Value = serde_json::from_str(&out).ok()?;
        let status = &said["nodes"][live]["status"];
        (status.is_object() && status["leader"].is_null()).then_some(())
    });
    let reason = format!(
        "n{}: no leader is known; n{}, n{}: cannot be reached",
        live + 1,
        dead[0] + 1,
        dead[1] + 1
    );
    for (words, failed, hint) in [
        (
            &["pub", "t", "hi", "--timeout", "1s"][..],
            "no node could take the message",
            "",
        ),
        (
            &["history", "t"],
            "no node could answer the read",
            " (with --local one node is enough)",
        ),
        (&["sub", "t", "--last", "3"], "no node could answer the read", ""),
    ] {
        let (code, out, complaint) = cluster.tells(words);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{words:?}");
        assert_eq!(
            complaint,
            format!("wiber: {failed}: {reason}{hint}\n"),
            "{words:?}"
        );
    }
    // More than a pipe holds: when all of it is written, it has been read from.
    let mut publisher = Running::start(
        cluster
            .command(&["pub", "t", "--timeout", "1h"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut input = publisher.child.stdin.take().expect("piped");
    input.write_all(numbered(10_000).as_bytes()).expect("it reads");
    publisher.interrupt();
    let mut complaint = String::new();
    let mut remarks = publisher.child.stderr.take().expect("piped");
    remarks.read_to_string(&mut complaint).expect("UTF-8");
    let last = complaint.lines().last().expect("a line");
    assert!(
        last == "wiber: interrupted: 0 stored"
            || last == "wiber: interrupted: 256 lines of unknown fate, 0 stored, nothing sent after line 256",
        "{complaint}"
    );
    assert_eq!(publisher.code(), Some(130));
    let local = cluster.tells(&["history", "t", "--local"]);
    assert_eq!(local, (Some(0), String::new(), String::new()));
    // A member goes on trying, and says of each node once why it cannot join there.
    for words in [&["sub", "t", "--group", "g"][..], &["reply", "t", "--echo"]] {
        let mut member = Running::start(cluster.command(words).stderr(Stdio::piped()));
        let mut remarks = BufReader::new(member.child.stderr.take().expect("piped")).lines();
        let of_live = format!("wiber: n{}: no leader is known; trying the others", live + 1);
        let heard = remarks.by_ref().map(|remark| remark.expect("UTF-8")).take(3);
        assert!(heard.collect::<Vec<_>>().contains(&of_live), "{of_live}");
        member.interrupt();
        assert_eq!(member.code(), Some(0));
    }
    let (code, _, complaint) = cluster.publish_lines(&["t", "--timeout", "500ms"], b"a\nb\n");
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with(&format!(
            "wiber: lines 1 to 2: no node could take the message: {reason}\n"
        )),
        "{complaint}"
    );
}

#[test]
fn a_history_waits_for_the_next_leader() {
    let mut cluster = Cluster::start(3);
    cluster.says(&["pub", "t", "hi"]);
    let leader = cluster.leader();
    cluster.kill(leader);
    assert_eq!(cluster.says(&["history", "t", "-f", "%s\n"]), "hi\n");
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
