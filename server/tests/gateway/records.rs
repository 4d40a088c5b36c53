//! Records over HTTP: any bytes in, the same bytes out, and every refusal.

use serde_json::{Value, json};

use crate::{
    home::Home,
    http::{Answer, ask},
};

fn started() -> Home {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    home
}

fn publish(home: &Home, path: &str, lines: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    ask(home.port, "POST", path, lines, body)
}

#[test]
fn any_bytes_survive_the_way_in_and_out() {
    let home = started();
    let bodies: [&[u8]; 5] = [
        b"",
        b"two\nlines\r\n",
        b" \\n PUB x y ",
        "\u{fc}n\u{ef}code".as_bytes(),
        &[0, 0xff, 0xfe, b'\n', 0x80],
    ];
    for (body, offset) in bodies.iter().zip(1..) {
        let path = format!("/api/topics/raw/records?id=m{offset}");
        let stored = publish(&home, &path, &[("content-type", "application/json")], body);
        let logical_time = offset * 10;
        assert_eq!(
            (stored.status, stored.text()),
            (
                200,
                format!(
                    r#"{{"id":"m{offset}","offset":{offset},"logical_time":{logical_time},"duplicate":false}}"#
                )
                .as_str()
            )
        );
    }
    let page = home.get("/api/topics/raw/records?from=1").json();
    let records = page["records"].as_array().unwrap();
    assert_eq!(records.len(), bodies.len());
    for (record, body) in records.iter().zip(bodies) {
        let text = String::from_utf8_lossy(body);
        assert_eq!(record["text"], text.as_ref());
    }
    assert_eq!(records[4]["data"], "AP/+CoA=", "base64 of what is not UTF-8");
    assert!(records[..4].iter().all(|record| record.get("data").is_none()));
}

#[test]
fn a_page_says_where_it_is_and_where_to_read_on() {
    let home = started();
    for number in 1..=60 {
        publish(&home, "/api/topics/t/records", &[], number.to_string());
    }
    let read = |query: &str| home.get(&format!("/api/topics/t/records{query}")).json();
    let offsets = |page: &Value| -> Vec<u64> {
        let records = page["records"].as_array().unwrap();
        records
            .iter()
            .map(|record| record["offset"].as_u64().unwrap())
            .collect()
    };
    let page = read("?from=3&limit=1");
    assert_eq!(
        page,
        json!({
            "records": [{
                "topic": "t", "id": page["records"][0]["id"], "offset": 3, "ts": 1_729_459_202.123_456,
                "corrected_ts": 1_729_459_202.373_456, "logical_time": 30, "clock_type": "logical", "node": "n1",
                "log_index": 30, "text": "3",
            }],
            "high_watermark": 60, "log_start_offset": 1, "next_offset": 4, "consistency": "strong",
        })
    );
    assert_eq!(
        offsets(&read("")),
        (11..=60).collect::<Vec<_>>(),
        "the last fifty"
    );
    assert_eq!(offsets(&read("?last=2")), [59, 60]);
    assert_eq!(offsets(&read("?last=9&limit=1")), [60]);
    assert_eq!(offsets(&read("?from=58")), [58, 59, 60]);
    assert_eq!(offsets(&read("?from=1&bytes=1")), [1]);
    assert_eq!(offsets(&read("?since=1729459258.373456")), [59, 60]);
    assert_eq!(offsets(&read("?since=1729459258.373457")), [60]);
    for (query, next_offset) in [("?from=3&limit=0", 3), ("?limit=0", 61), ("?last=0", 61)] {
        let empty = read(query);
        assert_eq!(
            (offsets(&empty), &empty["next_offset"]),
            (vec![], &json!(next_offset)),
            "{query}"
        );
    }
    let beyond = read("?from=61");
    assert_eq!((offsets(&beyond), &beyond["next_offset"]), (vec![], &json!(61)));
    let none = home.get("/api/topics/nothing/records").json();
    assert_eq!(
        (&none["high_watermark"], &none["next_offset"]),
        (&json!(0), &json!(1))
    );
    for query in [
        "?from=1&last=1",
        "?from=x",
        "?from=-1",
        "?since=yesterday",
        "?consistency=some",
        "?form=1",
        "?from=1&from=2",
    ] {
        home.get(&format!("/api/topics/t/records{query}")).refusal(422);
    }
}

#[test]
fn headers_come_through_in_any_script_and_case() {
    let home = started();
    let lines = [
        ("Wiber-Header-Type", "text/plain; charset=utf-8"),
        ("wiber-header-%58-Note", "%C3%BCber 100%25%0A"),
        ("x-other", "no header of the message"),
    ];
    publish(&home, "/api/topics/t/records", &lines, "hi");
    let page = home.get("/api/topics/t/records").json();
    assert_eq!(
        page["records"][0]["headers"],
        json!({"type": "text/plain; charset=utf-8", "X-note": "\u{fc}ber 100%\n"})
    );
    let many: Vec<_> = (0..33).map(|number| format!("wiber-header-h{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    for wrong in [
        &[("wiber-header-note", "\u{fc}")][..],
        &[("wiber-header-note", "100%")],
        &[("wiber-header-note", "%FF")],
        &[("wiber-header-a+b", "x")],
        &[("wiber-header-", "x")],
        &[("wiber-header-a", "1"), ("wiber-header-A", "2")],
        &many,
    ] {
        publish(&home, "/api/topics/t/records", wrong, "hi").refusal(422);
    }
    assert_eq!(home.get("/api/topics/t/records").json()["high_watermark"], 1);
}

#[test]
fn a_topic_may_have_any_sign_in_its_name() {
    let home = started();
    let names = [
        ("a%2Fb", "a/b"),
        ("a:b", "a:b"),
        ("a%3Ab", "a:b"),
        ("100%25", "100%"),
        ("a%252Fb", "a%2Fb"),
        ("a.%3E", "a.>"),
        ("a.*", "a.*"),
        ("%C3%BC", "\u{fc}"),
        ("a%3Fb%23c", "a?b#c"),
        ("a+b", "a+b"),
    ];
    for (number, (path, name)) in names.into_iter().enumerate() {
        let id = format!("m{number}");
        let stored = publish(&home, &format!("/api/topics/{path}/records?id={id}"), &[], "hi");
        assert_eq!(stored.status, 200, "{name}: {}", stored.text());
        let page = home.get(&format!("/api/topics/{path}/records?last=1")).json();
        assert_eq!(
            (&page["records"][0]["topic"], &page["records"][0]["id"]),
            (&json!(name), &json!(id))
        );
    }
    for path in ["two%20words", "%0A", "%FF", &"x".repeat(250)] {
        publish(&home, &format!("/api/topics/{path}/records"), &[], "hi").refusal(422);
        home.get(&format!("/api/topics/{path}/records")).refusal(422);
    }
}

#[test]
fn an_id_is_stored_once_and_an_expectation_has_to_hold() {
    let home = started();
    let path = "/api/topics/t/records?id=m1&expect=0";
    publish(&home, path, &[], "hi");
    assert_eq!(
        publish(&home, path, &[], "hi").text(),
        r#"{"id":"m1","offset":1,"logical_time":null,"duplicate":true}"#,
        "known before it is looked where the topic ends"
    );
    let conflict = publish(&home, path, &[], "other").refusal(409);
    assert!(conflict.contains("id_conflict m1"), "{conflict}");
    publish(&home, path, &[("wiber-header-a", "b")], "hi").refusal(409);
    let (why, more) = publish(&home, "/api/topics/t/records?expect=0", &[], "new").refusal_with_more(409);
    assert_eq!(more, json!({"end": 1}), "{why}");
    assert_eq!(
        publish(&home, "/api/topics/t/records?expect=1", &[], "new").json()["offset"],
        2
    );
    for query in ["?id=two%20words", "?id=", "?expect=-1", "?expect=x", "?ids=x"] {
        publish(&home, &format!("/api/topics/t/records{query}"), &[], "x").refusal(422);
    }
}

#[test]
fn the_largest_message_fits_and_one_byte_more_does_not() {
    let home = started();
    let mut body = vec![0; 1 << 20];
    assert_eq!(
        publish(&home, "/api/topics/t/records", &[], &body).json()["offset"],
        1
    );
    body.push(0);
    let (_, more) = publish(&home, "/api/topics/t/records", &[], &body).refusal_with_more(413);
    assert_eq!(more, json!({"max_bytes": 1 << 20}));
}

#[test]
fn what_the_cluster_can_not_take_is_told_with_what_is_known() {
    let home = Home::new(1);
    let path = "/api/topics/t/records";
    let stopped = publish(&home, path, &[], "hi").refusal(503);
    assert_eq!(stopped, "No node of the cluster is running.");
    assert_eq!(home.get(path).refusal(503), stopped);
    home.tell("n1", "full");
    home.post("/cluster/start", "");
    let (_, more) = publish(&home, path, &[], "hi").refusal_with_more(507);
    assert_eq!(more, json!({"max": 10_000}));
    std::fs::remove_file(home.node_folder("n1").join("full")).unwrap();
    home.tell("n1", "no_leader");
    let refused = publish(&home, path, &[], "hi").refusal(503);
    assert!(refused.starts_with("Not published:"), "{refused}");
    std::fs::remove_file(home.node_folder("n1").join("no_leader")).unwrap();

    home.tell("n1", "unheard");
    let (why, more) = publish(&home, &format!("{path}?id=m7"), &[], "hi").refusal_with_more(504);
    assert!(why.starts_with("Unknown:") && why.contains("m7"), "{why}");
    assert_eq!(more, json!({"unknown": true, "id": "m7"}));
    let (_, more) = publish(&home, path, &[], "hi").refusal_with_more(504);
    let id = more["id"].as_str().unwrap().to_owned();
    std::fs::remove_file(home.node_folder("n1").join("unheard")).unwrap();
    let again = publish(&home, &format!("{path}?id={id}"), &[], "hi").json();
    assert_eq!(
        (&again["id"], &again["offset"]),
        (&json!(id), &json!(1)),
        "the id serves"
    );
}

/// The dead node is named, too, but it is not what is wrong.
#[test]
fn without_a_majority_it_is_told_what_the_live_node_says() {
    let home = Home::new(2);
    home.post("/api/nodes/n1/start", "");
    home.tell("n1", "no_leader");
    home.tell("n1", "no_strong");
    let path = "/api/topics/t/records";
    assert_eq!(
        publish(&home, path, &[], "hi").refusal(503),
        "Not published: no node could take the message: n1: no leader is known; n2: cannot be reached."
    );
    assert_eq!(
        home.get(path).refusal(503),
        "Not read: no node could answer the read: n1: no majority answers; n2: cannot be reached."
    );
}

#[test]
fn a_pattern_is_read_only_where_a_topic_has_that_name() {
    let home = started();
    publish(&home, "/api/topics/orders.eu/records", &[], "hi");
    for pattern in ["orders.*", "orders.%3E", "*"] {
        let why = home.get(&format!("/api/topics/{pattern}/records")).refusal(422);
        assert!(
            why.starts_with("That is a pattern, ") && why.contains("/live/records/{pattern}?start=true"),
            "{why}"
        );
    }
    publish(&home, "/api/topics/orders.*/records", &[], "of an odd name");
    let page = home.get("/api/topics/orders.*/records").json();
    assert_eq!(page["records"][0]["text"], "of an odd name");
    let none = home.get("/api/topics/none/records").json();
    assert_eq!(none["records"], json!([]));
}

#[test]
fn a_read_is_as_sure_as_was_asked_or_refused() {
    let home = started();
    publish(&home, "/api/topics/t/records", &[], "hi");
    home.tell("n1", "no_strong");
    let why = home.get("/api/topics/t/records").refusal(503);
    assert!(why.contains("no majority answers"), "{why}");
    let local = home.get("/api/topics/t/records?consistency=local").json();
    assert_eq!(
        (&local["consistency"], &local["records"][0]["text"]),
        (&json!("local"), &json!("hi"))
    );
}

#[test]
fn offsets_that_are_no_longer_kept_are_gone() {
    let home = started();
    for _ in 0..5 {
        publish(&home, "/api/topics/t/records", &[], "hi");
    }
    std::fs::write(home.node_folder("n1").join("kept_from"), "3").unwrap();
    let (_, more) = home.get("/api/topics/t/records?from=1").refusal_with_more(410);
    assert_eq!(more, json!({"start": 3, "end": 5}));
    assert_eq!(
        home.get("/api/topics/t/records?from=3").json()["log_start_offset"],
        3
    );
}

#[test]
fn a_request_is_answered_with_the_reply_or_not_in_time() {
    let home = started();
    let replied = std::thread::scope(|scope| {
        let asked = scope.spawn(|| home.post("/api/topics/prices/request?timeout_ms=15000", "apples"));
        let request = crate::home::wait_for("the request", || {
            let page = home.get("/api/topics/prices/records").json();
            page["records"].get(0).cloned()
        });
        assert_eq!(request["text"], "apples");
        let inbox = request["headers"]["reply-to"].as_str().unwrap();
        let id = request["headers"]["correlation-id"].as_str().unwrap();
        let path = format!("/api/topics/{inbox}/records");
        publish(&home, &path, &[("wiber-header-correlation-id", id)], "3 euros");
        asked.join().unwrap()
    });
    assert_eq!(
        (replied.status, &replied.json()["text"]),
        (200, &json!("3 euros"))
    );
    let late = home
        .post("/api/topics/prices/request?timeout_ms=100", "pears")
        .refusal(504);
    assert!(late.contains("No reply"), "{late}");
    for query in ["?timeout_ms=0", "?timeout_ms=60001", "?timeout_ms=x"] {
        home.post(&format!("/api/topics/prices/request{query}"), "x")
            .refusal(422);
    }
    let lines = [("wiber-header-a", "b")];
    publish(&home, "/api/topics/prices/request", &lines, "x").refusal(422);
}
