//! A disk that lies about what it holds: the node says so and stays out, the cluster goes on, and `--rebuild` brings the
//! node back without deleting anything.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use crate::{
    assert_complete,
    support::{PATIENCE, cluster::Cluster, rows::id_of, rows::rows, wait_for},
};

/// Publishes `count` small messages and gives their ids.
fn publish(cluster: &Cluster, at: usize, first: usize, count: usize) -> Vec<String> {
    let mut conn = cluster.conn(at);
    let ids = (first..first + count).map(|n| format!("m-{n}"));
    ids.inspect(|id| {
        let answer = conn.ask(&format!("PUB t --id {id} message"));
        assert!(answer.starts_with("OK "), "{answer}");
    })
    .collect()
}

fn flip_byte(path: &Path, position: u64) {
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("a file to damage");
    let mut byte = [0];
    file.seek(SeekFrom::Start(position)).expect("a position");
    file.read_exact(&mut byte).expect("a byte there");
    file.seek(SeekFrom::Start(position)).expect("a position");
    file.write_all(&[byte[0] ^ 1]).expect("it is written");
}

fn console(cluster: &Cluster, at: usize) -> String {
    fs::read_to_string(cluster.node_folder(at).join("logs/console.log")).unwrap_or_default()
}

#[test]
fn a_damaged_node_says_where_and_stays_out_until_it_is_rebuilt() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let mut acknowledged = publish(&cluster, leader, 0, 50);
    let damaged = cluster.follower();
    let old_raft_id = cluster.status(damaged).expect("a status")["raft_id"].clone();
    cluster.settled_history("t");
    cluster.kill(damaged);
    let segment = cluster.node_folder(damaged).join("log/00000000000000000000.seg");
    // In the first entries, which many later frames say were flushed.
    flip_byte(&segment, 400);

    cluster.start_node(damaged);
    let status = cluster.wait_for_exit(damaged);
    assert!(!status.success(), "{status}");
    let said = console(&cluster, damaged);
    for words in [
        "00000000000000000000.seg is damaged at byte",
        "expected",
        "found",
        "--rebuild",
    ] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    let leader = cluster.wait_for_leader();
    acknowledged.extend(publish(&cluster, leader, 50, 50));

    cluster.start_node_with(damaged, &["--rebuild"]);
    let status = wait_for("the rebuilt node takes part again", PATIENCE, || {
        let status = cluster.status(damaged)?;
        (status["role"] == "follower" && status["formation"]["state"] == "formed").then_some(status)
    });
    assert_ne!(status["raft_id"], old_raft_id);
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
    let aside: Vec<_> = fs::read_dir(cluster.data_root())
        .expect("a data root")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(".set-aside-"))
        .collect();
    let [aside] = &aside[..] else {
        panic!("one folder set aside, not {aside:?}");
    };
    assert!(
        aside.join("log/00000000000000000000.seg").is_file(),
        "nothing is deleted"
    );
}

#[test]
fn a_bad_vote_is_damage_too() {
    let mut cluster = Cluster::start(3);
    let damaged = cluster.follower();
    cluster.kill(damaged);
    for slot in [0, 4096] {
        flip_byte(&cluster.node_folder(damaged).join("log/vote"), slot + 50);
    }
    cluster.start_node(damaged);
    assert!(!cluster.wait_for_exit(damaged).success());
    let said = console(&cluster, damaged);
    assert!(said.contains("log/vote is damaged at byte"), "{said}");
    let leader = cluster.wait_for_leader();
    let answer = cluster.conn(leader).ask("PUB t the others go on");
    assert!(id_of(&answer, "published").is_some(), "{answer}");
}

#[test]
fn a_bad_index_is_made_again_quietly() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    // 64 MiB of log fill a part.
    let text = "x".repeat((1 << 20) - 1_000);
    let mut conn = cluster.conn(leader);
    for n in 0..70 {
        let answer = conn.ask(&format!("PUB large --id l-{n} {text}"));
        assert!(answer.starts_with("OK "), "{answer}");
    }
    let acknowledged = publish(&cluster, leader, 0, 20);
    cluster.settled_history("t");
    let hurt = cluster.follower();
    let part = cluster.node_folder(hurt).join("index/00000000000000000000.part");
    wait_for("the first part is in its file", PATIENCE, || {
        part.is_file().then_some(())
    });
    let sound = fs::read(&part).expect("it reads");
    cluster.kill(hurt);
    // In its header, which every start reads.
    flip_byte(&part, 40);
    fs::write(part.with_added_extension("tmp"), "half a part").expect("it is written");

    cluster.start_node(hurt);
    wait_for("the part is what it was", PATIENCE, || {
        (fs::read(&part).ok()? == sound).then_some(())
    });
    let said = console(&cluster, hurt);
    assert!(said.contains("makes a part of the index again"), "{said}");
    assert!(!part.with_added_extension("tmp").exists());
    cluster.wait_for_leader();
    assert_complete(&rows(&cluster.settled_history("t")), &acknowledged);
    let first = cluster.conn(hurt).history("large", 1_000);
    assert_eq!(first.len(), 70);
}
