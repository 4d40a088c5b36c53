//! A member of a group, at its connection: reads the records it was handed and writes their lines.
//!
//! As a subscription does, it holds one small page at a time. While the client does not read, it takes no further orders.

use std::sync::Arc;

use tokio::sync::mpsc;
use wiber_protocol::{
    event::EventKind,
    line::{Ended, HandedOut, Reply},
};

use super::{Clients, responder::Delivery, subscription::Form};
use crate::{
    fetch::{Committed, FetchError},
    group::Group,
    groups::{Handed, Order, Over, Seat},
    metrics::count_many,
    mutant::{self, Mutant},
};

/// Bytes of bodies fetched at a time.
const PAGE_BYTES: usize = 64 << 10;
/// Offsets that are read in one go though not all of them are wanted: members in turn get every second record or so.
const STRETCH: u64 = 64;

/// What a member writes with.
pub(super) struct Member {
    pub raft: Arc<Group>,
    pub clients: Arc<Clients>,
    /// The topic, and how its records are shown.
    pub key: (String, Form),
    pub group: String,
    /// Which subscription of its connection this is.
    pub number: u64,
    pub deliveries: mpsc::Sender<Delivery>,
}

impl Member {
    /// Delivers until the membership is over, the connection is gone or the log cannot be read.
    pub(super) async fn run(self, mut seat: Seat) {
        loop {
            let carried_out = match seat.next().await {
                Ok(order) => self.carry_out(order, &seat).await,
                Err(over) => {
                    let reason = match over {
                        Over::NotLeader => Ended::NotLeader,
                        Over::NoSuchGroup => Ended::NoSuchGroup,
                    };
                    let pattern = &self.key.0;
                    self.deliver(Some(line(Reply::Ended { pattern, reason })), true)
                        .await;
                    return;
                }
            };
            if carried_out.is_none() {
                return;
            }
        }
    }

    /// `None` when there is nobody to tell any more.
    async fn carry_out(&self, order: Order, seat: &Seat) -> Option<()> {
        if let Some((first, last)) = order.skipped {
            let skipped = Reply::Skipped {
                topic: &self.key.0,
                group: &self.group,
                first,
                last,
            };
            self.deliver(Some(line(skipped)), false).await?;
        }
        let mut rest = &order.handed[..];
        while let Some(first) = rest.first() {
            let end = first.offset + STRETCH;
            let stretch = rest.partition_point(|handed| handed.offset < end);
            let last = rest[stretch - 1].offset;
            let limit = usize::try_from(last - first.offset + 1).unwrap_or(usize::MAX);
            let page = self
                .raft
                .fetch(&self.key.0, first.offset, limit, PAGE_BYTES)
                .await;
            let next = match page {
                Ok(page) => {
                    self.write(&page, rest).await?;
                    page.last().map_or(first.offset + 1, |last| last.offset + 1)
                }
                // Retention was faster. Nobody can have them any more, which the coordinator tells.
                Err(FetchError::OutOfRange { start, .. }) => {
                    let next = start.max(first.offset + 1);
                    for gone in rest.iter().take_while(|handed| handed.offset < next) {
                        seat.give_back(gone.offset).await;
                    }
                    next
                }
                Err(FetchError::Io(error)) => {
                    let (topic, offset) = (&self.key.0, first.offset);
                    tracing::error!(target: "storage", "cannot read {topic} at offset {offset}: {error}");
                    self.deliver(None, true).await;
                    return None;
                }
            };
            rest = &rest[rest.partition_point(|handed| handed.offset < next)..];
        }
        Some(())
    }

    /// Which of a page's records are this member's: handed out to it, and neither done nor handed to another one since. Behind
    /// a client that reads slowly much may have happened.
    fn wanted(&self, page: &[Committed], handed: &[Handed]) -> Vec<Option<Handed>> {
        let state = self.raft.state.read();
        let group = state.groups.get(&self.key.0, &self.group);
        let of = |committed: &Committed| {
            let at = handed
                .binary_search_by_key(&committed.offset, |handed| handed.offset)
                .ok()?;
            let is_current = |handed: &Handed| {
                group.is_some_and(|group| group.deliveries(handed.offset) == handed.delivery)
                    || mutant::is_broken(Mutant::HandOutUnchecked)
            };
            Some(handed[at]).filter(is_current)
        };
        page.iter().map(of).collect()
    }

    /// Writes those of a page that are this member's.
    async fn write(&self, page: &[Committed], handed: &[Handed]) -> Option<()> {
        let (mut lines, mut count, mut last) = (Vec::new(), 0, None);
        for (committed, wanted) in page.iter().zip(self.wanted(page, handed)) {
            let Some(wanted) = wanted else { continue };
            let how = HandedOut {
                group: Some((&self.group, wanted.delivery)),
                late: false,
            };
            committed.view().write_record_with(how, &mut lines);
            count += 1;
            last = Some(committed);
        }
        let Some(last) = last else { return Some(()) };
        self.deliver(Some(lines), false).await?;
        count_many(&self.clients.counters.delivered, count);
        let trace = &self.clients.trace;
        if trace.allow_local(EventKind::Deliver) {
            trace.local(EventKind::Deliver, last.log_id.term, |event| {
                event.log_index = Some(last.log_id.index);
                event.records = u32::try_from(count).ok();
                event.detail = Some(format!(
                    "{} to {} up to offset {}",
                    self.key.0, self.group, last.offset
                ));
            });
        }
        Some(())
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
}

fn line(reply: Reply<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    reply.write(&mut line);
    line
}
