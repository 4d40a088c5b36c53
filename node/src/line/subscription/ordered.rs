//! Delivery by time of origin, for `SUBSCRIBE --order`: what the cursor brings is held back a while and put in order.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wiber_protocol::{
    ids::LogId,
    line::HandedOut,
    reorder::{Origin, Released, Reorder, ReorderLimits},
};

use super::{Cursor, Following, PAGE_BYTES, lag::Lag};
use crate::fetch::Committed;

/// Records that one subscription holds back at most, and bytes of their lines. Beyond, the earliest go before their time.
const HELD_RECORDS: usize = 16_384;
const HELD_BYTES: usize = 8 << 20;

/// What is held back: finished lines.
struct Line {
    text: Vec<u8>,
    log_id: LogId,
}

struct Ordered<'a> {
    following: &'a Following,
    start: Instant,
    buffer: Reorder<Line>,
}

impl Following {
    /// As [`Following::run`], by time of origin.
    pub(super) async fn run_ordered(&self, mut cursor: Cursor, hold: Duration) -> Option<()> {
        let mut ordered = Ordered {
            following: self,
            start: Instant::now(),
            buffer: Reorder::new(ReorderLimits {
                hold_us: micros(hold),
                records: HELD_RECORDS,
                bytes: HELD_BYTES,
            }),
        };
        let mut lag = Lag::default();
        loop {
            cursor.mark_unchanged();
            let records = match cursor.records(self).await {
                Ok(records) => records,
                Err(error) => {
                    ordered.give(&cursor, Reorder::pop_any).await?;
                    return self.end(error, &cursor.place()).await;
                }
            };
            let has_all = records.is_empty();
            if !has_all {
                self.tell_lag(&mut lag, &cursor, records.len()).await?;
            }
            for record in records {
                ordered.take(&record);
            }
            let now_us = ordered.now_us();
            ordered.give(&cursor, |buffer| buffer.pop(now_us)).await?;
            if has_all {
                ordered.wait(&mut cursor).await?;
                if matches!(cursor, Cursor::Pattern(_)) {
                    self.pause().await;
                }
            }
        }
    }
}

impl Ordered<'_> {
    fn now_us(&self) -> u64 {
        micros(self.start.elapsed())
    }

    fn take(&mut self, record: &Committed) {
        let origin = Origin {
            corrected_us: record.record.corrected_us,
            lamport: record.lamport,
            node: record.record.node.clone(),
        };
        let how = HandedOut {
            late: self.buffer.is_late(&origin),
            ..HandedOut::default()
        };
        let mut text = Vec::new();
        record.view().write_record_with(how, &mut text);
        text.shrink_to_fit();
        let line = Line {
            log_id: record.log_id,
            text,
        };
        let bytes = line.text.len();
        self.buffer.push(self.now_us(), origin, bytes, line);
    }

    /// Delivers what `pop` gives.
    async fn give(
        &mut self,
        cursor: &Cursor,
        mut pop: impl FnMut(&mut Reorder<Line>) -> Option<Released<Line>>,
    ) -> Option<()> {
        let mut page = Vec::new();
        let mut count = 0;
        let mut next = pop(&mut self.buffer);
        while let Some(released) = next {
            page.extend_from_slice(&released.item.text);
            count += 1;
            let last: LogId = released.item.log_id;
            next = pop(&mut self.buffer);
            if next.is_none() || page.len() >= PAGE_BYTES {
                self.following
                    .deliver(Some(std::mem::take(&mut page)), false)
                    .await?;
                self.following.note(count, last, || cursor.place());
                count = 0;
            }
        }
        Some(())
    }

    /// Waits for records, or until something that is held is due.
    async fn wait(&self, cursor: &mut Cursor) -> Option<()> {
        let Some(due_us) = self.buffer.next_due_us() else {
            return cursor.changed().await;
        };
        let due = self.start + Duration::from_micros(due_us);
        tokio::select! {
            biased;
            changed = cursor.changed() => changed,
            () = sleep_until(due) => Some(()),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
