//! Follows a pattern by time of origin: sorted but for what is marked late, and nothing missing.

use std::{collections::BTreeSet, time::Duration};

use wiber_protocol::{
    line::{Ended, RecordLine, Reply},
    pattern::Pattern,
};

use super::{Clients, Wire};
use crate::{count::Count, dice::Dice, oracle::Shown, say};

/// A subscriber goes elsewhere after this long without news.
const BORED: Duration = Duration::from_secs(2);

pub(super) struct OrderedSubscriber {
    clients: Clients,
    name: String,
    dice: Dice,
    sorted: Sorted,
}

/// What one subscriber was shown, by time of origin.
pub(super) struct Sorted {
    clients: Clients,
    pub(super) pattern: Pattern,
    /// Everything up to this Lamport time was shown.
    pub(super) after: u64,
    /// What was shown beyond.
    shown: BTreeSet<u64>,
    /// The last in order that was shown.
    last: Option<Key>,
}

/// A record's place in the order of origin.
type Key = (i64, u64, String);

fn key(record: &RecordLine) -> Key {
    (record.corrected_us, record.logical_time, record.node.clone())
}

impl Clients {
    pub(super) fn ordered_subscriber(&self, number: u64, pattern: &str) -> OrderedSubscriber {
        OrderedSubscriber {
            clients: self.clone(),
            name: format!("order{number}"),
            dice: self.dice("ordered", number),
            sorted: self.sorted(pattern),
        }
    }

    pub(super) fn sorted(&self, pattern: &str) -> Sorted {
        Sorted {
            clients: self.clone(),
            pattern: Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")),
            after: 0,
            shown: BTreeSet::new(),
            last: None,
        }
    }
}

impl OrderedSubscriber {
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.dice.pause(1, 100)).await;
            if let Some(wire) = self.clients.connect(&self.dice) {
                self.follow(wire).await;
            }
            self.sorted.begin_again();
        }
    }

    async fn follow(&mut self, mut wire: Wire) -> Option<()> {
        let world = self.clients.cluster.world.clone();
        let order_ms = self.dice.pick(&[1, 20, 100, 500]);
        let command = format!(
            "SUBSCRIBE {} --after {} --order {order_ms}",
            self.sorted.pattern.as_str(),
            self.sorted.after
        );
        wire.send(&command).await?;
        let first = wire.line(BORED).await?;
        say!(world, self.name, "{} {command}: {first}", wire.node);
        match Reply::parse(&first) {
            Some(Reply::SubscribedAfter { logical_time, .. }) if logical_time == self.sorted.after => {}
            Some(Reply::Unavailable { .. } | Reply::NotLeader) => return None,
            Some(Reply::OffsetOutOfRange { start, .. }) if start > self.sorted.after => {
                self.sorted.after = start;
                return None;
            }
            _ => {
                world.fail(format!("{} answers {command} with: {first}", wire.node));
                return None;
            }
        }
        self.clients.operation();
        loop {
            let line = wire.line(BORED).await?;
            match Reply::parse(&line) {
                Some(Reply::Ended {
                    reason: Ended::OffsetOutOfRange { start, .. },
                    ..
                }) if start > self.sorted.after => {
                    self.sorted.after = start;
                    return None;
                }
                Some(Reply::Lag { records, .. }) => {
                    let Sorted { pattern, after, .. } = &self.sorted;
                    let behind = || world.oracle().most_matching(pattern, *after);
                    self.clients.lags(&wire, records, behind);
                    continue;
                }
                _ => {}
            }
            let Ok(record) = RecordLine::parse(&line) else {
                world.fail(format!("{} delivers to {command}: {line}", wire.node));
                return None;
            };
            self.sorted.take(&wire.node, record)?;
            if self.dice.permille(10) {
                return None;
            }
        }
    }
}

impl Sorted {
    /// Another connection: what was held back when the last one ended comes again, with what was shown beyond it.
    pub(super) fn begin_again(&mut self) {
        self.shown.clear();
        self.last = None;
    }

    /// `None` if that was wrong.
    pub(super) fn take(&mut self, node: &str, mut record: RecordLine) -> Option<()> {
        let world = self.clients.cluster.world.clone();
        let is_late = std::mem::take(&mut record.late);
        let logical_time = record.logical_time;
        let is_behind = self.last.as_ref().is_some_and(|last| key(&record) < *last);
        if is_late != is_behind || !self.pattern.matches(&record.topic) {
            world.fail(format!(
                "{node} shows after {:?}, late: {is_late}, what does not belong there: {record:?}",
                self.last
            ));
            return None;
        }
        if logical_time <= self.after || !self.shown.insert(logical_time) {
            world.fail(format!("{node} shows again, by time of origin: {record:?}"));
            return None;
        }
        if world.oracle().high_watermark(&record.topic) < record.offset {
            self.clients.cluster.look();
        }
        let oracle = world.oracle();
        if is_late {
            world.count(Count::Late);
        } else {
            self.last = Some(key(&record));
            // What was committed before it was held back with it, so what belongs before it was shown before it.
            let range = (self.after, logical_time);
            let is_missing =
                |known: &RecordLine| !self.shown.contains(&known.logical_time) && key(known) < key(&record);
            let (missing, is_known) = oracle.first_matching(&self.pattern, range, is_missing);
            if let Some(missing) = missing {
                world.fail(format!(
                    "{node} shows {record:?} by time of origin, and not {missing:?}"
                ));
                return None;
            }
            if is_known {
                world.count(Count::Ordered);
            }
        }
        let highest = self.shown.last().copied().unwrap_or(0);
        let not_shown = |known: &RecordLine| !self.shown.contains(&known.logical_time);
        let (first_open, is_known) = oracle.first_matching(&self.pattern, (self.after, highest), not_shown);
        match first_open {
            Some(open) => self.after = open.logical_time - 1,
            None if is_known => self.after = highest,
            None => {}
        }
        self.shown = self.shown.split_off(&(self.after + 1));
        oracle.shown(&world, Shown::of(record), node);
        Some(())
    }
}
