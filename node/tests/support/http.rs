//! One HTTP request, by hand.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// Status code, head and body. `None` if nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String, String)> {
    ask(port, &format!("GET {path}"), "", "")
}

/// Sends JSON; status code and body. `None` if nobody answers.
pub(crate) fn post(port: u16, path: &str, json: &str) -> Option<(u16, String)> {
    let head = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        json.len()
    );
    let (code, _, body) = ask(port, &format!("POST {path}"), &head, json)?;
    Some((code, body))
}

fn ask(port: u16, what: &str, head: &str, body: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{head}\r\n{body}"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_ascii_lowercase(), body.to_owned()))
}
