//! Follows all topics that match a pattern, in the order of the log, whichever node serves it.

use std::time::Duration;

use wiber_protocol::{
    line::{Ended, Reply},
    pattern::Pattern,
};

use super::{Clients, PATIENCE, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

/// A subscriber goes elsewhere after this long without news.
const BORED: Duration = Duration::from_secs(2);
/// Whatever comes after the end of a subscription comes within this time.
const QUIET: Duration = Duration::from_millis(200);

pub(super) struct PatternSubscriber {
    clients: Clients,
    name: String,
    pattern: Pattern,
    dice: Dice,
    /// The Lamport time of the last record; where to go on after.
    after: u64,
}

/// What a line of a subscription means.
enum Line {
    /// The subscriber goes on.
    Record,
    Nothing,
    /// It is over.
    End,
}

impl Clients {
    pub(super) fn pattern_subscriber(&self, number: u64, pattern: &str) -> PatternSubscriber {
        PatternSubscriber {
            clients: self.clone(),
            name: format!("pattern{number}"),
            pattern: Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")),
            dice: self.dice("pattern", number),
            after: 0,
        }
    }
}

impl PatternSubscriber {
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.dice.pause(1, 100)).await;
            if let Some(wire) = self.clients.connect(&self.dice) {
                self.follow(wire).await;
            }
        }
    }

    async fn follow(&mut self, mut wire: Wire) -> Option<()> {
        let world = self.clients.cluster.world.clone();
        let pattern = self.pattern.as_str().to_owned();
        wire.send(&format!("SUBSCRIBE {pattern} --after {}", self.after))
            .await?;
        let first = wire.line(BORED).await?;
        say!(world, self.name, "{} after {}: {first}", wire.node, self.after);
        match Reply::parse(&first) {
            Some(Reply::SubscribedAfter {
                pattern: subscribed,
                logical_time,
            }) if subscribed == pattern && logical_time == self.after => {}
            Some(Reply::Unavailable { .. } | Reply::NotLeader) => return None,
            Some(Reply::OffsetOutOfRange { start, .. }) if start > self.after => {
                self.go_on_after(start);
                return None;
            }
            _ => {
                world.fail(format!(
                    "{} answers a subscription to {pattern} after {} with: {first}",
                    wire.node, self.after
                ));
                return None;
            }
        }
        self.clients.operation();
        loop {
            let line = wire.line(BORED).await?;
            if matches!(self.line(&wire, &line), Line::End) {
                return None;
            }
            if self.dice.permille(10) {
                return self.end(wire).await;
            }
        }
    }

    /// Leaves, sometimes with a word.
    async fn end(&mut self, mut wire: Wire) -> Option<()> {
        if self.dice.permille(500) {
            return None;
        }
        let world = self.clients.cluster.world.clone();
        let pattern = self.pattern.as_str().to_owned();
        wire.send(&format!("UNSUB {pattern}")).await?;
        let answer = loop {
            let line = wire.line(PATIENCE).await?;
            match Reply::parse(&line) {
                Some(Reply::Unsubscribed { .. } | Reply::NotSubscribed { .. }) => break line,
                // Then there will be nothing to end.
                _ => _ = self.line(&wire, &line),
            }
        };
        if let Some(more) = wire.line(QUIET).await {
            world.fail(format!("{} says after {answer}: {more}", wire.node));
        }
        world.count(Count::Unsubscribed);
        Some(())
    }

    fn line(&mut self, wire: &Wire, line: &str) -> Line {
        let node = &wire.node;
        let world = self.clients.cluster.world.clone();
        match Reply::parse(line) {
            Some(Reply::Ended {
                pattern,
                reason: Ended::OffsetOutOfRange { start, .. },
            }) if pattern == self.pattern.as_str() && start > self.after => {
                self.go_on_after(start);
                return Line::End;
            }
            Some(Reply::Lag { pattern, records }) if pattern == self.pattern.as_str() => {
                let behind = || world.oracle().most_matching(&self.pattern, self.after);
                self.clients.lags(wire, records, behind);
                return Line::Nothing;
            }
            _ => {}
        }
        let record = match Shown::record(line) {
            Ok(record) => record,
            Err(error) => {
                world.fail(format!(
                    "{node} delivers to {}: {line}: {error}",
                    self.pattern.as_str()
                ));
                return Line::End;
            }
        };
        let logical_time = record.logical_time().unwrap_or(0);
        if logical_time <= self.after || !self.pattern.matches(&record.topic) {
            world.fail(format!(
                "{node} delivers to {} after {}: {line}",
                self.pattern.as_str(),
                self.after
            ));
            return Line::End;
        }
        if world.oracle().high_watermark(&record.topic) < record.offset {
            self.clients.cluster.look();
        }
        world
            .oracle()
            .follows(&world, node, &self.pattern, self.after, logical_time);
        self.after = logical_time;
        world.oracle().shown(&world, record, node);
        world.count(Count::Matched);
        Line::Record
    }

    /// Retention dropped what comes next, and the node said so.
    fn go_on_after(&mut self, start: u64) {
        self.clients.cluster.world.count(Count::PatternOutOfRange);
        self.after = start;
    }
}
