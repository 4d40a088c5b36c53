//! `wiber status` and `wiber topics` against real nodes.

mod cluster;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use cluster::{Cluster, Running, told, wait_for};
use serde_json::Value;

#[test]
fn a_cluster_is_a_table_with_code_0_and_a_killed_node_is_told_with_code_1() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let table = cluster.says(&["status"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(
        lines[0].starts_with("node  address") && !table.contains('\x1b'),
        "{table}"
    );
    assert!(lines[leader + 1].contains("  leader  "), "{table}");
    assert_eq!(table.matches("  follower  ").count(), 2, "{table}");

    let other = (leader + 1) % 3;
    cluster.kill(other);
    let (code, table, complaint) = told(&cluster.wiber(&["status"]));
    assert_eq!(code, Some(1));
    assert!(table.contains("no answer: connection refused"), "{table}");
    assert_eq!(complaint, format!("wiber: n{}: connection refused\n", other + 1));

    cluster.kill(leader);
    // What is left finds out by itself that its leader is gone.
    let complaint = wait_for("no leader is left", cluster::PATIENCE, || {
        let (code, _, complaint) = told(&cluster.wiber(&["status", "--json"]));
        assert_eq!(code, Some(1));
        complaint.contains("there is no leader").then_some(complaint)
    });
    assert_eq!(complaint.lines().count(), 1);
}

#[test]
fn a_watch_says_a_document_each_second_until_it_is_interrupted() {
    let cluster = Cluster::start(1);
    let mut running = Running::start(
        cluster
            .command(&["status", "--watch", "--json"])
            .stdout(Stdio::piped()),
    );
    let mut lines = BufReader::new(running.child.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("it goes on").expect("UTF-8");
        let document: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(document["leader"], "n1");
        assert_eq!(document["nodes"][0]["status"]["role"], "leader");
    }
    running.interrupt();
    assert_eq!(running.code(), Some(0));
}

#[test]
fn topics_are_listed_by_name_with_what_comes_to_them() {
    let cluster = Cluster::start(1);
    assert_eq!(cluster.says(&["topics"]), "no topics\n");
    let numbered = |number: u32| format!("n.{number:03}");
    for number in 0..100 {
        cluster.says(&["pub", &numbered(number), "hello"]);
    }
    cluster.says(&["pub", "lobby", "hello"]);
    let table = cluster.says(&["topics", "lobby"]);
    let (head, row) = table.split_once('\n').expect("two lines");
    assert_eq!(
        head,
        "topic  high watermark  log start  bytes  records/s  bytes/s"
    );
    assert!(
        row.starts_with("lobby               1          1      5  "),
        "{table}"
    );
    let document: Value = serde_json::from_str(&cluster.says(&["topics", "n.*", "--json"])).expect("JSON");
    assert_eq!(document["topic_count"], 100);
    for number in 0..100 {
        let topic = &document["topics"][number as usize];
        assert_eq!(topic["topic"], numbered(number));
        assert_eq!(
            (&topic["bytes"], &topic["high_watermark"]),
            (&5.into(), &1.into())
        );
    }
}

#[test]
fn without_nodes_status_and_topics_fail_and_say_why() {
    for words in [
        &["status", "--addr", "127.0.0.1:1"][..],
        &["topics", "--addr", "127.0.0.1:1"],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_wiber"))
            .args(words)
            .output();
        let (code, _, complaint) = told(&output.expect("the command runs"));
        assert_eq!(code, Some(1), "{words:?}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}
