//! A place in one topic: it is woken by the topic's watermark and pulls by offset.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Following, PAGE_BYTES, PAGE_RECORDS, Page};
use crate::{
    fetch::{Committed, FetchError},
    group::Group,
    line::lines::Lines,
    state::Found,
};

/// Entries looked up at a time when they are in memory.
const HOT_ENTRIES: usize = 32;

/// Where a subscription stands.
pub(in crate::line) struct TopicCursor {
    topic: String,
    /// The next offset to deliver.
    next: u64,
    changed: watch::Receiver<u64>,
}

impl TopicCursor {
    pub(in crate::line) fn new(group: &Group, topic: String, next: u64) -> Self {
        Self {
            changed: group.watermarks.topic(&topic),
            topic,
            next,
        }
    }

    /// What comes from here on ends the next wait.
    pub(super) fn mark_unchanged(&mut self) {
        self.changed.mark_unchanged();
    }

    /// Waits for records; `None` when the node stops.
    pub(super) async fn changed(&mut self) -> Option<()> {
        self.changed.changed().await.ok()
    }

    /// Records from here to the topic's end.
    pub(super) fn behind(&self, group: &Group) -> u64 {
        let end = group.state.read().topics.next_offset(&self.topic);
        end.saturating_sub(self.next)
    }

    pub(super) fn place(&self) -> String {
        format!("{} up to offset {}", self.topic, self.next - 1)
    }

    /// The next records, none if there are none yet. Moves the cursor.
    pub(super) async fn records(&mut self, following: &Following) -> Result<Vec<Committed>, FetchError> {
        let group = &following.group;
        let records = group
            .fetch(&self.topic, self.next, PAGE_RECORDS, PAGE_BYTES)
            .await?;
        if let Some(last) = records.last() {
            self.next = last.offset + 1;
        }
        Ok(records)
    }

    /// The next lines; `None` when there are none yet. Moves the cursor.
    pub(super) async fn page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        if let Some(page) = self.hot_page(following)? {
            return Ok(Some(page));
        }
        let records = self.records(following).await?;
        Ok(Page::of(&records, following.key.1))
    }

    /// What can be had from memory, sharing the work with others who follow the topic.
    fn hot_page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        let (group, clients, form) = (&following.group, &following.clients, following.key.1);
        let found = {
            let state = group.state.read();
            if self.next < state.topics.log_start_offset(&self.topic) {
                return Ok(None);
            }
            state.find(&self.topic, self.next, HOT_ENTRIES)
        };
        let Found::Positions(positions) = found else {
            return Ok(None);
        };
        let mut page: Option<Page> = None;
        for position in positions {
            let index = position.note.log_index;
            let lines = match clients.lines.get(index, form, &self.topic) {
                Some(lines) => lines,
                None => match group.hot_records(&position, &self.topic)? {
                    Some(records) => {
                        let Some(lines) = Lines::of(&records, form) else {
                            break;
                        };
                        let lines = Arc::new(lines);
                        clients.lines.put(form, &self.topic, lines.clone());
                        lines
                    }
                    None => break,
                },
            };
            self.next = Page::add(&mut page, &lines, self.next);
            if page.as_ref().is_some_and(|page| page.is_full) {
                break;
            }
        }
        Ok(page.filter(|page| page.count > 0))
    }
}
