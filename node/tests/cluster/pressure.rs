//! Clients that say more than there is room for: they wait, in bounded memory, and every message is answered.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{PATIENCE, cluster::Cluster, conn::Conn, wait_for};

const CONNECTIONS: usize = 20;
const MESSAGES: usize = 256;
const MESSAGE_BYTES: usize = 64 << 10;
/// Of messages whose fate is open, for all connections together; and what each connection and the log hold beside it.
const BOUND_BYTES: u64 = (256 << 20) + (64 << 20);

#[test]
fn a_flood_that_no_majority_takes_waits_in_bounded_memory_and_is_answered() {
    let cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let followers: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &followers {
        cluster.signal(*at, Signal::STOP);
    }
    let before = cluster.resident_bytes(leader);
    let (stored, unknown) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for which in 0..CONNECTIONS {
            let (mut listener, mut speaker) = Conn::to(cluster.port(leader)).split();
            scope.spawn(move || {
                let body = vec![b'x'; MESSAGE_BYTES];
                for at in 0..MESSAGES {
                    speaker.send(format!("PUBLISH t {MESSAGE_BYTES} --id c{which}-{at}\n"));
                    speaker.send(&body);
                }
            });
            let (stored, unknown) = (&stored, &unknown);
            scope.spawn(move || {
                for _ in 0..MESSAGES {
                    match listener.line().as_str() {
                        answer if answer.starts_with("OK published ") => stored.fetch_add(1, Relaxed),
                        "ERR timeout_waiting_commit" | "ERR not_leader" => unknown.fetch_add(1, Relaxed),
                        other => panic!("{other}"),
                    };
                }
            });
        }
        let stalled_until = Instant::now() + Duration::from_secs(3);
        let mut most = 0;
        let mut bystander = cluster.conn(leader);
        while Instant::now() < stalled_until {
            most = most.max(cluster.resident_bytes(leader).saturating_sub(before));
            bystander.check("PING", "PONG");
        }
        assert!(most < BOUND_BYTES, "{} MiB for what waits", most >> 20);
        for at in &followers {
            cluster.signal(*at, Signal::CONT);
        }
    });
    let (stored, unknown) = (stored.into_inner(), unknown.into_inner());
    assert_eq!(stored + unknown, CONNECTIONS * MESSAGES);
    assert!(stored > 0, "what waited goes on");
    let end = wait_for("a strong read", PATIENCE, || {
        let mut conn = cluster.conn(leader);
        conn.send("READ t --limit 1 --strong --bytes 1 --from 1\n");
        let mut line = conn.line();
        if line.starts_with("RECORD ") {
            line = conn.line();
        }
        let end = line
            .strip_prefix("OK read_end ")?
            .split(' ')
            .next()?
            .parse::<usize>();
        end.ok()
    });
    assert!(
        (stored..=stored + unknown).contains(&end),
        "{stored} acknowledged, {unknown} unknown, {end} stored"
    );
}

/// A subscriber that waits is a cursor and a connection, and no buffer worth the name.
#[test]
fn a_subscriber_that_waits_takes_little_memory() {
    const SUBSCRIBERS: usize = 400;
    const BOUND_BYTES: u64 = 50_000;
    let cluster = Cluster::start(1);
    let subscribe = |at: usize| {
        let mut conn = cluster.conn(0);
        let command = if at.is_multiple_of(2) {
            "SUBSCRIBE t"
        } else {
            "SUBSCRIBE t.>"
        };
        assert!(conn.ask(command).starts_with("OK subscribed "));
        conn
    };
    // What the first ones make the node set up is not theirs.
    let mut conns: Vec<Conn> = (0..20).map(subscribe).collect();
    let before = cluster.resident_bytes(0);
    conns.extend((0..SUBSCRIBERS).map(subscribe));
    let each = |before: u64| cluster.resident_bytes(0).saturating_sub(before) / SUBSCRIBERS as u64;
    assert!(each(before) <= BOUND_BYTES, "{} bytes each", each(before));
    cluster.conn(0).ask("PUB t.u to one half");
    cluster.conn(0).ask("PUB t to the other");
    for conn in &mut conns {
        assert!(conn.line().starts_with("RECORD "));
    }
    assert!(
        each(before) <= BOUND_BYTES,
        "{} bytes each after a record",
        each(before)
    );
}
