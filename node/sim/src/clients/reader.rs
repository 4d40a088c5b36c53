//! Reads topics, strongly and locally.

use wiber_protocol::line::Reply;

use super::{Clients, PATIENCE, TOPICS, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

pub(super) struct Reader {
    clients: Clients,
    number: usize,
    name: String,
    dice: Dice,
    wire: Option<Wire>,
}

struct Answer {
    records: Vec<Shown>,
    high_watermark: u64,
    log_start_offset: u64,
}

impl Clients {
    pub(super) fn reader(&self, number: u64) -> Reader {
        Reader {
            clients: self.clone(),
            number: usize::try_from(number).unwrap_or(0),
            name: format!("read{number}"),
            dice: self.dice("reader", number),
            wire: None,
        }
    }
}

impl Reader {
    pub(super) async fn run(mut self) {
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(5, 200)).await;
            if self.wire.is_none() || self.dice.permille(200) {
                self.wire = self.clients.connect(&self.dice);
            }
            let topic = self.dice.pick(&TOPICS);
            if self.dice.permille(600) {
                self.strong(topic).await;
            } else {
                self.local(topic).await;
            }
        }
    }

    pub(super) async fn read_through(mut self, host: usize, has_all: impl Fn() -> bool) {
        for topic in TOPICS {
            while has_all() && (!self.again_to(host) || !self.strong(topic).await) {
                tokio::time::sleep(self.dice.pause(5, 200)).await;
            }
            while !self.again_to(host) || !self.local(topic).await {
                tokio::time::sleep(self.dice.pause(5, 200)).await;
            }
        }
    }

    /// Connects where there is no connection any more; whether there is one now.
    fn again_to(&mut self, host: usize) -> bool {
        if self.wire.is_none() {
            self.wire = self.clients.connect_to(host);
        }
        self.wire.is_some()
    }

    /// Whether there was an answer.
    async fn strong(&mut self, topic: &str) -> bool {
        let world = self.clients.cluster.world.clone();
        let floor = world.oracle().strong_read_begins(topic, self.number);
        let count = self.dice.between(1, 20);
        let Some((answer, node)) = self.ask(&format!("READ {topic} --last {count} --strong")).await else {
            world.oracle().strong_read_failed(topic, self.number);
            return false;
        };
        self.clients.cluster.look();
        world
            .oracle()
            .strong_read(&world, topic, self.number, floor, answer.high_watermark, &node);
        let first = (answer.high_watermark + 1)
            .saturating_sub(count)
            .max(answer.log_start_offset.max(1));
        self.check(answer, first, &node);
        true
    }

    /// As [`Self::strong`].
    async fn local(&mut self, topic: &str) -> bool {
        let world = self.clients.cluster.world.clone();
        let known = world.oracle().high_watermark(topic);
        let from = self.dice.between(1, known + 2);
        let limit = self.dice.between(1, 30);
        let command = format!("READ {topic} --from {from} --limit {limit} --local");
        let Some((answer, node)) = self.ask(&command).await else {
            // Below the log's start, and told so, is an answer, too.
            return self.wire.is_some();
        };
        self.clients.cluster.look();
        world.count(Count::LocalRead);
        let first = from.max(answer.log_start_offset);
        self.check(answer, first, &node);
        true
    }

    /// What was shown begins where it should and has no gap.
    fn check(&self, answer: Answer, first: u64, node: &str) {
        let world = &self.clients.cluster.world;
        self.clients.operation();
        for (expected, record) in (first..).zip(answer.records) {
            if record.offset != expected || expected > answer.high_watermark {
                return world.fail(format!(
                    "{node} shows offset {} of {} where {expected} belongs, with the end at {}",
                    record.offset, record.topic, answer.high_watermark
                ));
            }
            world.oracle().shown(world, record, node);
        }
    }

    async fn ask(&mut self, command: &str) -> Option<(Answer, String)> {
        let mut wire = self.wire.take()?;
        wire.send(command).await?;
        let mut records = Vec::new();
        loop {
            let line = wire.line(PATIENCE).await?;
            if line.starts_with("RECORD ") {
                match Shown::record(&line) {
                    Ok(record) => records.push(record),
                    Err(error) => {
                        self.clients
                            .cluster
                            .world
                            .fail(format!("{} shows {line}: {error}", wire.node));
                        return None;
                    }
                }
                continue;
            }
            say!(
                self.clients.cluster.world,
                self.name,
                "{} {command}: {line}",
                wire.node
            );
            let node = wire.node.clone();
            match Reply::parse(&line) {
                Some(Reply::ReadEnd {
                    high_watermark,
                    log_start_offset,
                    ..
                }) => {
                    self.wire = Some(wire);
                    let answer = Answer {
                        records,
                        high_watermark,
                        log_start_offset,
                    };
                    return Some((answer, node));
                }
                Some(Reply::OffsetOutOfRange { .. }) => {
                    self.clients.cluster.world.count(Count::OutOfRange);
                    self.wire = Some(wire);
                    return None;
                }
                Some(Reply::Unavailable { .. } | Reply::NotLeader) => return None,
                _ => {
                    self.clients
                        .cluster
                        .world
                        .fail(format!("{node} answers {command} with: {line}"));
                    return None;
                }
            }
        }
    }
}
