//! A WebSocket by hand (RFC 6455): the upgrade's bytes, then frames.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::{
    home::PATIENCE,
    http::{connect, split_head},
};

/// The key of the RFC's example, and the answer it must get.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Ping,
    Close(u16),
}

pub(crate) struct Socket {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// Asks for an upgrade and gives the status and the stream behind the answer's head.
pub(crate) fn upgrade(port: u16, path: &str, lines: &[(&str, &str)]) -> (u16, Socket) {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n"
    );
    if !lines.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: 127.0.0.1:{port}\r\n"));
    }
    for (name, value) in lines {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let (head, rest) = loop {
        if let Some((head, rest)) = split_head(&bytes) {
            break (head, rest.to_vec());
        }
        assert!(read_some(&mut stream, &mut bytes), "no answer to {path}");
    };
    let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
    if status == 101 {
        assert!(
            head.iter()
                .any(|line| line.eq_ignore_ascii_case(&format!("sec-websocket-accept: {ACCEPT}")))
        );
    }
    (status, Socket { stream, bytes: rest })
}

impl Socket {
    pub(crate) fn open(port: u16, path: &str) -> Self {
        let (status, socket) = upgrade(port, path, &[]);
        assert_eq!(status, 101, "{path}");
        socket
    }

    /// The next frame; pings included.
    pub(crate) fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.take_frame() {
                return frame;
            }
            assert!(
                read_some(&mut self.stream, &mut self.bytes),
                "the socket ended without a close frame"
            );
        }
    }

    pub(crate) fn text(&mut self) -> String {
        loop {
            match self.frame() {
                Frame::Text(text) => return text,
                Frame::Ping => {}
                Frame::Close(code) => panic!("closed with {code} instead of a text"),
            }
        }
    }

    pub(crate) fn json(&mut self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The first frame of which this holds.
    pub(crate) fn json_where(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.json();
            if holds(&frame) {
                return frame;
            }
        }
    }

    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            if let Frame::Close(code) = self.frame() {
                return code;
            }
        }
    }

    /// Whether no frame comes for a while.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let silent = self.bytes.is_empty() && !read_some(&mut self.stream, &mut self.bytes);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    /// Whether the connection ends with nothing said before.
    pub(crate) fn ends_without_a_word(&mut self) -> bool {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut byte = [0];
        self.bytes.is_empty()
            && match self.stream.read(&mut byte) {
                Ok(length) => length == 0,
                // What was sent and not read any more.
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
            }
    }

    /// A text from the browser's side: masked, as it must be.
    pub(crate) fn send(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        let mut frame = vec![0x81, 0x80 | 0x7e, length[0], length[1], 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame).unwrap();
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let [first, second, rest @ ..] = &self.bytes[..] else {
            return None;
        };
        assert_eq!(first & 0x80, 0x80, "one frame, one message");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, rest) = match second {
            126 => (
                u64::from(u16::from_be_bytes(rest.get(..2)?.try_into().unwrap())),
                &rest[2..],
            ),
            127 => (u64::from_be_bytes(rest.get(..8)?.try_into().unwrap()), &rest[8..]),
            short => (u64::from(*short), rest),
        };
        let length = usize::try_from(length).unwrap();
        let payload = rest.get(..length)?.to_vec();
        let frame = match first & 0x0f {
            1 => Frame::Text(String::from_utf8(payload).unwrap()),
            8 => Frame::Close(u16::from_be_bytes(payload[..2].try_into().unwrap())),
            9 => Frame::Ping,
            other => panic!("a frame of kind {other}"),
        };
        let left = rest.len() - length;
        self.bytes.drain(..self.bytes.len() - left);
        Some(frame)
    }
}

fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut chunk = vec![0; 64 << 10];
    let length = stream.read(&mut chunk).unwrap_or(0);
    bytes.extend_from_slice(&chunk[..length]);
    length > 0
}
