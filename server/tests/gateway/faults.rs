//! False clocks: asked for through the page's function, passed on to the node, and told by the node's status.

use serde_json::Value;

use crate::{
    home::{Home, wait_for},
    http::{Answer, ask},
};

fn make_false(home: &Home, body: &str) -> Answer {
    ask(
        home.port,
        "POST",
        "/api/fn/clock_fault",
        &[("content-type", "application/json")],
        body,
    )
}

fn clock(home: &Home, id: &str) -> Value {
    let view = home.get("/api/cluster").json();
    let nodes = view["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["id"] == id).unwrap();
    node["status"]["clock"].clone()
}

#[test]
fn a_clock_is_made_false_and_right_again_where_the_gateway_allows_it() {
    let mut home = Home::without_gateway(2);
    home.start_gateway_with(&["--allow-faults"]);
    home.post("/cluster/start", "");
    let answer = make_false(&home, r#"{"node":"n2","skew_ms":5000,"drift_ppm":20.5}"#);
    assert_eq!(
        (answer.status, answer.text()),
        (200, r#"{"skew_ms":5000.0,"drift_ppm":20.5,"offset_ms":5000.0}"#)
    );
    wait_for("the picture has it", || {
        (clock(&home, "n2")["injected"]["skew_ms"] == 5_000.0).then_some(())
    });
    assert_eq!(clock(&home, "n1")["injected"], Value::Null);
    let told = home.get("/api/cluster").text().to_owned();
    assert!(told.contains("clock was made false on purpose: 5.000"), "{told}");

    let back = make_false(&home, r#"{"node":"n2","skew_ms":0,"drift_ppm":0}"#);
    assert_eq!(back.text(), r#"{"skew_ms":0.0,"drift_ppm":0.0,"offset_ms":0.0}"#);
    wait_for("it is told", || {
        home.get("/api/cluster")
            .text()
            .contains("clock is no longer made false.")
            .then_some(())
    });
}

#[test]
fn a_form_does_the_same_and_leads_back_to_the_page() {
    let home = Home::new(1);
    home.tell("n1", "faults");
    home.post("/cluster/start", "");
    let answer = ask(
        home.port,
        "POST",
        "/api/fn/clock_fault",
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/html"),
            ("referer", "http://127.0.0.1/time"),
        ],
        "node=n1&skew_ms=-250.5&drift_ppm=0",
    );
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert!(answer.header("location").unwrap().contains("/time"));
    wait_for("the picture has it", || {
        (clock(&home, "n1")["injected"]["skew_ms"] == -250.5).then_some(())
    });
}

#[test]
fn whoever_may_not_or_cannot_is_told_why() {
    let home = Home::new(2);
    home.post("/api/nodes/n1/start", "");
    let refused = |body: &str, status: u16| {
        let answer = make_false(&home, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused(r#"{"node":"n1","skew_ms":1}"#, 403),
        "n1 was not started with --allow-faults."
    );
    assert_eq!(refused(r#"{"node":"n2","skew_ms":1}"#, 400), "n2 is not running.");
    assert!(refused(r#"{"node":"n9","skew_ms":1}"#, 404).starts_with("There is no node n9"));
    assert_eq!(
        refused(r#"{"node":"n1","drift_ppm":1001}"#, 422),
        "drift_ppm must be from -1000 to 1000, not 1001."
    );
    home.tell("n1", "faults");
    assert_eq!(
        refused(r#"{"node":"n1","skew_ms":13}"#, 422),
        "n1 refuses: an unlucky number"
    );
}
