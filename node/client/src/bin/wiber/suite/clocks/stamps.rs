//! Can records that different nodes took be compared by their times?
//!
//! The nodes are published through in turn, one record at a time. Each is stamped between its sending and its
//! acknowledgement, so by this process's own clock it is known from where to where the distance of two stamps may lie. What
//! a pair exceeds that by is the error of cluster time, and must lie within both bounds together. A commit takes far longer
//! than a stamp, so the distance of the sendings is looked at as well: it promises nothing, as nobody knows how long a line
//! waits for its stamp, but it is sharper.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use wiber_protocol::{
    config::NodeSpec,
    line::{RecordLine, Reply},
};

use super::{Bench, Figure, Row, admin};
use crate::{
    bench::{Ack, Latencies, Observer as _},
    suite::conn::Conn,
};

const TOPIC: &str = "clocks-stamps";

/// One record, by three clocks.
#[expect(clippy::struct_field_names, reason = "the unit is part of each name")]
#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// By this process's clock.
    sent_us: i64,
    acknowledged_us: i64,
    /// By the machine of the node that took it.
    ts_us: i64,
    corrected_us: i64,
    /// Of `corrected_us`; `None` when the node was not synchronised.
    bound_us: Option<i64>,
}

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let published = match publish(bench) {
        Ok(published) => published,
        Err(error) => {
            bench.ledger.topic(TOPIC).has_unknown();
            return Err(error);
        }
    };
    bench.cluster.await_settled()?;
    let stamps = read(&bench.cluster.nodes()[0], published)?;
    let found = Compared::of(&stamps);
    let name = "records of different nodes that can be compared";
    let figure = Figure::new(Row::Clocks, name, found.share(), "%").at_least(100.0);
    bench.promise(figure.noting(format!(
        "{} of {}, at most {} µs beside their order, least bounds together {} µs; by the machines' clocks {}",
        found.comparable, found.pairs, found.largest_us, found.least_bounds_us, found.comparable_raw
    )));
    let besides = beside_sendings(&stamps);
    let name = "distance of two records beside that of their sendings: p50";
    let figure = Figure::new(Row::Clocks, name, besides.p50_us(), "µs");
    bench.note(figure.noting(format!(
        "p99 {:.0} max {:.0} µs",
        besides.p99_us(),
        besides.max_us()
    )));
    Ok(())
}

/// By id; what the cluster stamped is not known yet.
fn publish(bench: &mut Bench<'_>) -> anyhow::Result<Vec<(String, Stamp)>> {
    let nodes = bench.cluster.nodes();
    let topic = bench.ledger.topic(TOPIC);
    let mut conns = nodes.iter().map(Conn::open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut published = Vec::with_capacity(bench.plan.stamps);
    let began = Instant::now();
    for number in 0..bench.plan.stamps {
        let at = number % nodes.len();
        let line = format!("PUB {TOPIC} {number:012x} taken by {}\n", nodes[at].id);
        // The record's own bound is not in its line.
        let bound_before = bound_us(&nodes[at]);
        let sent_us = micros(began);
        let answer = conns[at].ask(&line, |line| Err(anyhow!("`{}`", String::from_utf8_lossy(line))))?;
        let acknowledged_us = micros(began) + 1;
        let bound_after = bound_us(&nodes[at]);
        let (id, offset) = match Reply::parse(&answer) {
            Some(Reply::Published { id, offset, .. }) => (id, offset),
            Some(Reply::Redirected { id }) => (id, None),
            _ => bail!("`{answer}` to a publish"),
        };
        let ack = Ack {
            id: id.as_bytes(),
            offset,
        };
        topic.acknowledged(number as u64, &ack);
        let stamp = Stamp {
            sent_us,
            acknowledged_us,
            ts_us: 0,
            corrected_us: 0,
            bound_us: bound_before.zip(bound_after).map(|(one, other)| one.max(other)),
        };
        published.push((id.to_owned(), stamp));
    }
    Ok(published)
}

/// Rounded up, and with what the node adds to a record's bound as its time is in whole microseconds.
#[expect(clippy::cast_possible_truncation, reason = "a bound is at most 250 ms")]
fn bound_us(node: &NodeSpec) -> Option<i64> {
    let bound_ms = admin::status(node)?.clock.error_bound_ms?;
    Some((bound_ms * 1e3).ceil() as i64 + 2)
}

fn micros(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX)
}

fn read(node: &NodeSpec, published: Vec<(String, Stamp)>) -> anyhow::Result<Vec<Stamp>> {
    let mut records = HashMap::new();
    let command = format!("READ {TOPIC} --from 1 --limit {} --local\n", published.len());
    Conn::open(node)?.ask(&command, |line| {
        let record = RecordLine::parse(std::str::from_utf8(line)?)?;
        records.insert(record.id.clone(), record);
        Ok(())
    })?;
    let stamps = published.into_iter().map(|(id, stamp)| {
        let record = records.get(&id).with_context(|| format!("{id} is missing"))?;
        Ok(Stamp {
            ts_us: record.ts_us,
            corrected_us: record.corrected_us,
            ..stamp
        })
    });
    stamps.collect()
}

/// What came of comparing each record with the one before it, which another node took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    pairs: usize,
    /// Whose cluster times lie as they must, to within both bounds.
    comparable: usize,
    /// The same of the machines' own times: that it is fewer shows that the comparison can fail.
    comparable_raw: usize,
    /// By how much a pair exceeded what its order allows, at most.
    largest_us: i64,
    /// Both bounds together, at least.
    least_bounds_us: i64,
}

impl Compared {
    fn of(stamps: &[Stamp]) -> Self {
        let mut found = Self {
            least_bounds_us: i64::MAX,
            ..Self::default()
        };
        for pair in stamps.windows(2) {
            let (earlier, later) = (pair[0], pair[1]);
            found.pairs += 1;
            let beside_us = beside_us(&earlier, &later, |stamp| stamp.corrected_us);
            found.largest_us = found.largest_us.max(beside_us);
            let Some((one, other)) = earlier.bound_us.zip(later.bound_us) else {
                continue;
            };
            let bounds_us = one + other;
            found.least_bounds_us = found.least_bounds_us.min(bounds_us);
            let raw_us = self::beside_us(&earlier, &later, |stamp| stamp.ts_us);
            found.comparable += usize::from(beside_us <= bounds_us);
            found.comparable_raw += usize::from(raw_us <= bounds_us);
        }
        found
    }

    #[expect(clippy::cast_precision_loss, reason = "no count comes near 53 bits")]
    fn share(&self) -> f64 {
        100.0 * self.comparable as f64 / self.pairs.max(1) as f64
    }
}

/// How far the distance of two stamps is from what it may be: the second was made after the second sending, the first
/// before the first acknowledgement, and the other way round.
fn beside_us(earlier: &Stamp, later: &Stamp, time_us: impl Fn(&Stamp) -> i64) -> i64 {
    let apart_us = time_us(later) - time_us(earlier);
    let least_us = later.sent_us - earlier.acknowledged_us;
    let most_us = later.acknowledged_us - earlier.sent_us;
    (least_us - apart_us).max(apart_us - most_us).max(0)
}

/// By how much the cluster times of two records are further apart, or nearer, than their sendings.
fn beside_sendings(stamps: &[Stamp]) -> Latencies {
    let mut besides = Latencies::new();
    for pair in stamps.windows(2) {
        let apart_us = pair[1].corrected_us - pair[0].corrected_us;
        let sent_apart_us = pair[1].sent_us - pair[0].sent_us;
        besides.add(Duration::from_micros(apart_us.abs_diff(sent_apart_us)), 1);
    }
    besides
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from 1,000 to 1,400 µs and from 3,000 to 3,500 µs: 1,600 to 2,500 µs apart.
    fn pair(apart_us: i64, bounds_us: [Option<i64>; 2]) -> [Stamp; 2] {
        let stamp = |sent_us, acknowledged_us, corrected_us, bound_us| Stamp {
            sent_us,
            acknowledged_us,
            ts_us: corrected_us * 10,
            corrected_us,
            bound_us,
        };
        [
            stamp(1_000, 1_400, 70_000, bounds_us[0]),
            stamp(3_000, 3_500, 70_000 + apart_us, bounds_us[1]),
        ]
    }

    #[test]
    fn stamps_may_miss_what_their_order_allows_by_both_bounds() {
        let check = |apart_us, beside_us, comparable| {
            let found = Compared::of(&pair(apart_us, [Some(30), Some(20)]));
            let expected = Compared {
                pairs: 1,
                comparable,
                comparable_raw: 0,
                largest_us: beside_us,
                least_bounds_us: 50,
            };
            assert_eq!(found, expected, "{apart_us} µs apart");
        };
        check(1_600, 0, 1);
        check(2_500, 0, 1);
        check(1_550, 50, 1);
        check(1_549, 51, 0);
        check(2_550, 50, 1);
        check(2_551, 51, 0);
        check(-9_000, 10_600, 0);
    }

    #[test]
    fn both_more_and_less_than_between_the_sendings_counts() {
        for apart_us in [1_960, 2_040] {
            let besides = beside_sendings(&pair(apart_us, [None; 2]));
            assert!((besides.max_us() - 40.0).abs() < 0.1, "{}", besides.max_us());
        }
    }

    #[test]
    fn a_record_without_a_bound_cannot_be_compared() {
        let found = Compared::of(&pair(2_000, [Some(30), None]));
        assert_eq!((found.pairs, found.comparable), (1, 0));
        assert!(found.share().abs() < f64::EPSILON);
    }
}
