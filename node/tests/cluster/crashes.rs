//! Nodes that die or stop: nothing acknowledged is lost, nothing is there twice.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{
    assert_complete, ports,
    support::{
        PATIENCE,
        cluster::Cluster,
        conn::Conn,
        publisher::Publishers,
        rows::{id_of, rows},
        wait_for,
    },
};

#[test]
fn a_killed_leader_is_replaced_within_two_seconds_and_catches_up_when_it_is_back() {
    let mut cluster = Cluster::start(3);
    let publishers = Publishers::start(3, &ports(&cluster, 3), "t");
    wait_for("some messages", PATIENCE, || {
        (publishers.acknowledged() >= 100).then_some(())
    });
    let old = cluster.wait_for_leader();
    cluster.kill(old);
    let killed = Instant::now();

    let new = cluster.wait_for_leader();
    let elected_after = killed.elapsed();
    assert_ne!(new, old);
    let answer = cluster.conn(new).ask("PUB other after the failover");
    let published_after = killed.elapsed();
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    assert!(
        published_after <= Duration::from_secs(2),
        "leader after {elected_after:?}, publish after {published_after:?}"
    );
    let other = cluster
        .running()
        .into_iter()
        .find(|at| *at != new)
        .expect("a follower");
    let answer = cluster.conn(other).ask("PUB other through the follower");
    assert!(id_of(&answer, "REDIRECTED").is_some(), "{answer}");

    let before = publishers.acknowledged();
    wait_for("more messages", PATIENCE, || {
        (publishers.acknowledged() >= before + 100).then_some(())
    });
    cluster.start_node(old);
    let before = publishers.acknowledged();
    wait_for("more messages", PATIENCE, || {
        (publishers.acknowledged() >= before + 100).then_some(())
    });
    let acknowledged = publishers.stop();
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
    assert_eq!(cluster.settled_history("other").len(), 2);
}

#[test]
fn what_was_acknowledged_survives_the_death_of_all_nodes_at_once() {
    let mut cluster = Cluster::start(3);
    let publishers = Publishers::start(8, &ports(&cluster, 3), "t");
    for life in 1..=2 {
        let before = publishers.acknowledged();
        wait_for("messages", PATIENCE, || {
            (publishers.acknowledged() >= before + 300 * life).then_some(())
        });
        cluster.kill_all();
        for at in 0..3 {
            cluster.start_node(at);
        }
    }
    let before = publishers.acknowledged();
    wait_for("messages of the last life", PATIENCE, || {
        (publishers.acknowledged() >= before + 100).then_some(())
    });
    cluster.kill_all();
    let acknowledged = publishers.stop();
    for at in 0..3 {
        cluster.start_node(at);
    }
    cluster.wait_for_leader();
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
}

#[test]
fn a_node_that_has_just_started_shows_what_was_acknowledged_before() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    for at in 0..3 {
        let answer = cluster.conn(leader).ask(&format!("PUB t number {at}"));
        assert!(answer.starts_with("OK published "), "{answer}");
    }
    cluster.kill_all();
    for at in 0..3 {
        cluster.start_node(at);
    }
    // Asked before there is a leader, who alone knows that the last of them is committed.
    for at in 0..3 {
        let port = cluster.port(at);
        let mut conn = wait_for("it listens", PATIENCE, || Conn::open(port).ok());
        assert_eq!(conn.history("t", 10).len(), 3, "n{}", at + 1);
    }
}

#[test]
fn five_nodes_go_on_without_two() {
    let mut cluster = Cluster::start(5);
    let publishers = Publishers::start(5, &ports(&cluster, 5), "t");
    wait_for("messages", PATIENCE, || {
        (publishers.acknowledged() >= 200).then_some(())
    });
    for _ in 0..2 {
        let leader = cluster.wait_for_leader();
        cluster.kill(leader);
        let before = publishers.acknowledged();
        wait_for("more messages", PATIENCE, || {
            (publishers.acknowledged() >= before + 100).then_some(())
        });
    }
    for at in 0..5 {
        if !cluster.running().contains(&at) {
            cluster.start_node(at);
        }
    }
    let acknowledged = publishers.stop();
    cluster.wait_for_leader();
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
}

#[test]
fn sigterm_hands_leadership_over_and_exits_0() {
    let mut cluster = Cluster::start(3);
    let old = cluster.wait_for_leader();
    let term = cluster.status(old).expect("a status")["term"]
        .as_u64()
        .expect("a term");
    let publishers = Publishers::start(3, &ports(&cluster, 3), "t");
    wait_for("messages", PATIENCE, || {
        (publishers.acknowledged() >= 50).then_some(())
    });
    cluster.signal(old, Signal::TERM);
    let told = Instant::now();
    let status = cluster.wait_for_exit(old);
    assert_eq!(status.code(), Some(0), "{status:?}");
    let new = cluster.wait_for_leader();
    // An election by silence would take longer than the lease and a random time on top.
    assert!(told.elapsed() <= Duration::from_secs(2), "{:?}", told.elapsed());
    let status = cluster.status(new).expect("a status");
    assert_eq!(
        status["term"].as_u64(),
        Some(term + 1),
        "one election, and it went to the first that asked"
    );
    let before = publishers.acknowledged();
    wait_for("more messages", PATIENCE, || {
        (publishers.acknowledged() >= before + 50).then_some(())
    });
    cluster.start_node(old);
    let acknowledged = publishers.stop();
    cluster.wait_for_leader();
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
    for at in 0..3 {
        cluster.signal(at, Signal::TERM);
    }
    for at in 0..3 {
        assert_eq!(cluster.wait_for_exit(at).code(), Some(0));
    }
}

#[test]
fn leadership_is_not_handed_to_a_node_that_is_gone() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    cluster.settled_history("t");
    let mut others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    // Of two that have the same log, the greater id was taken.
    others.sort_by_key(|at| cluster.status(*at).expect("a status")["raft_id"].to_string());
    let [alive, gone] = others[..] else {
        panic!("two followers")
    };
    cluster.kill(gone);
    wait_for("it is missed", PATIENCE, || {
        let status = cluster.status(leader)?;
        let peer = status["peers"]
            .as_array()?
            .iter()
            .find(|peer| peer["id"] == Cluster::id(gone).as_str())?;
        // It may have died before it answered once.
        let is_missed = peer["last_ack_ms"].as_u64().is_none_or(|ago_ms| ago_ms > 500);
        is_missed.then_some(())
    });
    cluster.signal(leader, Signal::TERM);
    assert_eq!(cluster.wait_for_exit(leader).code(), Some(0));
    let console = cluster.node_folder(leader).join("logs").join("console.log");
    let console = std::fs::read_to_string(console).expect("a console");
    let told = format!("hands leadership to {}", Cluster::id(alive));
    assert!(console.contains(&told), "`{told}` is not in:\n{console}");
}

#[test]
fn what_one_connection_sent_commits_in_the_order_sent_also_when_the_leader_dies() {
    const LINES: usize = 4000;
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let follower = cluster.follower();
    let mut conn = cluster.conn(follower);
    let mut acknowledged = Vec::new();
    for start in (0..LINES).step_by(20) {
        let lines: Vec<String> = (start..start + 20)
            .map(|at| format!("PUB t --id m-{at} text {at}\n"))
            .collect();
        conn.send(lines.concat());
        if start == LINES / 2 {
            cluster.kill(leader);
        }
    }
    for at in 0..LINES {
        let answer = conn.line();
        if id_of(&answer, "published")
            .or(id_of(&answer, "REDIRECTED"))
            .is_some()
        {
            acknowledged.push(format!("m-{at}"));
        }
    }
    cluster.wait_for_leader();
    let rows = rows(&cluster.settled_history("t"));
    assert_complete(&rows, &acknowledged);
    let sent: Vec<usize> = rows
        .iter()
        .map(|row| row.id[2..].parse().expect("a number"))
        .collect();
    assert!(
        sent.windows(2).all(|pair| pair[0] < pair[1]),
        "what is there is there in the order sent"
    );
}
