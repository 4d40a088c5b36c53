//! HTTP/1.1 by hand: a request's bytes out, an answer's bytes in.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::home::PATIENCE;

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the head, names in lower case.
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The `{"detail": …}` of a refusal with this status, which has nothing else in it.
    pub(crate) fn refusal(&self, status: u16) -> String {
        let (detail, more) = self.refusal_with_more(status);
        assert_eq!(more, Value::Object(serde_json::Map::new()));
        detail
    }

    /// The `detail` of a refusal with this status, and what it says besides.
    pub(crate) fn refusal_with_more(&self, status: u16) -> (String, Value) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let mut body = self.json();
        let detail = body.as_object_mut().unwrap().remove("detail").unwrap();
        (detail.as_str().unwrap().to_owned(), body)
    }
}

pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Asks as a script does: `Host` and nothing else, unless `lines` say otherwise.
pub(crate) fn ask(
    port: u16,
    method: &str,
    path: &str,
    lines: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    let body = body.as_ref();
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !lines.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: 127.0.0.1:{port}\r\n"));
    }
    for (name, value) in lines {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).unwrap();
    // It may be refused before it is read.
    let _ = stream.write_all(body);
    read_answer(&mut stream)
}

/// Reads until the other end closes.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A connection cut after the answer is no fault of the answer.
    let _ = stream.read_to_end(&mut bytes);
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let (lines, rest) =
        split_head(bytes).unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
    let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
    let head: Vec<_> = lines[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = head
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { unchunk(rest) } else { rest.to_vec() };
    Answer { status, head, body }
}

/// The lines before the empty one, and what follows it.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    Some((head.split("\r\n").map(str::to_owned).collect(), &bytes[end + 4..]))
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..][..length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
}

/// Whether the other end closes the connection within this time.
pub(crate) fn is_closed_within(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok()
}
