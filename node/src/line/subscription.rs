//! A subscription: a cursor that is woken by its topic's watermark and pulls by offset.
//!
//! It holds one small page at a time. While the client does not read, the page waits, the cursor stands still,
//! and nobody else notices.

use std::sync::Arc;

use tokio::sync::mpsc;
use wiber_protocol::event::EventKind;

use super::Clients;
use crate::{group::Group, metrics::count_many};

/// Records and bytes of bodies fetched at a time.
const PAGE_RECORDS: usize = 1_024;
const PAGE_BYTES: usize = 64 << 10;

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nine fields, for `SUB`.
    Msg,
    /// One JSON document, for `SUBSCRIBE`.
    Record,
}

/// Delivers from `next` on until the connection is gone.
pub(super) async fn run(
    group: Arc<Group>,
    clients: Arc<Clients>,
    topic: String,
    mut next: u64,
    form: Form,
    pages: mpsc::Sender<Vec<u8>>,
) {
    let mut changed = group.watermarks.topic(&topic);
    loop {
        // Seen before the state is read: what comes after wakes this task again.
        changed.mark_unchanged();
        let page = match group.fetch(&topic, next, PAGE_RECORDS, PAGE_BYTES).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(target: "storage", "cannot read {topic} at offset {next}: {error}");
                return;
            }
        };
        let Some(last) = page.last() else {
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        };
        next = last.offset + 1;
        let mut out = Vec::new();
        for committed in &page {
            match form {
                Form::Msg => committed.view().write_msg(&mut out),
                Form::Record => committed.view().write_record(&mut out),
            }
        }
        if pages.send(out).await.is_err() {
            return;
        }
        count_many(&clients.counters.delivered, page.len());
        if clients.trace.allow_local(EventKind::Deliver) {
            clients
                .trace
                .local(EventKind::Deliver, last.log_id.term, |event| {
                    event.log_index = Some(last.log_id.index);
                    event.records = u32::try_from(page.len()).ok();
                    event.detail = Some(format!("{topic} up to offset {}", last.offset));
                });
        }
    }
}
