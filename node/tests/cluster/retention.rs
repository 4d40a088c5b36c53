//! Old records go on every node alike, what is left stays whole, and who was away comes back.

use serde_json::Value;

use crate::support::{PATIENCE, cluster::Cluster, conn::Conn, rows::rows, wait_for};

/// With it, about 64 messages fill a part of the index, which is what retention cuts by.
const MESSAGE_BYTES: usize = (1 << 20) - 1_000;

fn publish_large(conn: &mut Conn, count: usize) {
    let text = "x".repeat(MESSAGE_BYTES);
    for _ in 0..count {
        let answer = conn.ask(&format!("PUB large {text}"));
        assert!(answer.starts_with("OK published "), "{answer}");
    }
}

fn topic(status: &Value, name: &str) -> Option<(u64, u64)> {
    let topics = status["topics"].as_array()?;
    let topic = topics.iter().find(|topic| topic["name"] == name)?;
    Some((
        topic["log_start_offset"].as_u64()?,
        topic["high_watermark"].as_u64()?,
    ))
}

fn range_of(answer: &str) -> (u64, u64) {
    let range = answer
        .strip_prefix("ERR offset_out_of_range ")
        .and_then(|range| range.split_once(' '));
    let (start, end) = range.unwrap_or_else(|| panic!("{answer}"));
    (start.parse().expect("an offset"), end.parse().expect("an offset"))
}

#[test]
fn what_retention_drops_is_gone_everywhere_and_a_node_that_was_away_catches_up() {
    let mut cluster = Cluster::of(3);
    cluster.configure("retention: { max_bytes: 1MiB }\n");
    for at in 0..3 {
        cluster.start_node(at);
    }
    let leader = cluster.wait_for_leader();
    let away = cluster.follower();
    let answer = cluster.conn(leader).ask("PUB small before");
    assert!(answer.starts_with("OK published "), "{answer}");
    cluster.settled_history("small");
    cluster.kill(away);

    publish_large(&mut cluster.conn(leader), 80);
    let (start, end) = wait_for("the oldest messages are gone", PATIENCE, || {
        let (start, end) = topic(&cluster.status(leader)?, "large")?;
        (start > 1).then_some((start, end))
    });
    assert_eq!(end, 80);
    let other = (0..3)
        .find(|at| *at != leader && *at != away)
        .expect("three nodes");
    for at in [leader, other] {
        wait_for("the node's log begins later", PATIENCE, || {
            let status = cluster.status(at)?;
            (status["first_log_index"].as_u64()? > 1 && topic(&status, "large")? == (start, end))
                .then_some(())
        });
        let mut conn = cluster.conn(at);
        assert_eq!(range_of(&conn.ask("READ large --from 1 --limit 5")), (start, end));
        assert_eq!(range_of(&conn.ask("SUBSCRIBE large --from 1")), (start, end));
        let left = conn.history("large", 1_000);
        assert_eq!(left.len() as u64, end - start + 1);
        assert!(conn.history("small", 10).is_empty());
        conn.check("PING", "PONG");
    }

    // What it misses is gone: it gets the state as of the cut, then the log.
    cluster.start_node(away);
    wait_for("the node that was away is level", PATIENCE, || {
        (topic(&cluster.status(away)?, "large")? == (start, end)).then_some(())
    });
    assert_eq!(
        rows(&cluster.settled_history("large")).len() as u64,
        end - start + 1
    );

    // Offsets go on where they were, also where no record of the topic is left, and after a restart.
    let answer = cluster.conn(leader).ask("PUB small after");
    assert!(answer.contains(" 2 "), "{answer}");
    let before = cluster.settled_history("small");
    cluster.kill_all();
    for at in 0..3 {
        cluster.start_node(at);
    }
    cluster.wait_for_leader();
    wait_for("the same history as before", PATIENCE, || {
        (cluster.settled_history("small") == before).then_some(())
    });
    for at in 0..3 {
        assert_eq!(
            topic(&cluster.status(at).expect("a status"), "large"),
            Some((start, end))
        );
    }
}
