//! Members of consumer groups: they join wherever the leader is, acknowledge most of what they get, give some back, forget
//! some, and vanish.

use std::{collections::VecDeque, time::Duration};

use wiber_protocol::line::{Ended, Reply};

use super::{Clients, PATIENCE, TOPICS, Wire};
use crate::{
    count::Count,
    dice::Dice,
    oracle::{HandOut, Shown},
    say,
};

/// A member goes elsewhere after this long without news.
const BORED: Duration = Duration::from_secs(2);

pub(super) struct Member {
    clients: Clients,
    name: String,
    pub topic: &'static str,
    pub group: String,
    /// The group may be moved or deleted.
    is_moved: bool,
    /// What it says when it joins.
    join: String,
    dice: Dice,
}

/// Something whose answer is to come.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Ack(u64),
    Nack(u64),
}

/// What comes after a connection.
enum Next {
    Anywhere,
    /// The leader, as a node said.
    To(usize),
}

impl Clients {
    /// The members of a run's groups.
    pub(super) fn members(&self) -> Vec<Member> {
        let dice = self.dice("groups", 0);
        let is_moved = self.groups_are_moved();
        let mut members = Vec::new();
        for group in 0..dice.between(1, 3) {
            let topic = dice.pick(&TOPICS);
            let ack_timeout_ms = dice.pick(&[100, 400, 1_500]);
            let max_deliveries = dice.pick(&[2, 3, 20]);
            for _ in 0..dice.between(1, 4) {
                let number = members.len() as u64;
                let max_in_flight = dice.pick(&[1, 4, 30]);
                members.push(Member {
                    clients: self.clone(),
                    name: format!("mem{number}"),
                    topic,
                    group: format!("g{group}"),
                    is_moved,
                    join: format!(
                        "SUBSCRIBE {topic} --group g{group} --start --ack-timeout {ack_timeout_ms} \
                         --max-deliveries {max_deliveries} --max-in-flight {max_in_flight}"
                    ),
                    dice: self.dice("member", number),
                });
            }
        }
        members
    }
}

impl Member {
    pub(super) async fn run(self) {
        let mut next = Next::Anywhere;
        loop {
            tokio::time::sleep(self.dice.pause(1, 100)).await;
            let host = match next {
                Next::To(host) => host,
                Next::Anywhere => self.dice.index(self.clients.cluster.hosts.len()),
            };
            next = match self.clients.connect_to(host) {
                Some(wire) => self.take_part(wire).await.unwrap_or(Next::Anywhere),
                None => Next::Anywhere,
            };
        }
    }

    async fn take_part(&self, mut wire: Wire) -> Option<Next> {
        let world = &self.clients.cluster.world;
        wire.send(&self.join).await?;
        let first = wire.line(PATIENCE).await?;
        say!(world, self.name, "{} join {}: {first}", wire.node, self.group);
        match Reply::parse(&first) {
            Some(Reply::Joined { topic, group }) if topic == self.topic && group == self.group => {}
            Some(Reply::Redirect { host, .. }) => return self.host(host).map(Next::To),
            Some(Reply::NotLeader | Reply::Unavailable { .. } | Reply::TimeoutWaitingCommit) => return None,
            _ => {
                world.fail(format!("{} answers a member with: {first}", wire.node));
                return None;
            }
        }
        world.count(Count::GroupJoined);
        let mut asked = VecDeque::new();
        loop {
            let line = wire.line(BORED).await?;
            if line.starts_with("RECORD ") {
                self.take(&line, &mut wire, &mut asked).await?;
                continue;
            }
            say!(world, self.name, "{} {line}", wire.node);
            match Reply::parse(&line) {
                Some(Reply::Ended {
                    reason: Ended::NotLeader,
                    ..
                }) => {
                    world.count(Count::GroupEnded);
                    return None;
                }
                Some(Reply::Ended {
                    reason: Ended::NoSuchGroup,
                    ..
                }) => return None,
                Some(Reply::Skipped { first, last, .. }) if first <= last => world.count(Count::GroupSkipped),
                Some(reply) => {
                    let Some(asked) = asked.pop_front() else {
                        world.fail(format!("{} says, without a question: {line}", wire.node));
                        return None;
                    };
                    self.answered(asked, reply, &wire.node);
                }
                None => world.fail(format!("{} says {line}", wire.node)),
            }
        }
    }

    /// The position of the machine of this name.
    fn host(&self, host: &str) -> Option<usize> {
        let nodes = &self.clients.cluster.hosts.first()?.config.nodes;
        nodes.iter().position(|node| node.host == host)
    }

    /// Does with a record what it does. `None` if it goes away.
    async fn take(&self, line: &str, wire: &mut Wire, asked: &mut VecDeque<Asked>) -> Option<()> {
        let world = &self.clients.cluster.world;
        let (shown, group, delivery) = match Shown::handed_out(line) {
            Ok(handed_out) => handed_out,
            Err(error) => {
                world.fail(format!("{} hands out {line}: {error}", wire.node));
                return None;
            }
        };
        let offset = shown.offset;
        say!(
            world,
            self.name,
            "{} hands out {} {offset}, {delivery}",
            wire.node,
            self.group
        );
        if group != self.group || shown.topic != self.topic {
            world.fail(format!(
                "{} hands {line} to a member of {}",
                wire.node, self.group
            ));
            return None;
        }
        let hand_out = HandOut {
            topic: self.topic.to_owned(),
            group,
            offset,
            delivery,
        };
        world.oracle().handed_out(hand_out, &wire.node);
        world.oracle().shown(world, shown, &wire.node);
        let what = if self.clients.is_winding_down() {
            0
        } else {
            self.dice.between(0, 100)
        };
        match what {
            0..60 => {
                wire.send(&format!("ACK {} {} {offset}", self.topic, self.group))
                    .await?;
                asked.push_back(Asked::Ack(offset));
            }
            60..70 => self.acknowledge_elsewhere(offset),
            70..84 => {
                wire.send(&format!("NACK {} {} {offset}", self.topic, self.group))
                    .await?;
                asked.push_back(Asked::Nack(offset));
            }
            84..98 => world.count(Count::GroupForgotten),
            _ => {
                world.count(Count::GroupVanished);
                return None;
            }
        }
        Some(())
    }

    /// Some time later, on another connection, perhaps when it is somebody else's.
    fn acknowledge_elsewhere(&self, offset: u64) {
        let (clients, pause) = (self.clients.clone(), self.dice.pause(1, 600));
        let host = self.dice.index(clients.cluster.hosts.len());
        let (topic, group) = (self.topic, self.group.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let mut wire = clients.connect_to(host)?;
            wire.send(&format!("ACK {topic} {group} {offset}")).await?;
            let line = wire.line(PATIENCE).await?;
            if Reply::parse(&line)
                == Some(Reply::Acked {
                    topic,
                    group: &group,
                    offset,
                })
            {
                clients.cluster.world.oracle().group_acked(topic, &group, offset);
            }
            Some(())
        });
    }

    fn answered(&self, asked: Asked, reply: Reply<'_>, node: &str) {
        let world = &self.clients.cluster.world;
        let (topic, group) = (self.topic, self.group.as_str());
        match (asked, reply) {
            (Asked::Ack(offset), reply) if reply == (Reply::Acked { topic, group, offset }) => {
                world.oracle().group_acked(topic, group, offset);
            }
            (Asked::Nack(offset), reply) if reply == (Reply::Nacked { topic, group, offset }) => {
                world.count(Count::GroupNacked);
            }
            // Somebody else acknowledged it, or it was lost by time.
            (Asked::Nack(offset), reply) if reply == (Reply::NotDelivered { offset }) => {}
            (
                Asked::Ack(_),
                Reply::NotLeader
                | Reply::TimeoutWaitingCommit
                | Reply::Redirect { .. }
                | Reply::Unavailable { .. },
            ) => {}
            (Asked::Ack(_), Reply::NotDelivered { .. } | Reply::NoSuchGroup { .. }) if self.is_moved => {}
            _ => world.fail(format!(
                "{node} answers {asked:?} in {group} of {topic} with {reply:?}"
            )),
        }
    }
}
