//! One client's commands on their way in: cut into lines, understood, and handed on in the order sent.
//!
//! Publishes that arrived together are submitted together, at once, so that they share a log entry; everything
//! else is done by the responder when its turn to be answered comes. So a history shows what was published
//! before it on the same connection.

mod commands;
mod submitting;

use std::{sync::Arc, time::Duration};

use bytes::BufMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout_at},
};
use wiber_protocol::{
    line::{Line, LineSplitter, MAX_LINE_BYTES, Reply},
    record::Record,
};

use self::commands::{Announced, Next, finish};
use super::{
    Clients,
    responder::{self, Step},
    room::Share,
};
use crate::time::Moment;

/// Answers of one connection that are still to be given; past it no more commands are read.
const PENDING_STEPS: usize = 256;
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
