//! One client's commands on their way in: cut into lines, understood, and handed on in the order sent.
//!
//! Publishes that arrived together are submitted together, at once, so that they share a log entry; everything
//! else is done by the responder when its turn to be answered comes. So a history shows what was published
//! before it on the same connection.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};
use wiber_protocol::{
    event::EventKind,
    line::{Command, Line, LineError, LineSplitter, MAX_LINE_BYTES, Reply, looks_like_http},
    record::Record,
};

use super::{
    COMMIT_TIMEOUT, Clients,
    named::Named,
    responder::{self, PublishStep, Step},
};
use crate::{
    group::Leader,
    publish::{Fate, Forward, Submission},
    time::Moment,
};

/// Answers of one connection that are still to be given; past it no more commands are read.
const PENDING_STEPS: usize = 256;
/// One submission carries at most this many records or bytes of bodies.
const SUBMISSION_RECORDS: usize = 512;
const SUBMISSION_BYTES: usize = 256 << 10;
/// Room for one read of the socket.
const READ_BYTES: usize = 64 << 10;

/// What a client says, and what it is answered.
pub type Input = Box<dyn AsyncRead + Send + Sync + Unpin>;
pub type Output = Box<dyn AsyncWrite + Send + Sync + Unpin>;

pub(super) async fn over_tcp(stream: TcpStream, clients: Arc<Clients>) {
    // Without keepalive a client whose machine vanished would hold its subscriptions for ever.
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(&stream).set_keepalive(true));
    if let Err(error) = prepared {
        tracing::debug!(target: "publish", "a client left at once: {error}");
        return;
    }
    let (read, write) = stream.into_split();
    run(Box::new(read), Box::new(write), clients).await;
}

/// Serves one client until it leaves.
pub async fn run(read: Input, write: Output, clients: Arc<Clients>) {
    let (steps, queue) = mpsc::channel(PENDING_STEPS);
    let reader = Reader {
        clients: clients.clone(),
        steps,
        topic: Arc::from(""),
        waiting: Vec::new(),
        waiting_bytes: 0,
        moment: None,
    };
    let mut responder = std::pin::pin!(responder::run(write, queue, clients));
    tokio::select! {
        biased;
        // The client cannot be written to any more: nothing it still says can be answered.
        () = &mut responder => return,
        stays = reader.run(read) => if !stays {
            return;
        },
    }
    // It said all it had to say and still gets its answers. Whether it only closed its sending side or is gone
    // cannot be told, so its subscriptions end with them.
    responder.await;
}

struct Reader {
    clients: Arc<Clients>,
    steps: mpsc::Sender<Step>,
    /// Of the last publish; the next one tends to have the same.
    topic: Arc<str>,
    /// Publishes read and not yet submitted.
    waiting: Vec<Record>,
    waiting_bytes: usize,
    /// When the first of them was taken: what arrived together is stamped together.
    moment: Option<Moment>,
}

/// Whether the connection goes on.
enum Next {
    More,
    /// Answer what is pending, then end.
    Finish,
    /// End now.
    Drop,
}

impl Reader {
    /// Reads until the client has no more to say (`true`: it may still read) or must be cut off (`false`).
    async fn run(mut self, mut input: Input) -> bool {
        let mut lines = LineSplitter::new(MAX_LINE_BYTES);
        let mut is_first = true;
        loop {
            while let Some(line) = lines.next_line() {
                match self.line(line, std::mem::take(&mut is_first)).await {
                    Next::More => {}
                    Next::Finish => return true,
                    Next::Drop => return false,
                }
            }
            // Nothing more is here yet: what waits goes out now.
            if self.submit().await.is_none() {
                return false;
            }
            lines.buffer().reserve(READ_BYTES);
            match input.read_buf(lines.buffer()).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    async fn line(&mut self, line: Line, is_first: bool) -> Next {
        let text = match line {
            Line::Text(text) => text,
            // A first line this long may be an HTTP request, and what follows it a page's commands.
            Line::TooLong if is_first => {
                self.refuse(LineError::TOO_LONG).await;
                return Next::Finish;
            }
            Line::TooLong => return self.refuse(LineError::TOO_LONG).await,
        };
        if is_first && looks_like_http(&text) {
            tracing::warn!(target: "publish", "closed a connection that speaks HTTP to the client port");
            return Next::Drop;
        }
        let step = match Command::parse(&text) {
            Ok(Command::Pub { topic, id, text }) => {
                self.publish(topic, id, Bytes::copy_from_slice(text.as_bytes()));
                if self.waiting.len() >= SUBMISSION_RECORDS || self.waiting_bytes >= SUBMISSION_BYTES {
                    return more(self.submit().await);
                }
                return Next::More;
            }
            Ok(Command::Ping) => Step::line(Reply::Pong),
            Ok(Command::Sub { topic }) => Step::Sub {
                topic: topic.to_owned(),
            },
            Ok(Command::History { topic, count }) => Step::History {
                topic: topic.to_owned(),
                count,
            },
            Ok(Command::Read {
                topic,
                range,
                consistency,
            }) => Step::Read {
                topic: topic.to_owned(),
                range,
                consistency,
            },
            Ok(Command::Subscribe { topic, from }) => Step::Subscribe {
                topic: topic.to_owned(),
                from,
            },
            Ok(Command::Quit) => {
                return match self.step(Step::Quit).await {
                    Some(()) => Next::Finish,
                    None => Next::Drop,
                };
            }
            Err(error) => return self.refuse(error).await,
        };
        more(self.step(step).await)
    }

    async fn refuse(&mut self, error: LineError) -> Next {
        let mut line = Vec::new();
        error.write(&mut line);
        more(self.step(Step::Line(line)).await)
    }

    fn publish(&mut self, topic: &str, id: Option<&str>, body: Bytes) {
        if *self.topic != *topic {
            self.topic = topic.into();
        }
        let stamper = &self.clients.stamper;
        let moment = self.moment.get_or_insert_with(|| stamper.moment());
        let record = stamper.record(moment, Arc::clone(&self.topic), id, body);
        if self.clients.trace.allow_local(EventKind::Publish) {
            self.clients.trace.local(EventKind::Publish, 0, |event| {
                event.records = Some(1);
                event.detail = Some(format!("{} {}", record.topic, record.id));
            });
        }
        self.waiting_bytes += record.body.len() + record.id.len();
        self.waiting.push(record);
    }

    /// Queues a step behind everything said before it.
    async fn step(&mut self, step: Step) -> Option<()> {
        self.submit().await?;
        self.steps.send(step).await.ok()
    }

    /// Hands the waiting publishes on; the answers come when their fate is known.
    async fn submit(&mut self) -> Option<()> {
        if self.waiting.is_empty() {
            return Some(());
        }
        self.waiting_bytes = 0;
        self.moment = None;
        let records = std::mem::take(&mut self.waiting);
        let named = Named::of(&records);
        let group = self.clients.group.get();
        let leader = group.as_ref().map_or(Leader::Unknown, |group| group.leader());
        let term = match leader {
            Leader::Own { term } | Leader::Other { term, .. } => term,
            Leader::Unknown => 0,
        };
        let (submission, fate) = Submission::new(term, records);
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        // The step first: a full queue of answers must hold the client back before it publishes more.
        let step = Step::Publish(PublishStep {
            named,
            fate,
            deadline,
        });
        self.steps.send(step).await.ok()?;
        let Some(group) = group else {
            drop(submission.reply.send(Fate::NotLeader));
            return Some(());
        };
        // Past the deadline the submission is dropped unsent, and its answer is "unknown".
        let handed_on = async {
            match leader {
                Leader::Own { .. } => group.publisher.lead(submission).await,
                Leader::Other { id, member, .. } => {
                    let forward = Forward {
                        leader: id,
                        member,
                        submission,
                    };
                    group.publisher.forward(forward).await;
                }
                Leader::Unknown => drop(submission.reply.send(Fate::NotLeader)),
            }
        };
        drop(tokio::time::timeout_at(deadline, handed_on).await);
        Some(())
    }
}

fn more(sent: Option<()>) -> Next {
    match sent {
        Some(()) => Next::More,
        None => Next::Drop,
    }
}

/// Ends the sending side in an orderly way; the client may already be gone.
pub(super) async fn close(mut write: Output) {
    drop(write.shutdown().await);
}
