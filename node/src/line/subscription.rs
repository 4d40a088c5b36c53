//! A subscription: a cursor that is woken when there may be more, and pulls.
//!
//! It holds one small page at a time. While the client does not read, the page waits, the cursor stands still,
//! and nobody else notices.

mod lag;
mod ordered;
mod pattern;
mod topic;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use wiber_protocol::{
    event::EventKind,
    ids::LogId,
    line::{Ended, Reply},
};

pub use self::lag::LAG_RECORDS;
use self::lag::Lag;
pub(super) use self::{pattern::PatternCursor, topic::TopicCursor};
use super::{Clients, lines::Lines, responder::Delivery};
use crate::{
    fetch::{Committed, FetchError},
    group::Group,
    metrics::count_many,
};

/// Records and bytes of bodies fetched at a time.
const PAGE_RECORDS: usize = 1_024;
const PAGE_BYTES: usize = 64 << 10;
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

impl Form {
    pub(super) fn write(self, committed: &Committed, out: &mut Vec<u8>) {
        match self {
            Self::Msg => committed.view().write_msg(out),
            Self::Record => committed.view().write_record(out),
        }
    }
}

/// For whom records are taken.
pub(super) struct Following {
    pub group: Arc<Group>,
    pub clients: Arc<Clients>,
    /// The topic or pattern, and how its records are shown.
    pub key: (String, Form),
    /// Which subscription of its connection this is.
    pub number: u64,
    pub deliveries: mpsc::Sender<Delivery>,
}

/// A subscription, to be run as a task.
pub(super) struct Subscription {
    pub following: Following,
    pub cursor: Cursor,
    /// By time of origin, holding each record for so long at most.
    pub order: Option<Duration>,
}

/// Where a subscription stands.
pub(super) enum Cursor {
    Topic(TopicCursor),
    Pattern(PatternCursor),
}

impl Cursor {
    fn mark_unchanged(&mut self) {
        match self {
            Self::Topic(cursor) => cursor.mark_unchanged(),
            Self::Pattern(cursor) => cursor.mark_unchanged(),
        }
    }

    async fn changed(&mut self) -> Option<()> {
        match self {
            Self::Topic(cursor) => cursor.changed().await,
            Self::Pattern(cursor) => cursor.changed().await,
        }
    }

    /// Whether there was more than the last page held, as far as that is known without looking for it.
    fn has_more(&self, group: &Group) -> bool {
        match self {
            Self::Topic(cursor) => cursor.behind(group) > 0,
            Self::Pattern(cursor) => cursor.has_more(),
        }
    }

    fn behind(&self, group: &Group) -> u64 {
        match self {
            Self::Topic(cursor) => cursor.behind(group),
            Self::Pattern(cursor) => cursor.behind(group),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Topic(cursor) => cursor.place(),
            Self::Pattern(cursor) => cursor.place(),
        }
    }

    async fn records(&mut self, following: &Following) -> Result<Vec<Committed>, FetchError> {
        match self {
            Self::Topic(cursor) => cursor.records(following).await,
            Self::Pattern(cursor) => cursor.records(following).await,
        }
    }

    async fn page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        match self {
            Self::Topic(cursor) => cursor.page(following).await,
            Self::Pattern(cursor) => cursor.page(following).await,
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

impl Page {
    /// `None` without records.
    fn of(records: &[Committed], form: Form) -> Option<Self> {
        let last = records.last()?.log_id;
        let mut lines = Vec::new();
        for committed in records {
            form.write(committed, &mut lines);
        }
        Some(Self {
            is_full: lines.len() >= PAGE_BYTES,
            count: records.len(),
            last,
            lines,
        })
    }

    /// Adds what fits of an entry's lines from `next` on, and gives where to go on.
    fn add(page: &mut Option<Self>, lines: &Lines, next: u64) -> u64 {
        let taken_bytes = page.as_ref().map_or(0, |page| page.lines.len());
        let (text, count, next) = lines.from(next, PAGE_BYTES.saturating_sub(taken_bytes));
        let page = page.get_or_insert_with(|| Self {
            lines: Vec::with_capacity(text.len()),
            count: 0,
            last: lines.log_id,
            is_full: false,
        });
        page.lines.extend_from_slice(text);
        page.count += count;
        page.last = lines.log_id;
        page.is_full = next < lines.next_offset() || page.lines.len() >= PAGE_BYTES;
        next
    }
}

impl Subscription {
    /// Delivers until the connection is gone or the log cannot be read.
    pub(super) async fn run(self) {
        let cursors = self.following.clients.cursors.clone();
        cursors.fetch_add(1, Ordering::Relaxed);
        let _counted = CountedCursor(cursors);
        let Self {
            following,
            cursor,
            order,
        } = self;
        // What ends it is either told or has no one to be told.
        match order {
            None => following.run(cursor).await,
            // Rarely wanted, and larger: every subscription would have to hold room for it.
            Some(hold) => Box::pin(following.run_ordered(cursor, hold)).await,
        };
    }
}

impl Following {
    async fn run(&self, mut cursor: Cursor) -> Option<()> {
        let mut lag = Lag::new(self.clients.lag_records);
        loop {
            // Seen before the state is read: what comes after wakes this task again.
            cursor.mark_unchanged();
            let page = match cursor.page(self).await {
                Ok(page) => page,
                Err(error) => return self.end(error, &cursor.place()).await,
            };
            let Some(page) = page else {
                cursor.changed().await?;
                if matches!(cursor, Cursor::Pattern(_)) {
                    // Most of what wakes it is of other topics.
                    self.pause().await;
                }
                continue;
            };
            self.tell_lag(&mut lag, &cursor, page.count).await?;
            self.deliver(Some(page.lines), false).await?;
            self.note(page.count, page.last, || cursor.place());
            if !page.is_full {
                self.pause().await;
            }
        }
    }

    /// Tells how far behind the client is, with `page` records that the cursor has passed and the client has not got yet.
    /// For a pattern that goes through all topics, so it is done only where a page did not hold all there was.
    async fn tell_lag(&self, lag: &mut Lag, cursor: &Cursor, page: usize) -> Option<()> {
        let now = Instant::now();
        if self.key.1 != Form::Record || !lag.is_due(now) || !cursor.has_more(&self.group) {
            return Some(());
        }
        let behind = cursor.behind(&self.group) + page as u64;
        match lag.seen(now, &self.key.0, behind) {
            Some(line) => self.deliver(Some(line), false).await,
            None => Some(()),
        }
    }

    /// Tells why nothing more comes.
    async fn end(&self, error: FetchError, place: &str) -> Option<()> {
        match error {
            FetchError::OutOfRange { start, end } => {
                // It fell behind retention. Where to go on is the client's to say.
                let reply = match self.key.1 {
                    Form::Msg => Reply::OffsetOutOfRange { start, end },
                    Form::Record => Reply::Ended {
                        pattern: &self.key.0,
                        reason: Ended::OffsetOutOfRange { start, end },
                    },
                };
                let mut line = Vec::new();
                reply.write(&mut line);
                self.deliver(Some(line), true).await
            }
            FetchError::Io(error) => {
                tracing::error!(target: "storage", "cannot read on after {place}: {error}");
                self.deliver(None, true).await
            }
        }
    }

    /// `None` when the connection is gone.
    async fn deliver(&self, page: Option<Vec<u8>>, last: bool) -> Option<()> {
        let delivery = Delivery {
            key: self.key.clone(),
            number: self.number,
            page,
            last,
        };
        self.deliveries.send(delivery).await.ok()
    }

    /// With many subscribers each waits a little for more to come: to write every record to everybody by itself would
    /// take more time than there is.
    async fn pause(&self) {
        let cursors = u32::try_from(self.clients.cursors.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_CURSOR.saturating_mul(cursors).min(LONGEST_PAUSE);
        if pause >= SHORTEST_PAUSE {
            tokio::time::sleep(pause).await;
        }
    }

    fn note(&self, count: usize, last: LogId, place: impl FnOnce() -> String) {
        count_many(&self.clients.counters.delivered, count);
        if self.clients.trace.allow_local(EventKind::Deliver) {
            self.clients.trace.local(EventKind::Deliver, last.term, |event| {
                event.log_index = Some(last.index);
                event.records = u32::try_from(count).ok();
                event.detail = Some(place());
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
