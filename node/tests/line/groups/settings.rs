//! What is said of groups, and what changes them.

use super::*;
use crate::support::http;

#[test]
fn a_deleted_group_ends_for_its_members_and_a_moved_one_begins_again() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=3);
    let mut a = member(&cluster, 0, "--start");
    assert_eq!(
        (next(&mut a), next(&mut a), next(&mut a)),
        ((1, 1), (2, 1), (3, 1))
    );
    ack(&mut conn, 2);
    conn.check("GROUP t g --seek 2", "OK group_moved t g 2");
    assert_eq!((next(&mut a), next(&mut a)), ((2, 1), (3, 1)));
    conn.check("GROUP t g --delete", "OK group_deleted t g");
    a.expect("ENDED t no_group");
    conn.check("GROUP t g --delete", "ERR no_group t g");
    conn.check("GROUP t g --seek 1", "ERR no_group t g");
    assert_eq!(listed(&mut conn), None);
    // The connection goes on, and so may the group, as a new one.
    a.check("SUBSCRIBE t --group g --from 3", "OK subscribed t group g");
    assert_eq!(next(&mut a), (3, 1));
}

#[test]
fn the_list_and_the_settings_of_groups() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=5);
    let mut a = member(&cluster, 0, "--start --max-in-flight 2 --ack-timeout 60000");
    assert_eq!((next(&mut a), next(&mut a)), ((1, 1), (2, 1)));
    let _b = member(&cluster, 0, "--max-deliveries 9 --max-in-flight 1");
    ack(&mut conn, 2);
    let expected = serde_json::json!({
        "topic": "t", "group": "g", "next_offset": 1, "lag": 4, "redelivered": 0, "dead_letters": 0,
        "ack_timeout_ms": 60_000, "max_deliveries": 9, "members": 2,
    });
    wait_for("the list says so", PATIENCE, || {
        let mut group = listed(&mut conn)?;
        // Both are handed more as they have room.
        let outstanding = group.as_object_mut()?.remove("outstanding")?;
        (group == expected && outstanding.as_u64()? >= 3).then_some(())
    });
    conn.send("GROUPS other.>\n");
    conn.expect("OK groups_end 0");
}

#[test]
fn status_and_metrics_show_the_groups_that_lag_most_first() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, 1..=5);
    for group in ["small", "large", "none"] {
        let from = match group {
            "small" => "--from 5",
            "large" => "--from 2",
            _ => "",
        };
        let join = format!("SUBSCRIBE t --group {group} {from}");
        let mut member = cluster.conn(0);
        member.check(&join, &format!("OK subscribed t group {group}"));
    }
    let status = cluster.status(0).expect("a status");
    let groups = status["groups"].as_array().expect("groups");
    let pairs: Vec<_> = groups
        .iter()
        .map(|group| (group["group"].as_str(), group["lag"].as_u64()))
        .collect();
    let expected = [("large", 4), ("small", 1), ("none", 0)];
    assert_eq!(pairs, expected.map(|(group, lag)| (Some(group), Some(lag))));
    assert_eq!(status["group_count"], 3);
    let (200, _, metrics) = http::get(cluster.port(0) + 100, "/metrics").expect("an answer") else {
        panic!("no metrics");
    };
    let sample = "wiber_group_lag{topic=\"t\",group=\"large\"} 4\n";
    assert!(metrics.contains(sample), "{metrics}");
}
