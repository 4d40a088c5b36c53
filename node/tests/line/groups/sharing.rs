//! Members share what a group has to do.

use super::*;

#[test]
fn members_share_the_records_and_what_is_acknowledged_is_done() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    publish(&mut publisher, 1..=3);
    let (mut a, mut b) = (member(&cluster, 0, "--start"), member(&cluster, 0, ""));
    publish(&mut publisher, 4..=20);
    // Whoever has it acknowledges it; one of them on another connection.
    let mut offsets = Vec::new();
    for _ in 0..3 {
        let (offset, delivery) = next(&mut a);
        assert_eq!(delivery, 1);
        ack(&mut publisher, offset);
        offsets.push(offset);
    }
    a.send("UNSUB t\n");
    loop {
        let line = a.line();
        if line == "OK unsubscribed t" {
            break;
        }
        got(&line);
    }
    while offsets.len() < 20 {
        let (offset, _) = next(&mut b);
        assert!(!offsets.contains(&offset), "{offset} was acknowledged");
        offsets.push(offset);
        b.send(format!("ACK t g {offset}\n"));
        // The answer may stand behind more records.
        let mut line = b.line();
        while line.starts_with("RECORD ") {
            let offset = got(&line).offset;
            publisher.ask(&format!("ACK t g {offset}"));
            if !offsets.contains(&offset) {
                offsets.push(offset);
            }
            line = b.line();
        }
        assert_eq!(line, format!("OK acked t g {offset}"));
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=20).collect::<Vec<_>>());
    await_next_offset(&mut publisher, 21);
}

#[test]
fn a_new_group_begins_with_what_is_published_after_it() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    publish(&mut publisher, 1..=3);
    let mut conn = member(&cluster, 0, "");
    publish(&mut publisher, 4..=4);
    assert_eq!(next(&mut conn), (4, 1));
    // Later commands say nothing about where it begins.
    let mut other = member(&cluster, 0, "--from 1");
    publish(&mut publisher, 5..=6);
    let mut offsets = vec![next(&mut other).0, next(&mut conn).0];
    offsets.sort_unstable();
    assert_eq!(offsets, [5, 6]);
}

#[test]
fn what_was_never_handed_out_cannot_be_acknowledged() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=3);
    conn.check("ACK t g 1", "ERR no_group t g");
    let mut a = member(&cluster, 0, "--start --max-in-flight 2");
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    conn.check("ACK t g 1 --through 3", "ERR not_delivered 3");
    conn.check("ACK t g 1 --through 2", "OK acked t g 2");
    conn.check("ACK t g 1", "OK acked t g 1");
    assert_eq!(next(&mut a), (3, 1));
}

#[test]
fn a_member_that_does_not_read_holds_up_nobody() {
    let cluster = one();
    let mut publisher = cluster.conn(0);
    let _lazy = member(
        &cluster,
        0,
        "--max-in-flight 4 --ack-timeout 500 --max-deliveries 1000",
    );
    let mut eager = member(&cluster, 0, "");
    let text = "x".repeat(100_000);
    for _ in 0..100 {
        publisher.ask(&format!("PUB t {text}"));
    }
    let mut done = std::collections::BTreeSet::new();
    while done.len() < 100 {
        let (offset, _) = next(&mut eager);
        ack(&mut publisher, offset);
        done.insert(offset);
    }
}
