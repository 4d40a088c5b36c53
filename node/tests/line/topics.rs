//! `TOPICS`: the list of topics, by name, with what they hold and get.

use serde_json::Value;

use crate::{
    one,
    support::{PATIENCE, conn::Conn, wait_for},
};

fn list(conn: &mut Conn, command: &str) -> (Vec<Value>, String) {
    let mut line = conn.ask(command);
    let mut topics = Vec::new();
    while let Some(json) = line.strip_prefix("TOPIC ") {
        topics.push(serde_json::from_str(json).expect("JSON"));
        line = conn.line();
    }
    (topics, line)
}

fn names(topics: &[Value]) -> Vec<&str> {
    topics
        .iter()
        .filter_map(|topic| topic["topic"].as_str())
        .collect()
}

#[test]
fn topics_are_listed_by_name_with_what_they_hold_and_get() {
    let mut cluster = one();
    let mut conn = cluster.conn(0);
    assert_eq!(
        list(&mut conn, "TOPICS"),
        (Vec::new(), "OK topics_end 0".to_owned())
    );
    for topic in ["b.x", "a.x", "b.y", "c"] {
        conn.ask(&format!("PUB {topic} 12345"));
    }
    for at in 0..100 {
        conn.ask(&format!("PUB b.x --id m-{at} 12345"));
        // A duplicate is no record.
        conn.check(
            &format!("PUB b.x --id m-{at} 12345"),
            &format!("OK duplicate m-{at}"),
        );
    }
    let (topics, end) = list(&mut conn, "TOPICS");
    assert_eq!(
        (names(&topics), end.as_str()),
        (vec!["a.x", "b.x", "b.y", "c"], "OK topics_end 4")
    );
    let busy = &topics[1];
    for (key, value) in [("high_watermark", 101), ("log_start_offset", 1), ("bytes", 505)] {
        assert_eq!(busy[key], value, "{key}");
    }
    let rate = busy["records_per_s"].as_f64().expect("a rate");
    assert!(rate > 1.0 && rate <= 10.1, "{rate}");
    let bytes_rate = busy["bytes_per_s"].as_f64().expect("a rate");
    assert!(
        (bytes_rate - 5.0 * rate).abs() < 0.05,
        "{bytes_rate}: both are rounded to hundredths"
    );
    let (topics, end) = list(&mut conn, "TOPICS b.*");
    assert_eq!(
        (names(&topics), end.as_str()),
        (vec!["b.x", "b.y"], "OK topics_end 2")
    );
    let (topics, end) = list(&mut conn, "TOPICS --after a.x --limit 2");
    assert_eq!(
        (names(&topics), end.as_str()),
        (vec!["b.x", "b.y"], "OK topics_end 2")
    );
    assert_eq!(list(&mut conn, "TOPICS none.>").1, "OK topics_end 0");

    // What it reads again at a start is not new.
    cluster.kill(0);
    cluster.start_node(0);
    cluster.wait_for_leader();
    let topics = wait_for("the topics are back", PATIENCE, || {
        let (topics, end) = list(&mut cluster.conn(0), "TOPICS");
        (end == "OK topics_end 4").then_some(topics)
    });
    assert_eq!(
        (&topics[1]["bytes"], &topics[1]["records_per_s"]),
        (&505.into(), &0.0.into())
    );
}
