//! Who is in the cluster: forming, and folders that were wiped.

use crate::{
    assert_complete, ports,
    support::{
        PATIENCE,
        cluster::Cluster,
        publisher::Publishers,
        rows::{id_of, rows},
        wait_for,
    },
};

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

/// Its votes went with the log: under the old identity it could vote twice and be counted for what it has no more.
#[test]
fn a_node_whose_log_was_taken_away_ends_and_stays_out() {
    let mut cluster = Cluster::start(3);
    let robbed = cluster.follower();
    let log = cluster.node_folder(robbed).join("log");
    cluster.kill(robbed);
    for entry in std::fs::read_dir(&log).expect("a log folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    for what in ["emptied", "removed"] {
        cluster.start_node(robbed);
        let status = cluster.wait_for_exit(robbed);
        assert_eq!(status.code(), Some(1), "log {what}: {status:?}");
        let console = cluster.node_folder(robbed).join("logs").join("console.log");
        let console = std::fs::read_to_string(console).expect("a console");
        let last = console.lines().last().expect("a line");
        assert!(last.contains("its votes are lost"), "log {what}: {last}");
        if what == "emptied" {
            assert_eq!(std::fs::read_dir(&log).expect("a log folder").count(), 0);
            std::fs::remove_dir(&log).expect("an empty folder");
        }
    }
    assert!(!log.exists(), "a refusal changes nothing");
    std::fs::remove_dir_all(cluster.node_folder(robbed)).expect("a data folder");
    cluster.start_node(robbed);
    cluster.wait_for_leader();
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
    // It knows nothing of the topic, not even that it is empty.
    for command in ["HISTORY t 9", "READ t --local", "SUB t"] {
        let answer = cluster.conn(0).ask(command);
        assert!(answer.starts_with("ERR unavailable "), "{command}: {answer}");
    }
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
