//! `wiber pub` and `wiber history` against real nodes.

mod cluster;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use cluster::{Cluster, PATIENCE, Running, numbered, told, wait_for};
use serde_json::Value;

#[test]
fn a_message_is_published_once_under_its_id_and_read_back() {
    let cluster = Cluster::start(1);
    assert_eq!(
        cluster.says(&["history", "lobby"]),
        "",
        "a topic that is not there is empty"
    );
    let said = cluster.says(&["pub", "lobby", "hello", "there", "--id", "m-1"]);
    assert!(said.starts_with("published m-1 offset 1 lamport "), "{said}");
    let again = cluster.says(&["pub", "lobby", "hello there", "--id", "m-1"]);
    assert_eq!(again, "duplicate m-1 offset 1\n");
    let (code, out, complaint) = cluster.tells(&["pub", "lobby", "else", "--id", "m-1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(complaint.contains("id_conflict m-1"), "{complaint}");
    assert_eq!(
        cluster.says(&["history", "lobby", "-f", "%t %o %k %s\\n"]),
        "lobby 1 m-1 hello there\n"
    );
    let json: Value =
        serde_json::from_str(&cluster.says(&["history", "lobby", "--json", "--local"])).expect("JSON");
    assert_eq!(
        (&json["id"], &json["text"]),
        (&"m-1".into(), &"hello there".into())
    );
    let readable = cluster.says(&["history", "lobby"]);
    assert!(
        readable.starts_with("     1  20") && readable.ends_with("  hello there\n"),
        "{readable}"
    );
}

/// What a verb that carries any bytes stored, the nine-field lines of old show with escapes.
#[test]
fn a_message_of_the_command_line_is_shown_as_it_was_said_in_every_form_of_a_record() {
    let cluster = Cluster::start(1);
    for text in ["plain", r"back\slash", "a\rb"] {
        cluster.says(&["pub", "t", text]);
    }
    assert_eq!(
        cluster.says(&["history", "t", "-f", "%s\n"]),
        "plain\nback\\slash\na\rb\n"
    );
    let mut node = TcpStream::connect(cluster.address(0)).expect("a node");
    node.write_all(b"HISTORY t 3\nQUIT\n").expect("it reads");
    let mut shown = String::new();
    node.read_to_string(&mut shown).expect("UTF-8");
    for text in ["plain", r"back\slash", "a\rb"] {
        assert!(shown.contains(&format!(" logical {text}\n")), "{shown:?}");
    }
}

#[test]
fn a_history_of_a_pattern_is_refused_unless_a_topic_has_that_name() {
    let cluster = Cluster::start(1);
    cluster.says(&["pub", "orders.eu", "hi"]);
    for pattern in ["orders.*", "orders.>"] {
        let (code, out, complaint) = cluster.tells(&["history", pattern]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{complaint}");
        assert_eq!(
            complaint,
            format!(
                "wiber: `{pattern}` is a pattern, and a history is of one topic: \
                 wiber sub '{pattern}' --from-start shows all that match\n"
            )
        );
    }
    cluster.says(&["pub", "orders.*", "of an odd name"]);
    assert_eq!(
        cluster.says(&["history", "orders.*", "-f", "%s\n"]),
        "of an odd name\n"
    );
}

#[test]
fn the_longest_name_of_a_topic_makes_its_own_line_long_and_no_other() {
    let cluster = Cluster::start(1);
    let longest = "x".repeat(249);
    for topic in ["short", &longest] {
        cluster.says(&["pub", topic, "hi"]);
        cluster.says(&["sub", topic, "--group", "g", "--from-start", "--count", "1"]);
    }
    for list in ["topics", "groups"] {
        let table = cluster.says(&[list]);
        let widths: Vec<usize> = table.lines().map(str::len).collect();
        assert_eq!(widths.len(), 3, "{table}");
        assert!(widths[0] < 140 && widths[1] < 140 && widths[2] > 249, "{table}");
    }
}

#[test]
fn a_message_of_any_bytes_has_headers_and_is_stored_only_where_it_is_expected() {
    let cluster = Cluster::start(1);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let words = [
        "t",
        "--whole",
        "--header",
        "kind=a b%",
        "-H",
        "n=1",
        "--expect",
        "0",
        "--id",
        "w",
    ];
    let (code, out, complaint) = cluster.publish_lines(&words, &bytes);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(out.starts_with("published w offset 1 lamport "), "{out}");
    let (code, out, _) = cluster.publish_lines(&words, &bytes);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "duplicate w offset 1\n"),
        "ids come first"
    );
    let read = cluster.says(&["history", "t", "--json"]);
    let record: wiber_client::RecordLine = serde_json::from_str(&read).expect("a record");
    assert_eq!(record.body().expect("base64"), bytes);
    let piped = cluster.wiber(&["history", "t", "-f", "%s"]);
    assert_eq!(piped.stdout, bytes);
    let header = |key: &str| record.headers.get(key).map(String::as_str);
    assert_eq!((header("kind"), header("n")), (Some("a b%"), Some("1")));
    let (code, _, complaint) = cluster.tells(&["pub", "t", "hi", "--expect", "0"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        complaint,
        "wiber: offset_mismatch: the topic's newest offset is 1\n"
    );
    let (code, ..) = cluster.publish_lines(&["t", "--header", "line=yes"], b"a\nb\n");
    assert_eq!(code, Some(0));
    assert_eq!(
        cluster.says(&["history", "t", "-n", "2", "-f", "%o %h %s\\n"]),
        "2 line=yes a\n3 line=yes b\n"
    );
    let readable = cluster.says(&["history", "t", "-n", "1", "--headers"]);
    assert!(readable.ends_with("  line=yes  b\n"), "{readable}");
    let (code, _, complaint) = cluster.publish_lines(&["t", "--whole"], &vec![0; (1 << 20) + 1]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("too_large"), "{complaint}");
}

#[test]
fn lines_that_can_be_no_message_are_named_and_the_others_stored() {
    let cluster = Cluster::start(1);
    let (code, out, complaint) = cluster.publish_lines(&["t"], b"a\n\n\n\xff\nb");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        complaint,
        "\
wiber: lines 2 to 3: a message is not empty
wiber: line 4: a message is UTF-8 text
wiber: 3 lines failed, 2 stored
"
    );
    assert_eq!(cluster.says(&["history", "t", "-f", "%o %s\\n"]), "1 a\n2 b\n");
    let (code, out, _) = cluster.publish_lines(&["t", "-", "--json"], b"c\n\nd\n");
    assert_eq!(code, Some(1));
    let states: Vec<(u64, String)> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|said| {
            (
                said["line"].as_u64().expect("a number"),
                said["state"].as_str().expect("a state").to_owned(),
            )
        })
        .collect();
    let state = |number, state: &str| (number, state.to_owned());
    assert_eq!(
        states,
        [state(1, "published"), state(2, "failed"), state(3, "published")]
    );
}

#[test]
fn an_interrupt_says_what_is_stored_and_where_sending_ended() {
    let cluster = Cluster::start(1);
    let mut running = Running::start(
        cluster
            .command(&["pub", "t"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut stdin = running.child.stdin.take().expect("piped");
    stdin.write_all(b"a\nb\nc").expect("it reads");
    wait_for("two lines are stored", PATIENCE, || {
        (cluster.says(&["history", "t", "-f", "%s\n"]) == "a\nb\n").then_some(())
    });
    running.interrupt();
    let mut complaint = String::new();
    let mut stderr = running.child.stderr.take().expect("piped");
    stderr.read_to_string(&mut complaint).expect("UTF-8");
    assert_eq!(
        complaint,
        "wiber: interrupted: 2 stored, nothing sent after line 2\n"
    );
    assert_eq!(running.code(), Some(130));
}

#[test]
fn an_interrupted_bench_gives_its_result_so_far() {
    let cluster = Cluster::start(1);
    let mut running = Running::start(
        cluster
            .command(&["bench", "--seconds", "3600", "--inflight", "8", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    wait_for("something is published", PATIENCE, || {
        let newest = cluster.says(&["history", "bench", "-n", "1", "-f", "%o"]);
        (!newest.is_empty()).then_some(())
    });
    running.interrupt();
    let (mut said, mut complaint) = (String::new(), String::new());
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    stdout.expect("piped").read_to_string(&mut said).expect("UTF-8");
    stderr
        .expect("piped")
        .read_to_string(&mut complaint)
        .expect("UTF-8");
    let result: Value = serde_json::from_str(&said).expect("JSON");
    assert!(result["acknowledged"].as_u64() > Some(0), "{said}");
    assert_eq!(complaint, "wiber: interrupted: this is the result so far\n");
    assert_eq!(running.code(), Some(130));
}

#[test]
fn a_file_is_published_line_by_line_and_read_by_position() {
    let cluster = Cluster::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lines");
    std::fs::write(&file, numbered(1000)).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let said = cluster.says(&["pub", "t", "--file", file, "-v"]);
    assert_eq!(said.lines().count(), 1000);
    assert!(said.lines().all(|line| line.starts_with("published ")));
    let text = ["-f", "%s\\n"];
    let check = |words: &[&str], expected: &str| {
        assert_eq!(cluster.says(&[words, &text].concat()), expected, "{words:?}");
    };
    check(&["history", "t", "-n", "2"], "line 999\nline 1000\n");
    check(&["history", "t", "-n", "100000"], &numbered(1000));
    check(&["sub", "t", "--from-start", "--count", "2"], "line 1\nline 2\n");
    check(&["sub", "t", "--offset", "998", "--count", "1"], "line 998\n");
    check(
        &["sub", "t", "--last", "2", "--count", "2"],
        "line 999\nline 1000\n",
    );
}

#[test]
fn a_mistake_is_refused_with_code_2_and_one_line() {
    for words in [
        &["pub"][..],
        &["pub", "two words", "hi"],
        &["pub", "t", "", "--addr", "127.0.0.1:1"],
        &["pub", "t", "hi", "--config", "no/such.yaml"],
        &["pub", "t", "--id", "m-1", "--addr", "127.0.0.1:1"],
        &["pub", "t", "hi", "--header", "no", "--addr", "127.0.0.1:1"],
        &["sub", "t.*", "--offset", "3", "--addr", "127.0.0.1:1"],
        &["sub", "t", "--since", "soon"],
        &["sub", "t.*", "--group", "g", "--addr", "127.0.0.1:1"],
        &["sub", "t", "--no-ack"],
        &["sub", "t", "--order", "2h"],
        &["groups", "seek", "t", "g"],
        &["request", "t"],
        &["reply", "t"],
        &["reply", "t.*", "--echo", "--addr", "127.0.0.1:1"],
        &["sub", "t", "--from-start", "--last", "3"],
        &["sub", "t", "-f", "%x", "--addr", "127.0.0.1:1"],
        &["history", "t", "-n", "many"],
        &["history", "t", "--json", "-f", "%s"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_wiber")).args(words).output();
        let (code, out, complaint) = told(&output.expect("the command runs"));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            complaint.starts_with("wiber: ") && complaint.lines().count() == 1,
            "{words:?}: {complaint}"
        );
    }
}
