//! Asks for the last records of a topic, in the nine-field lines of old.

use std::sync::Arc;

use wiber_node::group::Group;
use wiber_protocol::line::Reply;

use super::{Clients, PATIENCE, TOPICS, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

pub(super) struct Historian {
    clients: Clients,
    name: String,
    dice: Dice,
}

/// Where a topic begins and ends at a node: its first offset, and the one that comes next.
type Bounds = (u64, u64);

impl Clients {
    pub(super) fn historian(&self) -> Historian {
        Historian {
            clients: self.clone(),
            name: "hist".to_owned(),
            dice: self.dice("historian", 0),
        }
    }

    /// What the node `host` holds of `topic` just now, and which run of it does.
    pub(super) fn held(&self, host: usize, topic: &str) -> Option<(Arc<Group>, Bounds)> {
        let group = self.cluster.hosts[host].group()?;
        let bounds = {
            let topics = &group.state.read().topics;
            (topics.log_start_offset(topic), topics.next_offset(topic))
        };
        Some((group, bounds))
    }
}

impl Historian {
    pub(super) async fn run(self) {
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(5, 400)).await;
            let host = self.dice.index(self.clients.cluster.hosts.len());
            if let Some(wire) = self.clients.connect_to(host) {
                self.ask(host, wire).await;
            }
        }
    }

    async fn ask(&self, host: usize, mut wire: Wire) -> Option<()> {
        let world = &self.clients.cluster.world;
        let topic = self.dice.pick(&TOPICS);
        let count = self.dice.between(1, 30);
        let command = format!("HISTORY {topic} {count}");
        let before = self.clients.held(host, topic);
        wire.send(&command).await?;
        let mut shown: Vec<Shown> = Vec::new();
        loop {
            let line = wire.line(PATIENCE).await?;
            if let Some(record) = Shown::fields("HISTORY", &line) {
                shown.push(record);
                continue;
            }
            say!(world, self.name, "{} {command}: {line}", wire.node);
            match Reply::parse(&line) {
                Some(Reply::HistoryEnd) => break,
                Some(Reply::Unavailable { .. } | Reply::NotLeader) => return None,
                // Retention was faster than the answer.
                Some(Reply::OffsetOutOfRange { .. }) => {
                    world.count(Count::OutOfRange);
                    return None;
                }
                _ => {
                    world.fail(format!("{} answers {command} with: {line}", wire.node));
                    return None;
                }
            }
        }
        self.clients.operation();
        self.clients.cluster.look();
        let consecutive = shown.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset);
        if !consecutive || shown.iter().any(|record| record.topic != topic) {
            world.fail(format!("{} shows a history with gaps: {shown:?}", wire.node));
            return None;
        }
        let ends = (
            shown.first().map(|first| first.offset),
            shown.last().map(|last| last.offset + 1),
        );
        for record in shown {
            world.oracle().shown(world, record, &wire.node);
        }
        // The same run of the node answered, so what it held can be told.
        let (group, before) = before?;
        let (after_group, after) = self.clients.held(host, topic)?;
        if Arc::ptr_eq(&group, &after_group) {
            world.count(Count::History);
            if !is_last(count, ends, before, after) {
                world.fail(format!(
                    "{} answers {command} with {ends:?}; it held {before:?} when asked and {after:?} after",
                    wire.node
                ));
            }
        }
        Some(())
    }
}

/// Whether what was shown (first offset, and one past the last) is the last `count` of the topic as of some moment between
/// two looks.
fn is_last(count: u64, shown: (Option<u64>, Option<u64>), before: Bounds, after: Bounds) -> bool {
    let (Some(first), Some(end)) = shown else {
        return before.1 <= after.0;
    };
    let starts = before.0..=after.0;
    let wanted = end.saturating_sub(count);
    (before.1..=after.1).contains(&end) && first >= wanted && (first == wanted || starts.contains(&first))
}
