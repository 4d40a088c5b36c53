//! One kept connection to one node: commands go out as they come, answers come back in the same order.
//!
//! A task owns the socket. It connects when there is something to ask, keeps the connection while it is good, and
//! when it breaks tells every waiting caller which of two things happened: the command never left, or it left and
//! its fate is unknown.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use wiber_protocol::{
    config::NodeSpec,
    line::{
        GroupLine, Line, LineSplitter, MAX_ANSWER_LINE_BYTES, MAX_READ_BYTES, RecordLine, RecordLineError,
        TopicLine,
    },
};

use crate::{
    ClientOptions, Outside,
    outside::{self, Incoming, Outgoing},
};

/// Commands that wait for the task; at the bound, callers wait to be let in.
const MAX_QUEUED: usize = 256;
/// Commands sent and not yet answered; at the bound, the queue is no longer emptied. Those that go together may
/// exceed it.
const MAX_IN_FLIGHT: usize = 1024;
/// Bytes that wait for the socket; at the bound, the queue is no longer emptied.
const MAX_UNSENT_BYTES: usize = 1 << 20;
/// The most bytes of lists one answer may have; beyond, the connection is given up. A node's page reaches its bound
/// with one last line.
const MAX_ANSWER_BYTES: usize = MAX_READ_BYTES + MAX_ANSWER_LINE_BYTES;
const READ_CHUNK_BYTES: usize = 64 << 10;

/// A whole answer: the line that ends it, and what was listed before that.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) records: Vec<RecordLine>,
    pub(crate) topics: Vec<TopicLine>,
    pub(crate) groups: Vec<GroupLine>,
    pub(crate) reply: String,
}

impl Answer {
    /// Takes a line that belongs to a list; false if it is none.
    fn take(&mut self, line: &str) -> Result<bool, RecordLineError> {
        if line.starts_with("RECORD ") {
            self.records.push(RecordLine::parse(line)?);
        } else if let Some(topic) = TopicLine::parse(line) {
            self.topics.push(topic?);
        } else if let Some(group) = GroupLine::parse(line) {
            self.groups.push(group?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command did not leave: nothing happened.
    NotSent(String),
    /// The command may have arrived.
    Lost(String),
}

/// What waits for one answer.
pub(crate) type Answered = oneshot::Receiver<Result<Answer, Failure>>;

#[derive(Debug)]
struct Request {
    /// Whole ones: of a publish, its line and the body.
    commands: Bytes,
    /// One for each of the commands, in their order.
    answers: Vec<oneshot::Sender<Result<Answer, Failure>>>,
}

impl Request {
    fn fail(self, failure: impl Fn() -> Failure) {
        for answer in self.answers {
            let _ = answer.send(Err(failure()));
        }
    }
}

pub(crate) const ENDED: &str = "the connection's task has ended";

/// The callers' end.
#[derive(Debug)]
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
}

impl Link {
    /// Starts the task. It ends when the link is dropped.
    pub(crate) fn open(node: &NodeSpec, options: &ClientOptions, outside: &Arc<dyn Outside>) -> Self {
        let (requests, queue) = mpsc::channel(MAX_QUEUED);
        let link = LinkTask {
            outside: Arc::clone(outside),
            node: node.clone(),
            connect_timeout: options.connect_timeout,
            stall_timeout: options.attempt_timeout * 2,
            queue,
        };
        tokio::spawn(link.run());
        Self { requests }
    }

    /// Sends one command and waits for its whole answer, for as long as that takes.
    pub(crate) async fn ask(&self, command: Bytes) -> Result<Answer, Failure> {
        let mut answers = self.ask_all(command, 1).await?;
        let answered = answers.pop().expect("one answer for one command");
        answered
            .await
            .unwrap_or_else(|_| Err(Failure::Lost(ENDED.to_owned())))
    }

    /// Sends `count` commands, all on the same connection or none, and gives what waits for their answers.
    pub(crate) async fn ask_all(&self, commands: Bytes, count: usize) -> Result<Vec<Answered>, Failure> {
        let (answers, answered) = (0..count).map(|_| oneshot::channel()).unzip();
        match self.requests.send(Request { commands, answers }).await {
            Ok(()) => Ok(answered),
            Err(_) => Err(Failure::NotSent(ENDED.to_owned())),
        }
    }
}

struct LinkTask {
    outside: Arc<dyn Outside>,
    node: NodeSpec,
    connect_timeout: Duration,
    /// How long commands may wait without a byte from the node before the connection is given up.
    stall_timeout: Duration,
    queue: mpsc::Receiver<Request>,
}

impl LinkTask {
    async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            match outside::connect(&*self.outside, &self.node, self.connect_timeout).await {
                Ok((incoming, outgoing)) => {
                    let mut connection = Connection::new(incoming, outgoing);
                    connection.send(first);
                    let reason = connection.serve(&mut self.queue, self.stall_timeout).await;
                    let NodeSpec { host, port, .. } = &self.node;
                    tracing::debug!(host, port, reason, "connection ended");
                    connection.fail(&reason);
                }
                Err(reason) => {
                    // Whoever waits behind the first would meet the same, one after the other.
                    let rest = std::iter::from_fn(|| self.queue.try_recv().ok());
                    for request in std::iter::once(first).chain(rest) {
                        request.fail(|| Failure::NotSent(reason.clone()));
                    }
                }
            }
        }
    }
}

/// What ended a connection, as a sentence.
type Reason = String;

/// One connection's state.
struct Connection {
    incoming: Incoming,
    outgoing: Outgoing,
    lines: LineSplitter,
    unsent: BytesMut,
    /// Whose commands were sent, in order.
    waiting: VecDeque<oneshot::Sender<Result<Answer, Failure>>>,
    /// The answer that is arriving.
    arriving: Answer,
    arrived_bytes: usize,
    /// When the node last said something, or was asked something after a silence.
    alive_at: Instant,
}

impl Connection {
    fn new(incoming: Incoming, outgoing: Outgoing) -> Self {
        Self {
            incoming,
            outgoing,
            lines: LineSplitter::new(MAX_ANSWER_LINE_BYTES),
            unsent: BytesMut::new(),
            waiting: VecDeque::new(),
            arriving: Answer::default(),
            arrived_bytes: 0,
            alive_at: Instant::now(),
        }
    }

    fn send(&mut self, request: Request) {
        if request.answers.iter().all(oneshot::Sender::is_closed) {
            return;
        }
        if self.waiting.is_empty() {
            self.alive_at = Instant::now();
        }
        self.unsent.extend_from_slice(&request.commands);
        self.waiting.extend(request.answers);
    }

    /// Sends and receives until the connection is no good any more.
    async fn serve(&mut self, queue: &mut mpsc::Receiver<Request>, stall_timeout: Duration) -> Reason {
        loop {
            let room = self.waiting.len() < MAX_IN_FLIGHT && self.unsent.len() < MAX_UNSENT_BYTES;
            let stalled_at = self.alive_at + stall_timeout;
            let received = self.lines.buffer();
            received.reserve(READ_CHUNK_BYTES);
            tokio::select! {
                // What is under way is bounded, so what stands first starves nothing.
                biased;
                read = self.incoming.read_buf(received) => match read {
                    Ok(0) => return "the node closed the connection".to_owned(),
                    Ok(_) => if let Err(reason) = self.take_lines() { return reason },
                    Err(e) => return format!("receiving failed: {e}"),
                },
                written = self.outgoing.write(&self.unsent), if !self.unsent.is_empty() => match written {
                    Ok(count) => self.unsent.advance(count),
                    Err(e) => return format!("sending failed: {e}"),
                },
                request = queue.recv(), if room => match request {
                    Some(request) => self.send(request),
                    None => return "the client was dropped".to_owned(),
                },
                () = sleep_until(stalled_at), if !self.waiting.is_empty() => {
                    return format!("no answer in {stall_timeout:?}");
                }
            }
        }
    }

    fn take_lines(&mut self) -> Result<(), Reason> {
        self.alive_at = Instant::now();
        while let Some(line) = self.lines.next_line() {
            let Line::Text(line) = line else {
                return Err(format!("a line of more than {MAX_ANSWER_LINE_BYTES} bytes"));
            };
            let line = std::str::from_utf8(&line).map_err(|_| "a line that is not UTF-8".to_owned())?;
            if self.arriving.take(line).map_err(|e| e.to_string())? {
                self.arrived_bytes += line.len();
                if self.arrived_bytes > MAX_ANSWER_BYTES {
                    return Err(format!("an answer of more than {MAX_ANSWER_BYTES} bytes"));
                }
                continue;
            }
            let Some(waiting) = self.waiting.pop_front() else {
                return Err(format!("an answer nobody waits for: `{line}`"));
            };
            self.arrived_bytes = 0;
            let mut answer = std::mem::take(&mut self.arriving);
            line.clone_into(&mut answer.reply);
            // Whoever no longer waits has given up on this attempt.
            let _ = waiting.send(Ok(answer));
        }
        Ok(())
    }

    fn fail(&mut self, reason: &str) {
        for answer in self.waiting.drain(..) {
            let _ = answer.send(Err(Failure::Lost(reason.to_owned())));
        }
    }
}
