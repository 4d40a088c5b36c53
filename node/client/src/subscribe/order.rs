//! Records by their time of origin, held back in the client: a node would forget what it holds with the connection.

use std::time::Duration;

use tokio::time::Instant;
use wiber_protocol::{
    line::RecordLine,
    reorder::{Origin, Reorder, ReorderLimits},
};

/// What is held at most; beyond, the first in order go before their time.
const MAX_HELD_RECORDS: usize = 65_536;
const MAX_HELD_BYTES: usize = 64 << 20;
/// What a record takes beside its texts, roughly.
const RECORD_BYTES: usize = 256;

/// What is held back.
pub(super) struct Order {
    buffer: Reorder<Box<RecordLine>>,
    /// Times are counted from here.
    begun: Instant,
}

impl Order {
    pub(super) fn new(hold: Duration) -> Self {
        Self {
            buffer: Reorder::new(ReorderLimits {
                hold_us: micros(hold),
                records: MAX_HELD_RECORDS,
                bytes: MAX_HELD_BYTES,
            }),
            begun: Instant::now(),
        }
    }

    pub(super) fn push(&mut self, record: Box<RecordLine>) {
        let origin = Origin {
            corrected_us: record.corrected_us,
            lamport: record.logical_time,
            node: record.node.as_str().into(),
        };
        let bytes = RECORD_BYTES + record.text.len() + record.data.as_ref().map_or(0, String::len);
        self.buffer.push(self.now_us(), origin, bytes, record);
    }

    /// The next record that is due now.
    pub(super) fn pop(&mut self) -> Option<Box<RecordLine>> {
        let mut released = self.buffer.pop(self.now_us())?;
        released.item.late = released.late;
        Some(released.item)
    }

    /// When the next one is due if nothing arrives before.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due_us = self.buffer.next_due_us()?;
        Some(self.begun + Duration::from_micros(due_us))
    }

    fn now_us(&self) -> u64 {
        micros(self.begun.elapsed())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
