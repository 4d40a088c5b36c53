//! The task behind a subscription: one connection after the other, and the position between them.

use std::{pin::pin, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until},
};
use wiber_protocol::{
    line::{Command, Ended, RecordLine, Reply, SubscribeCommand},
    pattern::Pattern,
};

use super::{SubscriptionEvent, order::Order, position::Position};
use crate::{Inner, wire::Wire};

/// Why a connection is not followed any more.
enum Left {
    /// Another one is to be made.
    Lost(String),
    /// The consumer is gone.
    Gone,
}

impl From<String> for Left {
    fn from(reason: String) -> Self {
        Self::Lost(reason)
    }
}

pub(super) struct SubscriptionTask {
    pub(super) client: Arc<Inner>,
    pub(super) pattern: Pattern,
    /// Behind what was received, which may be held back yet.
    pub(super) position: Position,
    pub(super) order: Option<Order>,
    pub(super) events: mpsc::Sender<SubscriptionEvent>,
}

impl SubscriptionTask {
    pub(super) async fn run(mut self) {
        let mut backoff = self.client.backoff();
        let mut node = self.client.preferred();
        loop {
            let before = self.position;
            let Err(Left::Lost(reason)) = self.follow(node).await else {
                return;
            };
            let reason = self.client.named(node, &reason);
            let told = self.tell(SubscriptionEvent::Disconnected { reason }).await;
            if self.position != before {
                backoff.reset();
            }
            node = self.client.after(node);
            if told.is_err() || self.meanwhile(sleep(backoff.next())).await.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, event: SubscriptionEvent) -> Result<(), Left> {
        self.events.send(event).await.map_err(|_| Left::Gone)
    }

    /// Gives a record on, or holds it back.
    async fn pass(&mut self, record: Box<RecordLine>) -> Result<(), Left> {
        let Some(order) = &mut self.order else {
            return self.tell(SubscriptionEvent::Record(record)).await;
        };
        order.push(record);
        self.release().await
    }

    /// Gives on what is due.
    async fn release(&mut self) -> Result<(), Left> {
        while let Some(record) = self.order.as_mut().and_then(Order::pop) {
            self.tell(SubscriptionEvent::Record(record)).await?;
        }
        Ok(())
    }

    /// Waits, and gives on what becomes due meanwhile.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Left> {
        let mut what = pin!(what);
        loop {
            let Some(due) = self.order.as_ref().and_then(Order::next_due) else {
                return Ok(what.await);
            };
            tokio::select! {
                biased;
                done = &mut what => return Ok(done),
                () = sleep_until(due) => self.release().await?,
            }
        }
    }

    fn command(&self) -> Command<'_> {
        Command::Subscribe(SubscribeCommand::new(
            self.pattern.as_str(),
            self.position.start(),
        ))
    }

    /// Takes records from one node for as long as that goes well.
    async fn follow(&mut self, node: usize) -> Result<(), Left> {
        let client = Arc::clone(&self.client);
        let spec = &client.nodes[node].spec;
        let mut wire = self.meanwhile(Wire::connect(&client, spec)).await??;
        wire.say(&self.command())?;
        let mut connected = false;
        loop {
            let line = self.meanwhile(wire.next()).await??;
            let line = std::str::from_utf8(&line).map_err(|_| "a line that is not UTF-8".to_owned())?;
            let event = match Reply::parse(line) {
                Some(Reply::Subscribed {
                    next_offset: Some(next_offset),
                    ..
                }) if !connected => {
                    connected = true;
                    self.position.begin(Position::Offset(next_offset))?;
                    SubscriptionEvent::Connected {
                        node: spec.id.clone(),
                        next_offset,
                    }
                }
                Some(Reply::SubscribedAfter { logical_time, .. }) if !connected => {
                    connected = true;
                    self.position.begin(Position::After(logical_time))?;
                    SubscriptionEvent::ConnectedAfter {
                        node: spec.id.clone(),
                        logical_time,
                    }
                }
                Some(Reply::Lag { records, .. }) => SubscriptionEvent::Lagging { records },
                Some(
                    Reply::OffsetOutOfRange { start, .. }
                    | Reply::Ended {
                        reason: Ended::OffsetOutOfRange { start, .. },
                        ..
                    },
                ) => {
                    let from = self.position.skip_to(start)?;
                    connected = false;
                    wire.say(&self.command())?;
                    SubscriptionEvent::Skipped { from, to: start }
                }
                None if connected => {
                    let record = Box::new(self.accept(line)?);
                    self.pass(record).await?;
                    continue;
                }
                _ => return Err(format!("answered `{line}`").into()),
            };
            self.tell(event).await?;
        }
    }

    /// Reads a record and takes it if it is the next one.
    fn accept(&mut self, line: &str) -> Result<RecordLine, String> {
        let record = RecordLine::parse(line).map_err(|e| e.to_string())?;
        if !self.pattern.matches(&record.topic) {
            let RecordLine { offset, topic, .. } = record;
            return Err(format!(
                "sent offset {offset} of `{topic}` instead of `{}`",
                self.pattern.as_str()
            ));
        }
        self.position.accept(&record)?;
        Ok(record)
    }
}
