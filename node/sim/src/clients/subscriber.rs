//! Follows one topic from its first record on, whichever node serves it.

use std::time::Duration;

use wiber_protocol::line::{Ended, Reply};

use super::{Clients, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

/// A subscriber goes elsewhere after this long without news.
const BORED: Duration = Duration::from_secs(2);

pub(super) struct Subscriber {
    clients: Clients,
    name: String,
    topic: String,
    dice: Dice,
    next: u64,
}

impl Clients {
    pub(super) fn subscriber(&self, number: u64, topic: &str) -> Subscriber {
        Subscriber {
            clients: self.clone(),
            name: format!("sub{number}"),
            topic: topic.to_owned(),
            dice: self.dice("subscriber", number),
            next: 1,
        }
    }
}

impl Subscriber {
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.dice.pause(1, 100)).await;
            if let Some(wire) = self.clients.connect(&self.dice) {
                self.follow(wire).await;
            }
        }
    }

    /// Retention dropped what comes next, and the node said so.
    fn go_on_at(&mut self, start: u64) {
        let world = &self.clients.cluster.world;
        world.count(Count::OutOfRange);
        world.oracle().dropped(world, &self.topic, start, &self.name);
        self.next = start;
    }

    async fn follow(&mut self, mut wire: Wire) -> Option<()> {
        let world = self.clients.cluster.world.clone();
        wire.send(&format!("SUBSCRIBE {} --from {}", self.topic, self.next))
            .await?;
        let first = wire.line(BORED).await?;
        say!(world, self.name, "{} from {}: {first}", wire.node, self.next);
        match Reply::parse(&first) {
            Some(Reply::Subscribed {
                next_offset: Some(next),
                ..
            }) if next == self.next => {}
            Some(Reply::Unavailable { .. } | Reply::NotLeader) => return None,
            Some(Reply::OffsetOutOfRange { start, .. }) if start > self.next => {
                self.go_on_at(start);
                return None;
            }
            _ => {
                world.fail(format!(
                    "{} answers a subscription from {} with: {first}",
                    wire.node, self.next
                ));
                return None;
            }
        }
        loop {
            let line = wire.line(BORED).await?;
            match Reply::parse(&line) {
                Some(Reply::Ended {
                    pattern,
                    reason: Ended::OffsetOutOfRange { start, .. },
                }) if pattern == self.topic && start > self.next => {
                    self.go_on_at(start);
                    return None;
                }
                Some(Reply::Lag { pattern, records }) if pattern == self.topic => {
                    // What came from a process that has ended since need not be known.
                    let behind =
                        || (world.oracle().high_watermark(&self.topic) + 1).saturating_sub(self.next);
                    self.clients.lags(&wire, records, behind);
                    continue;
                }
                _ => {}
            }
            let record = match Shown::record(&line) {
                Ok(record) => record,
                Err(error) => {
                    world.fail(format!("{} delivers {line}: {error}", wire.node));
                    return None;
                }
            };
            world.count(Count::Delivered);
            if record.offset != self.next {
                world.fail(format!(
                    "{} delivers offset {} of {} where {} belongs",
                    wire.node, record.offset, self.topic, self.next
                ));
                return None;
            }
            self.next += 1;
            if self.clients.cluster.world.oracle().high_watermark(&self.topic) < record.offset {
                self.clients.cluster.look();
            }
            world.oracle().shown(&world, record, &wire.node);
            if self.dice.permille(10) {
                return None;
            }
        }
    }
}
