//! What a query or a body that can't be understood is answered.

use crate::home::Home;

/// What is wrong in a query or a body, in the words of who asked.
#[test]
fn a_refusal_names_the_parameter_and_what_it_takes() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let number = "is a whole number from 0 up, not";
    for (path, expected) in [
        ("topics/t/records?from=x", format!("`from` {number} `x`.")),
        ("topics/t/records?last=-1", format!("`last` {number} `-1`.")),
        ("topics/t/records?limit=", format!("`limit` {number} ``.")),
        ("topics/t/records?bytes=1.5", format!("`bytes` {number} `1.5`.")),
        (
            "topics/t/records?since=yesterday",
            "`since` is a time in Unix seconds, such as 1795378200.123456, not `yesterday`.".to_owned(),
        ),
        (
            "topics/t/records?consistency=some",
            "`consistency` is `strong` or `local`, not `some`.".to_owned(),
        ),
        (
            "topics/t/records?form=1",
            "There is no parameter `form` here, but `last`, `from`, `since`, `limit`, `bytes` and `consistency`."
                .to_owned(),
        ),
        ("topics/t/records?from=1&from=2", "`from` is there twice.".to_owned()),
        (
            "topics/t/records?from=1&last=2",
            "`last`, `from` and `since` exclude each other.".to_owned(),
        ),
        (
            "topics?limit=0",
            "`limit` is a whole number from 1 up, not `0`.".to_owned(),
        ),
        (
            "topics?after=two%20words",
            "`after`: a topic has 1 to 249 bytes and no white space or control characters.".to_owned(),
        ),
        (
            "groups?pattern=%3E.a",
            "`pattern`: in a pattern of topics > is the last part, and stands for all that follow.".to_owned(),
        ),
        (
            "topics?pattern=--all",
            "a pattern of a list does not begin with --".to_owned(),
        ),
        ("history/t?count=many", format!("`count` {number} `many`.")),
        ("topics/%FF/records", "What the path writes with % is no UTF-8.".to_owned()),
    ] {
        assert_eq!(home.get(&format!("/api/{path}")).refusal(422), expected, "{path}");
    }
    for (path, body, expected) in [
        (
            "topics/t/records?expect=x",
            "hi",
            format!("`expect` {number} `x`."),
        ),
        (
            "topics/t/records?id=two%20words",
            "hi",
            "`id`: an id has 1 to 256 bytes and no white space or control characters.".to_owned(),
        ),
        (
            "topics/t/request?timeout_ms=0",
            "hi",
            "`timeout_ms` is a whole number from 1 to 60000, not `0`.".to_owned(),
        ),
        (
            "groups/t/g/ack",
            "{}",
            "`offset` is missing: a whole number from 0 up.".to_owned(),
        ),
        (
            "groups/t/g/ack",
            r#"{"offset":"1"}"#,
            format!("`offset` {number} `1`."),
        ),
        (
            "groups/t/g/ack",
            r#"{"offset":3,"to":9}"#,
            "There is no key `to` here, but `offset` and `through`.".to_owned(),
        ),
        (
            "groups/t/g/ack",
            r#"{"offset":3,"through":1}"#,
            "`through` is the last of several offsets, and not before the first".to_owned(),
        ),
        (
            "groups/t/g/seek",
            "3",
            "That is no JSON object with `next_offset`.".to_owned(),
        ),
    ] {
        assert_eq!(
            home.post(&format!("/api/{path}"), body).refusal(422),
            expected,
            "{path}"
        );
    }
    let why = home.get("/live/records/t?max_in_flight=x").refusal(422);
    assert_eq!(why, format!("`max_in_flight` {number} `x`."));
    let why = home.post("/dm/talk", r#"{"message":7}"#).refusal(422);
    assert_eq!(why, "`message` is a text, not `7`.");
}

#[test]
fn a_path_refuses_what_it_does_not_know_and_the_older_ones_pass_over_it() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for path in ["/api/cluster", "/live/cluster"] {
        let why = home.get(&format!("{path}?form=1")).refusal(422);
        assert_eq!(why, "There is no parameter `form` here, nor any other.", "{path}");
    }
    let why = home.post("/api/nodes/n1/kill?dry_run=1", "").refusal(422);
    assert_eq!(why, "There is no parameter `dry_run` here, nor any other.");
    assert_eq!(home.get("/cluster/nodes?form=1").json()[0]["running"], true);
    assert_eq!(home.get("/dm/t/history?form=1").text(), "[]");
    for (path, known) in [
        ("/api/history/t", "count"),
        ("/live/topic/t", "from"),
        ("/api/groups", "pattern"),
    ] {
        let why = home.get(&format!("{path}?form=1")).refusal(422);
        assert_eq!(
            why,
            format!("There is no parameter `form` here, but `{known}`."),
            "{path}"
        );
    }
}

#[test]
fn a_hold_out_of_its_bounds_is_told_them() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    for wrong in ["x", "0", "60001"] {
        let why = home.get(&format!("/live/records/t?order={wrong}")).refusal(422);
        assert_eq!(
            why,
            format!("`order` is a whole number from 1 to 60000, not `{wrong}`.")
        );
    }
}
