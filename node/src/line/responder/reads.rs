//! Answers to reads of the past: a page of records at a time, so that none is held in memory as a whole.

use std::collections::VecDeque;

use wiber_protocol::line::{Consistency, ReadJson, ReadStart, Reply};

use super::{FLUSH_BYTES, Gone, ReadStep, Responder};
use crate::{
    fetch::{Committed, FetchError, PAGE_BYTES},
    group::Group,
};

/// A read of the last records goes back from the end by at most this many at a time.
const BACK_STEP: u64 = 1_024;

/// How a record is written.
type Write = fn(&Committed, &mut Vec<u8>);

/// Why a read ends with an error.
enum Refusal {
    Unavailable(String),
    Fetch(FetchError),
}

/// Where a read ends.
struct ReadEnd {
    high_watermark: u64,
    log_start_offset: u64,
    next_offset: u64,
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

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
        let write: Write = |committed, out| committed.view().write_history(out);
        match self.pages(&group, topic, first, end, usize::MAX, write).await? {
            Ok(_) => Reply::HistoryEnd.write(&mut self.out),
            Err(error) => self.refuse_read(topic, Refusal::Fetch(error), false),
        }
        Ok(())
    }

    pub(super) async fn read(&mut self, read: ReadStep) -> Result<(), Gone> {
        let consistency = read.consistency;
        match self.read_records(&read).await? {
            Err(refusal) => self.refuse_read(&read.topic, refusal, read.json),
            Ok(ReadEnd {
                high_watermark,
                log_start_offset,
                next_offset,
            }) if read.json => ReadJson::ReadEnd {
                high_watermark,
                log_start_offset,
                consistency,
                next_offset,
            }
            .write(&mut self.out),
            Ok(end) => Reply::ReadEnd {
                high_watermark: end.high_watermark,
                log_start_offset: end.log_start_offset,
                consistency,
                next_offset: end.next_offset,
            }
            .write(&mut self.out),
        }
        Ok(())
    }

    /// Writes the records asked for; what ends the answer is for the caller to write.
    async fn read_records(&mut self, read: &ReadStep) -> Result<Result<ReadEnd, Refusal>, Gone> {
        let topic = read.topic.as_str();
        let Some(group) = self.clients.group.get() else {
            return Ok(Err(Refusal::Unavailable(super::NOT_LOADED.to_owned())));
        };
        match read.consistency {
            Consistency::Strong => {
                self.flush().await?;
                if let Err(error) = group.await_read_index().await {
                    return Ok(Err(Refusal::Unavailable(error.to_string())));
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
        let write: Write = if read.json {
            |committed, out| committed.view().write_json(out)
        } else {
            |committed, out| committed.view().write_record(out)
        };
        let first = match read.start {
            ReadStart::Last(count) => {
                let first = end.saturating_sub(count).max(log_start_offset);
                let shown = self.newest(&group, read, first, end, write).await?;
                return Ok(shown.map_err(Refusal::Fetch).map(|()| ReadEnd {
                    high_watermark,
                    log_start_offset,
                    next_offset: end,
                }));
            }
            ReadStart::Since(corrected_us) => match group.first_since(topic, corrected_us).await {
                // Later ones are not part of what this read looks at.
                Ok(first) => first.min(end),
                Err(error) => return Ok(Err(error.into())),
            },
            ReadStart::From(offset) => offset.max(1),
        };
        if first < log_start_offset {
            return Ok(Err(Refusal::Fetch(FetchError::OutOfRange {
                start: log_start_offset,
                end: high_watermark,
            })));
        }
        let beyond = first.saturating_add(read.limit).min(end);
        let shown = self
            .pages(&group, topic, first, beyond, read.max_bytes, write)
            .await?;
        Ok(shown.map_err(Refusal::Fetch).map(|next_offset| ReadEnd {
            high_watermark,
            log_start_offset,
            next_offset,
        }))
    }

    /// Writes the records of `first..end`, a page at a time, and no more than have `max_bytes` of lines, but one at least. Gives
    /// the offset after the last one.
    async fn pages(
        &mut self,
        group: &Group,
        topic: &str,
        first: u64,
        end: u64,
        max_bytes: usize,
        write: Write,
    ) -> Result<Result<u64, FetchError>, Gone> {
        let mut next = first;
        let mut left_bytes = max_bytes;
        while next < end {
            let limit = usize::try_from(end - next).unwrap_or(usize::MAX);
            let page_bytes = left_bytes.clamp(1, PAGE_BYTES);
            let page = match group.fetch(topic, next, limit, page_bytes).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            if page.is_empty() {
                break;
            }
            for committed in &page {
                let before = self.out.len();
                write(committed, &mut self.out);
                let line_bytes = self.out.len() - before;
                if line_bytes > left_bytes && next > first {
                    self.out.truncate(before);
                    return Ok(Ok(next));
                }
                left_bytes = left_bytes.saturating_sub(line_bytes);
                next = committed.offset + 1;
            }
            if left_bytes == 0 {
                break;
            }
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        Ok(Ok(next))
    }

    /// Writes the newest records of `first..end`, as many as fit the read's bytes of lines but one at least, oldest first.
    async fn newest(
        &mut self,
        group: &Group,
        read: &ReadStep,
        first: u64,
        end: u64,
        write: Write,
    ) -> Result<Result<(), FetchError>, Gone> {
        let pages = match newest_pages(group, read, first, end, write).await {
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

    fn refuse_read(&mut self, topic: &str, refusal: Refusal, json: bool) {
        let text;
        let reply = match refusal {
            Refusal::Unavailable(reason) => {
                text = reason;
                Reply::Unavailable { reason: &text }
            }
            Refusal::Fetch(FetchError::OutOfRange { start, end }) => Reply::OffsetOutOfRange { start, end },
            Refusal::Fetch(FetchError::Io(error)) => {
                tracing::error!(target: "storage", "cannot read {topic}: {error}");
                text = format!("cannot_read {error}");
                Reply::Refused { text: &text }
            }
        };
        if json {
            ReadJson::error(&reply).write(&mut self.out);
        } else {
            reply.write(&mut self.out);
        }
    }
}

/// The lines of the newest records of `first..end`, oldest first. Goes back from the end in steps that a page can hold.
async fn newest_pages(
    group: &Group,
    read: &ReadStep,
    first: u64,
    end: u64,
    write: Write,
) -> Result<VecDeque<Vec<u8>>, FetchError> {
    let mut pages = VecDeque::new();
    let (mut left_bytes, mut start, mut step) = (read.max_bytes, end, BACK_STEP);
    while start > first {
        let from = start.saturating_sub(step).max(first);
        let limit = usize::try_from(start - from).unwrap_or(usize::MAX);
        let page = group.fetch(&read.topic, from, limit, PAGE_BYTES).await?;
        if page.last().is_none_or(|last| last.offset + 1 < start) && start - from > 1 {
            // More than a page: its newest part is what is wanted.
            step = (start - from) / 2;
            continue;
        }
        let (mut lines, mut starts) = (Vec::new(), Vec::with_capacity(page.len()));
        for committed in &page {
            starts.push(lines.len());
            write(committed, &mut lines);
        }
        let kept_from = newest_that_fit(&starts, lines.len(), left_bytes, pages.is_empty());
        left_bytes -= (lines.len() - kept_from).min(left_bytes);
        lines.drain(..kept_from);
        pages.push_front(lines);
        if kept_from > 0 {
            break;
        }
        start = from;
        step = (step * 2).min(BACK_STEP);
    }
    Ok(pages)
}

/// Where the newest of some lines begin that fit `max_bytes` together, but one at least if `needs_one`. They begin at `starts`
/// and end at `end`.
fn newest_that_fit(starts: &[usize], end: usize, max_bytes: usize, needs_one: bool) -> usize {
    let fits = starts.partition_point(|start| end - start > max_bytes);
    match starts.get(fits) {
        Some(start) => *start,
        None if needs_one => starts.last().copied().unwrap_or(end),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use super::newest_that_fit;

    #[test]
    fn the_newest_lines_that_fit_are_kept_and_one_at_least() {
        let (starts, end) = ([0, 10, 40], 50);
        for (max_bytes, needs_one, kept_from) in [
            (50, false, 0),
            (49, false, 10),
            (40, false, 10),
            (39, false, 40),
            (10, false, 40),
            (9, false, 50),
            (0, false, 50),
            (9, true, 40),
            (0, true, 40),
        ] {
            assert_eq!(
                newest_that_fit(&starts, end, max_bytes, needs_one),
                kept_from,
                "{max_bytes} {needs_one}"
            );
        }
        assert_eq!(newest_that_fit(&[], 0, 0, true), 0);
    }
}
