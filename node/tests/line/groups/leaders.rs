//! Groups and the node that leads them.

use std::io;

use rustix::process::Signal;

use super::*;
use crate::support::rows::record;

#[test]
fn a_follower_sends_members_to_the_leader_and_takes_acknowledgements() {
    let cluster = Cluster::start(3);
    let (leader, follower) = (cluster.wait_for_leader(), cluster.follower());
    let redirect = format!("REDIRECT 127.0.0.1 {}", cluster.port(leader));
    let mut conn = cluster.conn(follower);
    conn.check("SUBSCRIBE t --group g", &redirect);
    let mut a = member(&cluster, leader, "");
    publish(&mut conn, 1..=2);
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    ack(&mut conn, 2);
    ack(&mut conn, 1);
    await_next_offset(&mut conn, 3);
    assert_eq!(listed(&mut conn).expect("the group")["members"], Value::Null);
    conn.check("NACK t g 1", "ERR not_delivered 1");
}

/// Joins where the leader is, which may change meanwhile.
#[track_caller]
fn member_anywhere(cluster: &Cluster) -> Conn {
    wait_for("a leader lets a member in", PATIENCE, || {
        let at = cluster.leader()?;
        let mut conn = cluster.conn(at);
        let answer = conn.try_ask("SUBSCRIBE t --group g").ok()?;
        (answer == "OK subscribed t group g").then_some(conn)
    })
}

#[test]
fn a_group_goes_on_under_the_next_leader_and_after_all_were_killed() {
    let mut cluster = Cluster::start(3);
    let first = cluster.wait_for_leader();
    let mut conn = cluster.conn(cluster.follower());
    let mut a = member(&cluster, first, "--ack-timeout 60000");
    publish(&mut conn, 1..=4);
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    assert_eq!((next(&mut a), next(&mut a)), ((3, 1), (4, 1)));
    ack(&mut conn, 1);
    ack(&mut conn, 3);
    cluster.kill(first);
    assert!(matches!(a.try_line(), Err(error) if error.kind() != io::ErrorKind::WouldBlock));
    let mut b = member_anywhere(&cluster);
    assert_eq!((next(&mut b), next(&mut b)), ((2, 2), (4, 2)));
    ack(&mut b, 2);

    cluster.kill_all();
    for at in 0..3 {
        cluster.start_node(at);
    }
    cluster.wait_for_leader();
    let mut c = member_anywhere(&cluster);
    assert_eq!(next(&mut c), (4, 3), "acknowledgements and counts are kept");
    ack(&mut c, 4);
    let group = listed(&mut c).expect("the group");
    assert_eq!(
        (
            &group["next_offset"],
            &group["ack_timeout_ms"],
            &group["redelivered"]
        ),
        (&5.into(), &60_000.into(), &3.into())
    );
}

/// As one that stood still while another was elected: the connections of its members outlive that.
#[test]
fn a_member_is_told_that_its_node_leads_no_more_and_nothing_is_lost() {
    let cluster = Cluster::start(3);
    let old = cluster.wait_for_leader();
    let others: Vec<usize> = (0..3).filter(|at| *at != old).collect();
    let mut a = member(&cluster, old, "--ack-timeout 60000");
    publish(&mut cluster.conn(old), 1..=3);
    assert_eq!(
        [next(&mut a), next(&mut a), next(&mut a)],
        [(1, 1), (2, 1), (3, 1)]
    );
    ack(&mut a, 2);
    cluster.signal(old, Signal::STOP);
    let new = wait_for("another leader", PATIENCE, || cluster.leader_among(&others));
    publish(&mut cluster.conn(new), 4..=4);
    cluster.signal(old, Signal::CONT);
    a.expect("ENDED t not_leader");
    a.check("UNSUB t", "ERR not_subscribed t");
    let mut b = member_anywhere(&cluster);
    assert_eq!(
        [next(&mut b), next(&mut b), next(&mut b)],
        [(1, 2), (3, 2), (4, 1)]
    );
    // What it still worked on it may have done, and its connection goes on.
    ack(&mut a, 3);
    ack(&mut b, 1);
    ack(&mut b, 4);
    await_next_offset(&mut a, 5);
}

/// What was lost: the work of who had a record for the last time when the leader was killed. It became a dead letter at once.
#[test]
fn who_has_a_record_for_the_last_time_can_acknowledge_it_under_the_next_leader() {
    let mut cluster = Cluster::start(3);
    let first = cluster.wait_for_leader();
    let mut conn = cluster.conn(cluster.follower());
    let mut a = member(&cluster, first, "--ack-timeout 60000 --max-deliveries 1");
    publish(&mut conn, 1..=1);
    assert_eq!(next(&mut a), (1, 1));
    cluster.kill(first);
    let mut b = member_anywhere(&cluster);
    publish(&mut cluster.conn(cluster.wait_for_leader()), 2..=2);
    // With this one the next leader would have put the first aside.
    assert_eq!(next(&mut b), (2, 1));
    ack(&mut conn, 1);
    ack(&mut b, 2);
    await_next_offset(&mut conn, 3);
    assert_eq!(listed(&mut conn).expect("the group")["dead_letters"], 0);
}

#[test]
fn what_nobody_acknowledges_under_the_next_leader_becomes_a_dead_letter() {
    let mut cluster = Cluster::start(3);
    let first = cluster.wait_for_leader();
    let mut conn = cluster.conn(cluster.follower());
    let mut a = member(&cluster, first, "--ack-timeout 2000 --max-deliveries 1");
    publish(&mut conn, 1..=1);
    assert_eq!(next(&mut a), (1, 1));
    cluster.kill(first);
    let _b = member_anywhere(&cluster);
    await_next_offset(&mut conn, 2);
    conn.send("READ dead.t.g --from 1\n");
    let record = record(&conn.line());
    assert_eq!(
        (&record["text"], &record["headers"]["dead-reason"]),
        (&"1".into(), &"not_acknowledged".into())
    );
}
