//! Follows topics from now on with `SUB`, the verb of old, on one connection after the other.

use std::{sync::Arc, time::Duration};

use wiber_protocol::line::Reply;

use super::{Clients, PATIENCE, TOPICS, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

/// A follower goes elsewhere after this long without news.
const BORED: Duration = Duration::from_secs(2);

pub(super) struct Follower {
    clients: Clients,
    name: String,
    dice: Dice,
}

impl Clients {
    pub(super) fn follower(&self) -> Follower {
        Follower {
            clients: self.clone(),
            name: "follow".to_owned(),
            dice: self.dice("follower", 0),
        }
    }
}

impl Follower {
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(self.dice.pause(1, 200)).await;
            let host = self.dice.index(self.clients.cluster.hosts.len());
            if let Some(wire) = self.clients.connect_to(host) {
                self.follow(host, wire).await;
            }
        }
    }

    /// Nothing that the node had when it was asked comes, everything that it did not have when it answered, in order.
    async fn follow(&self, host: usize, mut wire: Wire) -> Option<()> {
        let world = &self.clients.cluster.world;
        let topic = self.dice.pick(&TOPICS);
        let before = self.clients.held(host, topic);
        wire.send(&format!("SUB {topic}")).await?;
        let answer = wire.line(PATIENCE).await?;
        say!(world, self.name, "{} SUB {topic}: {answer}", wire.node);
        match Reply::parse(&answer) {
            Some(Reply::Subscribed {
                topic: subscribed,
                next_offset: None,
            }) if subscribed == topic => {}
            Some(Reply::Unavailable { .. } | Reply::NotLeader) => return None,
            _ => {
                world.fail(format!("{} answers SUB {topic} with: {answer}", wire.node));
                return None;
            }
        }
        self.clients.operation();
        // Both looks are at the run of the node that answered, or nothing can be said of where it begins.
        let (group, (_, oldest)) = before?;
        let (after, (_, newest)) = self.clients.held(host, topic)?;
        let allowed = Arc::ptr_eq(&group, &after).then_some(oldest..=newest);
        let mut next = None;
        loop {
            let line = wire.line(BORED).await?;
            if let Some(Reply::OffsetOutOfRange { start, .. }) = Reply::parse(&line)
                && next.is_none_or(|next| start > next)
            {
                world.count(Count::OutOfRange);
                return None;
            }
            let Some(record) = Shown::fields("MSG", &line).filter(|record| record.topic == topic) else {
                world.fail(format!("{} delivers to SUB {topic}: {line}", wire.node));
                return None;
            };
            let is_right = match (next, &allowed) {
                (Some(next), _) => record.offset == next,
                (None, Some(allowed)) => allowed.contains(&record.offset),
                (None, None) => true,
            };
            if !is_right {
                world.fail(format!(
                    "{} delivers offset {} to SUB {topic} where {next:?} or one of {allowed:?} belongs",
                    wire.node, record.offset
                ));
                return None;
            }
            world.count(Count::Followed);
            next = Some(record.offset + 1);
            if world.oracle().high_watermark(topic) < record.offset {
                self.clients.cluster.look();
            }
            world.oracle().shown(world, record, &wire.node);
            if self.dice.permille(30) {
                return None;
            }
        }
    }
}
