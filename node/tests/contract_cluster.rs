//! What the contract promises of several nodes together: forwarding, one order, nothing acknowledged is ever lost,
//! nothing twice; through crashes, restarts and wiped folders. Raw sockets to real processes.

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use support::{
    PATIENCE,
    cluster::Cluster,
    http,
    publisher::Publishers,
    rows::{Row, assert_gapless, id_of, rows},
    wait_for,
};

fn ports(cluster: &Cluster, nodes: usize) -> Vec<u16> {
    (0..nodes).map(|at| cluster.port(at)).collect()
}

/// Every acknowledged id is there, none is there twice, and the order has no gap.
#[track_caller]
fn assert_complete(rows: &[Row], acknowledged: &[String]) {
    assert_gapless(rows);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *times.entry(row.id.as_str()).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| !times.contains_key(id.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

#[test]
fn a_follower_forwards_and_says_so() {
    let cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let follower = cluster.follower();
    let (mut there, mut here) = (cluster.conn(leader), cluster.conn(follower));

    here.check("PUB t --id m-1 hello", "OK REDIRECTED m-1");
    here.check("PUB t --id m-1 hello", "OK duplicate m-1");
    there.check("PUB t --id m-1 hello", "OK duplicate m-1");
    here.check("PUB t --id m-1 other", "ERR id_conflict m-1");
    let answer = here.ask("PUB t no id");
    let made = id_of(&answer, "REDIRECTED").expect(&answer);

    let answer = there.ask("PUB t --id m-2 hello");
    assert_eq!(id_of(&answer, "published").as_deref(), Some("m-2"), "{answer}");
    here.check("PUB t --id m-2 hello", "OK duplicate m-2");

    let ids: Vec<String> = rows(&cluster.settled_history("t"))
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, ["m-1".to_owned(), made, "m-2".to_owned()]);
}

#[test]
fn what_a_connection_published_through_a_follower_is_there_for_its_next_command() {
    let cluster = Cluster::start(3);
    let mut conn = cluster.conn(cluster.follower());
    for at in 1..=100 {
        conn.send(format!(
            "PUB t{at} --id m-{at} text\nHISTORY t{at} 9\nSUB t{at}\n"
        ));
        conn.expect(&format!("OK REDIRECTED m-{at}"));
        assert_eq!(
            conn.until("OK history_end").len(),
            1,
            "a client reads its own write"
        );
        // Nothing from before the answer is delivered after it: the next line belongs to the next command.
        conn.expect(&format!("OK subscribed t{at}"));
    }
    conn.check("PING", "PONG");
}

#[test]
fn a_follower_answers_a_thousand_commands_in_their_order() {
    let cluster = Cluster::start(3);
    let mut conn = cluster.conn(cluster.follower());
    let lines: Vec<String> = (0..500)
        .map(|at| format!("PUB t --id m-{at} text {at}\nPING\n"))
        .collect();
    conn.send(lines.concat());
    for at in 0..500 {
        conn.expect(&format!("OK REDIRECTED m-{at}"));
        conn.expect("PONG");
    }
    let rows = rows(&cluster.settled_history("t"));
    assert_gapless(&rows);
    assert!(
        rows.iter()
            .enumerate()
            .all(|(at, row)| row.id == format!("m-{at}")),
        "records commit in the order sent"
    );
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

#[test]
fn a_follower_delivers_to_its_subscribers() {
    let cluster = Cluster::start(3);
    let mut subscribers: Vec<_> = (0..3).map(|at| cluster.conn(at)).collect();
    for conn in &mut subscribers {
        conn.check("SUB t", "OK subscribed t");
    }
    let mut publishers: Vec<_> = (0..3).map(|at| cluster.conn(at)).collect();
    for at in 0..30 {
        let answer = publishers[at % 3].ask(&format!("PUB t text {at}"));
        assert!(answer.starts_with("OK "), "{answer}");
    }
    let lines: Vec<Vec<String>> = subscribers
        .iter_mut()
        .map(|conn| (0..30).map(|_| conn.line()).collect())
        .collect();
    assert_gapless(&rows(&lines[0]));
    assert!(lines.iter().all(|of| *of == lines[0]), "all see the same bytes");
}

#[test]
fn all_nodes_agree_on_offsets_and_logical_times_to_the_byte() {
    let cluster = Cluster::start(3);
    let publishers = Publishers::start(6, &ports(&cluster, 3), "t");
    wait_for("600 messages", PATIENCE, || {
        (publishers.acknowledged() >= 600).then_some(())
    });
    let acknowledged = publishers.stop();
    // `settled_history` compares the lines themselves.
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
}

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
fn a_wiped_node_joins_under_a_new_identity_and_catches_up() {
    let mut cluster = Cluster::start(3);
    let publishers = Publishers::start(3, &ports(&cluster, 3), "t");
    wait_for("messages", PATIENCE, || {
        (publishers.acknowledged() >= 200).then_some(())
    });
    let wiped = cluster.follower();
    let identity = |at: usize| {
        let status = cluster.status(at).expect("a status");
        (status["raft_id"].clone(), status["cluster_id"].clone())
    };
    let (old_raft_id, cluster_id) = identity(wiped);
    cluster.kill(wiped);
    std::fs::remove_dir_all(cluster.node_folder(wiped)).expect("a data folder");
    cluster.start_node(wiped);
    let status = wait_for("the wiped node is a voting member again", PATIENCE, || {
        let status = cluster.status(wiped)?;
        (status["role"] == "follower" && status["formation"]["state"] == "formed").then_some(status)
    });
    assert_ne!(status["raft_id"], old_raft_id);
    assert_eq!(status["cluster_id"], cluster_id);
    let acknowledged = publishers.stop();
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);

    // It counts: with another one gone, the two are a majority.
    wait_for("the old identity is no member any more", PATIENCE, || {
        let leader = cluster.leader()?;
        let status = cluster.status(leader)?;
        let peers = status["peers"].as_array()?.clone();
        let new_ids = peers
            .iter()
            .filter(|peer| peer["id"] == Cluster::id(wiped).as_str() || leader == wiped);
        (peers.len() == 2 && new_ids.into_iter().all(|peer| peer["raft_id"] != old_raft_id)).then_some(())
    });
    let other = (0..3).find(|at| *at != wiped).expect("three nodes");
    cluster.kill(other);
    cluster.wait_for_leader();
    let answer = cluster.conn(wiped).ask("PUB t --id last message");
    assert!(
        answer == "OK REDIRECTED last" || id_of(&answer, "published").is_some(),
        "{answer}"
    );
}

#[test]
fn two_wiped_nodes_never_found_a_cluster_beside_the_one_that_has_the_data() {
    let mut cluster = Cluster::start(3);
    let answer = cluster.conn(0).ask("PUB t --id m-1 hello");
    assert!(answer.starts_with("OK "), "{answer}");
    cluster.settled_history("t");
    let before = cluster.status(2).expect("a status");
    cluster.kill_all();
    for at in 0..2 {
        std::fs::remove_dir_all(cluster.node_folder(at)).expect("a data folder");
    }
    // The wiped ones first: they must not take each other for all there is.
    for at in 0..3 {
        cluster.start_node(at);
    }
    for at in 0..2 {
        wait_for("the wiped node has found the cluster", PATIENCE, || {
            cluster
                .status(at)
                .filter(|status| status["formation"]["state"] == "joining")
        });
    }
    wait_for("the third has what it had", PATIENCE, || {
        let status = cluster.status(2)?;
        assert_eq!(status["cluster_id"], before["cluster_id"]);
        (status["last_log_index"].as_u64() >= before["last_log_index"].as_u64()).then_some(())
    });
    for at in 0..3 {
        let answer = cluster.conn(at).ask("PUB t --id m-2 hello");
        assert!(
            !answer.starts_with("OK "),
            "one of three is no majority, n{} said: {answer}",
            at + 1
        );
    }
}

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
    conn.expect("OK read_end 1 1 local");
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
fn a_cluster_forms_when_every_node_is_there_or_is_said_not_to_come() {
    let mut cluster = Cluster::of(3);
    cluster.start_node(0);
    cluster.start_node(1);
    for at in 0..2 {
        wait_for("it says for whom it waits", PATIENCE, || {
            let status = cluster.status(at)?;
            let formation = &status["formation"];
            (formation["state"] == "waiting" && formation["missing"] == serde_json::json!(["n3"]))
                .then_some(())
        });
    }
    cluster.conn(0).check("PUB t a", "ERR not_leader");
    cluster.kill(0);
    cluster.kill(1);
    for at in 0..2 {
        cluster.start_node_with(at, &["--form-without", "n3"]);
    }
    cluster.wait_for_leader();
    let answer = cluster.conn(0).ask("PUB t a");
    assert!(answer.starts_with("OK "), "{answer}");
    cluster.start_node(2);
    wait_for("n3 has joined", PATIENCE, || {
        cluster
            .status(2)
            .filter(|status| status["role"] == "follower" || status["role"] == "leader")
    });
    assert_eq!(cluster.settled_history("t").len(), 1);
}
