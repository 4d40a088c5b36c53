use super::*;

fn parse(text: &str) -> Result<ClusterConfig, ConfigError> {
    ClusterConfig::parse(text, "c.yaml")
}

/// The configuration is refused at `line`, and the reason has `words` in it.
#[track_caller]
fn refused(text: &str, line: usize, words: &str) {
    let error = parse(text).expect_err("must be refused");
    assert_eq!(error.line, line, "{error}\nin:\n{text}");
    assert!(
        error.reason.contains(words),
        "`{words}` is not in `{error}`\nin:\n{text}"
    );
    assert_eq!(error.to_string(), format!("c.yaml:{line}: {}", error.reason));
    assert!(!error.to_string().contains(['\n', '\r']), "{error:?}");
}

/// Three nodes in block style with line `n` (from 1) replaced; the first node is lines 3 to 5.
fn block(replaced: usize, by: &str) -> String {
    let lines = [
        "# a comment",
        "nodes:",
        "  - id: n1",
        "    host: 127.0.0.1",
        "    port: 9101",
        "  - id: n2",
        "    host: 127.0.0.1",
        "    port: 9102",
    ];
    let with = |(at, line): (usize, &&str)| {
        if at + 1 == replaced {
            by.to_owned()
        } else {
            (*line).to_owned()
        }
    };
    lines.iter().enumerate().map(with).collect::<Vec<_>>().join("\n") + "\n"
}

/// The same in flow style, the second node (line 4) replaced.
fn flow(second: &str) -> String {
    format!("# a comment\nnodes:\n  - {{ id: n1, host: 127.0.0.1, port: 9101 }}\n  - {second}\n")
}

#[test]
fn both_styles_are_read() {
    let n = |id: &str, port| NodeSpec {
        id: id.into(),
        host: "127.0.0.1".into(),
        port,
    };
    let expected = ClusterConfig {
        nodes: vec![n("n1", 9101), n("n2", 9102)],
        retention: Retention::default(),
        limits: Limits::default(),
    };
    assert_eq!(parse(&block(0, "")), Ok(expected.clone()));
    assert_eq!(
        parse(&flow("{ port: 9102, host: 127.0.0.1, id: n2 }")),
        Ok(expected.clone())
    );
    assert_eq!(
        parse(&flow("{id: \"n2\", host: '127.0.0.1', port: 9102}").replace('\n', "\r\n")),
        Ok(expected.clone())
    );
    assert_eq!(
        parse(&format!("\u{feff}---\n{}", block(0, ""))),
        Ok(expected.clone())
    );
    assert_eq!(expected.node("n2"), Some(&n("n2", 9102)));
    assert_eq!(expected.node("n3"), None);
}

#[test]
fn the_repository_s_configuration_is_read() {
    let config = ClusterConfig::parse(
        include_str!("../../../../config/cluster.yaml"),
        "config/cluster.yaml",
    )
    .expect("a good configuration");
    let ports = |node: &NodeSpec| {
        (
            node.id.clone(),
            node.port,
            node.admin_port(),
            node.time_port(),
            node.rpc_port(),
        )
    };
    assert_eq!(ports(&config.nodes[0]), ("n1".into(), 9101, 9201, 9301, 10101));
    assert_eq!(ports(&config.nodes[2]), ("n3".into(), 9103, 9203, 9303, 10103));
    assert_eq!(config.nodes.len(), 3);
}

#[test]
fn the_highest_port_is_one_whose_derived_ports_fit() {
    let config = parse("nodes: [{ id: a, host: h, port: 64535 }, { id: b, host: h, port: 1 }]")
        .expect("a good configuration");
    assert_eq!(config.nodes[0].rpc_port(), 65535);
}

#[test]
fn a_missing_field_is_refused_at_its_node() {
    refused(&block(7, ""), 6, "`host` is missing");
    refused(&block(8, ""), 6, "`port` is missing");
    refused(&block(6, "  -"), 7, "`id` is missing");
    refused(&flow("{ id: n2, port: 9102 }"), 4, "`host` is missing");
    refused(
        &flow("{ id: n2, host: h }"),
        4,
        "nodes[1]: the key `port` is missing",
    );
    refused(&flow("{}"), 4, "`id` is missing");
    refused("\n\n{}\n", 3, "`nodes` is missing");
}

#[test]
fn a_duplicate_id_is_refused_where_it_stands_again() {
    refused(&block(6, "  - id: n1"), 6, "nodes[1].id: duplicate id `n1`");
    refused(
        &flow("{ port: 9102, host: 127.0.0.1,\n\n      id: n1 }"),
        6,
        "duplicate id `n1`",
    );
    refused(&block(6, "  - id: N1"), 6, "in case alone");
}

#[test]
fn a_bad_port_is_refused_where_it_stands() {
    for port in [
        "0",
        "64536",
        "65535",
        "65536",
        "-1",
        "70000",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        refused(
            &block(8, &format!("    port: {port}")),
            8,
            "a port from 1 to 64535",
        );
        refused(
            &flow(&format!("{{ id: n2, host: h, port: {port} }}")),
            4,
            "a port from 1 to 64535",
        );
    }
    for port in [
        "9101.5",
        "9101.0",
        "\"9102\"",
        "abc",
        "true",
        "null",
        "~",
        "",
        "[1]",
        "{a: 1}",
        "!port 9102",
        "!!str 1",
    ] {
        refused(
            &block(8, &format!("    port: {port}")),
            8,
            "a port from 1 to 64535",
        );
    }
    refused(
        &flow("{ id: n2,\n      port: '9102',\n      host: h }"),
        5,
        "a port from 1 to 64535",
    );
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    refused(&format!("{}nodez: 1\n", block(0, "")), 9, "unknown key `nodez`");
    refused(
        "\ntimeout: 3\nnodes: []\n",
        2,
        "unknown key `timeout`, expected one of the keys `nodes`, `retention`, `limits`",
    );
    refused(
        &block(8, "    port: 9102\n    prot: 1"),
        9,
        "nodes[1]: unknown key `prot`",
    );
    refused(
        &flow("{ id: n2, host: h, port: 9102,\n\n weight: 1 }"),
        6,
        "unknown key `weight`",
    );
    refused(&flow("{ \"a\\nb\": n2 }"), 4, "unknown key `a\\nb`");
    refused(&flow("{ 1: n2 }"), 4, "one of the keys `id`, `host`, `port`");
    refused(
        &flow("{ <<: {id: n2}, host: h, port: 9102 }"),
        4,
        "unknown key `<<`",
    );
}

#[test]
fn a_key_that_stands_twice_is_refused_at_the_second() {
    refused(
        &block(8, "    port: 9102\n    id: n3"),
        9,
        "the key `id` stands here for the second time",
    );
    refused(
        &format!("{}nodes: []\n", block(0, "")),
        9,
        "the key `nodes` stands here for the second time",
    );
}

#[test]
fn what_is_no_list_of_nodes_is_refused() {
    refused("nodes: []\n", 1, "the list is empty");
    refused("# c\n\nnodes:\n  []\n", 4, "the list is empty");
    refused("# c\nnodes:\n", 2, "expected a list of nodes");
    refused("# c\nnodes: n1\n", 2, "expected a list of nodes");
    refused(
        "# c\nnodes:\n  n1: { host: h, port: 1 }\n",
        3,
        "expected a list of nodes",
    );
    refused(
        &flow("n2"),
        4,
        "nodes[1]: invalid type: string \"n2\", expected a node",
    );
    refused(&flow(""), 4, "expected a node");
    refused(&flow("[n2, h, 9102]"), 4, "expected a node");
}

#[test]
fn what_is_no_mapping_is_refused() {
    refused("", 1, "the file is empty");
    refused("\n\n", 1, "the file is empty");
    refused("# only a comment\n# and one more\n", 1, "the file is empty");
    refused("# c\n---\n", 2, "expected a mapping with the list `nodes`");
    refused("# c\n- nodes\n", 2, "expected a mapping with the list `nodes`");
    refused("# c\n\nnodes\n", 3, "expected a mapping with the list `nodes`");
    refused("42", 1, "expected a mapping with the list `nodes`");
}

#[test]
fn bad_yaml_is_refused_where_it_breaks() {
    refused(&block(4, "\thost: h"), 4, "");
    refused(&block(4, "    host: \"h"), 8, "");
    refused(&block(4, "   host: h"), 4, "");
    refused(&block(4, "    host: @h"), 4, "");
    refused(&flow("{ id: n2, host: h, port: 9102 "), 4, "");
    refused(&flow("{ id: *nobody, host: h, port: 9102 }"), 4, "unknown anchor");
    refused("nodes: {\n", 1, "");
    refused("# c\n]\n", 2, "");
    refused(&block(4, "    host: a\u{0}b"), 4, "control character");
    refused(
        &format!("{}---\nnodes: []\n", block(0, "")),
        10,
        "not a second one",
    );
    refused(&format!("{}...\n---\n", block(0, "")), 10, "not a second one");
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let error = ClusterConfig::parse_bytes(b"# c\nnodes: \xff\n", "c.yaml").expect_err("must be refused");
    assert_eq!(error.to_string(), "c.yaml:2: is not UTF-8 text");
    assert!(ClusterConfig::parse_bytes(block(0, "").as_bytes(), "c.yaml").is_ok());
}

#[test]
fn an_id_must_be_fit_to_name_a_folder() {
    let long = "x".repeat(33);
    for id in [
        "\"\"", "..", ".", "a/b", "a b", "n1:", "é", "1", "1.5", "true", "null", "", "[n2]", &long,
    ] {
        refused(&block(6, &format!("  - id: {id}")), 6, "");
        refused(&flow(&format!("{{ host: h, port: 9102, id: {id} }}")), 4, "");
    }
    assert!(parse(&block(6, &format!("  - id: {}", &long[1..]))).is_ok());
    assert!(parse(&block(6, "  - id: \"1\"")).is_ok());
}

#[test]
fn a_host_must_be_fit_for_a_redirect_line() {
    for host in ["\"\"", "a b", "\"a\\tb\"", "", "7", "[h]"] {
        refused(
            &block(7, &format!("    host: {host}")),
            7,
            "a host name or address",
        );
    }
    assert!(parse(&block(7, "    host: \"::1\"")).is_ok());
}

#[test]
fn two_nodes_of_one_host_may_not_share_a_port() {
    for port in [9101, 9201, 9301, 9001, 8901, 10101, 8101, 9901, 10001, 8201, 8301] {
        refused(&block(8, &format!("    port: {port}")), 6, "would both use port");
        refused(
            &flow(&format!("{{ id: n2, host: 127.0.0.1, port: {port} }}")),
            4,
            "would both use port",
        );
        refused(
            &flow(&format!("{{ id: n2, host: LocalHost, port: {port} }}")),
            4,
            "would both use port",
        );
        assert!(parse(&flow(&format!("{{ id: n2, host: 127.0.0.2, port: {port} }}"))).is_ok());
    }
}

#[test]
fn deep_nesting_and_rubbish_are_refused_without_a_panic() {
    refused(&"[".repeat(10_000), 1, "");
    refused(&format!("nodes:\n{}", "- ".repeat(5000)), 2, "");
    refused("nodes: &a\n  - *a\n", 1, "expected a node");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_at_a_line_it_has(text in "[ \\-:{}\\[\\],a-d0-9\"'\n#&*!|>%@\t]{0,80}") {
        if let Err(error) = parse(&format!("nodes:\n{text}")) {
            proptest::prop_assert!(error.line >= 1);
            proptest::prop_assert!(error.line <= 1 + text.lines().count().max(1));
        }
    }
}
