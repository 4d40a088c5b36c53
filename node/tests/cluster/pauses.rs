//! Nodes that sleep, hang or stand alone: nothing old is told as new, nothing waits for ever.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    PATIENCE,
    cluster::Cluster,
    http,
    rows::{id_of, rows},
    wait_for,
};

#[test]
fn a_leader_that_slept_through_an_election_gives_no_stale_answer() {
    let cluster = Cluster::start(3);
    let old = cluster.wait_for_leader();
    let others: Vec<usize> = (0..3).filter(|at| *at != old).collect();
    let mut asleep = cluster.conn(old);
    let answer = asleep.ask("PUB t --id m-1 before");
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    cluster.signal(old, Signal::STOP);
    // These wait in its socket and are the first it sees when it wakes up.
    asleep.send("READ t --strong\nPUB t --id m-3 from the past\n");
    let new = wait_for("another leader", PATIENCE, || cluster.leader_among(&others));
    let answer = cluster.conn(new).ask("PUB t --id m-2 meanwhile");
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    cluster.signal(old, Signal::CONT);

    let mut read = vec![asleep.line()];
    while read.last().is_some_and(|line| line.starts_with("RECORD ")) {
        read.push(asleep.line());
    }
    let end = read.pop().expect("an answer");
    let knows = read.iter().any(|line| line.contains("\"id\":\"m-2\""));
    assert!(
        end.starts_with("ERR unavailable ") || knows,
        "a stale read: {read:?} {end}"
    );
    let answer = asleep.line();
    cluster.wait_for_leader();
    let ids: Vec<String> = rows(&cluster.settled_history("t"))
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids[..2], ["m-1", "m-2"]);
    if answer.starts_with("OK ") {
        assert_eq!(ids[2..], ["m-3"], "acknowledged with `{answer}`");
    }
}

#[test]
fn a_minority_acknowledges_nothing_and_still_shows_what_it_has() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let mut conn = cluster.conn(leader);
    let answer = conn.ask("PUB t --id m-1 hello");
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    cluster.settled_history("t");
    for at in (0..3).filter(|at| *at != leader) {
        cluster.kill(at);
    }
    let answer = conn.ask("PUB t --id m-2 hello");
    assert!(
        answer == "ERR timeout_waiting_commit" || answer == "ERR not_leader",
        "{answer}"
    );
    assert_eq!(conn.history("t", 9).len(), 1);
    let answer = conn.ask("READ t --strong");
    assert!(answer.starts_with("ERR unavailable "), "{answer}");
    assert!(conn.ask("READ t --local").starts_with("RECORD "));
    conn.expect("OK read_end 1 1 local 2");
    let (status, ..) = http::get(cluster.port(leader) + 100, "/healthz").expect("an answer");
    assert_eq!(status, 200, "it is alive");
    wait_for("it is not ready", PATIENCE, || {
        http::get(cluster.port(leader) + 100, "/readyz").filter(|(status, ..)| *status == 503)
    });

    for at in (0..3).filter(|at| *at != leader) {
        cluster.start_node(at);
    }
    cluster.wait_for_leader();
    let mut conn = cluster.conn(leader);
    let answer = wait_for("the retry is answered", PATIENCE, || {
        Some(conn.ask("PUB t --id m-2 hello")).filter(|answer| answer.starts_with("OK "))
    });
    assert!(answer.contains("m-2"), "{answer}");
    let ids: Vec<String> = rows(&cluster.settled_history("t"))
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, ["m-1", "m-2"]);
}

/// As when the disks of a majority stall: the leader is alone for longer than its lease, and leads all the while.
#[test]
fn what_a_leader_is_sent_while_no_majority_answers_it_is_published_when_one_does_again() {
    const LINES: usize = 2000;
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let [stalled, other] = (0..3).filter(|at| *at != leader).collect::<Vec<_>>()[..] else {
        panic!("two followers")
    };
    cluster.settled_history("t");
    cluster.kill(other);
    let status = |key: &str| cluster.status(leader).expect("a status")[key].clone();
    let term = status("term");
    cluster.signal(stalled, Signal::STOP);
    // With this in its log the leader has more than the follower, who therefore cannot replace it.
    let last = status("last_log_index").as_u64();
    let mut early = cluster.conn(leader);
    early.send("PUB t --id m-early before the lease ends\n");
    wait_for("it is in the leader's log", PATIENCE, || {
        (status("last_log_index").as_u64() > last).then_some(())
    });
    wait_for("the lease ended", PATIENCE, || {
        let answer = cluster.conn(leader).ask("READ t --strong");
        answer.starts_with("ERR unavailable ").then_some(())
    });
    let mut late = cluster.conn(leader);
    let lines: Vec<String> = (0..LINES)
        .map(|at| format!("PUB t --id m-{at} text {at}\n"))
        .collect();
    late.send(lines.concat());
    late.expect_silence(Duration::from_millis(200));
    cluster.signal(stalled, Signal::CONT);
    assert_eq!(id_of(&early.line(), "published").as_deref(), Some("m-early"));
    for at in 0..LINES {
        assert_eq!(id_of(&late.line(), "published"), Some(format!("m-{at}")));
    }
    assert_eq!(status("term"), term, "one leader all the while");
    let ids: Vec<String> = rows(&cluster.settled_history("t"))
        .into_iter()
        .map(|row| row.id)
        .collect();
    let sent = std::iter::once("m-early".to_owned()).chain((0..LINES).map(|at| format!("m-{at}")));
    assert_eq!(ids, sent.collect::<Vec<_>>());
}

#[test]
fn a_subscription_on_a_node_that_is_behind_tells_nothing_old_as_new() {
    const RECORDS: usize = 3000;
    let cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let behind = cluster.follower();
    cluster.conn(leader).ask("PUB t --id m-0 seen");
    cluster.settled_history("t");
    let mut subscribers: Vec<_> = (0..8).map(|_| cluster.conn(behind)).collect();
    cluster.signal(behind, Signal::STOP);
    let mut conn = cluster.conn(leader);
    for start in (1..RECORDS).step_by(100) {
        let lines: Vec<String> = (start..start + 100)
            .map(|at| format!("PUB t --id m-{at} missed\n"))
            .collect();
        conn.send(lines.concat());
        for _ in 0..100 {
            let answer = conn.line();
            assert!(id_of(&answer, "published").is_some(), "{answer}");
        }
    }
    // These wait in its sockets and are the first it sees when it wakes up.
    for (at, conn) in subscribers.iter_mut().enumerate() {
        conn.send(if at % 2 == 0 { "SUB t\n" } else { "SUBSCRIBE t\n" });
    }
    cluster.signal(behind, Signal::CONT);
    for conn in &mut subscribers {
        let answer = conn.line();
        assert!(answer.starts_with("OK subscribed t"), "{answer}");
    }
    let new = wait_for("it is published", PATIENCE, || {
        let answer = cluster.conn(leader).ask("PUB t --id new at last");
        answer.starts_with("OK ").then_some("new")
    });
    for conn in &mut subscribers {
        let line = conn.line();
        let id = match line.strip_prefix("RECORD ") {
            Some(json) => serde_json::from_str::<serde_json::Value>(json).expect("JSON")["id"].clone(),
            None => rows(&[line])[0].id.clone().into(),
        };
        assert_eq!(id, new);
    }
}

/// What a hung leader was sent waits for its connection to be given up; what comes later does not.
#[test]
fn a_leader_that_hangs_does_not_block_the_way_to_the_next_one() {
    let cluster = Cluster::start(3);
    let old = cluster.wait_for_leader();
    let others: Vec<usize> = (0..3).filter(|at| *at != old).collect();
    let mut stuck: Vec<_> = others
        .iter()
        .flat_map(|at| (0..24).map(|_| cluster.conn(*at)))
        .collect();
    cluster.signal(old, Signal::STOP);
    for (at, conn) in stuck.iter_mut().enumerate() {
        conn.send(format!("PUB t --id stuck-{at} hello\n"));
        // One after the other, so that each is a batch of its own.
        std::thread::sleep(Duration::from_millis(2));
    }
    let new = wait_for("another leader", PATIENCE, || cluster.leader_among(&others));
    let follower = others.into_iter().find(|at| *at != new).expect("a follower");
    let asked = Instant::now();
    let answer = cluster.conn(follower).ask("PUB t --id m-1 hello");
    assert_eq!(answer, "OK REDIRECTED m-1");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    cluster.signal(old, Signal::CONT);
    for conn in &mut stuck {
        let answer = conn.line();
        assert!(
            answer.starts_with("OK ") || answer.starts_with("ERR "),
            "every command is answered: {answer}"
        );
    }
}

/// Where nobody can say what is old, the answer must not wait for it.
#[test]
fn a_subscription_without_a_majority_is_answered_soon() {
    let mut cluster = Cluster::start(3);
    let left = cluster.wait_for_leader();
    for at in (0..3).filter(|at| *at != left) {
        cluster.kill(at);
    }
    for command in ["SUB t", "SUBSCRIBE t"] {
        let mut conn = cluster.conn(left);
        let asked = Instant::now();
        let answer = conn.ask(command);
        assert!(answer.starts_with("OK subscribed t"), "{answer}");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}
