//! Consumer groups on real nodes: who gets what, until it is acknowledged, whatever ends meanwhile.

mod leaders;
mod losses;
mod retention;
mod settings;
mod sharing;

use serde_json::Value;

use crate::{
    one,
    support::{PATIENCE, cluster::Cluster, conn::Conn, rows::id_of, wait_for},
};

/// A record as it was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    offset: u64,
    delivery: u64,
    text: String,
}

#[track_caller]
fn got(line: &str) -> Got {
    let json = line
        .strip_prefix("RECORD ")
        .unwrap_or_else(|| panic!("no record: `{line}`"));
    let record: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!((&record["topic"], &record["group"]), (&"t".into(), &"g".into()));
    Got {
        offset: record["offset"].as_u64().expect("an offset"),
        delivery: record["delivery"].as_u64().expect("a delivery"),
        text: record["text"].as_str().expect("a text").to_owned(),
    }
}

/// Offset and delivery of the next record.
#[track_caller]
fn next(conn: &mut Conn) -> (u64, u64) {
    let got = got(&conn.line());
    (got.offset, got.delivery)
}

#[track_caller]
fn publish(conn: &mut Conn, texts: std::ops::RangeInclusive<u64>) {
    for text in texts {
        let answer = conn.ask(&format!("PUB t {text}"));
        assert!(
            id_of(&answer, "published").is_some() || answer.starts_with("OK REDIRECTED"),
            "{answer}"
        );
    }
}

/// A connection that is a member of group `g` of topic `t`.
#[track_caller]
fn member(cluster: &Cluster, at: usize, options: &str) -> Conn {
    let mut conn = cluster.conn(at);
    conn.check(
        &format!("SUBSCRIBE t --group g {options}"),
        "OK subscribed t group g",
    );
    conn
}

#[track_caller]
fn ack(conn: &mut Conn, offset: u64) {
    conn.check(&format!("ACK t g {offset}"), &format!("OK acked t g {offset}"));
}

/// What `GROUPS` says of the group.
#[track_caller]
fn listed(conn: &mut Conn) -> Option<Value> {
    conn.send("GROUPS t\n");
    let mut lines = Vec::new();
    loop {
        let line = conn.line();
        if let Some(count) = line.strip_prefix("OK groups_end ") {
            assert_eq!(count, lines.len().to_string());
            return lines.pop();
        }
        let json = line.strip_prefix("GROUP ").expect("a group");
        lines.push(serde_json::from_str(json).expect("JSON"));
    }
}

/// Waits until everything up to here is acknowledged.
#[track_caller]
fn await_next_offset(conn: &mut Conn, next_offset: u64) {
    wait_for("the group is there", PATIENCE, || {
        (listed(conn)?["next_offset"] == next_offset).then_some(())
    });
}
