//! A place in the whole log, for all topics that match a pattern: in the order of the log, which is that of Lamport times.
//!
//! It is woken whenever an entry took effect and asks the index which of the new ones hold anything that matches, so it
//! need not know its topics, and topics made later are followed like any other.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::watch;
use wiber_protocol::pattern::Pattern;

use super::{Following, PAGE_BYTES, PAGE_RECORDS, Page};
use crate::{
    fetch::{Committed, FetchError, LogPlace},
    group::Group,
    line::lines::Lines,
    state::Matched,
};

/// Entries looked up at a time. That goes through all topics, so one of them serves several pages.
const ENTRIES: usize = 256;
/// Topics in all entries that are kept from that, but one entry at least: some 100 KiB. The others are looked up again.
const PLACES: usize = 4_096;
/// Entries asked for at a time when they are in files.
const COLD_ENTRIES: usize = 32;

/// Where a subscription stands.
pub(in crate::line) struct PatternCursor {
    pattern: Pattern,
    /// The next entry to look at.
    next: u64,
    /// Entries from there on that hold matching records, not delivered yet …
    found: VecDeque<Matched>,
    /// … and all of them before this one.
    found_up_to: u64,
    /// When they were looked up there were no others.
    is_end: bool,
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
            found: VecDeque::new(),
            found_up_to: place.next_index,
            is_end: false,
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

    /// Whether it knows of more, or has not looked up to the end of the log.
    pub(super) fn has_more(&self) -> bool {
        !self.found.is_empty() || !self.is_end
    }

    /// Matching records from here to the end of the log; of those in files an estimate.
    pub(super) fn behind(&self, group: &Group) -> u64 {
        let records = group.state.read().matching_records(&self.pattern, self.next);
        records.saturating_sub(self.given as u64)
    }

    pub(super) fn place(&self) -> String {
        format!("{} up to entry {}", self.pattern.as_str(), self.next)
    }

    /// The next records, none if there are none yet: those of whole entries. Moves the cursor.
    pub(super) async fn records(&mut self, following: &Following) -> Result<Vec<Committed>, FetchError> {
        let group = &following.group;
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.is_empty() && self.look(group).await? {
            while let Some(matched) = self.found.front() {
                let mut found = group.hot_matched(matched)?;
                if found.is_none() {
                    let cold = vec![matched.clone()];
                    found = group.cold_matched(cold, PAGE_BYTES).await?.pop();
                }
                let Some(found) = found else {
                    // Retention dropped it: to look again tells.
                    self.found.clear();
                    break;
                };
                let index = matched.note.log_index;
                self.found.pop_front();
                self.pass(index);
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
        }
        Ok(records)
    }

    /// The next lines; `None` when there are none yet. Moves the cursor.
    pub(super) async fn page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        while self.look(&following.group).await? {
            let mut page = self.hot_page(following)?;
            // What memory gave is delivered first.
            if page.as_ref().is_none_or(|page| page.count == 0) && !self.found.is_empty() {
                page = self.cold_page(following).await?;
            }
            if let Some(mut page) = page.filter(|page| page.count > 0) {
                page.is_full |= self.has_more();
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Looks for the next entries unless some are known; whether there are any.
    async fn look(&mut self, group: &Group) -> Result<bool, FetchError> {
        if !self.found.is_empty() {
            return Ok(true);
        }
        let matches = group
            .matching(&self.pattern, self.next, self.after, ENTRIES)
            .await?;
        self.is_end = matches.is_end;
        self.found_up_to = matches.next;
        self.found = matches.entries.into();
        let Some(first) = self.found.front() else {
            (self.next, self.given) = (matches.next, 0);
            return Ok(false);
        };
        let mut places = first.topics.len();
        let others = self.found.iter().skip(1).take_while(|matched| {
            places += matched.topics.len();
            places <= PLACES
        });
        let kept = 1 + others.count();
        if let Some(beyond) = self.found.get(kept) {
            self.found_up_to = beyond.note.log_index;
            self.is_end = false;
            self.found.truncate(kept);
        }
        Ok(true)
    }

    fn hot_page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        let mut page: Option<Page> = None;
        while page.as_ref().is_none_or(|page| !page.is_full)
            && let Some(matched) = self.found.pop_front()
        {
            let Some(lines) = self.hot_lines(following, &matched)? else {
                self.found.push_front(matched);
                break;
            };
            self.add(&mut page, matched, &lines);
        }
        Ok(page)
    }

    async fn cold_page(&mut self, following: &Following) -> Result<Option<Page>, FetchError> {
        let cold: Vec<_> = self.found.iter().take(COLD_ENTRIES).cloned().collect();
        let read = following.group.cold_matched(cold, PAGE_BYTES).await?;
        if read.is_empty() {
            // Retention dropped it: to look again tells.
            self.found.clear();
        }
        let mut page = None;
        for records in read {
            let Some(matched) = self.found.pop_front() else {
                break;
            };
            self.skip(&matched, &records);
            let Some(lines) = Lines::of_entry(&records, following.key.1) else {
                // The index says otherwise, but to look again would not help.
                self.pass(matched.note.log_index);
                continue;
            };
            if self.add(&mut page, matched, &lines) {
                break;
            }
        }
        Ok(page)
    }

    /// Goes behind the entry that was taken out of those found.
    fn pass(&mut self, index: u64) {
        self.given = 0;
        self.next = if self.found.is_empty() {
            self.found_up_to
        } else {
            index + 1
        };
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

    /// Adds what fits of the entry that was taken out of those found, and puts it back if some is left; whether the page is
    /// full.
    fn add(&mut self, page: &mut Option<Page>, matched: Matched, lines: &Lines) -> bool {
        let index = matched.note.log_index;
        if index != self.next {
            (self.next, self.given) = (index, 0);
        }
        let given = Page::add(page, lines, self.given as u64);
        if given < lines.next_offset() {
            self.given = usize::try_from(given).unwrap_or(usize::MAX);
            self.found.push_front(matched);
        } else {
            self.pass(index);
            self.after = self.after.max(lines.last_lamport);
        }
        page.as_ref().is_some_and(|page| page.is_full)
    }
}
