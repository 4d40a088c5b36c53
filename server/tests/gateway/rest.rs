//! The REST forms, byte for byte.

use std::fs;

use serde_json::{Value, json};

use crate::{home::Home, http::ask};

#[test]
fn starting_killing_and_restarting_answer_as_scripts_expect() {
    let home = Home::new(3);
    let start = home.post("/cluster/start", "");
    assert_eq!(start.status, 200);
    assert_eq!(start.header("content-type"), Some("application/json"));
    assert_eq!(
        start.text(),
        r#"{"status":"ok","started":["n1","n2","n3"],"already_running":[],"errors":[]}"#
    );
    let again = home.post("/cluster/start", "");
    assert_eq!(
        again.text(),
        r#"{"status":"ok","started":[],"already_running":["n1","n2","n3"],"errors":[]}"#
    );

    let kill = home.post("/cluster/node/n2/kill", "");
    assert_eq!(
        (kill.status, kill.text()),
        (200, r#"{"status":"ok","node":"n2","action":"killed"}"#)
    );
    assert_eq!(
        home.post("/cluster/node/n2/kill", "").refusal(400),
        "n2 is not running."
    );
    assert_eq!(
        home.post("/cluster/start", "").text(),
        r#"{"status":"ok","started":["n2"],"already_running":["n1","n3"],"errors":[]}"#
    );

    let restart = home.post("/cluster/node/n1/restart", "");
    assert_eq!(
        (restart.status, restart.text()),
        (200, r#"{"status":"ok","node":"n1","action":"restarted"}"#)
    );
    home.post("/cluster/node/n1/kill", "");
    let restart = home.post("/cluster/node/n1/restart", "");
    assert_eq!(
        restart.text(),
        r#"{"status":"ok","node":"n1","action":"started"}"#
    );

    let stop = home.post("/api/nodes/n3/stop", "");
    assert_eq!(
        (stop.status, stop.text()),
        (200, r#"{"status":"ok","node":"n3","action":"stopped"}"#)
    );
    let start = home.post("/api/nodes/n3/start", "");
    assert_eq!(
        (start.status, start.text()),
        (200, r#"{"status":"ok","node":"n3","action":"started"}"#)
    );
    assert_eq!(
        home.post("/api/nodes/n3/start", "").refusal(400),
        "n3 is running already."
    );
}

#[test]
fn a_failed_start_tells_the_nodes_own_last_line() {
    let home = Home::new(2);
    home.tell("n2", "refuse");
    let start = home.post("/cluster/start", "");
    assert_eq!(
        start.text(),
        r#"{"status":"partial","started":["n1"],"already_running":[],"errors":[{"node":"n2","error":"wiber-node: the reason stands in the last line"}]}"#
    );
    let restart = home.post("/cluster/node/n2/restart", "").refusal(503);
    assert!(
        restart.contains("the reason stands in the last line"),
        "{restart}"
    );
    home.tell("n1", "refuse");
    home.post("/cluster/node/n1/kill", "");
    assert_eq!(home.post("/cluster/start", "").json()["status"], "error");
}

#[test]
fn nodes_are_listed_with_the_fields_scripts_know() {
    let home = Home::new(2);
    home.post("/api/nodes/n1/start", "");
    let nodes = home.get("/cluster/nodes").json();
    for (node, (id, port)) in nodes.as_array().unwrap().iter().zip(&home.nodes) {
        assert_eq!(node["id"], *id);
        assert_eq!(node["host"], "127.0.0.1");
        assert_eq!(node["port"], *port);
        assert_eq!(node["running"], id == "n1");
    }
    let (id, port) = &home.nodes[1];
    let text = home.get("/cluster/nodes").text().to_owned();
    assert!(
        text.contains(&format!(
            r#"{{"id":"{id}","host":"127.0.0.1","port":{port},"running":false,"#
        )),
        "{text}"
    );
}

#[test]
fn messages_go_in_and_come_back_in_the_form_scripts_know() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    assert_eq!(
        home.get("/dm/dm:ann:bob/history").text(),
        "[]",
        "an unknown topic"
    );

    let sent = home.post(
        "/dm/dm:ann:bob",
        r#"{"message":" hi  there ","sender":"ann","message_id":"m1"}"#,
    );
    assert_eq!(
        (sent.status, sent.text()),
        (200, r#"{"status":"OK published m1 1 10","message_id":"m1"}"#)
    );
    let again = home.post(
        "/dm/dm:ann:bob",
        r#"{"message":"hi  there","sender":"ann","message_id":"m1"}"#,
    );
    assert_eq!(again.text(), r#"{"status":"OK duplicate m1","message_id":"m1"}"#);
    let other = home.post("/dm/dm:ann:bob", r#"{"message":"other","message_id":"m1"}"#);
    assert_eq!(other.refusal(409), "The id m1 was used for another message.");
    let unnamed = home
        .post(
            "/dm/dm:ann:bob",
            r#"{"message":"no sender, ünïcode","sender":null}"#,
        )
        .json();
    let id = unnamed["message_id"].as_str().unwrap();
    assert_eq!(unnamed["status"], format!("OK published {id} 2 20"));

    let history = home.get("/dm/dm:ann:bob/history?count=50");
    assert_eq!(history.header("wiber-consistency"), Some("strong"));
    let first = concat!(
        r#"[{"kind":"HISTORY","topic":"dm:ann:bob","message_id":"m1","offset":1,"timestamp":1729459200.123456,"#,
        r#""corrected_ts":1729459200.373456,"logical_time":10,"clock_type":"logical","text":"ann: hi  there","#,
        r#""display":"[1729459200.123] ann: hi  there"},"#
    );
    assert!(history.text().starts_with(first), "{}", history.text());
    assert_eq!(history.json()[1]["text"], "no sender, ünïcode");
    let last = home.get("/dm/dm:ann:bob/history?count=1").json();
    assert_eq!(last.as_array().unwrap().len(), 1);
    assert_eq!(last[0]["offset"], 2);
    assert_eq!(home.get("/dm/dm:ann:bob/history?count=0").text(), "[]");
    assert_eq!(
        home.get("/dm/dm:ann:bob/history?count=99999999999")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        home.get("/dm/dm%3Aann%3Abob/history")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let page = home.get("/api/history/dm:ann:bob").json();
    assert_eq!(page["consistency"], "strong");
    assert_eq!(page["messages"], history.json());
}

#[test]
fn the_largest_message_fits_however_json_writes_it() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let body = format!(r#"{{"message":"{}"}}"#, "\\\"".repeat(1 << 20));
    assert_eq!(home.post("/dm/talk", &body).status, 200);
    assert_eq!(
        home.get("/dm/talk/history").json()[0]["text"]
            .as_str()
            .unwrap()
            .len(),
        1 << 20
    );
    let body = format!(r#"{{"message":"{}"}}"#, "x".repeat((1 << 20) + 1));
    home.post("/dm/talk", &body).refusal(422);
}

#[test]
fn a_history_without_a_majority_says_so() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    home.post("/dm/talk", r#"{"message":"hi"}"#);
    home.tell("n1", "no_strong");
    let history = home.get("/dm/talk/history");
    assert_eq!(history.header("wiber-consistency"), Some("local"));
    assert_eq!(history.json()[0]["text"], "hi");
    assert_eq!(home.get("/api/history/talk").json()["consistency"], "local");
}

#[test]
fn no_answer_from_the_cluster_is_503_and_says_what_is_known() {
    let home = Home::new(1);
    let stopped = home.post("/dm/talk", r#"{"message":"hi"}"#).refusal(503);
    assert_eq!(stopped, "No node of the cluster is running.");
    assert_eq!(home.get("/dm/talk/history").refusal(503), stopped);
    home.post("/cluster/start", "");
    home.tell("n1", "no_leader");
    let refused = home.post("/dm/talk", r#"{"message":"hi"}"#).refusal(503);
    assert!(refused.starts_with("Not published:"), "{refused}");
    fs::remove_file(home.node_folder("n1").join("no_leader")).unwrap();
    home.tell("n1", "unheard");
    let (unknown, more) = home
        .post("/dm/talk", r#"{"message":"hi","message_id":"m7"}"#)
        .refusal_with_more(503);
    assert!(
        unknown.starts_with("Unknown:") && unknown.contains("m7"),
        "{unknown}"
    );
    assert_eq!(more, json!({"unknown": true, "message_id": "m7"}));
}

/// Who was told only "503" sent it again, and it was there twice.
#[test]
fn a_message_of_unknown_fate_is_told_its_id_and_stays_one_under_it() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    home.tell("n1", "stored_unheard");
    let (why, more) = home
        .post("/dm/talk", r#"{"message":"hi","sender":"ann"}"#)
        .refusal_with_more(503);
    assert!(why.starts_with("Unknown:"), "{why}");
    assert_eq!(more["unknown"], true);
    fs::remove_file(home.node_folder("n1").join("stored_unheard")).unwrap();
    let id = &more["message_id"];
    let again = json!({"message": "hi", "sender": "ann", "message_id": id});
    let answer = home.post("/dm/talk", &again.to_string()).json();
    assert_eq!(&answer["message_id"], id);
    let history = home.get("/dm/talk/history").json();
    assert_eq!(history.as_array().unwrap().len(), 1, "{history}");
    assert_eq!(&history[0]["message_id"], id);
}

#[test]
fn what_can_not_be_read_is_422() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let bodies = [
        "",
        "rubbish",
        "[]",
        r#"["hi","ada",null]"#,
        "{}",
        r#"{"message":7}"#,
        r#"{"message":null}"#,
        r#"{"message":"  "}"#,
        r#"{"message":"two\nlines"}"#,
        r#"{"message":"hi","sender":7}"#,
        r#"{"message":"hi","message_id":"two words"}"#,
    ];
    for body in bodies {
        home.post("/dm/talk", body).refusal(422);
    }
    for path in [
        "/dm/two%20words/history",
        "/dm/talk/history?count=x",
        "/dm/talk/history?count=-1",
    ] {
        home.get(path).refusal(422);
    }
    home.post("/dm/two%20words", r#"{"message":"hi"}"#).refusal(422);
    home.post("/dm/%FF", r#"{"message":"hi"}"#).refusal(422);
    assert_eq!(home.get("/dm/talk/history").text(), "[]", "nothing was published");
}

#[test]
fn what_is_not_there_is_404_and_the_wrong_way_405() {
    let home = Home::new(1);
    for action in ["kill", "restart"] {
        let why = home.post(&format!("/cluster/node/n9/{action}"), "").refusal(404);
        assert_eq!(why, "There is no node n9; cluster.yaml names n1.");
    }
    home.post("/api/nodes/n9/start", "").refusal(404);
    home.post("/api/nodes/n1/dance", "").refusal(404);
    for path in ["/api/nothing", "/cluster", "/dm", "/nowhere.js"] {
        assert_eq!(
            home.get(path).refusal(404),
            format!("There is nothing at {path}.")
        );
    }
    let wrong = home.get("/cluster/start");
    assert_eq!(wrong.header("allow"), Some("POST"));
    wrong.refusal(405);
    ask(home.port, "DELETE", "/cluster/nodes", &[], "").refusal(405);
}

#[test]
fn the_pages_functions_answer_json_over_the_same_service() {
    let home = Home::new(1);
    let start = home.post("/api/fn/start_cluster", "{}");
    assert_eq!(
        start.text(),
        r#"{"status":"ok","started":["n1"],"already_running":[],"errors":[]}"#
    );
    let call = |name: &str, body: Value| home.post(&format!("/api/fn/{name}"), &body.to_string());
    let sent = call(
        "publish",
        json!({"convo": "talk", "message": "hi", "sender": "ann", "message_id": "m1"}),
    );
    assert_eq!(
        sent.text(),
        r#"{"status":"OK published m1 1 10","message_id":"m1"}"#
    );
    let history = call("history", json!({"convo": "talk", "count": 5}));
    assert_eq!(history.text(), home.get("/api/history/talk?count=5").text());
    let conflict = call(
        "publish",
        json!({"convo": "talk", "message": "other", "message_id": "m1"}),
    );
    assert_eq!(conflict.status, 409);
    assert_eq!(
        conflict.json()["detail"],
        "The id m1 was used for another message."
    );
    let kill = call("node_action", json!({"node": "n1", "action": "kill"}));
    assert_eq!(kill.text(), r#"{"status":"ok","node":"n1","action":"killed"}"#);
    assert_eq!(
        call("node_action", json!({"node": "n9", "action": "kill"})).status,
        404
    );
}

#[test]
fn the_whole_picture_is_there_as_json() {
    let home = Home::new(2);
    home.post("/cluster/start", "");
    let view = home.get("/api/cluster").json();
    assert_eq!(view["nodes"][0]["id"], "n1");
    assert_eq!(view["nodes"][0]["process"]["state"], "running");
    assert_eq!(view["nodes"][0]["status"]["role"], "leader");
    assert_eq!(view["nodes"][1]["live"], true);
}
