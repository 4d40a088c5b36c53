//! The task behind a member: one connection after the other, each to the node that leads.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use wiber_protocol::{
    config::NodeSpec,
    line::{Command, Ended, RecordLine, Reply, SubscribeStart},
};

use super::{GroupOptions, MemberEvent};
use crate::{Inner, reasons::Reason, wire::Wire};

pub(super) struct MemberTask {
    pub(super) client: Arc<Inner>,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) options: GroupOptions,
    pub(super) events: mpsc::Sender<MemberEvent>,
    pub(super) nacks: mpsc::Receiver<u64>,
}

/// Why a connection is no good any more.
enum Left {
    /// Another node is to be asked: that one, if it is known.
    Lost { reason: String, leader: Option<usize> },
    /// There is nothing to go on with.
    Ended(String),
    /// Nobody wants events any more.
    Gone,
}

impl From<String> for Left {
    fn from(reason: String) -> Self {
        Self::Lost { reason, leader: None }
    }
}

impl MemberTask {
    pub(super) async fn run(mut self) {
        let mut backoff = self.client.backoff();
        let mut node = self.client.preferred();
        loop {
            if self.options.limit == Some(0) {
                // It has all that it wanted, and what it held was lost with the connection.
                return self.rest().await;
            }
            let mut joined = false;
            let Err(left) = self.serve(node, &mut joined).await else {
                return;
            };
            if joined {
                backoff.reset();
            }
            let (reason, leader) = match left {
                Left::Lost { reason, leader } => (reason, leader),
                Left::Ended(reason) => {
                    let reason = self.client.named(node, &reason);
                    let _ = self.events.send(MemberEvent::Ended { reason }).await;
                    return;
                }
                Left::Gone => return,
            };
            // That the leader is elsewhere is no news to anybody.
            if leader.is_none() {
                let reason = self.client.named(node, &reason);
                if self.tell(MemberEvent::Disconnected { reason }).await.is_err() {
                    return;
                }
            }
            node = leader.unwrap_or_else(|| self.client.after(node));
            self.wait(backoff.next()).await;
        }
    }

    /// Does nothing more, until nobody wants events any more.
    async fn rest(&mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.events.closed() => return,
                Some(_) = self.nacks.recv() => {}
            }
        }
    }

    /// What is given back meanwhile was given back by the lost connection.
    async fn wait(&mut self, time: Duration) {
        let mut time = std::pin::pin!(sleep(time));
        loop {
            tokio::select! {
                biased;
                () = &mut time => return,
                Some(_) = self.nacks.recv() => {}
            }
        }
    }

    async fn tell(&self, event: MemberEvent) -> Result<(), Left> {
        self.events.send(event).await.map_err(|_| Left::Gone)
    }

    /// The same, while records are given back: who does that may not take events meanwhile.
    async fn tell_by(&mut self, wire: &mut Wire, event: MemberEvent) -> Result<(), Left> {
        loop {
            tokio::select! {
                biased;
                permit = self.events.reserve() => {
                    permit.map_err(|_| Left::Gone)?.send(event);
                    return Ok(());
                }
                reason = wire.send() => return Err(reason.into()),
                Some(offset) = self.nacks.recv() => nack(wire, &self.topic, &self.group, offset)?,
            }
        }
    }

    /// Takes records from one node for as long as that goes well.
    async fn serve(&mut self, node: usize, joined: &mut bool) -> Result<(), Left> {
        let client = Arc::clone(&self.client);
        let spec = &client.nodes[node].spec;
        let mut wire = Wire::connect(&client, spec).await?;
        wire.say(&self.options.command(&self.topic, &self.group))?;
        loop {
            let line = tokio::select! {
                biased;
                line = wire.next() => line?,
                Some(offset) = self.nacks.recv() => {
                    nack(&mut wire, &self.topic, &self.group, offset)?;
                    continue;
                }
            };
            let line = std::str::from_utf8(&line).map_err(|_| "a line that is not UTF-8".to_owned())?;
            if !*joined && let Some(Reply::OffsetOutOfRange { start, .. }) = Reply::parse(line) {
                let event = self.skip_to(start)?;
                wire.say(&self.options.command(&self.topic, &self.group))?;
                self.tell_by(&mut wire, event).await?;
                continue;
            }
            if let Some(event) = self.understand(line, spec, joined)? {
                if let (MemberEvent::Record(_), Some(left)) = (&event, &mut self.options.limit) {
                    *left = left.saturating_sub(1);
                }
                self.tell_by(&mut wire, event).await?;
            }
        }
    }

    /// A new group was to begin at an offset that is no longer kept: it begins where what is kept does.
    fn skip_to(&mut self, start: u64) -> Result<MemberEvent, String> {
        match self.options.start {
            SubscribeStart::From(from) if from.max(1) < start => {
                self.options.start = SubscribeStart::From(start);
                Ok(MemberEvent::Skipped {
                    first: from.max(1),
                    last: start - 1,
                })
            }
            asked => Err(format!("does not keep {asked:?}, but what begins at {start}")),
        }
    }

    fn understand(
        &self,
        line: &str,
        spec: &NodeSpec,
        joined: &mut bool,
    ) -> Result<Option<MemberEvent>, Left> {
        let event = match Reply::parse(line) {
            Some(Reply::Joined { .. }) if !*joined => {
                *joined = true;
                MemberEvent::Joined {
                    node: spec.id.clone(),
                }
            }
            Some(Reply::Redirect { host, port }) if !*joined => {
                return Err(Left::Lost {
                    reason: line.to_owned(),
                    leader: self.client.position_of(host, port),
                });
            }
            // Given back, or not this member's any more: either way it is with the group.
            Some(Reply::Nacked { .. } | Reply::NotDelivered { .. }) if *joined => return Ok(None),
            Some(Reply::Skipped { first, last, .. }) => MemberEvent::Skipped { first, last },
            Some(Reply::Ended {
                reason: Ended::NoSuchGroup,
                ..
            }) => return Err(Left::Ended("the group was deleted".to_owned())),
            Some(Reply::TooManyGroups { .. } | Reply::Refused { .. }) if !*joined => {
                return Err(Left::Ended(line.to_owned()));
            }
            None if *joined => MemberEvent::Record(Box::new(self.record(line)?)),
            _ => return Err(Reason::said(line).to_string().into()),
        };
        Ok(Some(event))
    }

    fn record(&self, line: &str) -> Result<RecordLine, String> {
        let record = RecordLine::parse(line).map_err(|e| e.to_string())?;
        if record.topic != self.topic || record.group.as_ref() != Some(&self.group) {
            return Err(format!(
                "sent offset {} of `{}` instead of the group's",
                record.offset, record.topic
            ));
        }
        Ok(record)
    }
}

fn nack(wire: &mut Wire, topic: &str, group: &str, offset: u64) -> Result<(), String> {
    wire.say(&Command::Nack { topic, group, offset })
}
