//! The admin port, by hand: the paths of section 1 and what `/status` says at least.

mod support;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use serde_json::Value;
use support::{PATIENCE, cluster::Cluster, http, wait_for};

#[test]
fn the_status_names_every_position_peer_and_topic() {
    let cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    cluster.conn(leader).ask("PUB dm:a:b hello");
    let status = wait_for("peers have acknowledged", PATIENCE, || {
        let status = cluster.status(leader)?;
        let peers = status["peers"].as_array()?;
        let caught_up =
            |peer: &Value| peer["match_index"] == status["last_log_index"] && peer["rtt_ms"].is_number();
        (peers.len() == 2 && peers.iter().all(caught_up)).then(|| status.clone())
    });
    for key in [
        "id",
        "role",
        "term",
        "leader",
        "voted_for",
        "last_log_index",
        "commit_index",
        "applied_index",
        "flushed_index",
    ] {
        assert!(!status[key].is_null(), "{key} in {status}");
    }
    assert_eq!(
        (&status["role"], &status["id"]),
        (&"leader".into(), &status["leader"])
    );
    assert!(status["flushed_index"].as_u64() <= status["last_log_index"].as_u64());
    assert!(status["applied_index"].as_u64() <= status["commit_index"].as_u64());
    for peer in status["peers"].as_array().expect("peers") {
        assert!(
            peer["last_ack_ms"].is_number() && peer["connected"] == true,
            "{peer}"
        );
    }
    let topic = &status["topics"][0];
    assert_eq!(
        (
            &topic["name"],
            &topic["high_watermark"],
            &topic["log_start_offset"]
        ),
        (&"dm:a:b".into(), &1.into(), &1.into())
    );
    assert_eq!(topic["bytes"], 5);
    assert!(status["clock"]["lamport"].as_u64() > Some(0));
    let storage = &status["storage"];
    assert!(
        storage["segments"].as_u64() > Some(0) && storage["bytes"].as_u64() > Some(0),
        "{storage}"
    );
    assert!(
        storage["fsync_p50_us"].as_u64() <= storage["fsync_p99_us"].as_u64(),
        "{storage}"
    );
}

#[test]
fn health_readiness_and_metrics_are_served() {
    let cluster = Cluster::start(1);
    let port = cluster.port(0) + 100;
    let (status, ..) = http::get(port, "/healthz").expect("an answer");
    assert_eq!(status, 200);
    wait_for("it is ready", PATIENCE, || {
        http::get(port, "/readyz").filter(|(status, ..)| *status == 200)
    });
    let (status, head, body) = http::get(port, "/metrics").expect("an answer");
    assert_eq!(status, 200);
    assert!(head.contains("text/plain"), "{head}");
    assert!(body.lines().any(|line| line.starts_with("# TYPE ")), "{body}");
    let sample = |line: &str| {
        line.starts_with('#') || line.rsplit(' ').next().is_some_and(|n| n.parse::<f64>().is_ok())
    };
    assert!(body.lines().filter(|line| !line.is_empty()).all(sample), "{body}");
    let (status, ..) = http::get(port, "/nothing").expect("an answer");
    assert_eq!(status, 404);
}

#[test]
fn events_begin_with_a_status_and_tell_changes() {
    let cluster = Cluster::start(1);
    let port = cluster.port(0) + 100;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a node that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").expect("a node that listens");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(head[0].starts_with("HTTP/1.1 200"), "{head:?}");
    assert!(
        head.iter().any(|line| line
            .to_ascii_lowercase()
            .starts_with("content-type: text/event-stream")),
        "{head:?}"
    );
    let mut events = lines.filter_map(|line| {
        line.strip_prefix("event: ")
            .or(line.strip_prefix("event:"))
            .map(str::to_owned)
    });
    assert_eq!(events.next().as_deref(), Some("status"));
    cluster.conn(0).ask("PUB t a");
    assert!(events.any(|event| event == "trace"), "what happened is told");
}
