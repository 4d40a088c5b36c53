//! What the node does when its log was flushed, or failed to be.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use wiber_protocol::event::EventKind;

use crate::status::StatusBoard;

/// A flush that takes this long is told on the console.
const SLOW_FLUSH: Duration = Duration::from_millis(50);

/// Hears of flushes on the log writer's thread.
pub(super) struct FlushObserver {
    pub(super) board: Arc<StatusBoard>,
    pub(super) fatal: mpsc::Sender<String>,
    /// Whether the disk has room.
    pub(super) room: watch::Sender<bool>,
    /// The newest flushed entry.
    pub(super) newest: watch::Sender<Option<u64>>,
}

impl wiber_storage::Observer for FlushObserver {
    fn flushed(&self, last_index: Option<u64>, bytes: u64, elapsed: Duration) {
        let local = &self.board.local;
        self.board
            .flushed_us
            .store(local.clock.monotonic_us(), Ordering::Relaxed);
        if elapsed >= SLOW_FLUSH {
            tracing::warn!(target: "storage", "a flush of {bytes} bytes took {} ms", elapsed.as_millis());
        }
        self.newest.send_replace(last_index);
        // Without bytes nothing was flushed: entries went.
        if let Some(index) = last_index
            && bytes > 0
            && local.trace.allow_local(EventKind::Flush)
        {
            local
                .trace
                .local(EventKind::Flush, 0, |event| event.log_index = Some(index));
        }
        self.board.touch();
    }

    fn room(&self, has_room: bool) {
        if has_room {
            tracing::info!(target: "storage", "there is room on the disk again: takes messages");
        } else {
            tracing::error!(target: "storage", "the disk is full: takes no more messages until there is room; reads go on");
        }
        self.room.send_replace(has_room);
        self.board.touch();
    }

    fn failed(&self, error: &str) {
        tracing::error!(target: "storage", "{error}");
        // Bounded and only ever full of other reasons to stop.
        drop(self.fatal.try_send(error.to_owned()));
    }
}
