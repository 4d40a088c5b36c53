//! A topic's records as they are committed, without end: no gap and no repeat, whichever node they come from.
//!
//! A subscription is a position. Records are accepted only at the next offset; whenever the connection is lost, or
//! a node breaks that rule, the next connection starts there. A consumer that is slow makes the connection wait,
//! and the node's cursor with it: nothing is dropped and nothing piles up.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use wiber_protocol::line::{
    Command, Ended, Line, LineError, LineSplitter, MAX_ANSWER_LINE_BYTES, RecordLine, Reply,
    SubscribeCommand, SubscribeStart,
};

use crate::{Client, Inner, backoff::Backoff};

/// Events that wait for the consumer; at the bound, nothing more is received.
const MAX_WAITING_EVENTS: usize = 64;
const READ_CHUNK_BYTES: usize = 64 << 10;

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// `node` delivers from `next_offset` on. It is beyond the last record's next offset only when the records
    /// between are no longer kept.
    Connected {
        node: String,
        next_offset: u64,
    },
    Record(RecordLine),
    /// It is trying again by itself; the next event is `Connected`, or one more `Disconnected`.
    Disconnected {
        reason: String,
    },
}

/// A subscription; it ends when this is dropped.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<SubscriptionEvent>,
    _task: AbortOnDropHandle<()>,
}

impl Subscription {
    /// The next event. It may be called in a `select!`: nothing is lost when it is dropped unfinished.
    pub async fn next(&mut self) -> SubscriptionEvent {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends before this does only when the whole runtime is shutting down.
            None => std::future::pending().await,
        }
    }
}

impl Client {
    /// Subscribes to `topic` from an offset on, or from what is published next. Connects in the background.
    pub fn subscribe(&self, topic: &str, from: Option<u64>) -> Result<Subscription, LineError> {
        wiber_protocol::line::check_topic(topic)?;
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let task = SubscriptionTask {
            client: Arc::clone(&self.inner),
            topic: topic.to_owned(),
            next_offset: from.map(|from| from.max(1)),
            events,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        Ok(Subscription {
            events: receiver,
            _task: task,
        })
    }
}

/// The consumer is gone.
struct Gone;

struct SubscriptionTask {
    client: Arc<Inner>,
    topic: String,
    /// Where to go on; `None` until the first node has said where its tail is.
    next_offset: Option<u64>,
    events: mpsc::Sender<SubscriptionEvent>,
}

impl SubscriptionTask {
    async fn run(mut self) {
        let mut backoff = Backoff::new(&self.client.options);
        let mut node = self.client.preferred();
        loop {
            let before = self.next_offset;
            let Err(reason) = self.follow(node).await else {
                return;
            };
            let reason = self.client.named(node, &reason);
            if self
                .tell(SubscriptionEvent::Disconnected { reason })
                .await
                .is_err()
            {
                return;
            }
            if self.next_offset != before {
                backoff.reset();
            }
            node = self.client.after(node);
            sleep(backoff.next()).await;
        }
    }

    async fn tell(&self, event: SubscriptionEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }

    /// Takes records from one node for as long as that goes well; `Ok` when the consumer is gone.
    async fn follow(&mut self, node: usize) -> Result<(), String> {
        let spec = &self.client.nodes[node].spec;
        let (id, host, port) = (spec.id.clone(), spec.host.clone(), spec.port);
        let mut stream = timeout(
            self.client.options.connect_timeout,
            TcpStream::connect((host, port)),
        )
        .await
        .map_err(|_| "cannot connect in time".to_owned())?
        .map_err(|e| format!("cannot connect: {e}"))?;
        let mut line = Vec::new();
        let start = match self.next_offset {
            Some(from) => SubscribeStart::From(from),
            None => SubscribeStart::New,
        };
        let command = Command::Subscribe(SubscribeCommand::new(&self.topic, start));
        command.write(&mut line).map_err(|e| e.to_string())?;
        stream
            .write_all(&line)
            .await
            .map_err(|e| format!("sending failed: {e}"))?;

        let mut connected = false;
        let mut stream = Lines::new(stream);
        loop {
            let line = stream.next(self.client.options.keepalive).await?;
            let line = std::str::from_utf8(&line).map_err(|_| "a line that is not UTF-8".to_owned())?;
            let event = match Reply::parse(line) {
                Some(Reply::Pong | Reply::Lag { .. }) => continue,
                Some(Reply::Subscribed {
                    next_offset: Some(next),
                    ..
                }) if !connected => {
                    connected = true;
                    self.start(next)?;
                    SubscriptionEvent::Connected {
                        node: id.clone(),
                        next_offset: next,
                    }
                }
                Some(
                    Reply::OffsetOutOfRange { start, end }
                    | Reply::Ended {
                        reason: Ended::OffsetOutOfRange { start, end },
                        ..
                    },
                ) => {
                    let next = self.next_offset.replace(start);
                    return Err(format!("keeps offsets {start} to {end} only, not {next:?}"));
                }
                None if connected => SubscriptionEvent::Record(self.accept(line)?),
                _ => return Err(format!("answered `{line}`")),
            };
            if self.tell(event).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Checks the offset at which a node wants to start.
    fn start(&mut self, next: u64) -> Result<(), String> {
        match self.next_offset {
            Some(expected) if next < expected => {
                Err(format!("starts at offset {next} instead of {expected}"))
            }
            _ => {
                self.next_offset = Some(next);
                Ok(())
            }
        }
    }

    /// Reads a record and takes it if it is the next one.
    fn accept(&mut self, line: &str) -> Result<RecordLine, String> {
        let record = RecordLine::parse(line).map_err(|e| e.to_string())?;
        let expected = self.next_offset.unwrap_or_default();
        if record.offset != expected || record.topic != self.topic {
            return Err(format!(
                "sent offset {} of `{}` instead of {expected} of `{}`",
                record.offset, record.topic, self.topic
            ));
        }
        self.next_offset = Some(expected + 1);
        Ok(record)
    }
}

/// The lines of one connection, and the question whether the other end is still there.
struct Lines {
    stream: TcpStream,
    splitter: LineSplitter,
}

impl Lines {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            splitter: LineSplitter::new(MAX_ANSWER_LINE_BYTES),
        }
    }

    /// The next line; an error if the node has neither sent a byte for `keepalive`, nor then answered a `PING` within
    /// as long.
    async fn next(&mut self, keepalive: Duration) -> Result<Bytes, String> {
        let mut asked = false;
        loop {
            match self.splitter.next_line() {
                Some(Line::Text(line)) => return Ok(line),
                Some(Line::TooLong | Line::Body(_)) => {
                    return Err(format!("a line of more than {MAX_ANSWER_LINE_BYTES} bytes"));
                }
                None => {}
            }
            let received = self.splitter.buffer();
            received.reserve(READ_CHUNK_BYTES);
            match timeout(keepalive, self.stream.read_buf(received)).await {
                Ok(Ok(0)) => return Err("the node closed the connection".to_owned()),
                Ok(Ok(_)) => asked = false,
                Ok(Err(e)) => return Err(format!("receiving failed: {e}")),
                Err(_) if asked => return Err(format!("silent for {:?}", keepalive * 2)),
                Err(_) => {
                    asked = true;
                    self.stream
                        .write_all(b"PING\n")
                        .await
                        .map_err(|e| format!("sending failed: {e}"))?;
                }
            }
        }
    }
}
