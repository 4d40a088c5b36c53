//! A subscription: a cursor that is woken by its topic's watermark and pulls by offset.
//!
//! It holds one small page at a time. While the client does not read, the page waits, the cursor stands still,
//! and nobody else notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use wiber_protocol::{event::EventKind, ids::LogId, line::Reply};

use super::{Clients, lines::Lines, responder::Delivery};
use crate::{
    fetch::{Committed, FetchError},
    group::Group,
    metrics::count_many,
    state::Found,
};

/// Records and bytes of bodies fetched at a time.
const PAGE_RECORDS: usize = 1_024;
const PAGE_BYTES: usize = 64 << 10;
/// Entries looked up at a time when they are in memory.
const HOT_ENTRIES: usize = 32;
/// Between two deliveries of one subscription, for each subscription of the node; less than the shortest is none.
const PAUSE_PER_CURSOR: Duration = Duration::from_micros(50);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Nine fields, for `SUB`.
    Msg,
    /// One JSON document, for `SUBSCRIBE`.
    Record,
}

/// Where a subscription stands.
pub(super) struct Cursor {
    pub group: Arc<Group>,
    pub clients: Arc<Clients>,
    /// The topic, and how its records are shown.
    pub key: (String, Form),
    /// Which subscription of its connection this is.
    pub number: u64,
    /// The next offset to deliver.
    pub next: u64,
}

impl Form {
    pub(super) fn write(self, committed: &Committed, out: &mut Vec<u8>) {
        match self {
            Self::Msg => committed.view().write_msg(out),
            Self::Record => committed.view().write_record(out),
        }
    }
}

/// Lines to deliver.
struct Page {
    lines: Vec<u8>,
    count: usize,
    last: LogId,
    /// There is more at once.
    is_full: bool,
}

impl Cursor {
    /// Delivers until the connection is gone or the log cannot be read.
    pub(super) async fn run(mut self, deliveries: mpsc::Sender<Delivery>) {
        let cursors = self.clients.cursors.clone();
        cursors.fetch_add(1, Ordering::Relaxed);
        let _counted = CountedCursor(cursors);
        let topic = self.key.0.clone();
        let mut changed = self.group.watermarks.topic(&topic);
        loop {
            // Seen before the state is read: what comes after wakes this task again.
            changed.mark_unchanged();
            let page = match self.page(&topic).await {
                Ok(page) => page,
                Err(FetchError::OutOfRange { start, end }) => {
                    // It fell behind retention. Where to go on is the client's to say.
                    let mut line = Vec::new();
                    Reply::OffsetOutOfRange { start, end }.write(&mut line);
                    let delivery = Delivery {
                        last: true,
                        ..self.delivery(Some(line))
                    };
                    drop(deliveries.send(delivery).await);
                    return;
                }
                Err(FetchError::Io(error)) => {
                    tracing::error!(target: "storage", "cannot read {topic} at offset {}: {error}", self.next);
                    drop(deliveries.send(self.delivery(None)).await);
                    return;
                }
            };
            let Some(page) = page else {
                if changed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let Page {
                lines,
                count,
                last,
                is_full,
            } = page;
            if deliveries.send(self.delivery(Some(lines))).await.is_err() {
                return;
            }
            self.note(count, last);
            if !is_full && let Some(pause) = self.pause() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// With many subscribers each waits a little for more to come: to write every record to everybody by itself would
    /// take more time than there is.
    fn pause(&self) -> Option<Duration> {
        let cursors = u32::try_from(self.clients.cursors.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_CURSOR.saturating_mul(cursors).min(LONGEST_PAUSE);
        (pause >= SHORTEST_PAUSE).then_some(pause)
    }

    /// The next lines; `None` when there are none yet. Moves the cursor.
    async fn page(&mut self, topic: &str) -> Result<Option<Page>, FetchError> {
        if let Some(page) = self.hot_page(topic)? {
            return Ok(Some(page));
        }
        let records = self
            .group
            .fetch(topic, self.next, PAGE_RECORDS, PAGE_BYTES)
            .await?;
        let Some(last) = records.last() else {
            return Ok(None);
        };
        self.next = last.offset + 1;
        let mut lines = Vec::new();
        for committed in &records {
            self.key.1.write(committed, &mut lines);
        }
        let is_full = lines.len() >= PAGE_BYTES;
        Ok(Some(Page {
            lines,
            count: records.len(),
            last: last.log_id,
            is_full,
        }))
    }

    /// What can be had from memory, sharing the work with others who follow the topic.
    fn hot_page(&mut self, topic: &str) -> Result<Option<Page>, FetchError> {
        let form = self.key.1;
        let found = {
            let state = self.group.state.read();
            if self.next < state.topics.log_start_offset(topic) {
                return Ok(None);
            }
            state.find(topic, self.next, HOT_ENTRIES)
        };
        let Found::Positions(positions) = found else {
            return Ok(None);
        };
        let mut page: Option<Page> = None;
        for position in positions {
            let index = position.note.log_index;
            let lines = match self.clients.lines.get(index, form, topic) {
                Some(lines) => lines,
                None => match self.group.hot_records(&position, topic)? {
                    Some(records) => {
                        let Some(lines) = Lines::of(&records, form) else {
                            break;
                        };
                        let lines = Arc::new(lines);
                        self.clients.lines.put(form, topic, lines.clone());
                        lines
                    }
                    None => break,
                },
            };
            let taken_bytes = page.as_ref().map_or(0, |page| page.lines.len());
            let (text, count, next) = lines.from(self.next, PAGE_BYTES.saturating_sub(taken_bytes));
            let page = page.get_or_insert_with(|| Page {
                lines: Vec::with_capacity(text.len()),
                count: 0,
                last: lines.log_id,
                is_full: false,
            });
            page.lines.extend_from_slice(text);
            page.count += count;
            page.last = lines.log_id;
            self.next = next;
            if next < lines.next_offset() || page.lines.len() >= PAGE_BYTES {
                page.is_full = true;
                break;
            }
        }
        Ok(page.filter(|page| page.count > 0))
    }

    fn delivery(&self, page: Option<Vec<u8>>) -> Delivery {
        Delivery {
            key: self.key.clone(),
            number: self.number,
            page,
            last: false,
        }
    }

    fn note(&self, count: usize, last: LogId) {
        count_many(&self.clients.counters.delivered, count);
        if self.clients.trace.allow_local(EventKind::Deliver) {
            self.clients.trace.local(EventKind::Deliver, last.term, |event| {
                event.log_index = Some(last.index);
                event.records = u32::try_from(count).ok();
                event.detail = Some(format!("{} up to offset {}", self.key.0, self.next - 1));
            });
        }
    }
}

/// Counts a cursor for as long as it lives, however its task ends.
struct CountedCursor(Arc<AtomicUsize>);

impl Drop for CountedCursor {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
