//! One page of a topic, from the first node that can give it.

use bytes::Bytes;
use tokio::time::{Instant, timeout};
use wiber_protocol::line::{
    Command, Consistency, MAX_READ_RECORDS, ReadCommand, ReadStart, RecordLine, Reply,
};

use crate::{
    Client, Inner,
    link::{Answer, Failure},
};

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// So that it ends with the newest record.
    Last,
    /// At this offset.
    Offset(u64),
}

/// Some records of one topic, oldest first, with consecutive offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPage {
    pub records: Vec<RecordLine>,
    /// The offset of the topic's newest record when it was read; 0 if there is none.
    pub high_watermark: u64,
    /// The first offset that can still be read.
    pub log_start_offset: u64,
    /// How sure the page is.
    pub consistency: Consistency,
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request itself is wrong.
    #[error("{0}")]
    Rejected(String),
    /// Retention dropped the records at the offset asked for; offsets `start..=end` can be read.
    #[error("offsets {start} to {end} can be read")]
    OffsetOutOfRange { start: u64, end: u64 },
    /// No node gave an answer that is as sure as asked; the last reason.
    #[error("no node could answer the read: {0}")]
    Unavailable(String),
}

impl Client {
    /// Reads up to `limit` records (at most [`MAX_READ_RECORDS`], fewer if they are large:
    /// [`wiber_protocol::line::MAX_READ_BYTES`]) of `topic`. Asks each node once, the last good
    /// one first, and takes no longer than `read_timeout`; an unknown topic is an empty page.
    pub async fn read(
        &self,
        topic: &str,
        from: ReadFrom,
        limit: u64,
        consistency: Consistency,
    ) -> Result<ReadPage, ReadError> {
        let limit = limit.min(MAX_READ_RECORDS);
        let start = match from {
            ReadFrom::Last => ReadStart::Last(limit),
            ReadFrom::Offset(offset) => ReadStart::From(offset),
        };
        let mut line = Vec::new();
        let command = Command::Read(ReadCommand {
            limit,
            consistency,
            ..ReadCommand::new(topic, start)
        });
        command
            .write(&mut line)
            .map_err(|e| ReadError::Rejected(e.to_string()))?;
        self.inner.read_line(topic, &line.into(), consistency).await
    }
}

impl Inner {
    async fn read_line(
        &self,
        topic: &str,
        line: &Bytes,
        consistency: Consistency,
    ) -> Result<ReadPage, ReadError> {
        let mut reason = String::new();
        let mut node = self.preferred();
        let until = Instant::now() + self.options.read_timeout;
        for left in (1..=self.nodes.len()).rev() {
            let share =
                until.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            let asked = timeout(share, self.nodes[node].reads(consistency).ask(line.clone())).await;
            let page = match asked {
                Ok(Ok(answer)) => judge(topic, answer)?,
                Ok(Err(Failure::NotSent(reason) | Failure::Lost(reason))) => Err(reason),
                Err(_) => Err("no answer in time".to_owned()),
            };
            match page {
                Ok(page) => {
                    self.prefer(node);
                    return Ok(page);
                }
                Err(why) => reason = self.named(node, &why),
            }
            node = self.after(node);
        }
        Err(ReadError::Unavailable(reason))
    }
}

/// The page of an answer; or why another node should be asked; or why none should.
fn judge(topic: &str, Answer { records, reply }: Answer) -> Result<Result<ReadPage, String>, ReadError> {
    let (high_watermark, log_start_offset, consistency) = match Reply::parse(&reply) {
        Some(Reply::ReadEnd {
            high_watermark,
            log_start_offset,
            consistency,
            ..
        }) => (high_watermark, log_start_offset, consistency),
        Some(Reply::OffsetOutOfRange { start, end }) => {
            return Err(ReadError::OffsetOutOfRange { start, end });
        }
        Some(Reply::Refused { .. }) => return Err(ReadError::Rejected(reply)),
        _ => return Ok(Err(reply)),
    };
    let consecutive = records
        .windows(2)
        .all(|pair| pair[0].offset.checked_add(1) == Some(pair[1].offset));
    if !consecutive || records.iter().any(|record| record.topic != topic) {
        return Ok(Err("a page whose records do not belong together".to_owned()));
    }
    Ok(Ok(ReadPage {
        records,
        high_watermark,
        log_start_offset,
        consistency,
    }))
}
