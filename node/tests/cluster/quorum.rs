//! What is left of a cluster without a majority says so, instead of sending anybody to the dead.

use crate::support::{PATIENCE, cluster::Cluster, rows::id_of, wait_for};

fn refuses(cluster: &Cluster, at: usize) {
    wait_for("it knows no leader", PATIENCE, || {
        let status = cluster.status(at)?;
        (status["leader"].is_null() && cluster.conn(at).ask("PUB t hello") == "ERR not_leader").then_some(())
    });
}

#[test]
fn a_follower_forgets_a_leader_that_says_nothing_any_more() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let answer = cluster.conn(leader).ask("PUB t --id m-1 hello");
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    let history = cluster.settled_history("t");
    let survivor = cluster.follower();
    let other = (0..3).find(|at| *at != survivor && *at != leader).expect("three");
    // The leader last: two followers would replace it at once.
    cluster.kill(other);
    cluster.kill(leader);
    refuses(&cluster, survivor);
    assert_eq!(cluster.conn(survivor).history("t", 9), history, "reads go on");

    // It starts again alone, with a vote for somebody who is not there.
    cluster.kill(survivor);
    cluster.start_node(survivor);
    wait_for("it is up", PATIENCE, || cluster.status(survivor));
    refuses(&cluster, survivor);

    for at in (0..3).filter(|at| *at != survivor) {
        cluster.start_node(at);
    }
    cluster.wait_for_leader();
    assert_eq!(cluster.settled_history("t"), history);
}

#[test]
fn a_client_of_a_node_that_is_just_starting_gets_the_contract_s_answers() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let answer = cluster.conn(leader).ask("PUB t --id m-1 hello");
    assert!(id_of(&answer, "published").is_some(), "{answer}");
    let history = cluster.settled_history("t");
    let restarted = cluster.follower();
    cluster.kill(restarted);
    cluster.start_node(restarted);
    let mut conn = wait_for("its port is open", PATIENCE, || {
        crate::support::conn::Conn::open(cluster.port(restarted)).ok()
    });
    conn.send("HISTORY t 9\nSUB t\n");
    conn.expect(&history[0]);
    conn.expect("OK history_end");
    conn.expect("OK subscribed t");
}
