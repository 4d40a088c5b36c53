//! Reading everything back: what was acknowledged is on each node, once, at its offset, and the same everywhere.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Instant,
};

use anyhow::{Context as _, anyhow};
use memchr::memmem;
use serde::Serialize;
use wiber_protocol::{
    config::NodeSpec,
    line::{MAX_READ_RECORDS, Reply},
};

use super::{
    cluster::Cluster,
    conn::Conn,
    figures::count,
    ledger::{Ledger, TopicLedger, fingerprint},
};
use crate::bench::{number, number_of};

/// What reading back found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct ReadBack {
    pub(super) acknowledged: u64,
    pub(super) records_per_node: u64,
    pub(super) nodes: usize,
    pub(super) seconds: f64,
    /// One sentence for each promise that was broken.
    pub(super) broken: Vec<String>,
}

impl fmt::Display for ReadBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "read back: {} acknowledged, {} records on each of {} nodes in {:.0} s: {}",
            count(self.acknowledged),
            count(self.records_per_node),
            self.nodes,
            self.seconds,
            match self.broken.len() {
                0 => "nothing missing, nothing double, the same on all nodes".to_owned(),
                broken => format!("{broken} promises BROKEN"),
            }
        )
    }
}

pub(super) fn check(cluster: &Cluster, ledger: &Ledger) -> anyhow::Result<ReadBack> {
    cluster.await_settled()?;
    let began = Instant::now();
    let mut found = ReadBack {
        nodes: cluster.nodes().len(),
        ..ReadBack::default()
    };
    for (name, topic) in ledger.iter() {
        found.acknowledged += topic.len() as u64;
        let told_twice = topic.told_twice().iter();
        found
            .broken
            .extend(told_twice.map(|offset| format!("{name}: two publishes were told offset {offset}")));
        let mut digests = Vec::new();
        for node in cluster.nodes() {
            let mut check = TopicCheck::new(topic);
            check
                .read(node, name)
                .with_context(|| format!("{name} on {}", node.id))?;
            let (records, digest) = (check.next_offset - 1, check.digest.finish());
            let broken = check.finish();
            found.broken.extend(
                broken
                    .into_iter()
                    .map(|what| format!("{name} on {}: {what}", node.id)),
            );
            digests.push((records, digest));
        }
        if digests.iter().any(|digest| *digest != digests[0]) {
            found
                .broken
                .push(format!("{name}: the nodes hold different records"));
        }
        found.records_per_node += digests[0].0;
    }
    found.seconds = began.elapsed().as_secs_f64();
    Ok(found)
}

/// One topic on one node.
struct TopicCheck<'a> {
    topic: &'a TopicLedger,
    next_offset: u64,
    /// Acknowledged without an offset, and not found yet.
    wanted: HashSet<u64>,
    seen: Vec<u64>,
    /// Records that nobody was told of.
    unacknowledged: u64,
    digest: DefaultHasher,
    broken: Vec<String>,
}

impl<'a> TopicCheck<'a> {
    fn new(topic: &'a TopicLedger) -> Self {
        Self {
            topic,
            next_offset: 1,
            wanted: topic.somewhere().clone(),
            seen: Vec::new(),
            unacknowledged: 0,
            digest: DefaultHasher::new(),
            broken: Vec::new(),
        }
    }

    /// Reads the topic page by page, from what the node itself has.
    fn read(&mut self, node: &NodeSpec, name: &str) -> anyhow::Result<()> {
        let mut conn = Conn::open(node)?;
        loop {
            let first = self.next_offset;
            let command = format!("READ {name} --from {first} --limit {MAX_READ_RECORDS} --local\n");
            let end = conn.ask(&command, |line| self.record(line))?;
            let Some(Reply::ReadEnd { high_watermark, .. }) = Reply::parse(&end) else {
                return Err(anyhow!("`{end}` instead of the end of a page"));
            };
            if self.next_offset > high_watermark {
                return Ok(());
            }
            if self.next_offset == first {
                return Err(anyhow!(
                    "nothing at offset {first}, and {high_watermark} is the last"
                ));
            }
        }
    }

    fn record(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let wrong = || anyhow!("not a record: `{}`", String::from_utf8_lossy(line));
        let record = fields(line).ok_or_else(wrong)?;
        line.hash(&mut self.digest);
        if record.offset != self.next_offset {
            let what = format!("offset {} instead of {}", record.offset, self.next_offset);
            self.note(what);
        }
        self.next_offset = record.offset + 1;
        let fingerprint = fingerprint(record.id, record.number);
        self.seen.push(fingerprint);
        match self.topic.at_offset(record.offset) {
            Some(expected) if expected == fingerprint => {}
            Some(_) => self.note(format!(
                "another record at offset {} than was acknowledged",
                record.offset
            )),
            None if self.wanted.remove(&fingerprint) => {}
            None => self.unacknowledged += 1,
        }
        Ok(())
    }

    fn note(&mut self, what: String) {
        const ENOUGH: usize = 10;
        if self.broken.len() < ENOUGH {
            self.broken.push(what);
        }
    }

    fn finish(mut self) -> Vec<String> {
        let last = self.topic.last_offset();
        if self.next_offset <= last {
            self.note(format!(
                "acknowledged up to offset {last}, and {} is the last",
                self.next_offset - 1
            ));
        }
        if !self.wanted.is_empty() {
            self.note(format!("{} acknowledged records are missing", self.wanted.len()));
        }
        if self.unacknowledged > 0 && self.topic.is_complete() {
            self.note(format!(
                "{} records that were never acknowledged",
                self.unacknowledged
            ));
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.sort_unstable();
        let double = seen.windows(2).filter(|pair| pair[0] == pair[1]).count();
        if double > 0 {
            self.note(format!("{double} records are there twice"));
        }
        self.broken
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Fields<'a> {
    id: &'a [u8],
    offset: u64,
    number: u64,
}

/// What is checked of a `RECORD` line. Ids and numbers of a bench need no escapes, so no JSON parser is needed for
/// millions of them.
fn fields(line: &[u8]) -> Option<Fields<'_>> {
    let id_at = memmem::find(line, br#","id":""#)? + 7;
    let id_len = memchr::memchr(b'"', &line[id_at..])?;
    let rest = line[id_at + id_len..].strip_prefix(br#"","offset":"#)?;
    let offset_len = memchr::memchr(b',', rest)?;
    let text_at = memmem::find(rest, br#","text":""#)? + 9;
    Some(Fields {
        id: &line[id_at..id_at + id_len],
        offset: number(&rest[..offset_len])?,
        number: number_of(&rest[text_at..])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Ack, Observer as _};

    fn line(id: &str, offset: u64, number: u64) -> String {
        format!(
            r#"RECORD {{"topic":"t","id":"{id}","offset":{offset},"ts":1.5,"corrected_ts":1.5,"logical_time":7,"clock_type":"logical","node":"n1","log_index":3,"text":"{number:012x}abc"}}"#
        )
    }

    fn broken(acknowledged: &[(&str, u64, Option<u64>)], read: &[(&str, u64, u64)]) -> Vec<String> {
        let mut topic = TopicLedger::default();
        for (id, number, offset) in acknowledged {
            let ack = Ack {
                id: id.as_bytes(),
                offset: *offset,
            };
            topic.acknowledged(*number, &ack);
        }
        let mut check = TopicCheck::new(&topic);
        for (id, offset, number) in read {
            check.record(line(id, *offset, *number).as_bytes()).unwrap();
        }
        check.finish()
    }

    #[test]
    fn a_record_line_is_read_without_a_parser() {
        let line = line("n1-a", 42, 0xbeef);
        let expected = Fields {
            id: b"n1-a",
            offset: 42,
            number: 0xbeef,
        };
        assert_eq!(fields(line.as_bytes()), Some(expected));
        assert_eq!(fields(b"RECORD {}"), None);
    }

    #[test]
    fn what_was_acknowledged_and_is_there_breaks_nothing() {
        let acknowledged = [("a", 0, Some(1)), ("b", 1, None), ("c", 2, Some(3))];
        assert!(broken(&acknowledged, &[("a", 1, 0), ("b", 2, 1), ("c", 3, 2)]).is_empty());
    }

    #[test]
    fn what_is_missing_double_or_different_is_found() {
        let two = [("a", 0, Some(1)), ("b", 1, Some(2))];
        let check = |read: &[(&str, u64, u64)], expected: &str| {
            assert_eq!(broken(&two, read).first().map(String::as_str), Some(expected));
        };
        check(&[("a", 1, 0)], "acknowledged up to offset 2, and 1 is the last");
        check(
            &[("a", 1, 0), ("x", 2, 1)],
            "another record at offset 2 than was acknowledged",
        );
        check(
            &[("a", 1, 0), ("b", 2, 9)],
            "another record at offset 2 than was acknowledged",
        );
        check(&[("a", 1, 0), ("b", 3, 1)], "offset 3 instead of 2");
        check(
            &[("a", 1, 0), ("b", 2, 1), ("z", 3, 5)],
            "1 records that were never acknowledged",
        );
        let somewhere = [("a", 0, None)];
        assert_eq!(broken(&somewhere, &[]), ["1 acknowledged records are missing"]);
        let twice = broken(&somewhere, &[("a", 1, 0), ("a", 2, 0)]);
        assert_eq!(
            twice.last().map(String::as_str),
            Some("1 records are there twice")
        );
    }
}
