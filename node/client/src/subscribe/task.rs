//! The task behind a subscription: one connection after the other, and the position between them.

use std::sync::Arc;

use tokio::{sync::mpsc, time::sleep};
use wiber_protocol::{
    line::{Command, Ended, RecordLine, Reply, SubscribeCommand},
    pattern::Pattern,
};

use super::{SubscriptionEvent, position::Position};
use crate::{Inner, backoff::Backoff, wire::Wire};

/// The consumer is gone.
struct Gone;

pub(super) struct SubscriptionTask {
    pub(super) client: Arc<Inner>,
    pub(super) pattern: Pattern,
    pub(super) position: Position,
    pub(super) events: mpsc::Sender<SubscriptionEvent>,
}

impl SubscriptionTask {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(&self.client.options);
        let mut node = self.client.preferred();
        loop {
            let before = self.position;
            let Err(reason) = self.follow(node).await else {
                return;
            };
            let reason = self.client.named(node, &reason);
            let told = self.tell(SubscriptionEvent::Disconnected { reason }).await;
            if told.is_err() {
                return;
            }
            if self.position != before {
                backoff.reset();
            }
            node = self.client.after(node);
            sleep(backoff.next()).await;
        }
    }

    async fn tell(&self, event: SubscriptionEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }

    fn command(&self) -> Command<'_> {
        Command::Subscribe(SubscribeCommand::new(
            self.pattern.as_str(),
            self.position.start(),
        ))
    }

    /// Takes records from one node for as long as that goes well; `Ok` when the consumer is gone.
    async fn follow(&mut self, node: usize) -> Result<(), String> {
        let client = Arc::clone(&self.client);
        let spec = &client.nodes[node].spec;
        let mut wire = Wire::connect(spec, &client.options).await?;
        wire.say(&self.command())?;
        let mut connected = false;
        loop {
            let line = wire.next().await?;
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
                None if connected => SubscriptionEvent::Record(Box::new(self.accept(line)?)),
                _ => return Err(format!("answered `{line}`")),
            };
            if self.tell(event).await.is_err() {
                return Ok(());
            }
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
