//! A subscription: a cursor that is woken by its topic's watermark and pulls by offset.
//!
//! It holds one small page at a time. While the client does not read, the page waits, the cursor stands still,
//! and nobody else notices.

use std::sync::Arc;

use tokio::sync::mpsc;
use wiber_protocol::{event::EventKind, line::Reply};

use super::{Clients, responder::Delivery};
use crate::{
    fetch::{Committed, FetchError},
    group::Group,
    metrics::count_many,
};

/// Records and bytes of bodies fetched at a time.
const PAGE_RECORDS: usize = 1_024;
const PAGE_BYTES: usize = 64 << 10;

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

impl Cursor {
    /// Delivers until the connection is gone or the log cannot be read.
    pub(super) async fn run(mut self, deliveries: mpsc::Sender<Delivery>) {
        let topic = self.key.0.clone();
        let mut changed = self.group.watermarks.topic(&topic);
        loop {
            // Seen before the state is read: what comes after wakes this task again.
            changed.mark_unchanged();
            let records = match self
                .group
                .fetch(&topic, self.next, PAGE_RECORDS, PAGE_BYTES)
                .await
            {
                Ok(records) => records,
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
            let Some(last) = records.last() else {
                if changed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.next = last.offset + 1;
            let page = self.page(&records);
            if deliveries.send(self.delivery(Some(page))).await.is_err() {
                return;
            }
            self.note(&records, last);
        }
    }

    fn page(&self, records: &[Committed]) -> Vec<u8> {
        let mut out = Vec::new();
        for committed in records {
            match self.key.1 {
                Form::Msg => committed.view().write_msg(&mut out),
                Form::Record => committed.view().write_record(&mut out),
            }
        }
        out
    }

    fn delivery(&self, page: Option<Vec<u8>>) -> Delivery {
        Delivery {
            key: self.key.clone(),
            number: self.number,
            page,
            last: false,
        }
    }

    fn note(&self, records: &[Committed], last: &Committed) {
        count_many(&self.clients.counters.delivered, records.len());
        if self.clients.trace.allow_local(EventKind::Deliver) {
            self.clients
                .trace
                .local(EventKind::Deliver, last.log_id.term, |event| {
                    event.log_index = Some(last.log_id.index);
                    event.records = u32::try_from(records.len()).ok();
                    event.detail = Some(format!("{} up to offset {}", self.key.0, last.offset));
                });
        }
    }
}
