//! Forwarding, and one order that all nodes show.

use crate::{
    assert_complete, ports,
    support::{
        PATIENCE,
        cluster::Cluster,
        publisher::Publishers,
        rows::{assert_gapless, id_of, rows},
        wait_for,
    },
};

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
