//! Answers to reads of the past: a page of records at a time, so that none is held in memory as a whole.

use std::collections::VecDeque;

use wiber_protocol::line::{Consistency, MAX_READ_BYTES, ReadStart, Reply};

use super::{FLUSH_BYTES, Gone, ReadStep, Responder};
use crate::{
    fetch::{Committed, FetchError, PAGE_BYTES},
    group::Group,
};

/// A read of the last records goes back from the end by at most this many at a time.
const BACK_STEP: u64 = 1_024;

impl Responder {
    pub(super) async fn history(&mut self, topic: &str, records: u64) -> Result<(), Gone> {
        let Some(group) = self.group_in_time().await? else {
            return Ok(());
        };
        self.await_caught_up(&group).await?;
        self.await_own_writes(&group, topic).await;
        let (start, end) = {
            let state = group.state.read();
            (
                state.topics.log_start_offset(topic),
                state.topics.next_offset(topic),
            )
        };
        let first = end.saturating_sub(records).max(start);
        let write = |committed: &Committed, out: &mut Vec<u8>| committed.view().write_history(out);
        match self.pages(&group, topic, first, end, usize::MAX, write).await? {
            Ok(()) => Reply::HistoryEnd.write(&mut self.out),
            Err(error) => self.cannot_read(topic, &error),
        }
        Ok(())
    }

    pub(super) async fn read(&mut self, read: ReadStep) -> Result<(), Gone> {
        let ReadStep {
            topic,
            start,
            limit,
            consistency,
            ..
        } = read;
        let topic = topic.as_str();
        let Some(group) = self.group() else { return Ok(()) };
        match consistency {
            Consistency::Strong => {
                self.flush().await?;
                if let Err(error) = group.await_read_index().await {
                    let reason = error.to_string();
                    Reply::Unavailable { reason: &reason }.write(&mut self.out);
                    return Ok(());
                }
            }
            Consistency::Local => {
                self.await_caught_up(&group).await?;
                self.await_own_writes(&group, topic).await;
            }
        }
        let (high_watermark, log_start_offset) = {
            let state = group.state.read();
            (
                state.topics.high_watermark(topic),
                state.topics.log_start_offset(topic),
            )
        };
        let end = high_watermark + 1;
        let read = match start {
            ReadStart::Last(count) => {
                let first = end.saturating_sub(count).max(log_start_offset);
                self.newest(&group, topic, first, end).await?
            }
            ReadStart::From(offset) if offset.max(1) < log_start_offset => {
                let (start, end) = (log_start_offset, high_watermark);
                Err(FetchError::OutOfRange { start, end })
            }
            ReadStart::Since(_) => Ok(()),
            ReadStart::From(offset) => {
                let first = offset.max(1);
                let end = first.saturating_add(limit).min(end);
                let write = |committed: &Committed, out: &mut Vec<u8>| committed.view().write_record(out);
                self.pages(&group, topic, first, end, MAX_READ_BYTES, write)
                    .await?
            }
        };
        if let Err(error) = read {
            self.cannot_read(topic, &error);
            return Ok(());
        }
        let reply = Reply::ReadEnd {
            high_watermark,
            log_start_offset,
            consistency,
            next_offset: end,
        };
        reply.write(&mut self.out);
        Ok(())
    }

    /// Writes the records of `first..end`, a page at a time, and no more once they have `max_bytes` of lines.
    async fn pages(
        &mut self,
        group: &Group,
        topic: &str,
        first: u64,
        end: u64,
        max_bytes: usize,
        write: impl Fn(&Committed, &mut Vec<u8>),
    ) -> Result<Result<(), FetchError>, Gone> {
        let mut next = first;
        let mut bytes = 0;
        while next < end {
            let limit = usize::try_from(end - next).unwrap_or(usize::MAX);
            let page = match group.fetch(topic, next, limit, PAGE_BYTES).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            let Some(last) = page.last() else { break };
            next = last.offset + 1;
            for committed in &page {
                let before = self.out.len();
                write(committed, &mut self.out);
                bytes += self.out.len() - before;
                if bytes >= max_bytes {
                    return Ok(Ok(()));
                }
            }
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        Ok(Ok(()))
    }

    /// Writes the newest records of `first..end`, as many as fit [`MAX_READ_BYTES`] of lines, oldest first.
    async fn newest(
        &mut self,
        group: &Group,
        topic: &str,
        first: u64,
        end: u64,
    ) -> Result<Result<(), FetchError>, Gone> {
        let pages = match newest_pages(group, topic, first, end).await {
            Ok(pages) => pages,
            Err(error) => return Ok(Err(error)),
        };
        for page in pages {
            self.out.extend_from_slice(&page);
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        Ok(Ok(()))
    }

    pub(super) fn cannot_read(&mut self, topic: &str, error: &FetchError) {
        if let FetchError::OutOfRange { start, end } = *error {
            return Reply::OffsetOutOfRange { start, end }.write(&mut self.out);
        }
        tracing::error!(target: "storage", "cannot read {topic}: {error}");
        let text = format!("cannot_read {error}");
        Reply::Refused { text: &text }.write(&mut self.out);
    }
}

/// The lines of the newest records of `first..end`, oldest first, no more pages than fit [`MAX_READ_BYTES`].
/// Goes back from the end in steps that a page can hold.
async fn newest_pages(
    group: &Group,
    topic: &str,
    first: u64,
    end: u64,
) -> Result<VecDeque<Vec<u8>>, FetchError> {
    let mut pages = VecDeque::new();
    let (mut bytes, mut start, mut step) = (0, end, BACK_STEP);
    while start > first {
        let from = start.saturating_sub(step).max(first);
        let limit = usize::try_from(start - from).unwrap_or(usize::MAX);
        let page = group.fetch(topic, from, limit, PAGE_BYTES).await?;
        if page.last().is_none_or(|last| last.offset + 1 < start) && start - from > 1 {
            // More than a page: its newest part is what is wanted.
            step = (start - from) / 2;
            continue;
        }
        let mut lines = Vec::new();
        for committed in &page {
            committed.view().write_record(&mut lines);
        }
        bytes += lines.len();
        if bytes > MAX_READ_BYTES {
            break;
        }
        pages.push_front(lines);
        start = from;
        step = (step * 2).min(BACK_STEP);
    }
    Ok(pages)
}
