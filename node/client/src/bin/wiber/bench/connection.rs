//! One connection of a load: a window of publishes without an answer, lines out, answers in.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use wiber_protocol::{config::NodeSpec, line::MAX_ANSWER_LINE_BYTES};

use super::{
    answers::{self, Observer},
    latencies::Latencies,
    lines::Lines,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 256 << 10;

/// Publishes that went out together.
#[derive(Debug)]
struct Sent {
    /// The number of the first that has no answer yet.
    first: u64,
    count: u64,
    at: Instant,
}

/// What came of the answers so far.
pub(super) struct Tally {
    pub(super) latencies: Latencies,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

pub(super) struct Connection {
    stream: TcpStream,
    /// The most publishes without an answer.
    window: usize,
    in_flight: usize,
    sent: VecDeque<Sent>,
    /// Lines to write, and how much of them is written.
    out: Vec<u8>,
    written_bytes: usize,
    received: Vec<u8>,
    received_bytes: usize,
}

impl Connection {
    pub(super) fn open(node: &NodeSpec, window: usize) -> anyhow::Result<Self> {
        let at = format!("{}:{}", node.host, node.port);
        let connect = || {
            let address = (node.host.as_str(), node.port).to_socket_addrs()?.next();
            let address = address.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
            let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok::<_, io::Error>(stream)
        };
        Ok(Self {
            stream: connect().with_context(|| format!("cannot connect to {at}"))?,
            window,
            in_flight: 0,
            sent: VecDeque::new(),
            out: Vec::new(),
            written_bytes: 0,
            received: vec![0; READ_BYTES],
            received_bytes: 0,
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many more may be sent.
    pub(super) fn room(&self) -> usize {
        self.window - self.in_flight
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.written_bytes < self.out.len()
    }

    /// Sends `count` more publishes, numbered from `first`; what the socket does not take now stays here.
    pub(super) fn send(&mut self, lines: &Lines, first: u64, count: usize, now: Instant) -> io::Result<()> {
        if count > 0 {
            lines.append(&mut self.out, first, count);
            self.in_flight += count;
            self.sent.push_back(Sent {
                first,
                count: count as u64,
                at: now,
            });
        }
        self.write()
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while self.has_unsent() {
            match self.stream.write(&self.out[self.written_bytes..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written_bytes += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written_bytes = 0;
        Ok(())
    }

    /// Reads once and takes in the answers; gives their number.
    pub(super) fn read(&mut self, tally: &mut Tally, observer: &mut impl Observer) -> anyhow::Result<usize> {
        let count = match self.stream.read(&mut self.received[self.received_bytes..]) {
            Ok(0) => bail!("the node closed the connection"),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        let from = self.received_bytes;
        let end = from + count;
        let mut start = 0;
        let mut answered = 0;
        for line_end in memchr::memchr_iter(b'\n', &self.received[from..end]) {
            let line = &self.received[start..from + line_end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            start = from + line_end + 1;
            let Some(oldest) = self.sent.front_mut() else {
                bail!("an answer to nothing: {}", String::from_utf8_lossy(line));
            };
            if let Some(ack) = answers::parse(line) {
                tally.latencies.add(now - oldest.at, 1);
                observer.acknowledged(oldest.first, &ack);
            } else {
                tally.errors += 1;
                let text = || String::from_utf8_lossy(line).into_owned();
                tally.first_error.get_or_insert_with(text);
            }
            oldest.first += 1;
            oldest.count -= 1;
            if oldest.count == 0 {
                self.sent.pop_front();
            }
            answered += 1;
        }
        self.in_flight -= answered;
        self.received.copy_within(start..end, 0);
        self.received_bytes = end - start;
        if self.received_bytes == self.received.len() {
            // A full buffer without a line end: let it grow up to the longest answer there is.
            if self.received_bytes > MAX_ANSWER_LINE_BYTES {
                bail!("an answer of more than {MAX_ANSWER_LINE_BYTES} bytes");
            }
            self.received.resize(2 * self.received_bytes, 0);
        }
        Ok(answered)
    }
}
