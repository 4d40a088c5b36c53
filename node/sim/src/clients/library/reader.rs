//! Reads pages and whole topics.

use wiber_client::{Consistency, Read, ReadError, ReadFrom};

use super::Program;
use crate::{clients::TOPICS, count::Count, oracle::Shown, say};

/// Tells its strong reads from those of others.
const NUMBER: usize = 100;

impl Program {
    pub(super) async fn read(self) {
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(5, 300)).await;
            let topic = self.dice.pick(&TOPICS);
            if self.dice.permille(500) {
                self.last(topic).await;
            } else {
                self.all(topic).await;
            }
        }
    }

    /// The newest records, strongly.
    async fn last(&self, topic: &str) {
        let world = self.world();
        let floor = self.oracle().strong_read_begins(topic, NUMBER);
        let count = self.dice.between(1, 30);
        let read = Read::new(topic, ReadFrom::Last).limit(count);
        let page = match self.client.read_page(&read).await {
            Ok(page) => page,
            Err(error) => {
                self.oracle().strong_read_failed(topic, NUMBER);
                return self.excuse(&error);
            }
        };
        self.clients.cluster.look();
        self.oracle()
            .strong_read(world, topic, NUMBER, floor, page.high_watermark, &self.name);
        let first = page.first_of_last(count);
        for (expected, record) in (first..).zip(page.records) {
            if record.offset != expected {
                self.fail(&format!(
                    "reads {} of {topic} where {expected} belongs",
                    record.offset
                ));
            }
            self.oracle().shown(world, Shown::of(record), &self.name);
        }
    }

    /// From some place to what is the end when it begins, page by page.
    async fn all(&self, topic: &str) {
        let known = self.oracle().high_watermark(topic);
        let from = match self.dice.between(0, 3) {
            0 => ReadFrom::Last,
            1 => ReadFrom::Since(0),
            _ => ReadFrom::Offset(self.dice.between(0, known + 2)),
        };
        let limit = self.dice.pick(&[10, 100, u64::MAX]);
        let consistency = self.dice.pick(&[Consistency::Strong, Consistency::Local]);
        // A strong read shows what was acknowledged before it.
        let floor = match consistency {
            Consistency::Strong => self.oracle().floor(topic),
            Consistency::Local => 0,
        };
        let read = Read::new(topic, from)
            .limit(limit)
            .max_bytes(self.dice.index(20_000))
            .consistency(consistency);
        let mut records = self.client.read_all(read);
        let mut next = match from {
            ReadFrom::Offset(offset) => Some(offset.max(1)),
            _ => None,
        };
        let mut left = limit;
        loop {
            let record = match records.next().await {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => return self.excuse(&error),
            };
            self.look_for(topic, record.offset);
            self.skipped(topic, next, record.offset);
            next = Some(record.offset + 1);
            left -= 1;
            self.oracle().shown(self.world(), Shown::of(record), &self.name);
        }
        say!(self.world(), self.name, "read {topic} from {from:?} to {next:?}");
        self.world().count(Count::ReadThrough);
        if left > 0 && next.unwrap_or(1) <= floor {
            self.clients.cluster.look();
            self.oracle().dropped(self.world(), topic, floor + 1, &self.name);
        }
    }

    /// What lies between two records that follow each other is no longer kept.
    fn skipped(&self, topic: &str, next: Option<u64>, offset: u64) {
        match next {
            Some(next) if offset < next => {
                self.fail(&format!("reads {offset} of {topic} where {next} belongs"));
            }
            Some(next) if offset > next => self.oracle().dropped(self.world(), topic, offset, &self.name),
            _ => {}
        }
    }

    /// What a read may end with while nodes come and go.
    fn excuse(&self, error: &ReadError) {
        say!(self.world(), self.name, "{error}");
        if !matches!(
            error,
            ReadError::Unavailable(_) | ReadError::OffsetOutOfRange { .. }
        ) {
            self.fail(&format!("a read ends with: {error}"));
        }
    }
}
