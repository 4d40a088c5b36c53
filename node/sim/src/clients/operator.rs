//! Moves groups back and forth, and deletes them: in some runs only, as what was acknowledged before means nothing then.

use wiber_protocol::line::Reply;

use super::{Clients, PATIENCE, member::Member};
use crate::{count::Count, dice::Dice, say};

pub(super) struct Operator {
    clients: Clients,
    dice: Dice,
    groups: Vec<(&'static str, String)>,
}

impl Clients {
    /// Whether this run has an operator.
    pub(super) fn groups_are_moved(&self) -> bool {
        self.dice("operator", 0).permille(250)
    }

    pub(super) fn operator(&self, members: &[Member]) -> Option<Operator> {
        self.groups_are_moved().then(|| Operator {
            clients: self.clone(),
            dice: self.dice("operator", 1),
            groups: members
                .iter()
                .map(|member| (member.topic, member.group.clone()))
                .collect(),
        })
    }
}

impl Operator {
    pub(super) async fn run(self) {
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(200, 4_000)).await;
            self.operate().await;
        }
    }

    async fn operate(&self) -> Option<()> {
        let world = &self.clients.cluster.world;
        let (topic, group) = &self.groups[self.dice.index(self.groups.len())];
        let what = if self.dice.permille(300) {
            "--delete".to_owned()
        } else {
            let end = world.oracle().high_watermark(topic) + 3;
            format!("--seek {}", self.dice.between(0, end))
        };
        let mut wire = self.clients.connect(&self.dice)?;
        let command = format!("GROUP {topic} {group} {what}");
        wire.send(&command).await?;
        let line = wire.line(PATIENCE).await?;
        say!(world, "oper", "{} {command}: {line}", wire.node);
        match Reply::parse(&line) {
            Some(Reply::GroupMoved { .. }) => world.count(Count::GroupMoved),
            Some(Reply::GroupDeleted { .. }) => world.count(Count::GroupDeleted),
            Some(
                Reply::NoSuchGroup { .. }
                | Reply::NotLeader
                | Reply::TimeoutWaitingCommit
                | Reply::Redirect { .. }
                | Reply::Unavailable { .. },
            ) => {}
            _ => world.fail(format!("{} answers {command} with: {line}", wire.node)),
        }
        Some(())
    }
}
