//! A place in the whole log, for all topics that match a pattern: in the order of the log, which is that of Lamport times.
//!
//! It is woken whenever an entry took effect and asks the index which of the new ones hold anything that matches, so it
//! need not know its topics, and topics made later are followed like any other.

use std::sync::Arc;

use tokio::sync::watch;
use wiber_protocol::pattern::Pattern;

use super::{Following, PAGE_BYTES, PAGE_RECORDS, Page};
use crate::{
    fetch::{Committed, FetchError, LogPlace},
    group::Group,
    line::lines::Lines,
    state::Matched,
};

/// Entries looked up at a time.
const ENTRIES: usize = 32;

/// Where a subscription stands.
pub(in crate::line) struct PatternCursor {
    pattern: Pattern,
    /// The next entry to look at.
    next: u64,
    /// How many of its matching records were delivered.
    given: usize,
    /// Everything up to this Lamport time was delivered, or is not to be.
    after: u64,
    changed: watch::Receiver<u64>,
}

impl PatternCursor {
    pub(in crate::line) fn new(group: &Group, pattern: Pattern, place: LogPlace) -> Self {
        Self {
            pattern,
            next: place.next_index,
            given: 0,
            after: place.lamport,
            changed: group.watermarks.applied(),
        }
    }

    /// What comes from here on ends the next wait.
    pub(super) fn mark_unchanged(&mut self) {
        self.changed.mark_unchanged();
    }

    /// Waits for entries; `None` when the node stops.
    pub(super) async fn changed(&mut self) -> Option<()> {
        self.changed.changed().await.ok()
    }

    /// Matching records from here to the end of the log; of those in files an estimate.
    pub(super) fn behind(&self, group: &Group) -> u64 {
        group.state.read().matching_records(&self.pattern, self.next)
    }

    pub(super) fn place(&self) -> String {
        format!("{} up to entry {}", self.pattern.as_str(), self.next)
    }

    /// The next records, none if there are none yet: those of whole entries. Moves the cursor.
    pub(super) async fn records(&mut self, following: &Following) -> Result<Vec<Committed>, FetchError> {
        let group = &following.group;
        let mut records = Vec::new();
        let mut bytes = 0;
        loop {
            let matches = group
                .matching(&self.pattern, self.next, self.after, ENTRIES)
                .await?;
            if matches.entries.is_empty() {
                self.next = matches.next;
                return Ok(records);
            }
            for matched in matches.entries {
                let next = matched.note.log_index + 1;
                let found = match group.hot_matched(&matched)? {
                    Some(found) => found,
                    None => match group.cold_matched(vec![matched], PAGE_BYTES).await?.pop() {
                        Some(found) => found,
                        // Retention dropped it: to look again tells.
                        None => break,
                    },
                };
                self.next = next;
                let last = found.last().map_or(0, |record| record.lamport);
                for record in found.into_iter().filter(|record| record.lamport > self.after) {
                    bytes += record.record.size_bytes();
                    records.push(record);
                }
                self.after = self.after.max(last);
                if records.len() >= PAGE_RECORDS || bytes >= PAGE_BYTES {
                    return Ok(records);
                }
            }
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }

    /// The next lines; `None` when there are none yet. Moves the cursor.
    pub(super) async fn page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        loop {
            let matches = following
                .group
                .matching(&self.pattern, self.next, self.after, ENTRIES)
                .await?;
            if matches.entries.is_empty() {
                (self.next, self.given) = (matches.next, 0);
                return Ok(None);
            }
            let mut page = None;
            let mut entries = matches.entries.into_iter();
            let mut first_cold = None;
            for matched in entries.by_ref() {
                let Some(lines) = self.hot_lines(following, &matched)? else {
                    first_cold = Some(matched);
                    break;
                };
                if self.add(&mut page, &matched, &lines) {
                    return Ok(page);
                }
            }
            if let Some(first) = first_cold {
                // What memory gave is delivered first.
                if page.as_ref().is_none_or(|page| page.count == 0) {
                    let cold = std::iter::once(first).chain(entries).collect();
                    page = self.cold_page(following, cold).await?;
                }
            } else {
                (self.next, self.given) = (matches.next, 0);
            }
            if page.as_ref().is_some_and(|page| page.count > 0) {
                return Ok(page);
            }
        }
    }

    async fn cold_page(
        &mut self,
        following: &Following,
        cold: Vec<Matched>,
    ) -> Result<Option<Page>, FetchError> {
        let mut page = None;
        let read = following.group.cold_matched(cold.clone(), PAGE_BYTES).await?;
        for (matched, records) in cold.iter().zip(read) {
            self.skip(matched, &records);
            match Lines::of_entry(&records, following.key.1) {
                Some(lines) if self.add(&mut page, matched, &lines) => break,
                Some(_) => {}
                // The index says otherwise, but to look again would not help.
                None => (self.next, self.given) = (matched.note.log_index + 1, 0),
            }
        }
        Ok(page)
    }

    /// An entry's lines, if it is in memory, sharing the work with others who follow the same pattern.
    fn hot_lines(
        &mut self,
        following: &Following,
        matched: &Matched,
    ) -> Result<Option<Arc<Lines>>, FetchError> {
        let (form, pattern) = (following.key.1, self.pattern.as_str());
        let cache = &following.clients.lines;
        let is_whole = matched.note.lamport_before >= self.after;
        if is_whole && let Some(lines) = cache.get(matched.note.log_index, form, pattern) {
            return Ok(Some(lines));
        }
        let Some(records) = following.group.hot_matched(matched)? else {
            return Ok(None);
        };
        let Some(lines) = Lines::of_entry(&records, form).map(Arc::new) else {
            return Ok(None);
        };
        cache.put(form, pattern, lines.clone());
        self.skip(matched, &records);
        Ok(Some(lines))
    }

    /// Passes over what lies before the place where this began.
    fn skip(&mut self, matched: &Matched, records: &[Committed]) {
        if matched.note.log_index != self.next {
            (self.next, self.given) = (matched.note.log_index, 0);
        }
        let before = records.partition_point(|record| record.lamport <= self.after);
        self.given = self.given.max(before);
    }

    /// Adds what fits of an entry's lines; whether the page is full.
    fn add(&mut self, page: &mut Option<Page>, matched: &Matched, lines: &Lines) -> bool {
        let index = matched.note.log_index;
        if index != self.next {
            (self.next, self.given) = (index, 0);
        }
        let given = Page::add(page, lines, self.given as u64);
        if given < lines.next_offset() {
            self.given = usize::try_from(given).unwrap_or(usize::MAX);
        } else {
            (self.next, self.given) = (index + 1, 0);
            self.after = self.after.max(lines.last_lamport);
        }
        page.as_ref().is_some_and(|page| page.is_full)
    }
}
