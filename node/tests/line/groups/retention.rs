//! Retention drops what a group did not have yet.

use super::*;
use crate::support::rows::record;

#[test]
fn members_are_told_what_retention_dropped_before_their_group_had_it_and_go_on() {
    let mut cluster = Cluster::of(1);
    cluster.configure("retention: { max_bytes: 1MiB }\n");
    cluster.start_node(0);
    cluster.wait_for_leader();
    let mut publisher = cluster.conn(0);
    let mut slow = member(&cluster, 0, "--max-in-flight 1 --ack-timeout 60000");
    // A group that nobody is a member of meanwhile.
    let mut left = cluster.conn(0);
    left.check("SUBSCRIBE t --group left", "OK subscribed t group left");
    left.check("UNSUB t", "OK unsubscribed t");
    let text = "x".repeat(1_000_000);
    for _ in 0..100 {
        let answer = publisher.ask(&format!("PUB t {text}"));
        assert!(id_of(&answer, "published").is_some(), "{answer}");
    }
    assert_eq!(next(&mut slow), (1, 1));
    let start = wait_for("the oldest are gone", PATIENCE, || {
        let answer = cluster.conn(0).ask("READ t --from 1 --limit 1 --local");
        let range = answer.strip_prefix("ERR offset_out_of_range ")?;
        range.split_once(' ')?.0.parse::<u64>().ok()
    });
    // What is gone from the log can still be acknowledged by who has it.
    ack(&mut publisher, 1);
    slow.expect(&format!("SKIPPED t g 2 {}", start - 1));
    assert_eq!(next(&mut slow), (start, 1));
    ack(&mut publisher, start);
    assert_eq!(next(&mut slow), (start + 1, 1));

    left.check("SUBSCRIBE t --group left", "OK subscribed t group left");
    left.expect(&format!("SKIPPED t left 1 {}", start - 1));
    assert_eq!(record(&left.line())["offset"], start);
}
