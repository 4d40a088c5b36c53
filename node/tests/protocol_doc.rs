//! The examples of `docs/protocol.md`, run: each block on a connection of its own, all against one node, in order.
//!
//! `>` is sent, `<` is expected, and `…` is anything. Between two commands the lines may come in any order, as what a
//! subscription brings may stand before or behind an answer.

mod support;

use support::{cluster::Cluster, conn::Conn};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");
const FENCE: &str = "```";

/// Whether `line` is `pattern`, in which each `…` stands for any text.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            let Some((_, behind)) = rest.split_once(before) else {
                return false;
            };
            rest = behind;
        }
    }
    match last {
        None => rest.is_empty(),
        Some(last) => rest.ends_with(last),
    }
}

/// Sends what the block sends, and compares what comes.
#[track_caller]
fn run(block: &[&str], conn: &mut Conn) {
    let mut rest = block;
    while !rest.is_empty() {
        let sent = rest.iter().take_while(|line| line.starts_with("> ")).count();
        let (commands, behind) = rest.split_at(sent);
        let heard = behind.iter().take_while(|line| line.starts_with("< ")).count();
        let (expected, behind) = behind.split_at(heard);
        assert!(sent + heard > 0, "neither sent nor expected: {:?}", rest.first());
        rest = behind;
        for command in commands {
            conn.send(format!("{}\n", &command[2..]));
        }
        let mut expected: Vec<&str> = expected.iter().map(|line| &line[2..]).collect();
        while !expected.is_empty() {
            let line = conn.line();
            let Some(at) = expected.iter().position(|pattern| fits(pattern, &line)) else {
                panic!("after {commands:?}\nexpected one of {expected:#?}\ngot {line}");
            };
            expected.remove(at);
        }
    }
}

#[test]
fn its_examples_are_true() {
    let cluster = Cluster::start(1);
    let mut blocks = 0;
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        if line != "```wiber" {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != FENCE).collect();
        run(&block, &mut cluster.conn(0));
        blocks += 1;
    }
    assert!(blocks > 5, "the examples were found");
}

#[test]
fn a_pattern_fits_what_it_should() {
    assert!(fits("OK published … 1 …", "OK published n1-5 1 77"));
    assert!(fits("RECORD {\"a\":…}", "RECORD {\"a\":1,\"b\":2}"));
    assert!(fits("x …\"offset\":1,…z", "x {\"offset\":1,\"y\"z"));
    assert!(fits("same", "same") && !fits("same", "same too"));
    assert!(!fits("OK … 2", "OK 1 3") && !fits("OK …", "ERR 1"));
}
