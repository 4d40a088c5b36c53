//! One client's commands on their way in: cut into lines, understood, and handed on in the order sent.
//!
//! Publishes that arrived together are submitted together, at once, so that they share a log entry; everything
//! else is done by the responder when its turn to be answered comes. So a history shows what was published
//! before it on the same connection.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout_at},
};
use wiber_protocol::{
    event::EventKind,
    group_op::{GroupAction, GroupOp},
    line::{
        Command, CommandError, Line, LineError, LineSplitter, MAX_LINE_BYTES, PublishCommand, Reply,
        looks_like_http,
    },
    record::Record,
};

use super::{
    COMMIT_TIMEOUT, Clients,
    named::Named,
    responder::{self, PublishStep, Step},
    room::Share,
    stamp::Stamper,
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
/// Room for one read of the socket while much comes. Who is in the middle of more than that waits for a turn …
const READ_BYTES: usize = 64 << 10;
/// Room for one read while little comes: most connections wait most of the time, and there may be many.
const IDLE_READ_BYTES: usize = 512;
/// A read that fills its room makes it so many times larger; one that fills only this part of it, so much smaller.
const READ_STEP: usize = 4;
/// … and must be done in this time.
const LARGE_INPUT_PATIENCE: Duration = Duration::from_secs(30);
const SLOW_INPUT: &str = "the rest of a large line or message did not come in 30 s";

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
        announced: None,
        read_bytes: IDLE_READ_BYTES,
        large_input: None,
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
    /// The publish whose body comes next.
    announced: Option<Announced>,
    /// Room for the next read.
    read_bytes: usize,
    /// The turn to be in the middle of a large line or body, and until when.
    large_input: Option<(Share, Instant)>,
}

/// A publish without its body.
struct Announced {
    topic: String,
    id: Option<String>,
    headers: Vec<(String, String)>,
    expect: Option<u64>,
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
                // What was large is whole. To carry it out may take a wait, and others want to say something large, too.
                self.large_input = None;
                let next = match line {
                    Line::Body(body) => self.body(body).await,
                    line => self.line(line, std::mem::take(&mut is_first), &mut lines).await,
                };
                match next {
                    Next::More => {}
                    Next::Finish => return true,
                    Next::Drop => return false,
                }
            }
            // Nothing more is here yet: what waits goes out now.
            if self.submit().await.is_none() {
                return false;
            }
            match self.receive(&mut input, &mut lines).await {
                Next::More => {}
                Next::Finish => return true,
                Next::Drop => return false,
            }
        }
    }

    /// Waits for the next bytes.
    async fn receive(&mut self, input: &mut Input, lines: &mut LineSplitter) -> Next {
        if lines.buffer().len() >= READ_BYTES && self.large_input.is_none() {
            let Some(share) = self.clients.room.for_large_input().await else {
                return Next::Drop;
            };
            self.large_input = Some((share, Instant::now() + LARGE_INPUT_PATIENCE));
        }
        let read_bytes = self.read_bytes;
        lines.make_room(read_bytes);
        let mut room = lines.buffer().limit(read_bytes);
        let received = input.read_buf(&mut room);
        let received = match &self.large_input {
            None => Ok(received.await),
            Some((_, until)) => timeout_at(*until, received).await,
        };
        let Ok(received) = received else {
            let late = Step::line(Reply::Unavailable { reason: SLOW_INPUT });
            return finish(self.step(late).await);
        };
        match received {
            Ok(0) => Next::Finish,
            Ok(bytes) => {
                self.read_bytes = next_read_bytes(read_bytes, bytes);
                Next::More
            }
            Err(_) => Next::Drop,
        }
    }

    async fn line(&mut self, line: Line, is_first: bool, lines: &mut LineSplitter) -> Next {
        let Line::Text(text) = line else {
            let refused = self.refuse(LineError::TOO_LONG).await;
            // A first line this long may be an HTTP request, and what follows it a page's commands.
            return if is_first { finish(refused) } else { more(refused) };
        };
        if is_first && looks_like_http(&text) {
            tracing::warn!(target: "publish", "closed a connection that speaks HTTP to the client port");
            return Next::Drop;
        }
        let command = match Command::parse(&text) {
            Ok(command) => command,
            Err(CommandError::Line(error)) => return more(self.refuse(error).await),
            Err(CommandError::Publish(wrong)) => {
                let refused = self.refuse(wrong.error).await;
                // What follows may be any bytes: commands must not be looked for among them.
                let Some(bytes) = wrong.body_bytes else {
                    return finish(refused);
                };
                lines.skip_body(bytes);
                return more(refused);
            }
        };
        match command {
            Command::Pub { topic, id, text } => {
                if text.len() > self.clients.max_message_bytes {
                    return more(self.refuse_large().await);
                }
                let body = Bytes::copy_from_slice(text.as_bytes());
                self.publish(topic, |stamper, moment, topic| {
                    stamper.record(moment, topic, id, body)
                });
                more(self.submit_if_full().await)
            }
            Command::Publish(publish) => self.announce(&publish, lines).await,
            Command::Ack {
                topic,
                group,
                first,
                last,
            } => {
                let offsets = vec![first..=last];
                self.change_group(topic, group, GroupAction::Ack { offsets })
                    .await
            }
            Command::DeleteGroup { topic, group } => {
                self.change_group(topic, group, GroupAction::Delete).await
            }
            Command::SeekGroup {
                topic,
                group,
                next_offset,
            } => {
                self.change_group(topic, group, GroupAction::Seek { next_offset })
                    .await
            }
            Command::Quit => finish(self.step(Step::Quit).await),
            command => match Step::of(&command) {
                Some(step) => more(self.step(step).await),
                // Everything else stands above.
                None => Next::Drop,
            },
        }
    }

    /// A message is to come.
    async fn announce(&mut self, publish: &PublishCommand<'_>, lines: &mut LineSplitter) -> Next {
        let bytes = usize::try_from(publish.body_bytes).ok();
        let Some(bytes) = bytes.filter(|bytes| *bytes <= self.clients.max_message_bytes) else {
            lines.skip_body(publish.body_bytes);
            return more(self.refuse_large().await);
        };
        lines.expect_body(bytes);
        self.announced = Some(Announced {
            topic: publish.topic.to_owned(),
            id: publish.id.map(str::to_owned),
            headers: publish.headers.clone(),
            expect: publish.expect,
        });
        Next::More
    }

    async fn body(&mut self, body: Bytes) -> Next {
        let Some(announced) = self.announced.take() else {
            // No body comes that was not announced.
            return Next::Drop;
        };
        let Announced {
            topic,
            id,
            headers,
            expect,
        } = announced;
        self.publish(&topic, |stamper, moment, topic| Record {
            headers,
            expect,
            binary_safe: true,
            ..stamper.record(moment, topic, id.as_deref(), body)
        });
        more(self.submit_if_full().await)
    }

    async fn change_group(&mut self, topic: &str, group: &str, action: GroupAction) -> Next {
        let op = GroupOp {
            group: group.to_owned(),
            action,
        };
        self.publish(topic, |stamper, moment, topic| {
            stamper.group_op(moment, topic, op)
        });
        more(self.submit_if_full().await)
    }

    async fn refuse_large(&mut self) -> Option<()> {
        let max_bytes = self.clients.max_message_bytes;
        self.refuse(LineError::TooLarge { max_bytes }).await
    }

    async fn refuse(&mut self, error: LineError) -> Option<()> {
        let mut line = Vec::new();
        error.write(&mut line);
        self.step(Step::Line(line)).await
    }

    /// Stamps a record, to go out with what was said at the same time.
    fn publish(&mut self, topic: &str, make: impl FnOnce(&Stamper, &Moment, Arc<str>) -> Record) {
        if *self.topic != *topic {
            self.topic = topic.into();
        }
        let stamper = &self.clients.stamper;
        let moment = self.moment.get_or_insert_with(|| stamper.moment());
        let record = make(stamper, moment, Arc::clone(&self.topic));
        if self.clients.trace.allow_local(EventKind::Publish) {
            self.clients.trace.local(EventKind::Publish, 0, |event| {
                event.records = Some(1);
                event.detail = Some(format!("{} {}", record.topic, record.id));
            });
        }
        self.waiting_bytes += record.size_bytes();
        self.waiting.push(record);
    }

    async fn submit_if_full(&mut self) -> Option<()> {
        if self.waiting.len() >= SUBMISSION_RECORDS || self.waiting_bytes >= SUBMISSION_BYTES {
            self.submit().await
        } else {
            Some(())
        }
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
        let bytes = std::mem::take(&mut self.waiting_bytes);
        self.moment = None;
        let room = self.clients.room.for_publishes(bytes).await?;
        let records = std::mem::take(&mut self.waiting);
        let named = Named::of(&records);
        let group = self.clients.group.get();
        let leader = group.as_ref().map_or(Leader::Unknown, |group| group.leader());
        let term = match leader {
            Leader::Own { term } | Leader::Other { term, .. } => term,
            Leader::Unknown => 0,
        };
        let (mut submission, fate) = Submission::new(term, records);
        submission.room = Some(room);
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
        drop(timeout_at(deadline, handed_on).await);
        Some(())
    }
}

/// Room for the next read, if one with room for `room_bytes` brought so many.
fn next_read_bytes(room_bytes: usize, read_bytes: usize) -> usize {
    let room_bytes = if read_bytes >= room_bytes {
        room_bytes * READ_STEP
    } else if read_bytes < room_bytes / READ_STEP {
        room_bytes / READ_STEP
    } else {
        room_bytes
    };
    room_bytes.clamp(IDLE_READ_BYTES, READ_BYTES)
}

fn finish(sent: Option<()>) -> Next {
    match sent {
        Some(()) => Next::Finish,
        None => Next::Drop,
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

#[cfg(test)]
mod tests {
    use super::{IDLE_READ_BYTES, READ_BYTES, next_read_bytes};

    #[test]
    fn room_for_a_read_follows_what_comes() {
        let mut room_bytes = IDLE_READ_BYTES;
        for _ in 0..4 {
            room_bytes = next_read_bytes(room_bytes, room_bytes);
        }
        assert_eq!(room_bytes, READ_BYTES);
        assert_eq!(next_read_bytes(READ_BYTES, READ_BYTES / 2), READ_BYTES);
        for _ in 0..4 {
            room_bytes = next_read_bytes(room_bytes, 6);
        }
        assert_eq!(room_bytes, IDLE_READ_BYTES);
    }
}
