//! Who is answered: tested on the built gateway's own socket, path by path.

use std::{io::Write as _, net::UdpSocket, time::Duration};

use crate::{
    home::Home,
    http::{Answer, ask, connect, is_closed_within, read_answer},
    socket::upgrade,
};

const CHANGES: [(&str, &str); 11] = [
    ("/cluster/start", ""),
    ("/cluster/node/n1/kill", ""),
    ("/cluster/node/n1/restart", ""),
    ("/dm/dm:a:b", r#"{"message":"hi"}"#),
    ("/api/nodes/n1/stop", ""),
    ("/api/fn/start_cluster", "{}"),
    ("/api/fn/publish", r#"{"convo":"dm:a:b","message":"hi"}"#),
    ("/api/topics/orders/records", "hi"),
    ("/api/topics/orders/request", "hi"),
    ("/api/groups/orders/billing/seek", r#"{"next_offset":1}"#),
    ("/api/groups/orders/billing/ack", r#"{"offset":1}"#),
];
const SOCKETS: [&str; 6] = [
    "/ws/dm:a:b",
    "/ws/node/n1/logs",
    "/live/cluster",
    "/live/topic/dm:a:b",
    "/live/records/orders.*?start=true",
    "/live/records/orders?group=billing",
];

/// To be ended by DELETE.
const GROUP: &str = "/api/groups/orders/billing";

#[test]
fn a_foreign_page_changes_nothing_and_opens_no_socket() {
    let home = Home::new(1);
    let port = home.port.to_string();
    let foreign = [
        "http://evil.example",
        "null",
        "http://localhost:1",
        &format!("https://localhost:{port}"),
    ];
    for origin in foreign {
        for (path, body) in CHANGES {
            let why = ask(home.port, "POST", path, &[("origin", origin)], body).refusal(403);
            assert!(why.contains(origin), "{why}");
        }
        ask(home.port, "DELETE", GROUP, &[("origin", origin)], "").refusal(403);
        let read = ask(home.port, "GET", "/api/cluster", &[("origin", origin)], "");
        assert_eq!(read.status, 200);
        let allowed = read.header("access-control-allow-origin");
        assert_eq!(allowed, None, "no browser shows it to {origin}");
        for path in SOCKETS {
            assert_eq!(
                upgrade(home.port, path, &[("origin", origin)]).0,
                403,
                "{path} {origin}"
            );
        }
    }
    for (path, body) in CHANGES {
        let lines = [("sec-fetch-site", "cross-site"), ("content-type", "text/plain")];
        ask(home.port, "POST", path, &lines, body).refusal(403);
    }
    for path in ["/api/topics", "/api/groups", "/api/topics/orders/records"] {
        ask(home.port, "GET", path, &[("sec-fetch-site", "cross-site")], "").refusal(403);
    }
    assert_eq!(home.process("n1")["state"], "stopped", "nothing was started");
}

#[test]
fn our_own_page_and_scripts_are_answered() {
    let home = Home::new(1);
    for name in ["localhost", "127.0.0.1", "0.0.0.0"] {
        let own = format!("{name}:{}", home.port);
        let origin = format!("http://{own}");
        for lines in [
            vec![("host", own.as_str())],
            vec![("host", &own), ("origin", &origin)],
            vec![("host", name)],
        ] {
            let answer = ask(home.port, "POST", "/cluster/node/n1/kill", &lines, "");
            assert_eq!(answer.refusal(400), "n1 is not running.");
            let ended = ask(home.port, "DELETE", GROUP, &lines, "");
            assert_eq!(ended.refusal(503), "No node of the cluster is running.");
            for path in SOCKETS {
                assert_eq!(upgrade(home.port, path, &lines).0, 101, "{path} {lines:?}");
            }
        }
    }
}

#[test]
fn a_name_bound_to_us_is_not_ours() {
    let home = Home::new(1);
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    for path in [
        "/",
        "/cluster/nodes",
        "/api/cluster",
        "/api/topics",
        "/pkg/wiber.js",
    ] {
        ask(home.port, "GET", path, &rebound, "").refusal(403);
    }
    for path in SOCKETS {
        assert_eq!(upgrade(home.port, path, &rebound).0, 403, "{path}");
    }
    for (method, path) in [("POST", "/cluster/start"), ("DELETE", GROUP)] {
        ask(home.port, method, path, &[("host", "evil.example")], "").refusal(403);
    }
}

#[test]
fn another_machine_is_told_no() {
    let home = Home::new(1);
    // An own address that is not loopback stands for another machine's: the gateway sees it as the peer.
    let Some(own) = own_address() else { return };
    let mut stream = std::net::TcpStream::connect((own.as_str(), home.port)).unwrap();
    stream
        .write_all(b"GET /cluster/nodes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    assert!(text.contains("own machine only") && text.contains(&own), "{text}");
}

/// This machine's address towards others; nothing is sent to find it.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    let home = Home::new(1);
    let is_guarded = |answer: &Answer| {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert!(answer.header("access-control-allow-origin").is_none());
        let policy = answer.header("content-security-policy").unwrap().to_owned();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        policy
    };
    let page = home.get("/");
    let policy = is_guarded(&page);
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap();
    let scripts: Vec<_> = page.text().split("<script").skip(1).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let tag = script.split('>').next().unwrap();
        assert!(
            tag.contains(&format!("nonce=\"{nonce}\"")),
            "the policy would stop <script{tag}>"
        );
    }
    let again = is_guarded(&home.get("/"));
    assert_ne!(policy, again, "a nonce serves once");
    for answer in [
        home.get("/cluster/nodes"),
        home.get("/nowhere"),
        home.post("/dm/x", "rubbish"),
    ] {
        is_guarded(&answer);
    }
    is_guarded(&ask(home.port, "GET", "/", &[("host", "evil.example")], ""));
}

#[test]
fn bodies_are_bounded() {
    let home = Home::new(1);
    for path in ["/dm/dm:a:b", "/api/fn/publish", "/api/topics/t/records"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let mut announced = connect(home.port);
        announced
            .write_all(format!("{head}content-length: 5000000\r\n\r\n").as_bytes())
            .unwrap();
        assert_eq!(
            read_answer(&mut announced).refusal(413),
            "A body has at most 4194304 bytes."
        );

        let mut in_chunks = connect(home.port);
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
        in_chunks
            .write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
            .unwrap();
        for _ in 0..4 {
            in_chunks.write_all(chunk.as_bytes()).unwrap();
        }
        // One byte too many.
        in_chunks.write_all(b"1\r\nx\r\n").unwrap();
        let answer = read_answer(&mut in_chunks);
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
}

#[test]
fn a_head_that_never_ends_is_not_waited_for() {
    let home = Home::new(1);
    let mut endless = connect(home.port);
    endless
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        .unwrap();
    let mut large = connect(home.port);
    large.write_all(b"GET / HTTP/1.1\r\nx: ").unwrap();
    let sent = large.write_all(&vec![b'x'; 1 << 20]);
    assert!(sent.is_err() || is_closed_within(&mut large, Duration::from_secs(5)));
    assert!(
        is_closed_within(&mut endless, Duration::from_secs(25)),
        "slowloris"
    );
}
