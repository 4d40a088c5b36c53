//! Publishes bursts of records, and the same ones again until it knows their fate.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use wiber_protocol::line::Reply;

use super::{Clients, PATIENCE, TOPICS, Wire};
use crate::{
    count::Count,
    dice::Dice,
    oracle::{Headers, Ids, Publish, Told},
    say,
};

/// Records in one burst.
const BURST: u64 = 8;
/// A client in a hurry goes away after this long.
const HURRY: Duration = Duration::from_millis(150);

pub(super) struct Publisher {
    clients: Clients,
    name: String,
    dice: Dice,
    wire: Option<Wire>,
    made: u64,
    /// The one node to talk to, for a publisher that has one.
    home: Option<usize>,
}

/// One record on its way.
struct Pending {
    key: String,
    publish: Publish,
    /// Without an id a retry could publish twice, so there is none.
    has_id: bool,
    verb: Verb,
}

/// How a record is published, at every try.
#[derive(Clone)]
enum Verb {
    Pub,
    /// With a header.
    Publish {
        expect: Option<u64>,
    },
}

enum Fate {
    Acknowledged {
        told: Told,
        first_time: bool,
    },
    /// Nothing was published, and the same will not be tried again.
    Refused,
    /// Nothing was published, or nobody knows.
    Open,
}

impl Pending {
    /// Sends it with this body.
    async fn send(&self, body: &[u8], wire: &mut Wire) -> Option<()> {
        let topic = &self.publish.topic;
        let id = if self.has_id {
            format!(" --id {}", self.key)
        } else {
            String::new()
        };
        match self.verb {
            Verb::Pub => {
                let text = String::from_utf8_lossy(body);
                wire.send(&format!("PUB {topic}{id} {text}")).await
            }
            Verb::Publish { expect } => {
                let expect = expect.map_or_else(String::new, |expect| format!(" --expect {expect}"));
                let line = format!(
                    "PUBLISH {topic} {}{id} --header of={}%20%25{expect}",
                    body.len(),
                    self.key
                );
                wire.send_body(&line, body).await
            }
        }
    }

    fn expects_other_than(&self, end: u64) -> bool {
        matches!(self.verb, Verb::Publish { expect: Some(expect) } if expect != end)
    }
}

impl Clients {
    pub(super) fn publisher(&self, number: u64) -> Publisher {
        Publisher {
            clients: self.clone(),
            name: format!("pub{number}"),
            dice: self.dice("publisher", number),
            wire: None,
            made: 0,
            home: None,
        }
    }
}

impl Publisher {
    pub(super) async fn run(mut self) {
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(5, 200)).await;
            let burst = self.burst();
            self.publish(burst).await;
        }
        self.clients.busy.fetch_sub(1, Relaxed);
    }

    pub(super) async fn publish_through(mut self, host: usize) {
        self.home = Some(host);
        let burst = self.burst();
        self.publish(burst).await;
    }

    /// A second attempt would tell no more than the first.
    pub(super) async fn publish_once(mut self, host: usize) -> bool {
        self.home = Some(host);
        let burst = self.burst();
        let fates = self.attempt(&burst).await;
        let all = fates.len() == burst.len();
        for (pending, fate) in burst.into_iter().zip(fates) {
            if let Fate::Acknowledged { told, .. } = fate {
                self.acknowledged(pending, told).await;
            }
        }
        all
    }

    fn burst(&mut self) -> Vec<Pending> {
        let topic = self.dice.pick(&TOPICS);
        let has_id = !self.dice.permille(100);
        (0..self.dice.between(1, BURST + 1))
            .map(|_| {
                self.made += 1;
                let key = format!("{}{}-{}", if has_id { "" } else { "x" }, self.name, self.made);
                let verb = self.verb(topic);
                let headers = match verb {
                    Verb::Pub => Headers::NONE,
                    Verb::Publish { .. } => Headers::These(vec![("of".to_owned(), format!("{key} %"))]),
                };
                let publish = Publish {
                    topic: topic.to_owned(),
                    body: body(&self.dice, &key, !matches!(verb, Verb::Pub)),
                    headers,
                    ids: Ids::FirstWord,
                };
                let world = &self.clients.cluster.world;
                world.oracle().asks(world, publish.clone());
                Pending {
                    key,
                    publish,
                    has_id,
                    verb,
                }
            })
            .collect()
    }

    fn verb(&self, topic: &str) -> Verb {
        if self.dice.permille(600) {
            return Verb::Pub;
        }
        // Mostly not where the topic ends when the record gets there.
        let expect = self.dice.permille(300).then(|| {
            let known = self.clients.cluster.world.oracle().high_watermark(topic);
            known + self.dice.between(0, 2)
        });
        Verb::Publish { expect }
    }

    /// Publishes until every fate is known or cannot be.
    async fn publish(&mut self, mut burst: Vec<Pending>) {
        let mut is_first = true;
        while !burst.is_empty() {
            let keys: Vec<String> = burst.iter().map(|pending| pending.key.clone()).collect();
            let fates = self.attempt(&burst).await;
            self.clients.cluster.look();
            let all_new = fates.len() == burst.len()
                && fates
                    .iter()
                    .all(|fate| matches!(fate, Fate::Acknowledged { first_time: true, .. }));
            let mut fates = fates.into_iter();
            let mut left = Vec::new();
            for pending in burst {
                match fates.next().unwrap_or(Fate::Open) {
                    Fate::Acknowledged { told, .. } => self.acknowledged(pending, told).await,
                    Fate::Open if pending.has_id => left.push(pending),
                    Fate::Open | Fate::Refused => {}
                }
            }
            if is_first && all_new {
                self.clients
                    .cluster
                    .world
                    .oracle()
                    .in_order(&self.clients.cluster.world, &keys);
            }
            burst = left;
            if !burst.is_empty() {
                self.clients.cluster.world.count(Count::ClientRetry);
                self.wire = None;
                tokio::time::sleep(self.dice.pause(5, 150)).await;
            }
            is_first = false;
        }
    }

    /// Sends everything on one connection. A fate for each answer that came.
    async fn attempt(&mut self, burst: &[Pending]) -> Vec<Fate> {
        if self.wire.is_none() || self.dice.permille(100) {
            self.wire = match self.home {
                Some(host) => self.clients.connect_to(host),
                None => self.clients.connect(&self.dice),
            };
        }
        let Some(mut wire) = self.wire.take() else {
            return Vec::new();
        };
        for pending in burst {
            if pending.send(&pending.publish.body, &mut wire).await.is_none() {
                return Vec::new();
            }
        }
        let is_in_hurry = self.home.is_none() && self.dice.permille(50);
        let patience = if is_in_hurry { HURRY } else { PATIENCE };
        let mut fates = Vec::new();
        for pending in burst {
            let Some(line) = wire.line(patience).await else {
                self.clients.cluster.world.count(Count::ClientGone);
                return fates;
            };
            say!(
                self.clients.cluster.world,
                self.name,
                "{} {}: {line}",
                wire.node,
                pending.key
            );
            fates.push(self.fate(pending, &line, &wire.node));
        }
        self.wire = Some(wire);
        fates
    }

    fn fate(&self, pending: &Pending, line: &str, node: &str) -> Fate {
        let acknowledged = |told, first_time| {
            self.clients.operation();
            Fate::Acknowledged { told, first_time }
        };
        match Reply::parse(line) {
            Some(Reply::Published {
                id,
                offset,
                logical_time,
            }) if !pending.has_id || id == pending.key => acknowledged(Told { offset, logical_time }, true),
            Some(Reply::Redirected { id }) if !pending.has_id || id == pending.key => {
                acknowledged(Told::default(), true)
            }
            Some(Reply::Duplicate { id, offset }) if id == pending.key => {
                self.clients.cluster.world.count(Count::Duplicate);
                let told = Told {
                    offset,
                    logical_time: None,
                };
                acknowledged(told, false)
            }
            Some(Reply::OffsetMismatch { end }) if pending.expects_other_than(end) => {
                self.clients.cluster.world.count(Count::OffsetMismatch);
                self.clients.operation();
                Fate::Refused
            }
            Some(
                Reply::NotLeader
                | Reply::TimeoutWaitingCommit
                | Reply::Redirect { .. }
                | Reply::Unavailable { .. },
            ) => Fate::Open,
            _ => {
                let key = &pending.key;
                self.clients
                    .cluster
                    .world
                    .fail(format!("{node} answers the publish {key} with: {line}"));
                Fate::Open
            }
        }
    }

    async fn acknowledged(&mut self, pending: Pending, told: Told) {
        let world = &self.clients.cluster.world;
        world.oracle().acknowledged(world, &pending.key, told, &self.name);
        if pending.has_id && self.dice.permille(40) {
            self.again(&pending).await;
        }
    }

    /// The same id once more: with the same content it is the same record, with other content it is refused.
    async fn again(&mut self, pending: &Pending) {
        let is_conflict = self.dice.permille(500);
        let Some(mut wire) = self.clients.connect(&self.dice) else {
            return;
        };
        let key = &pending.key;
        let body = if is_conflict {
            format!("{key} other").into_bytes()
        } else {
            pending.publish.body.clone()
        };
        if pending.send(&body, &mut wire).await.is_none() {
            return;
        }
        let Some(line) = wire.line(PATIENCE).await else {
            return;
        };
        let world = &self.clients.cluster.world;
        say!(world, self.name, "{} {key} again: {line}", wire.node);
        match (Reply::parse(&line), is_conflict) {
            (Some(Reply::Duplicate { .. }), false) => world.count(Count::Duplicate),
            (Some(Reply::IdConflict { .. }), true) => world.count(Count::Conflict),
            (
                Some(
                    Reply::NotLeader
                    | Reply::TimeoutWaitingCommit
                    | Reply::Redirect { .. }
                    | Reply::Unavailable { .. },
                ),
                _,
            ) => {
                return;
            }
            _ => world.fail(format!(
                "{} answers {key}, published again, with: {line}",
                wire.node
            )),
        }
        self.clients.operation();
    }
}

/// A body that begins with `key`, of any bytes if it may be.
pub(super) fn body(dice: &Dice, key: &str, is_any: bool) -> Vec<u8> {
    let longest = dice.pick(&[10, 100, 100, 2_000]);
    let mut body = format!("{key} ").into_bytes();
    if is_any && dice.permille(400) {
        let words: [&[u8]; 8] = [
            b"m",
            b"\n",
            b"\r\n",
            b"\\n",
            b" ",
            b"\0",
            "é".as_bytes(),
            b"\xff\xfe",
        ];
        body.extend((0..=dice.index(longest)).flat_map(|_| dice.pick(&words)));
    } else {
        body.resize(body.len() + dice.index(longest) + 1, b'm');
    }
    body
}
