//! A connection of its own to one node, for what is delivered without being asked for again.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until},
};
use wiber_protocol::{
    config::NodeSpec,
    line::{Command, Line, LineSplitter, MAX_ANSWER_LINE_BYTES},
};

use crate::{
    ClientOptions, Inner,
    outside::{self, Incoming, Outgoing},
};

const READ_CHUNK_BYTES: usize = 64 << 10;

/// The lines of one connection, and the question whether the other end is still there.
pub(crate) struct Wire {
    incoming: Incoming,
    outgoing: Outgoing,
    splitter: LineSplitter,
    /// Commands that wait for the socket. Their number is bounded by who says them.
    unsent: BytesMut,
    options: ClientOptions,
    /// Since when nothing came although somebody listens.
    silent_since: Option<Instant>,
    /// Whether the node was asked if it is there, and has not said anything since.
    asked: bool,
}

impl Wire {
    pub(crate) async fn connect(client: &Inner, node: &NodeSpec) -> Result<Self, String> {
        let options = client.options;
        let connected = outside::connect(&*client.outside, node, options.connect_timeout);
        let (incoming, outgoing) = connected.await?;
        Ok(Self {
            incoming,
            outgoing,
            splitter: LineSplitter::new(MAX_ANSWER_LINE_BYTES),
            unsent: BytesMut::new(),
            options,
            silent_since: None,
            asked: false,
        })
    }

    /// Says a command; it leaves while [`Self::next`] waits.
    pub(crate) fn say(&mut self, command: &Command<'_>) -> Result<(), String> {
        let mut line = Vec::new();
        command.write(&mut line).map_err(|e| e.to_string())?;
        self.unsent.extend_from_slice(&line);
        Ok(())
    }

    /// Sends what was said while nobody waits for lines; never ends by itself but by an error. It may be dropped unfinished.
    pub(crate) async fn send(&mut self) -> String {
        while !self.unsent.is_empty() {
            match self.outgoing.write(&self.unsent).await {
                Ok(count) => self.unsent.advance(count),
                Err(e) => return format!("sending failed: {e}"),
            }
        }
        std::future::pending().await
    }

    /// The next line; an error if the node has neither sent a byte for `keepalive`, nor then answered a `PING` within
    /// as long. Nothing is lost when it is dropped unfinished.
    pub(crate) async fn next(&mut self) -> Result<Bytes, String> {
        let keepalive = self.options.keepalive;
        loop {
            match self.splitter.next_line() {
                Some(Line::Text(line)) if self.asked && &line[..] == b"PONG" => {
                    self.asked = false;
                    continue;
                }
                Some(Line::Text(line)) => return Ok(line),
                Some(Line::TooLong | Line::Body(_)) => {
                    return Err(format!("a line of more than {MAX_ANSWER_LINE_BYTES} bytes"));
                }
                None => {}
            }
            let silent_since = *self.silent_since.get_or_insert_with(Instant::now);
            let received = self.splitter.buffer();
            received.reserve(READ_CHUNK_BYTES);
            tokio::select! {
                // What the node said while nobody listened counts.
                biased;
                read = self.incoming.read_buf(received) => match read {
                    Ok(0) => return Err("the node closed the connection".to_owned()),
                    Ok(_) => self.silent_since = None,
                    Err(e) => return Err(format!("receiving failed: {e}")),
                },
                written = self.outgoing.write(&self.unsent), if !self.unsent.is_empty() => match written {
                    Ok(count) => self.unsent.advance(count),
                    Err(e) => return Err(format!("sending failed: {e}")),
                },
                () = sleep_until(silent_since + keepalive) => {
                    if self.asked {
                        return Err(format!("silent for {:?}", keepalive * 2));
                    }
                    self.asked = true;
                    self.silent_since = Some(Instant::now());
                    self.say(&Command::Ping)?;
                }
            }
        }
    }
}
