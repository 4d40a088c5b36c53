//! Topics and groups over HTTP: lists, and what changes a group.

use serde_json::{Value, json};

use crate::{home::Home, http::ask, socket::Socket};

fn names(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|line| line[key].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn topics_are_listed_by_name_a_page_at_a_time() {
    let home = Home::new(1);
    home.get("/api/topics").refusal(503);
    home.post("/cluster/start", "");
    assert_eq!(
        home.get("/api/topics").text(),
        r#"{"topics":[],"next_after":null}"#
    );
    for topic in ["orders.us", "orders.eu", "lobby", "orders.eu.new"] {
        home.post(&format!("/api/topics/{topic}/records"), "four");
    }
    let all = home.get("/api/topics").json();
    assert_eq!(
        names(&all["topics"], "topic"),
        ["lobby", "orders.eu", "orders.eu.new", "orders.us"]
    );
    assert_eq!(
        all["topics"][0],
        json!({"topic": "lobby", "high_watermark": 1, "log_start_offset": 1, "bytes": 4, "records_per_s": 0.0, "bytes_per_s": 0.0})
    );
    let first = home.get("/api/topics?pattern=orders.%3E&limit=2").json();
    assert_eq!(names(&first["topics"], "topic"), ["orders.eu", "orders.eu.new"]);
    assert_eq!(first["next_after"], "orders.eu.new");
    let second = home
        .get("/api/topics?pattern=orders.%3E&limit=2&after=orders.eu.new")
        .json();
    assert_eq!(names(&second["topics"], "topic"), ["orders.us"]);
    assert_eq!(second["next_after"], Value::Null);
    let part = home.get("/api/topics?pattern=orders.*").json();
    assert_eq!(names(&part["topics"], "topic"), ["orders.eu", "orders.us"]);
    for query in [
        "?pattern=%3E.a",
        "?limit=x",
        "?limit=0",
        "?after=two%20words",
        "?patern=x",
    ] {
        home.get(&format!("/api/topics{query}")).refusal(422);
    }
}

#[test]
fn a_group_is_listed_moved_acknowledged_for_and_ended() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for number in 1..=3 {
        home.post("/api/topics/a%2Fb/records", &number.to_string());
    }
    let path = "/api/groups/a%2Fb/bill%2Fing";
    let mut member = Socket::open(
        home.port,
        "/live/records/a%2Fb?group=bill%2Fing&start=true&max_in_flight=2",
    );
    member.json_where(|frame| frame["payload"]["offset"] == 2);

    let groups = home.get("/api/groups").json();
    let group = &groups["groups"][0];
    assert_eq!(
        (&group["topic"], &group["group"], &group["lag"], &group["members"]),
        (&json!("a/b"), &json!("bill/ing"), &json!(3), &json!(1))
    );
    assert_eq!(
        home.get("/api/groups?pattern=orders.*").text(),
        r#"{"groups":[]}"#
    );

    let acked = home.post(&format!("{path}/ack"), r#"{"offset":1,"through":2}"#);
    assert_eq!(
        acked.text(),
        r#"{"topic":"a/b","group":"bill/ing","action":"acked","offset":2}"#
    );
    assert_eq!(
        member.json()["payload"]["offset"],
        3,
        "there is room for one more"
    );
    let (_, more) = home
        .post(&format!("{path}/ack"), r#"{"offset":9}"#)
        .refusal_with_more(409);
    assert_eq!(more, json!({"offset": 9}));

    let moved = home.post(&format!("{path}/seek"), r#"{"next_offset":2}"#);
    assert_eq!(
        moved.text(),
        r#"{"topic":"a/b","group":"bill/ing","action":"moved","offset":2}"#
    );
    assert_eq!(member.json()["payload"]["offset"], 2);

    let ended = ask(home.port, "DELETE", path, &[], "");
    assert_eq!(
        ended.text(),
        r#"{"topic":"a/b","group":"bill/ing","action":"deleted"}"#
    );
    let told = member.json_where(|frame| frame["event"] != "record");
    assert_eq!(told["event"], "ended");
    assert_eq!(member.close_code(), 1000);

    ask(home.port, "DELETE", path, &[], "").refusal(404);
    home.post(&format!("{path}/seek"), r#"{"next_offset":2}"#)
        .refusal(404);
    home.post(&format!("{path}/ack"), r#"{"offset":1}"#).refusal(404);
}

/// Somebody who says `dry_run` does not want it done.
#[test]
fn a_change_of_a_group_with_a_parameter_that_there_is_not_is_refused_and_not_made() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    home.post("/api/topics/t/records", "1");
    let mut member = Socket::open(home.port, "/live/records/t?group=g&start=true");
    member.json_where(|frame| frame["payload"]["offset"] == 1);
    let before = home.get("/api/groups").json();
    for query in ["?dry_run=1", "?dry_run=1&dry_run=1"] {
        for (method, path, body) in [
            ("DELETE", "/api/groups/t/g", ""),
            ("POST", "/api/groups/t/g/seek", r#"{"next_offset":2}"#),
            ("POST", "/api/groups/t/g/ack", r#"{"offset":1}"#),
        ] {
            let path = format!("{path}{query}");
            let why = ask(home.port, method, &path, &[], body).refusal(422);
            assert_eq!(
                why, "There is no parameter `dry_run` here, nor any other.",
                "{path}"
            );
        }
    }
    assert_eq!(home.get("/api/groups").json(), before);
}

#[test]
fn a_change_of_a_group_that_can_not_be_read_is_422() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for (path, body) in [
        ("/api/groups/t/g/ack", "{}"),
        ("/api/groups/t/g/ack", r#"{"offset":"1"}"#),
        ("/api/groups/t/g/ack", r#"{"offset":3,"through":1}"#),
        ("/api/groups/t/g/ack", r#"{"offset":3,"to":9}"#),
        ("/api/groups/t/g/seek", r#"{"next_offset":-1}"#),
        ("/api/groups/t/two%20words/seek", r#"{"next_offset":1}"#),
        ("/api/groups/two%20words/g/seek", r#"{"next_offset":1}"#),
    ] {
        home.post(path, body).refusal(422);
    }
    ask(home.port, "DELETE", "/api/groups/t/two%20words", &[], "").refusal(422);
    home.get("/api/groups?pattern=%3E.a").refusal(422);
    home.get("/api/groups/t/g").refusal(405);
}
