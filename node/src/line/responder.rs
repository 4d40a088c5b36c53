//! One client's answers on their way out, in the order of its commands, with what its subscriptions bring in
//! between.

mod publishes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, timeout},
};
use wiber_protocol::line::{Consistency, ReadRange, Reply};

use super::{
    Clients,
    connection::{self, Output},
    named::Named,
    subscription::{Cursor, Form},
};
use crate::{
    fetch::{Committed, FetchError, PAGE_BYTES},
    group::Group,
    publish::Fate,
};

/// Written out when this much has gathered, or when there is nothing more to do at once.
const FLUSH_BYTES: usize = 64 << 10;
/// Pages of subscriptions waiting to be written; a client that reads slowly holds its own cursors back.
const PENDING_PAGES: usize = 2;
/// Topics one connection may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 1_024;
/// How long a read waits for this node to apply what the same connection published through the leader.
const OWN_WRITE_PATIENCE: Duration = Duration::from_secs(1);
/// Topics whose own writes are remembered for that.
const OWN_WRITE_TOPICS: usize = 64;

/// One thing to answer.
pub(super) enum Step {
    Line(Vec<u8>),
    Publish(PublishStep),
    Sub {
        topic: String,
    },
    Subscribe {
        topic: String,
        from: Option<u64>,
    },
    History {
        topic: String,
        count: u64,
    },
    Read {
        topic: String,
        range: ReadRange,
        consistency: Consistency,
    },
    Quit,
}

/// Publishes that were submitted together.
pub(super) struct PublishStep {
    pub named: Named,
    pub fate: oneshot::Receiver<Fate>,
    pub deadline: Instant,
}

impl Step {
    pub(super) fn line(reply: Reply<'_>) -> Self {
        let mut line = Vec::new();
        reply.write(&mut line);
        Self::Line(line)
    }
}

/// The client cannot be written to any more.
struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Answers until all is answered and nothing is subscribed, or the client is gone.
pub(super) async fn run(write: Output, steps: mpsc::Receiver<Step>, clients: Arc<Clients>) {
    let (pages, deliveries) = mpsc::channel(PENDING_PAGES);
    let mut responder = Responder {
        write,
        out: Vec::new(),
        clients,
        pages,
        subscriptions: BTreeMap::new(),
        subscribed: 0,
        own_writes: Vec::new(),
    };
    let finished = responder.answer_all(steps, deliveries).await;
    if finished.is_ok() {
        connection::close(responder.write).await;
    }
}

struct Responder {
    write: Output,
    out: Vec<u8>,
    clients: Arc<Clients>,
    pages: mpsc::Sender<Delivery>,
    subscriptions: BTreeMap<(String, Form), Subscribed>,
    /// Numbers the subscriptions of this connection.
    subscribed: u64,
    /// Offsets this connection got through the leader while this node follows: reads wait for them.
    own_writes: Vec<(String, u64)>,
}

/// A running subscription; dropping it ends it.
struct Subscribed {
    number: u64,
    task: AbortHandle,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a subscription has to say.
pub(super) struct Delivery {
    pub key: (String, Form),
    pub number: u64,
    /// Lines to write; `None` when the records could not be read: then the connection ends, so that the client
    /// knows.
    pub page: Option<Vec<u8>>,
    /// The subscription ends with this page.
    pub last: bool,
}

impl Responder {
    async fn answer_all(
        &mut self,
        mut steps: mpsc::Receiver<Step>,
        mut deliveries: mpsc::Receiver<Delivery>,
    ) -> Result<(), Gone> {
        loop {
            let step = tokio::select! {
                biased;
                step = steps.recv() => step,
                Some(delivery) = deliveries.recv() => {
                    self.deliver(&delivery)?;
                    self.flush_if_idle(&steps, &deliveries).await?;
                    continue;
                }
            };
            match step {
                Some(Step::Publish(publish)) => self.publish(publish, &mut deliveries).await?,
                Some(Step::Line(line)) => self.out.extend_from_slice(&line),
                Some(Step::Sub { topic }) => self.sub(topic).await,
                Some(Step::Subscribe { topic, from }) => self.subscribe(topic, from),
                Some(Step::History { topic, count }) => self.history(&topic, count).await?,
                Some(Step::Read {
                    topic,
                    range,
                    consistency,
                }) => self.read(&topic, range, consistency).await?,
                Some(Step::Quit) => {
                    Reply::Bye.write(&mut self.out);
                    return self.flush().await;
                }
                None => return self.flush().await,
            }
            self.flush_if_idle(&steps, &deliveries).await?;
        }
    }

    /// Takes in what a subscription brought, unless another one has taken its place meanwhile.
    fn deliver(&mut self, delivery: &Delivery) -> Result<(), Gone> {
        let is_current = self
            .subscriptions
            .get(&delivery.key)
            .is_some_and(|subscribed| subscribed.number == delivery.number);
        if is_current {
            self.out.extend_from_slice(delivery.page.as_ref().ok_or(Gone)?);
            if delivery.last {
                self.subscriptions.remove(&delivery.key);
            }
        }
        Ok(())
    }

    async fn flush_if_idle(
        &mut self,
        steps: &mpsc::Receiver<Step>,
        deliveries: &mpsc::Receiver<Delivery>,
    ) -> Result<(), Gone> {
        if self.out.len() >= FLUSH_BYTES || (steps.is_empty() && deliveries.is_empty()) {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if !self.out.is_empty() {
            self.write.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn await_own_writes(&self, group: &Group, topic: &str) {
        if let Some((_, offset)) = self.own_writes.iter().find(|(known, _)| known == topic) {
            // Past that the node is behind, and a local read says what it has.
            drop(timeout(OWN_WRITE_PATIENCE, group.await_offset(topic, *offset)).await);
        }
    }

    fn group(&mut self) -> Option<Arc<Group>> {
        let group = self.clients.group.get();
        if group.is_none() {
            let reason = "this node is not in a cluster yet";
            Reply::Unavailable { reason }.write(&mut self.out);
        }
        group
    }

    /// `SUB`: from the next record on, in nine-field lines.
    async fn sub(&mut self, topic: String) {
        let Some(group) = self.group() else { return };
        let key = (topic, Form::Msg);
        if !self.has_room_for(&key) {
            return;
        }
        // What this connection published before is not "from now on".
        self.await_own_writes(&group, &key.0).await;
        let reply = Reply::Subscribed {
            topic: &key.0,
            next_offset: None,
        };
        reply.write(&mut self.out);
        if !self.subscriptions.contains_key(&key) {
            let next = group.state.read().topics.next_offset(&key.0);
            self.start(group, key, next);
        }
    }

    /// `SUBSCRIBE`: from an offset on, in `RECORD` lines. Another one on the same topic takes its place.
    fn subscribe(&mut self, topic: String, from: Option<u64>) {
        let Some(group) = self.group() else { return };
        let key = (topic, Form::Record);
        if !self.has_room_for(&key) {
            return;
        }
        let (next, kept) = {
            let state = group.state.read();
            let start = state.topics.log_start_offset(&key.0);
            let end = state.topics.high_watermark(&key.0);
            (from.map_or(end + 1, |from| from.max(1)), (start, end))
        };
        if next < kept.0 {
            let (start, end) = kept;
            return Reply::OffsetOutOfRange { start, end }.write(&mut self.out);
        }
        let reply = Reply::Subscribed {
            topic: &key.0,
            next_offset: Some(next),
        };
        reply.write(&mut self.out);
        self.start(group, key, next);
    }

    fn has_room_for(&mut self, key: &(String, Form)) -> bool {
        let has_room = self.subscriptions.len() < MAX_SUBSCRIPTIONS || self.subscriptions.contains_key(key);
        if !has_room {
            let text = format!("too_many_subscriptions a connection has at most {MAX_SUBSCRIPTIONS}");
            Reply::Refused { text: &text }.write(&mut self.out);
        }
        has_room
    }

    fn start(&mut self, group: Arc<Group>, key: (String, Form), next: u64) {
        self.subscribed += 1;
        let number = self.subscribed;
        let cursor = Cursor {
            group,
            clients: self.clients.clone(),
            key: key.clone(),
            number,
            next,
        };
        let task = crate::runtime::spawn(cursor.run(self.pages.clone())).abort_handle();
        self.subscriptions.insert(key, Subscribed { number, task });
    }

    async fn history(&mut self, topic: &str, records: u64) -> Result<(), Gone> {
        let Some(group) = self.clients.group.get() else {
            Reply::HistoryEnd.write(&mut self.out);
            return Ok(());
        };
        self.await_own_writes(&group, topic).await;
        let (start, end) = {
            let state = group.state.read();
            (
                state.topics.log_start_offset(topic),
                state.topics.next_offset(topic),
            )
        };
        let first = end.saturating_sub(records).max(start);
        let whole = self.pages(&group, topic, first, end, |committed, out| {
            committed.view().write_history(out);
        });
        if whole.await? {
            Reply::HistoryEnd.write(&mut self.out);
        }
        Ok(())
    }

    async fn read(&mut self, topic: &str, range: ReadRange, consistency: Consistency) -> Result<(), Gone> {
        let Some(group) = self.group() else { return Ok(()) };
        match consistency {
            Consistency::Strong => {
                self.flush().await?;
                if let Err(error) = group.await_read_index().await {
                    let reason = error.to_string();
                    Reply::Unavailable { reason: &reason }.write(&mut self.out);
                    return Ok(());
                }
            }
            Consistency::Local => self.await_own_writes(&group, topic).await,
        }
        let (high_watermark, log_start_offset) = {
            let state = group.state.read();
            (
                state.topics.high_watermark(topic),
                state.topics.log_start_offset(topic),
            )
        };
        let (first, end) = match range {
            ReadRange::Last { count } => (
                (high_watermark + 1).saturating_sub(count).max(log_start_offset),
                high_watermark + 1,
            ),
            ReadRange::From { offset, limit } => {
                let first = offset.max(1);
                (first, first.saturating_add(limit).min(high_watermark + 1))
            }
        };
        if first < log_start_offset {
            let (start, end) = (log_start_offset, high_watermark);
            Reply::OffsetOutOfRange { start, end }.write(&mut self.out);
            return Ok(());
        }
        let whole = self.pages(&group, topic, first, end, |committed, out| {
            committed.view().write_record(out);
        });
        if whole.await? {
            let reply = Reply::ReadEnd {
                high_watermark,
                log_start_offset,
                consistency,
            };
            reply.write(&mut self.out);
        }
        Ok(())
    }

    /// Writes the records of `first..end`, a page at a time; `false` if it ended with an error's line instead.
    async fn pages(
        &mut self,
        group: &Group,
        topic: &str,
        first: u64,
        end: u64,
        write: impl Fn(&Committed, &mut Vec<u8>),
    ) -> Result<bool, Gone> {
        let mut next = first;
        while next < end {
            let limit = usize::try_from(end - next).unwrap_or(usize::MAX);
            let page = match group.fetch(topic, next, limit, PAGE_BYTES).await {
                Ok(page) => page,
                Err(FetchError::OutOfRange { start, end }) => {
                    Reply::OffsetOutOfRange { start, end }.write(&mut self.out);
                    return Ok(false);
                }
                Err(FetchError::Io(error)) => {
                    tracing::error!(target: "storage", "cannot read {topic} at offset {next}: {error}");
                    let text = format!("cannot_read {error}");
                    Reply::Refused { text: &text }.write(&mut self.out);
                    return Ok(false);
                }
            };
            let Some(last) = page.last() else { break };
            next = last.offset + 1;
            for committed in &page {
                write(committed, &mut self.out);
            }
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        Ok(true)
    }
}
