//! The WebSockets, frame by frame.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use crate::{
    home::{Home, wait_for},
    http::ask,
    socket::Socket,
};

#[test]
fn a_conversation_delivers_what_is_published_from_now_on() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    home.post("/dm/dm:ann:bob", r#"{"message":"before","message_id":"m1"}"#);
    let mut socket = Socket::open(home.port, "/ws/dm:ann:bob");
    assert_eq!(socket.text(), r#"{"event":"connected"}"#);
    home.post(
        "/dm/dm:ann:bob",
        r#"{"message":"hi","sender":"ann","message_id":"m2"}"#,
    );
    assert_eq!(
        socket.text(),
        concat!(
            r#"{"event":"message","payload":{"kind":"MSG","topic":"dm:ann:bob","message_id":"m2","offset":2,"#,
            r#""timestamp":1729459201.123456,"corrected_ts":1729459201.373456,"logical_time":20,"#,
            r#""clock_type":"logical","text":"ann: hi","display":"[1729459201.123] ann: hi"}}"#
        )
    );
    socket.send("what a browser says is not listened to");
    home.post("/dm/dm:ann:bob", r#"{"message":"again"}"#);
    assert_eq!(socket.json()["payload"]["offset"], 3);
}

#[test]
fn a_conversation_without_a_cluster_says_so_and_ends() {
    let home = Home::new(1);
    let mut socket = Socket::open(home.port, "/ws/talk");
    let frame = socket.json();
    assert_eq!(frame["event"], "error");
    assert!(frame["detail"].as_str().unwrap().contains("can't be followed"));
    assert_eq!(socket.close_code(), 1000);
}

#[test]
fn a_conversation_goes_on_after_its_node_came_back() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let mut socket = Socket::open(home.port, "/ws/talk");
    socket.json_where(|frame| frame["event"] == "connected");
    home.post("/cluster/node/n1/restart", "");
    wait_for("a message after the restart", || {
        home.post("/dm/talk", r#"{"message":"hi"}"#);
        (!socket.is_silent_for(Duration::from_millis(100))).then_some(())
    });
    assert_eq!(socket.json()["event"], "message", "no word of the failover");
}

#[test]
fn a_broker_that_is_gone_for_good_is_told() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let mut socket = Socket::open(home.port, "/ws/talk");
    socket.json_where(|frame| frame["event"] == "connected");
    home.post("/cluster/node/n1/kill", "");
    assert_eq!(socket.text(), r#"{"event":"broker_closed"}"#);
    assert_eq!(socket.close_code(), 1000);
}

#[test]
fn a_topic_is_followed_from_an_offset_without_gap_or_repeat() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for number in 1..=60 {
        home.post("/dm/talk", &format!(r#"{{"message":"{number}"}}"#));
    }
    let mut last = Socket::open(home.port, "/live/topic/talk");
    assert_eq!(last.text(), r#"{"event":"connected","next_offset":11}"#);
    for offset in 11..=60 {
        let frame = last.json();
        assert_eq!(
            (&frame["event"], &frame["payload"]["offset"]),
            (&"message".into(), &offset.into())
        );
    }
    let mut resumed = Socket::open(home.port, "/live/topic/talk?from=59");
    assert_eq!(resumed.text(), r#"{"event":"connected","next_offset":59}"#);
    home.post("/dm/talk", r#"{"message":"61"}"#);
    for (offset, text) in [(59, "59"), (60, "60"), (61, "61")] {
        let frame = resumed.json();
        assert_eq!(
            (&frame["payload"]["offset"], &frame["payload"]["text"]),
            (&offset.into(), &text.into())
        );
    }
    assert_eq!(last.json()["payload"]["offset"], 61);
    let mut beyond = Socket::open(home.port, "/live/topic/talk?from=900");
    assert_eq!(beyond.text(), r#"{"event":"connected","next_offset":62}"#);
    for path in ["/live/topic/two%20words", "/live/topic/talk?from=x"] {
        assert_eq!(crate::socket::upgrade(home.port, path, &[]).0, 422, "{path}");
    }
}

#[test]
fn whoever_follows_a_cluster_that_was_made_anew_is_sent_away_to_come_again() {
    let home = Home::new(1);
    let cluster = |id: &str| {
        std::fs::create_dir_all(home.node_folder("n1")).unwrap();
        std::fs::write(home.node_folder("n1").join("cluster"), id).unwrap();
    };
    cluster("1");
    home.post("/cluster/start", "");
    for number in 1..=3 {
        home.post("/dm/talk", &format!(r#"{{"message":"{number}"}}"#));
    }
    let mut topic = Socket::open(home.port, "/live/topic/talk?from=4");
    assert_eq!(topic.text(), r#"{"event":"connected","next_offset":4}"#);
    let mut talk = Socket::open(home.port, "/ws/talk");
    assert_eq!(talk.text(), r#"{"event":"connected"}"#);
    // What the fake node keeps ends with its process.
    home.post("/cluster/node/n1/kill", "");
    cluster("2");
    home.post("/cluster/start", "");
    assert_eq!(topic.close_code(), 1000);
    assert_eq!(talk.text(), r#"{"event":"broker_closed"}"#);
    assert_eq!(talk.close_code(), 1000);
    let mut again = Socket::open(home.port, "/live/topic/talk?from=4");
    assert_eq!(again.text(), r#"{"event":"connected","next_offset":1}"#);
}

#[test]
fn a_topic_tells_when_nobody_delivers_and_when_somebody_does_again() {
    let home = Home::new(1);
    let mut socket = Socket::open(home.port, "/live/topic/talk?from=1");
    assert_eq!(
        socket.text(),
        r#"{"event":"disconnected","detail":"No node of the cluster is running."}"#
    );
    home.post("/cluster/start", "");
    let connected = socket.json_where(|frame| frame["event"] == "connected");
    assert_eq!(connected["next_offset"], 1);
    home.post("/cluster/node/n1/kill", "");
    socket.json_where(|frame| frame["event"] == "disconnected");
}

#[test]
fn the_picture_comes_whole_and_then_in_changes() {
    let home = Home::new(2);
    let mut socket = Socket::open(home.port, "/live/cluster");
    let snapshot = socket.json();
    assert_eq!(snapshot["event"], "snapshot");
    assert_eq!(snapshot["view"]["nodes"][1]["id"], "n2");
    let mut seq = snapshot["view"]["seq"].as_u64().unwrap();
    let idle = socket.json();
    assert_eq!(idle["event"], "change", "a heartbeat");
    seq += 1;
    assert_eq!(idle["seq"], seq);
    home.post("/cluster/start", "");
    let mut happened = Vec::new();
    loop {
        let frame = socket.json();
        seq += 1;
        assert_eq!(
            (&frame["event"], &frame["seq"]),
            (&"change".into(), &seq.into()),
            "no change is missing"
        );
        let change = &frame["change"];
        let texts = change["happenings"].as_array().into_iter().flatten();
        happened.extend(texts.map(|happening| happening["text"].as_str().unwrap().to_owned()));
        let leads = |node: &serde_json::Value| node["live"] == true && node["status"]["role"] == "leader";
        if change["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.iter().any(leads))
        {
            break;
        }
    }
    assert!(
        happened.iter().any(|text| text.starts_with("n1 was started")),
        "{happened:?}"
    );
}

#[test]
fn a_trace_is_passed_on_once_however_often_the_stream_begins_anew() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let event = |seq: u64, kind: &str, detail: &str| {
        format!(
            r#"{{"node":"n1","seq":{seq},"epoch":5,"lamport":{seq},"ts_us":1000,"corrected_us":1000,"kind":"{kind}","term":3,"detail":"{detail}"}}"#
        )
    };
    let batch = |events: &[String]| {
        format!(
            "event: trace\ndata: {{\"events\":[{}],\"rpcs_left_out\":4,\"lagged\":0}}\n\n",
            events.join(",")
        )
    };
    let (first, second) = (
        event(1, "role", "leads term 3"),
        event(2, "fault", "the disk is slow"),
    );
    let mut say = OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.node_folder("n1").join("say"))
        .unwrap();
    say.write_all(batch(std::slice::from_ref(&first)).as_bytes())
        .unwrap();
    say.write_all(batch(&[first, second]).as_bytes()).unwrap();
    let view = wait_for("both events", || {
        let view = home.get("/api/cluster").json();
        (view["trace"].as_array().unwrap().len() >= 2).then_some(view)
    });
    assert_eq!(view["trace"].as_array().unwrap().len(), 2);
    let told: Vec<_> = view["happenings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["text"].as_str().unwrap())
        .collect();
    assert!(
        told.contains(&"n1 leads term 3.") && told.contains(&"n1: the disk is slow."),
        "{told:?}"
    );
    wait_for("what was left out", || {
        (home.get("/api/cluster").json()["nodes"][0]["rpcs_left_out"] == 4).then_some(())
    });
}

struct Console {
    path: PathBuf,
}

impl Console {
    fn new(home: &Home) -> Self {
        let logs = home.node_folder("n1").join("logs");
        fs::create_dir_all(&logs).unwrap();
        Self {
            path: logs.join("console.log"),
        }
    }

    fn print(&self, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

fn line(text: &str) -> String {
    serde_json::json!({"event": "log", "line": text}).to_string()
}

#[test]
fn a_terminal_shows_the_last_lines_and_then_each_new_one() {
    let home = Home::new(1);
    let console = Console::new(&home);
    console.print("one\ntwo\n\u{1b}[32mthree\u{1b}[0m\n");
    let mut socket = Socket::open(home.port, "/ws/node/n1/logs?tail=2");
    assert_eq!(socket.text(), line("two"));
    assert_eq!(socket.text(), line("\u{1b}[32mthree\u{1b}[0m"));
    console.print("four\nfive");
    assert_eq!(socket.text(), line("four"));
    console.print(" and a half\n");
    assert_eq!(socket.text(), line("five and a half"));
    // Rotation, as the node does it.
    console.print("before\n");
    fs::rename(&console.path, console.path.with_extension("log.1")).unwrap();
    console.print("after\n");
    assert_eq!(socket.text(), line("before"));
    assert_eq!(socket.text(), line("after"));
    fs::write(&console.path, "cut\n").unwrap();
    assert_eq!(socket.text(), line("cut"));
    let mut none = Socket::open(home.port, "/ws/node/n1/logs?tail=0");
    assert!(none.is_silent_for(Duration::from_millis(250)));
    console.print("new\n");
    assert_eq!((socket.text(), none.text()), (line("new"), line("new")));
}

#[test]
fn a_terminal_waits_for_a_file_that_is_not_there() {
    let home = Home::new(1);
    let mut socket = Socket::open(home.port, "/ws/node/n1/logs");
    assert_eq!(
        socket.text(),
        r#"{"event":"info","detail":"n1 has not printed anything yet."}"#
    );
    Console::new(&home).print("first\n");
    assert_eq!(socket.text(), line("first"));
    let mut unknown = Socket::open(home.port, "/ws/node/n9/logs");
    assert_eq!(unknown.json()["event"], "error");
    assert_eq!(unknown.close_code(), 1000);
    assert_eq!(
        crate::socket::upgrade(home.port, "/ws/node/n1/logs?tail=x", &[]).0,
        422
    );
}

#[test]
fn a_burst_of_lines_arrives_whole_at_a_slow_reader() {
    let home = Home::new(1);
    let console = Console::new(&home);
    let mut socket = Socket::open(home.port, "/ws/node/n1/logs?tail=0");
    assert_eq!(socket.json()["event"], "info");
    let text = |number: u32| format!("{number} {}", "x".repeat(200));
    for chunk in 0..50 {
        let lines: Vec<_> = (chunk * 400..(chunk + 1) * 400)
            .map(|number| text(number) + "\n")
            .collect();
        console.print(&lines.concat());
    }
    for number in 0..20_000 {
        assert_eq!(socket.text(), line(&text(number)));
    }
}

/// As docs/http.md says.
#[test]
fn a_browser_that_says_too_much_at_once_loses_its_socket_without_a_word() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for query in ["", "?group=g"] {
        let mut socket = Socket::open(home.port, &format!("/live/records/t{query}"));
        socket.json_where(|frame| frame["event"] == "connected");
        socket.send(&" ".repeat((16 << 10) + 1));
        assert!(socket.ends_without_a_word(), "{query}");
    }
}

#[test]
fn sockets_are_told_when_the_gateway_ends() {
    let mut home = Home::new(1);
    home.post("/cluster/start", "");
    let paths = [
        "/ws/talk",
        "/live/cluster",
        "/live/topic/talk",
        "/ws/node/n1/logs",
    ];
    let mut sockets = paths.map(|path| Socket::open(home.port, path));
    assert_eq!(home.end_gateway("TERM").code(), Some(0));
    for socket in &mut sockets {
        assert_eq!(socket.close_code(), 1001, "going away");
    }
}

#[test]
fn a_path_of_a_socket_asked_plainly_says_what_it_is() {
    let home = Home::new(1);
    let answer = ask(home.port, "GET", "/live/cluster", &[], "");
    assert!(answer.refusal(answer.status).contains("WebSocket"));
    assert!((400..500).contains(&answer.status));
}
