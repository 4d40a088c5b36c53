//! Cluster time on real processes: false clocks are measured for what they are, and stamps can be compared.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    PATIENCE,
    cluster::Cluster,
    conn::Conn,
    http,
    rows::{Row, row},
    wait_for,
};

const FALSE_CLOCKS: [&[&str]; 3] = [
    &["--clock-skew-ms", "250", "--allow-faults"],
    &["--clock-skew-ms", "-40", "--allow-faults"],
    &["--clock-drift-ppm", "30", "--allow-faults"],
];

#[track_caller]
fn start_false() -> Cluster {
    let mut cluster = Cluster::of(3);
    for (at, options) in FALSE_CLOCKS.iter().enumerate() {
        cluster.start_node_with(at, options);
    }
    cluster.wait_for_leader();
    wait_for("all clocks are synchronised", PATIENCE, || {
        (0..3)
            .all(|at| is_synchronised(&clock(&cluster, at)))
            .then_some(())
    });
    cluster
}

fn clock(cluster: &Cluster, at: usize) -> Value {
    cluster
        .status(at)
        .map_or(Value::Null, |status| status["clock"].clone())
}

fn is_synchronised(clock: &Value) -> bool {
    clock["state"] == "synchronised"
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn inject(cluster: &Cluster, at: usize, fault: &Value) -> (u16, String) {
    http::post(cluster.port(at) + 100, "/faults/clock", &fault.to_string()).expect("an answer")
}

#[test]
fn false_clocks_are_measured_within_their_bounds() {
    let cluster = start_false();
    // What the issue asks for after a minute is there when the first minute's samples are.
    let minute = Duration::from_mins(1);
    wait_for("every bound is at most 200 µs", minute, || {
        let small = |at| number(&clock(&cluster, at)["error_bound_ms"]) <= 0.2;
        (0..3).all(small).then_some(())
    });
    for at in 0..3 {
        let clock = clock(&cluster, at);
        for peer in clock["peers"].as_array().expect("peers") {
            let (offset, bound) = (number(&peer["offset_ms"]), number(&peer["error_bound_ms"]));
            let truth = number(&peer["truth_ms"]);
            assert!((offset - truth).abs() <= bound + 0.001, "{peer}");
            assert!(truth.abs() > 39.0, "the skews were injected: {peer}");
            assert!(number(&peer["truth_checked"]) > 1.0, "{peer}");
            assert_eq!(peer["truth_checked"], peer["truth_inside"], "{peer}");
            assert_eq!(peer["state"], "good");
        }
        assert_eq!(clock["lamport_violations"], 0);
        assert_eq!(clock["falsetickers"], json!([]));
    }
}

fn last(conn: &mut Conn) -> Row {
    let lines = conn.history("t", 1);
    row(lines.last().expect("a record"))
}

fn micros(seconds: &str) -> i64 {
    let (whole, fraction) = seconds.split_once('.').expect("a decimal point");
    assert_eq!(fraction.len(), 6, "{seconds}");
    whole.parse::<i64>().expect("seconds") * 1_000_000 + fraction.parse::<i64>().expect("microseconds")
}

#[test]
fn records_taken_by_different_nodes_can_be_compared_by_their_corrected_time() {
    let cluster = start_false();
    let mut conns: Vec<Conn> = (0..3).map(|at| cluster.conn(at)).collect();
    let mut before: Option<(Row, i64, Instant)> = None;
    for round in 0..12 {
        let at = round % 3;
        let asked = Instant::now();
        let answer = conns[at].ask(&format!("PUB t message {round}"));
        assert!(answer.starts_with("OK "), "{answer}");
        let record = last(&mut conns[at]);
        assert_eq!(record.text, format!("message {round}"));
        let bound_us = (number(&clock(&cluster, at)["error_bound_ms"]) * 1_000.0).ceil();
        #[allow(clippy::cast_possible_truncation, reason = "a few milliseconds")]
        let bound_us = bound_us as i64 + 2;
        if let Some((earlier, earlier_bound_us, earlier_asked)) = before {
            let elapsed_us = i64::try_from(earlier_asked.elapsed().as_micros()).expect("seconds");
            let apart_us = micros(&record.corrected_ts) - micros(&earlier.corrected_ts);
            let both_us = bound_us + earlier_bound_us;
            assert!(
                (-both_us..=elapsed_us + both_us).contains(&apart_us),
                "{apart_us} µs apart within {elapsed_us} µs, bounds {both_us} µs: {earlier:?} {record:?}"
            );
            let raw_us = micros(&record.ts) - micros(&earlier.ts);
            assert!(
                raw_us.abs_diff(apart_us) > 30_000,
                "the raw clocks differ by what was injected"
            );
            assert!(record.logical_time > earlier.logical_time);
        }
        before = Some((record, bound_us, asked));
    }
}

#[test]
fn a_clock_five_seconds_wrong_is_named_by_all_within_three_seconds() {
    let cluster = start_false();
    let (code, body) = inject(&cluster, 2, &json!({"skew_ms": 5_000}));
    assert_eq!(code, 200, "{body}");
    let named = |at: usize| {
        let clock = clock(&cluster, at);
        let named = clock["falsetickers"].as_array().cloned().unwrap_or_default();
        named
            .iter()
            .any(|one| one["id"] == "n3" && number(&one["off_ms"]) > 4_500.0)
    };
    wait_for("all name n3's clock", Duration::from_secs(3), || {
        (0..3).all(named).then_some(())
    });
    // The others agree, so cluster time goes on, on n3 as well.
    assert!((0..3).all(|at| is_synchronised(&clock(&cluster, at))));
    let answer = cluster.conn(2).ask("PUB t taken under a wrong clock");
    assert!(answer.starts_with("OK "), "{answer}");
    assert!(number(&clock(&cluster, 2)["clock_steps"]) >= 1.0);
    inject(&cluster, 2, &json!({"skew_ms": 0, "drift_ppm": 0}));
    wait_for("nobody names it any more", PATIENCE, || {
        (!(0..3).any(named)).then_some(())
    });
}

#[test]
fn a_node_alone_says_that_it_is_unsynchronised() {
    let mut cluster = start_false();
    cluster.kill(0);
    cluster.kill(1);
    let clock = wait_for("n3 says so", PATIENCE, || {
        Some(clock(&cluster, 2)).filter(|clock| clock["reason"] == "hears 1 of 3 clocks")
    });
    assert_eq!(clock["state"], "unsynchronised");
    assert_eq!(
        (&clock["offset_ms"], &clock["error_bound_ms"]),
        (&Value::Null, &Value::Null)
    );
    wait_for("its peers are suspected", PATIENCE, || {
        let status = cluster.status(2)?;
        let peers = status["peers"].as_array()?;
        peers
            .iter()
            .all(|peer| number(&peer["suspicion"]) > 8.0)
            .then_some(())
    });
    cluster.start_node(0);
    wait_for("a majority is synchronised again", PATIENCE, || {
        is_synchronised(&self::clock(&cluster, 2)).then_some(())
    });
}

#[test]
fn the_old_form_of_a_time_probe_is_answered() {
    let cluster = start_false();
    let mut conn = Conn::to(cluster.port(0) + 200);
    for _ in 0..2 {
        let answer = conn.ask("TIME_SYNC 1729459200.25");
        let words: Vec<&str> = answer.split(' ').collect();
        let ["TIME_SYNC_RESPONSE", "1729459200.25", t2, t3] = words[..] else {
            panic!("{answer}");
        };
        assert!(
            micros(t2) <= micros(t3) && micros(t2) > 1_577_836_800_000_000,
            "{answer}"
        );
    }
    conn.check("TIME_SYNC", "ERR usage: TIME_SYNC <unix seconds>");
    conn.check("PING", "ERR unknown");
    let mut page = Conn::to(cluster.port(0) + 200);
    page.send("GET / HTTP/1.1\r\n\r\n");
    page.expect_end();
    let mut endless = Conn::to(cluster.port(0) + 200);
    endless.send("TIME_SYNC ".repeat(200));
    endless.expect_end();
}

#[test]
fn rubbish_on_the_time_port_changes_nothing_and_is_not_answered() {
    let cluster = start_false();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .connect(("127.0.0.1", cluster.port(0) + 200))
        .expect("an address");
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    for len in [0_usize, 1, 99, 100, 101, 1_400, 60_000] {
        for fill in [0, 0x57, 0xff] {
            // Refusals of earlier ones may be told here; nothing else is.
            let _ = socket.send(&vec![fill; len]);
        }
    }
    let mut answer = [0; 200];
    assert!(socket.recv(&mut answer).is_err(), "rubbish was answered");
    let request = [&b"WBTP\x01\0\0\0"[..], &[0; 92]].concat();
    socket
        .send(&request)
        .expect("a request of a node without a cluster");
    assert_eq!(
        socket.recv(&mut answer).expect("an answer"),
        request.len(),
        "no more comes back than was sent"
    );
    let foreign = [&b"WBTP\x01\0\0\0"[..], &[7; 16], &[0; 76]].concat();
    socket.send(&foreign).expect("a request of another cluster");
    assert!(socket.recv(&mut answer).is_err(), "another cluster was answered");
    assert!(is_synchronised(&clock(&cluster, 0)));
}
