//! Delivery by time of origin, for `SUBSCRIBE --order`: what the cursor brings is held back a while and put in order.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wiber_protocol::{
    ids::LogId,
    line::HandedOut,
    reorder::{Origin, Released, Reorder, ReorderLimits},
};

use super::{Cursor, Following, PAGE_BYTES, lag::Lag};
use crate::{fetch::Committed, line::room::OrderShare};

/// Records that one subscription holds back at most, and bytes of them. Beyond, the earliest go before their time, as they do
/// where all subscriptions of the node hold too much.
const HELD_RECORDS: usize = 16_384;
const HELD_BYTES: usize = 8 << 20;
/// What a record takes beside its line, about: its places by origin and by arrival.
const PLACE_BYTES: usize = 192;

/// What is held back: finished lines.
struct Line {
    text: Vec<u8>,
    log_id: LogId,
}

struct Ordered<'a> {
    following: &'a Following,
    start: Instant,
    buffer: Buffer,
}

/// What one subscription holds back, as a share of what all may.
struct Buffer {
    lines: Reorder<Line>,
    share: OrderShare,
}

impl Buffer {
    fn new(hold: Duration, share: OrderShare) -> Self {
        let lines = Reorder::new(ReorderLimits {
            hold_us: micros(hold),
            records: HELD_RECORDS,
            bytes: HELD_BYTES,
        });
        Self { lines, share }
    }

    fn push(&mut self, now_us: u64, origin: Origin, line: Line) {
        let bytes = line.text.len() + PLACE_BYTES;
        self.lines.push(now_us, origin, bytes, line);
        self.share.set(self.lines.bytes());
    }

    /// The next line that is due, or that there is no room for.
    fn pop(&mut self, now_us: u64) -> Option<Released<Line>> {
        match self.lines.pop(now_us) {
            None if self.share.is_exceeded() => self.pop_any(),
            released => {
                self.share.set(self.lines.bytes());
                released
            }
        }
    }

    /// The next line, whether or not its time has come.
    fn pop_any(&mut self) -> Option<Released<Line>> {
        let released = self.lines.pop_any();
        self.share.set(self.lines.bytes());
        released
    }
}

impl Following {
    /// As [`Following::run`], by time of origin.
    pub(super) async fn run_ordered(&self, mut cursor: Cursor, hold: Duration) -> Option<()> {
        let mut ordered = Ordered {
            following: self,
            start: Instant::now(),
            buffer: Buffer::new(hold, self.clients.room.for_order()),
        };
        let mut lag = Lag::new(self.clients.lag_records);
        loop {
            cursor.mark_unchanged();
            let records = match cursor.records(self).await {
                Ok(records) => records,
                Err(error) => {
                    ordered.give(&cursor, Buffer::pop_any).await?;
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
            late: self.buffer.lines.is_late(&origin),
            ..HandedOut::default()
        };
        let mut text = Vec::new();
        record.view().write_record_with(how, &mut text);
        text.shrink_to_fit();
        let line = Line {
            log_id: record.log_id,
            text,
        };
        self.buffer.push(self.now_us(), origin, line);
    }

    /// Delivers what `pop` gives.
    async fn give(
        &mut self,
        cursor: &Cursor,
        mut pop: impl FnMut(&mut Buffer) -> Option<Released<Line>>,
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
        let Some(due_us) = self.buffer.lines.next_due_us() else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::room::OrderRoom;

    const LINE_BYTES: usize = 1_000;

    fn push(buffer: &mut Buffer, corrected_us: i64) {
        let origin = Origin {
            corrected_us,
            lamport: 1,
            node: "n1".into(),
        };
        let line = Line {
            text: vec![0; LINE_BYTES],
            log_id: LogId::default(),
        };
        buffer.push(0, origin, line);
    }

    /// Each was within its own bound, and all together had none.
    #[test]
    fn where_all_buffers_hold_too_much_one_gives_its_earliest_early() {
        let room = OrderRoom::new(3 * (LINE_BYTES + PLACE_BYTES));
        let new = || Buffer::new(Duration::from_mins(1), room.share());
        let (mut first, mut second) = (new(), new());
        push(&mut first, 1);
        push(&mut first, 2);
        push(&mut second, 4);
        assert!(first.pop(0).is_none() && second.pop(0).is_none());
        push(&mut second, 3);
        let early = second.pop(0).expect("there is no room for it");
        assert!(!early.late);
        assert!(second.pop(0).is_none() && first.pop(0).is_none());
        // What belongs in front of it is late now, and what is behind it is not.
        drop(first);
        push(&mut second, 5);
        push(&mut second, 6);
        assert!(second.pop(0).is_none());
        push(&mut second, 2);
        assert!(second.pop(0).is_some_and(|released| released.late));
    }

    #[test]
    fn what_a_dropped_buffer_held_is_given_back() {
        let room = OrderRoom::new(0);
        let mut buffer = Buffer::new(Duration::from_mins(1), room.share());
        push(&mut buffer, 1);
        let other = room.share();
        assert!(other.is_exceeded());
        drop(buffer);
        assert!(!other.is_exceeded());
    }
}
