//! One page of a topic, from the first node that can give it.

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use wiber_protocol::line::{
    Command, Consistency, LineError, MAX_READ_BYTES, MAX_READ_RECORDS, ReadCommand, ReadStart, RecordLine,
    Reply,
};

use crate::{
    Client, Inner,
    link::Answer,
    reasons::{Reason, Reasons},
};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// So that it ends with the newest record.
    Last,
    /// At this offset; the first record's is 1.
    Offset(u64),
    /// At the first record from this moment of cluster time on, microseconds since the Unix epoch.
    Since(i64),
}

/// What to read.
///
/// ```no_run
/// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::ReadError> {
/// use wiber_client::{Consistency, Read, ReadFrom};
///
/// let mut read = Read::new("lobby", ReadFrom::Offset(1))
///     .limit(100)
///     .consistency(Consistency::Local);
/// let page = client.read_page(&read).await?;
/// // The next page:
/// read = read.from(ReadFrom::Offset(page.next_offset));
/// # let _ = read;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub(crate) topic: String,
    pub(crate) from: ReadFrom,
    pub(crate) limit: u64,
    max_bytes: usize,
    pub(crate) consistency: Consistency,
}

impl Read {
    /// As many records as a page may have, strongly consistent.
    pub fn new(topic: impl Into<String>, from: ReadFrom) -> Self {
        Self {
            topic: topic.into(),
            from,
            limit: u64::MAX,
            max_bytes: MAX_READ_BYTES,
            consistency: Consistency::Strong,
        }
    }

    /// Begins there.
    #[must_use]
    pub fn from(mut self, from: ReadFrom) -> Self {
        self.from = from;
        self
    }

    /// The most records. A page has at most [`MAX_READ_RECORDS`] whatever this is.
    #[must_use]
    pub fn limit(mut self, records: u64) -> Self {
        self.limit = records;
        self
    }

    /// Bounds the bytes of a page's records as the protocol writes them. A page that has any record at that place has at
    /// least one; and at most [`MAX_READ_BYTES`] whatever this is.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How sure a page has to be: [`Consistency::Strong`] if this is not said.
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    fn command(&self) -> Result<Bytes, LineError> {
        let limit = self.limit.min(MAX_READ_RECORDS);
        let (start, limit) = match self.from {
            ReadFrom::Last => (ReadStart::Last(limit), MAX_READ_RECORDS),
            ReadFrom::Offset(offset) => (ReadStart::From(offset), limit),
            ReadFrom::Since(us) => (ReadStart::Since(us), limit),
        };
        let mut line = Vec::new();
        let command = Command::Read(ReadCommand {
            limit,
            max_bytes: self.max_bytes.min(MAX_READ_BYTES),
            consistency: self.consistency,
            ..ReadCommand::new(&self.topic, start)
        });
        command.write(&mut line)?;
        Ok(line.into())
    }
}

/// Some records of one topic, oldest first, with consecutive offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPage {
    /// None if there is nothing at that place.
    pub records: Vec<RecordLine>,
    /// The offset of the topic's newest record when it was read; 0 if there is none.
    pub high_watermark: u64,
    /// The first offset that can still be read.
    pub log_start_offset: u64,
    /// How sure the page is.
    pub consistency: Consistency,
    /// The cursor: where the next page begins. Beyond `high_watermark` there is nothing yet.
    pub next_offset: u64,
}

impl ReadPage {
    /// Where the newest `count` records of the topic begin, or as many of them as are kept.
    pub fn first_of_last(&self, count: u64) -> u64 {
        let first = (self.high_watermark + 1).saturating_sub(count);
        first.max(self.log_start_offset).max(1)
    }
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request itself is wrong.
    #[error("{0}")]
    Rejected(String),
    /// Retention dropped the records at the offset asked for; offsets `start..=end` can be read.
    #[error("offsets {start} to {end} can be read")]
    OffsetOutOfRange {
        /// The oldest that is kept.
        start: u64,
        /// The newest.
        end: u64,
    },
    /// No node gave an answer that is as sure as asked. Says what each came to: what those that live said of the cluster
    /// before who cannot be reached.
    #[error("no node could answer the read: {0}")]
    Unavailable(String),
}

impl From<LineError> for ReadError {
    fn from(error: LineError) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl Client {
    /// Reads one page. Asks each node, the last good one first; and for `attempt_timeout` all of them again while one can be
    /// reached and none can answer for now, as when a leader is elected. It takes no longer than `read_timeout`. An unknown topic
    /// is an empty page.
    /// [`Client::read_all`] reads on by itself.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_page(&self, read: &Read) -> Result<ReadPage, ReadError> {
        self.inner.read_page(read).await
    }

    /// As [`Client::read_page`], in one call.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        topic: &str,
        from: ReadFrom,
        limit: u64,
        consistency: Consistency,
    ) -> Result<ReadPage, ReadError> {
        let read = Read::new(topic, from).limit(limit).consistency(consistency);
        self.read_page(&read).await
    }
}

/// What an answer to a read comes to: `Ok(Err)` is why another node should be asked, `Err` why none should.
pub(crate) type Judged<T> = Result<Result<T, Reason>, ReadError>;

impl Inner {
    pub(crate) async fn read_page(&self, read: &Read) -> Result<ReadPage, ReadError> {
        let command = read.command()?;
        let until = Instant::now() + self.options.read_timeout;
        // An election is over long before; without a majority nobody should wait for longer to hear it.
        let again_until = until.min(Instant::now() + self.options.attempt_timeout);
        let mut backoff = self.backoff();
        // Why the last whole round came to nothing: one that time cuts off knows less.
        let mut failed = None;
        loop {
            let judge = |answer| judge(&read.topic, answer);
            let reasons = match self.ask_each(&command, read.consistency, until, judge).await? {
                Ok(page) => return Ok(page),
                Err(reasons) => reasons,
            };
            let left = again_until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.unavailable(&failed.unwrap_or(reasons)));
            }
            if !reasons.is_any_reached() {
                return Err(self.unavailable(&reasons));
            }
            failed = Some(reasons);
            sleep(backoff.next().min(left)).await;
        }
    }

    /// Asks each node once, for `read_timeout` at most.
    pub(crate) async fn ask_in_turn<T>(
        &self,
        command: &Bytes,
        consistency: Consistency,
        judge: impl FnMut(Answer) -> Judged<T>,
    ) -> Result<T, ReadError> {
        let until = Instant::now() + self.options.read_timeout;
        let asked = self.ask_each(command, consistency, until, judge).await?;
        asked.map_err(|reasons| self.unavailable(&reasons))
    }

    fn unavailable(&self, reasons: &Reasons) -> ReadError {
        ReadError::Unavailable(self.in_words(reasons))
    }

    /// Asks each node once. Every node that is still to be asked gets an equal share of the time that is left.
    async fn ask_each<T>(
        &self,
        command: &Bytes,
        consistency: Consistency,
        until: Instant,
        mut judge: impl FnMut(Answer) -> Judged<T>,
    ) -> Result<Result<T, Reasons>, ReadError> {
        let mut reasons = Reasons::default();
        let mut node = self.preferred();
        for left in (1..=self.nodes.len()).rev() {
            let share =
                until.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            let asked = timeout(share, self.nodes[node].reads(consistency).ask(command.clone())).await;
            let found = match asked {
                Ok(Ok(answer)) => judge(answer)?,
                Ok(Err(failure)) => Err(failure.into()),
                Err(_) => Err(Reason::no_answer_in_time()),
            };
            match found {
                Ok(found) => {
                    self.prefer(node);
                    return Ok(Ok(found));
                }
                Err(reason) => reasons.note(node, reason),
            }
            node = self.after(node);
        }
        Ok(Err(reasons))
    }
}

fn judge(topic: &str, Answer { records, reply, .. }: Answer) -> Judged<ReadPage> {
    let page = match Reply::parse(&reply) {
        Some(Reply::ReadEnd {
            high_watermark,
            log_start_offset,
            consistency,
            next_offset,
        }) => ReadPage {
            records,
            high_watermark,
            log_start_offset,
            consistency,
            next_offset,
        },
        Some(Reply::OffsetOutOfRange { start, end }) => {
            return Err(ReadError::OffsetOutOfRange { start, end });
        }
        // That node's disk; another one has the records, too.
        Some(Reply::Refused { text }) if text.starts_with("cannot_read") => {
            return Ok(Err(Reason::said(&reply)));
        }
        Some(Reply::Refused { .. }) => return Err(ReadError::Rejected(reply)),
        _ => return Ok(Err(Reason::said(&reply))),
    };
    let offsets = page.records.iter().map(|record| record.offset);
    let ends = offsets.clone().skip(1).chain([page.next_offset]);
    let consecutive = offsets
        .zip(ends)
        .all(|(offset, next)| offset.checked_add(1) == Some(next));
    if !consecutive || page.records.iter().any(|record| record.topic != topic) {
        let why = "a page whose records do not belong together";
        return Ok(Err(Reason::Said(why.to_owned())));
    }
    Ok(Ok(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_records_begin_no_earlier_than_what_is_kept() {
        let check = |high_watermark, log_start_offset, count, expected| {
            let page = ReadPage {
                records: Vec::new(),
                high_watermark,
                log_start_offset,
                consistency: Consistency::Strong,
                next_offset: high_watermark + 1,
            };
            assert_eq!(page.first_of_last(count), expected);
        };
        check(100, 1, 10, 91);
        check(100, 95, 10, 95);
        check(5, 1, 10, 1);
        check(0, 1, 10, 1);
        check(100, 1, 0, 101);
    }
}
