//! Reads topics, strongly and locally.

use std::collections::BTreeMap;

use wiber_protocol::line::{ReadJson, Reply};

use super::{Clients, PATIENCE, TOPICS, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

pub(super) struct Reader {
    clients: Clients,
    number: usize,
    name: String,
    dice: Dice,
    wire: Option<Wire>,
    /// Where the next page of a topic begins.
    pages: BTreeMap<String, u64>,
}

struct Answer {
    records: Vec<Shown>,
    high_watermark: u64,
    log_start_offset: u64,
    next_offset: u64,
    /// Of the records' lines.
    bytes: u64,
}

impl Clients {
    pub(super) fn reader(&self, number: u64) -> Reader {
        Reader {
            clients: self.clone(),
            number: usize::try_from(number).unwrap_or(0),
            name: format!("read{number}"),
            dice: self.dice("reader", number),
            wire: None,
            pages: BTreeMap::new(),
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
        // Mostly where the last page ended, as one would read a topic from end to end.
        let page = self.pages.get(topic).filter(|_| self.dice.permille(700)).copied();
        let from = page.unwrap_or_else(|| self.dice.between(1, known + 2));
        let limit = self.dice.between(1, 30);
        let max_bytes = self.dice.permille(500).then(|| self.dice.between(0, 2_000));
        let is_json = self.dice.permille(300);
        let bytes = max_bytes.map_or_else(String::new, |bytes| format!(" --bytes {bytes}"));
        let json = if is_json { " --json" } else { "" };
        let command = format!("READ {topic} --from {from} --limit {limit} --local{bytes}{json}");
        let Some((answer, node)) = self.ask(&command).await else {
            // Below the log's start, and told so, is an answer, too.
            return self.wire.is_some();
        };
        self.clients.cluster.look();
        world.count(Count::LocalRead);
        if is_json {
            world.count(Count::JsonRead);
        }
        let first = from.max(answer.log_start_offset);
        let shown = answer.records.len() as u64;
        let is_right = max_bytes.is_none_or(|max| shown <= 1 || answer.bytes <= max)
            && shown <= limit
            && answer.next_offset == from + shown;
        if !is_right {
            world.fail(format!(
                "{node} answers {command} with {shown} records in {} bytes, to read on at {}",
                answer.bytes, answer.next_offset
            ));
        }
        if max_bytes.is_some() {
            world.count(Count::PagedRead);
            self.pages.insert(topic.to_owned(), answer.next_offset);
        }
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
        let is_json = command.ends_with("--json");
        let mut records = Vec::new();
        let mut bytes = 0;
        loop {
            let mut line = wire.line(PATIENCE).await?;
            let line_bytes = line.len() as u64 + 1;
            if is_json {
                line = as_lines(&line);
            }
            if line.starts_with("RECORD ") {
                match Shown::record(&line) {
                    Ok(record) => {
                        records.push(record);
                        bytes += line_bytes;
                    }
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
                    next_offset,
                    ..
                }) => {
                    self.wire = Some(wire);
                    let answer = Answer {
                        records,
                        high_watermark,
                        log_start_offset,
                        next_offset,
                        bytes,
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

/// A document of an answer in JSON as the line that it would be otherwise.
fn as_lines(json: &str) -> String {
    let mut line = Vec::new();
    match ReadJson::parse(json) {
        None => return format!("RECORD {json}"),
        Some(ReadJson::Error(text)) => return format!("ERR {text}"),
        Some(ReadJson::ReadEnd {
            high_watermark,
            log_start_offset,
            consistency,
            next_offset,
        }) => Reply::ReadEnd {
            high_watermark,
            log_start_offset,
            consistency,
            next_offset,
        }
        .write(&mut line),
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}
