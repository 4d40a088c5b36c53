//! Records over a socket: from any place on, by patterns, and as a member of a group.

use std::time::Duration;

use serde_json::json;

use crate::{
    home::{Home, wait_for},
    http::ask,
    socket::{Socket, upgrade},
};

fn with_records(topic: &str, count: u64) -> Home {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for number in 1..=count {
        publish(&home, topic, &number.to_string());
    }
    home
}

fn publish(home: &Home, topic: &str, body: &str) {
    let stored = home.post(&format!("/api/topics/{topic}/records"), body);
    assert_eq!(stored.status, 200, "{}", stored.text());
}

/// The next frame is this record.
#[track_caller]
fn expect_record(socket: &mut Socket, offset: u64, text: &str) {
    let frame = socket.json();
    assert_eq!(
        (
            &frame["event"],
            &frame["payload"]["offset"],
            &frame["payload"]["text"]
        ),
        (&json!("record"), &json!(offset), &json!(text)),
        "{frame}"
    );
}

#[test]
fn a_topic_is_followed_from_any_place_and_resumed_without_gap_or_repeat() {
    let home = with_records("t", 3);
    let mut first = Socket::open(home.port, "/live/records/t?start=true");
    assert_eq!(
        first.text(),
        r#"{"event":"connected","node":"n1","next_offset":1}"#
    );
    expect_record(&mut first, 1, "1");
    let second = first.json();
    assert_eq!(
        second["payload"],
        home.get("/api/topics/t/records?from=2&limit=1").json()["records"][0],
        "the same form everywhere"
    );
    drop(first);
    publish(&home, "t", "4");
    let mut resumed = Socket::open(home.port, "/live/records/t?from=3");
    resumed.json_where(|frame| frame["event"] == "connected");
    expect_record(&mut resumed, 3, "3");
    expect_record(&mut resumed, 4, "4");
    publish(&home, "t", "5");
    expect_record(&mut resumed, 5, "5");
    resumed.send(r#"{"ack":5}"#);
    publish(&home, "t", "6");
    expect_record(&mut resumed, 6, "6");
    let mut new = Socket::open(home.port, "/live/records/t");
    assert_eq!(new.text(), r#"{"event":"connected","node":"n1","next_offset":7}"#);
}

#[test]
fn a_pattern_brings_its_topics_in_the_order_of_the_log_and_resumes_behind_a_lamport_time() {
    let home = with_records("orders.eu", 1);
    for topic in ["orders.us", "lobby", "orders.eu"] {
        publish(&home, topic, topic);
    }
    let mut all = Socket::open(home.port, "/live/records/orders.*?start=true");
    assert_eq!(
        all.text(),
        r#"{"event":"connected","node":"n1","logical_time":0}"#
    );
    for (topic, logical_time) in [("orders.eu", 10), ("orders.us", 20), ("orders.eu", 40)] {
        let payload = all.json()["payload"].clone();
        assert_eq!(
            (&payload["topic"], &payload["logical_time"]),
            (&json!(topic), &json!(logical_time))
        );
    }
    let mut rest = Socket::open(home.port, "/live/records/%3E?after=20");
    rest.json_where(|frame| frame["event"] == "connected");
    assert_eq!(rest.json()["payload"]["topic"], "lobby");
    assert_eq!(rest.json()["payload"]["logical_time"], 40);
}

#[test]
fn records_come_by_time_of_origin_where_that_is_asked() {
    let home = with_records("a.x", 2);
    // Its first record is stamped like that of the other topic, and logged later.
    publish(&home, "a.y", "3");
    let mut socket = Socket::open(home.port, "/live/records/a.*?start=true&order=300");
    socket.json_where(|frame| frame["event"] == "connected");
    for text in ["1", "3", "2"] {
        let payload = socket.json()["payload"].clone();
        assert_eq!(
            (&payload["text"], payload.get("late")),
            (&json!(text), None),
            "{payload}"
        );
    }
}

#[test]
fn a_burst_arrives_whole_at_a_browser_that_reads_later() {
    let home = with_records("t", 0);
    let mut socket = Socket::open(home.port, "/live/records/t?start=true");
    let text = |number: u64| format!("{number} {}", "x".repeat(100_000));
    // Far more than what the sockets between here and the node take.
    for number in 1..=200 {
        publish(&home, "t", &text(number));
    }
    socket.json_where(|frame| frame["event"] == "connected");
    for number in 1..=200 {
        expect_record(&mut socket, number, &text(number));
    }
}

#[test]
fn what_is_no_longer_kept_is_told_and_so_is_a_lag() {
    let home = with_records("t", 5);
    std::fs::write(home.node_folder("n1").join("kept_from"), "4").unwrap();
    home.tell("n1", "lag");
    let mut socket = Socket::open(home.port, "/live/records/t?from=2");
    assert_eq!(socket.text(), r#"{"event":"skipped","from":2,"to":4}"#);
    assert_eq!(
        socket.text(),
        r#"{"event":"connected","node":"n1","next_offset":4}"#
    );
    assert_eq!(socket.text(), r#"{"event":"lagging","records":5000}"#);
    expect_record(&mut socket, 4, "4");
}

#[test]
fn a_lost_node_is_told_and_its_return_too() {
    let home = with_records("t", 1);
    let mut socket = Socket::open(home.port, "/live/records/t");
    socket.json_where(|frame| frame["event"] == "connected");
    home.post("/cluster/node/n1/kill", "");
    let lost = socket.json();
    assert_eq!(lost["event"], "disconnected");
    assert!(lost["detail"].as_str().unwrap().starts_with("n1: "), "{lost}");
    assert_eq!(home.post("/cluster/start", "").json()["status"], "ok");
    // What the fake node keeps ended with its process, but what the socket waits for is the same.
    socket.json_where(|frame| frame["event"] == "connected");
}

#[test]
fn what_can_not_be_followed_is_refused_before_there_is_a_socket() {
    let home = Home::new(1);
    for path in [
        "/live/records/two%20words",
        "/live/records/%3E.a",
        "/live/records/t?from=1&start=true",
        "/live/records/t?from=x",
        "/live/records/t?since=yesterday",
        "/live/records/t?frm=1",
        "/live/records/t?order=0",
        "/live/records/t?order=60001",
        "/live/records/t?group=g&order=10",
        "/live/records/a.*?from=1",
        "/live/records/a.*?group=g",
        "/live/records/t?group=two%20words",
        "/live/records/t?group=g&after=1",
        "/live/records/t?group=g&ack_timeout=1",
        "/live/records/t?group=g&max_in_flight=0",
        "/live/records/t?group=g&limit=0",
        "/live/records/t?limit=1",
        "/live/records/t?group=g&max_in_flight=1025",
        "/live/records/t?max_in_flight=1",
        "/live/records/t?ack_timeout=1000",
    ] {
        assert_eq!(upgrade(home.port, path, &[]).0, 422, "{path}");
    }
    let plain = ask(home.port, "GET", "/live/records/t", &[], "");
    assert!(plain.refusal(plain.status).contains("WebSocket"));
}

const MEMBER: &str = "/live/records/t?group=g&start=true&max_in_flight=2";

fn join(home: &Home) -> Socket {
    let mut member = Socket::open(home.port, MEMBER);
    assert_eq!(member.text(), r#"{"event":"connected","node":"n1","group":"g"}"#);
    member
}

#[test]
fn a_member_gets_acknowledges_and_what_it_held_is_handed_out_again_when_its_socket_is_lost() {
    let home = with_records("t", 4);
    let mut member = join(&home);
    for offset in [1, 2] {
        let payload = member.json()["payload"].clone();
        assert_eq!(
            (&payload["offset"], &payload["group"], &payload["delivery"]),
            (&json!(offset), &json!("g"), &json!(1))
        );
    }
    assert!(
        member.is_silent_for(Duration::from_millis(200)),
        "two at once and no more"
    );
    member.send(r#"{"ack":1}"#);
    let told = [member.json(), member.json()];
    let acked = json!({"event": "acked", "offset": 1});
    assert!(told.contains(&acked), "{told:?}");
    assert!(
        told.iter().any(|frame| frame["payload"]["offset"] == 3),
        "room for another one: {told:?}"
    );
    drop(member);
    wait_for("that it left", || {
        let groups = home.get("/api/groups").json();
        (groups["groups"][0]["members"] == 0).then_some(())
    });

    let mut next = join(&home);
    for offset in [2, 3] {
        let payload = next.json()["payload"].clone();
        assert_eq!(
            (&payload["offset"], &payload["delivery"]),
            (&json!(offset), &json!(2)),
            "what was acknowledged does not come again"
        );
    }
    next.send(r#"{"ack":2,"through":3}"#);
    let told = [next.json(), next.json()];
    assert!(told.contains(&json!({"event": "acked", "offset": 3})), "{told:?}");
    assert!(
        told.iter().any(|frame| frame["payload"]["offset"] == 4),
        "{told:?}"
    );
}

#[test]
fn a_member_gives_back_what_it_holds_and_nothing_else() {
    let home = with_records("t", 1);
    let mut member = join(&home);
    expect_record(&mut member, 1, "1");
    member.send(r#"{"ack":1,"through":7}"#);
    assert_eq!(
        member.json()["event"],
        "error",
        "7 was not handed out, so 1 is held yet"
    );
    member.send(r#"{"nack":1}"#);
    let told = [member.json(), member.json()];
    assert!(
        told.contains(&json!({"event": "nacked", "offset": 1})),
        "{told:?}"
    );
    assert!(
        told.iter().any(|frame| frame["payload"]["delivery"] == 2),
        "again, as there is nobody else: {told:?}"
    );
    member.send(r#"{"nack":7}"#);
    let error = member.json();
    assert_eq!((&error["event"], &error["offset"]), (&json!("error"), &json!(7)));
}

#[test]
fn a_member_is_told_what_was_wrong_and_goes_on() {
    let home = with_records("t", 1);
    let mut member = join(&home);
    expect_record(&mut member, 1, "1");
    for said in ["hello", "{}", r#"{"ack":1,"nack":1}"#, r#"{"ack":-1}"#] {
        member.send(said);
        let error = member.json();
        assert_eq!(error["event"], "error", "{said}");
        assert!(error["detail"].is_string());
    }
    for said in [r#"{"ack":9}"#, r#"{"ack":1,"through":0}"#] {
        member.send(said);
        assert_eq!(member.json()["event"], "error", "{said}");
    }
    member.send(r#"{"ack":1}"#);
    assert_eq!(member.text(), r#"{"event":"acked","offset":1}"#);
}

#[test]
fn a_member_that_says_much_at_once_is_answered_for_all_of_it() {
    let home = with_records("t", 2);
    let mut member = join(&home);
    expect_record(&mut member, 1, "1");
    expect_record(&mut member, 2, "2");
    for _ in 0..2_000 {
        member.send(r#"{"ack":1}"#);
    }
    for _ in 0..2_000 {
        assert_eq!(member.text(), r#"{"event":"acked","offset":1}"#);
    }
}

#[test]
fn two_sockets_of_a_group_share_its_records() {
    let home = with_records("t", 4);
    let (mut first, mut second) = (join(&home), join(&home));
    let mut offsets: Vec<u64> = [&mut first, &mut second]
        .into_iter()
        .flat_map(|socket| [socket.json(), socket.json()])
        .map(|frame| frame["payload"]["offset"].as_u64().unwrap())
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [1, 2, 3, 4]);
}

#[test]
fn sockets_that_deliver_records_are_told_when_the_gateway_ends() {
    let mut home = with_records("t", 0);
    let mut sockets = ["/live/records/t", MEMBER].map(|path| Socket::open(home.port, path));
    assert_eq!(home.end_gateway("TERM").code(), Some(0));
    for socket in &mut sockets {
        assert_eq!(socket.close_code(), 1001, "going away");
    }
}
