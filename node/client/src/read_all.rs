//! Any number of records of one topic, a page at a time, so that they fit into memory.

use std::{ops::RangeInclusive, vec};

use wiber_protocol::line::{Consistency, RecordLine};

use crate::{Client, Read, ReadError, ReadFrom, ReadPage};

/// The records of a read, one after the other; made by [`Client::read_all`]. It holds one page.
#[derive(Debug)]
pub struct ReadAll {
    client: Client,
    read: Read,
    /// The newest offset when it began, once that is known; then `read` is from an offset.
    end: Option<u64>,
    /// What was kept of the topic then.
    kept: Option<RangeInclusive<u64>>,
    page: vec::IntoIter<RecordLine>,
}

impl Client {
    /// Reads page after page, up to what is the newest record when it begins and [`Read::limit`] records in all.
    /// Records that retention drops meanwhile are left out, which their neighbours' offsets show.
    ///
    /// ```no_run
    /// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::ReadError> {
    /// use wiber_client::{Read, ReadFrom};
    ///
    /// let mut records = client.read_all(Read::new("lobby", ReadFrom::Last).limit(1_000_000));
    /// while let Some(record) = records.next().await? {
    ///     println!("{} {}", record.offset, record.text);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_all(&self, read: Read) -> ReadAll {
        ReadAll {
            client: self.clone(),
            read,
            end: None,
            kept: None,
            page: Vec::new().into_iter(),
        }
    }
}

impl ReadAll {
    /// The next record; `None` at the end. After an error it may be called again, and goes on where it was.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<RecordLine>, ReadError> {
        loop {
            if let Some(record) = self.page.next() {
                return Ok(Some(record));
            }
            match self.next_page().await? {
                Some(records) => self.page = records.into_iter(),
                None => return Ok(None),
            }
        }
    }

    /// The next records that were read together, at least one; `None` at the end. What [`Self::next`] has begun to give
    /// is not in it.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<RecordLine>>, ReadError> {
        let end = match self.end {
            Some(end) => end,
            None => self.begin().await?,
        };
        let ReadFrom::Offset(next) = self.read.from else {
            return Ok(None);
        };
        if next > end || self.read.limit == 0 {
            return Ok(None);
        }
        let limit = self.read.limit.min(end - next + 1);
        let page = self.page(self.read.clone().limit(limit)).await?;
        if page.records.is_empty() {
            self.end = Some(0);
            if self.read.consistency == Consistency::Strong {
                let reason = format!("offsets {next} to {end} were there, and now are not");
                return Err(ReadError::Unavailable(reason));
            }
            // Another node answered, which has less.
            return Ok(None);
        }
        self.read.limit -= page.records.len() as u64;
        self.read.from = ReadFrom::Offset(page.next_offset);
        Ok(Some(page.records))
    }

    /// The offsets of the topic that were kept when the read began, once that is known. If there are none, `1..=0` is a
    /// topic without any record yet, and a later start is what it goes on with: retention dropped all before.
    pub fn kept(&self) -> Option<RangeInclusive<u64>> {
        self.kept.clone()
    }

    /// Finds where the read begins and ends.
    async fn begin(&mut self) -> Result<u64, ReadError> {
        let look = self.read.clone().limit(1);
        let page = self.page(look).await?;
        let first = match self.read.from {
            ReadFrom::Last => page.first_of_last(self.read.limit),
            ReadFrom::Offset(offset) => offset.max(page.log_start_offset).max(1),
            ReadFrom::Since(_) => page
                .records
                .first()
                .map_or(page.next_offset, |record| record.offset),
        };
        self.read.from = ReadFrom::Offset(first);
        self.end = Some(page.high_watermark);
        self.kept = Some(page.log_start_offset.max(1)..=page.high_watermark);
        Ok(page.high_watermark)
    }

    /// One page, from the oldest record on where the place asked for is no longer kept.
    async fn page(&self, mut read: Read) -> Result<ReadPage, ReadError> {
        loop {
            match self.client.read_page(&read).await {
                Err(ReadError::OffsetOutOfRange { start, .. }) if matches!(read.from, ReadFrom::Offset(offset) if offset < start) =>
                {
                    read.from = ReadFrom::Offset(start);
                }
                page => return page,
            }
        }
    }
}
