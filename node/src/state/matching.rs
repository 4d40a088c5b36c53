//! The next entries that hold records of topics that match a pattern.
//!
//! Nothing is scanned that does not match: near the end of the log [`super::recent::Recent`] says which topics each entry
//! holds, and further back the matching topics' runs are merged, part by part. Parts without any of them are passed over.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use wiber_protocol::pattern::Pattern;

use super::{
    EntryNote, PartTables, Share, State, Tables,
    part::{GrowingPart, Run},
};

/// An entry that holds records of matching topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    pub note: EntryNote,
    /// All matching topics in the entry, by name, and the first offset of each there.
    pub topics: Vec<(Arc<str>, u64)>,
}

/// Where to go on with a pattern.
#[derive(Clone, Debug)]
pub enum Matching {
    /// These entries, in order; before `next` there are no others.
    Here { entries: Vec<Matched>, next: u64 },
    /// These topics have a share in a part, and no matching topic has one before.
    InPart {
        tables: PartTables,
        shares: Vec<(Arc<str>, Share)>,
    },
}

impl State {
    /// The entries from `from` on, the first that is kept if it lies before: at most `limit`.
    pub fn find_matching(&self, pattern: &Pattern, from: u64, limit: usize) -> Matching {
        let from = from.max(self.first_index());
        if let Some(part) = self.part_of(from) {
            let shares = self.shares_from(pattern, self.parts[part].meta.first_index);
            if let Some(tables) = shares.first().and_then(|(_, share)| self.part_of(share.part)) {
                let tables = self.part_tables(tables);
                return Matching::InPart { tables, shares };
            }
        }
        let next = self.next_index();
        let (entries, is_all) = if from >= next {
            (Vec::new(), true)
        } else {
            let from = from.max(self.growing.first_index);
            match self.growing.recent.rows_from(from) {
                Some(rows) => {
                    let rows = rows.filter(|row| pattern.matches(&row.topic));
                    gather(
                        rows.map(|row| (row.log_index, row.topic.clone(), row.base_offset)),
                        limit,
                    )
                }
                None => gather(Merged::new(self.runs_from(pattern, from), from), limit),
            }
        };
        let next = match entries.last() {
            Some((last, _)) if !is_all => last + 1,
            _ => next.max(from),
        };
        Matching::Here {
            entries: with_notes(entries, |index| self.growing.note(index)),
            next,
        }
    }

    /// Whether retention may have dropped something that matches, from entry `from` on.
    pub fn may_lack(&self, pattern: &Pattern, from: u64) -> bool {
        from < self.first_index()
            && self.topics.iter().any(|(name, topic)| {
                topic.log_start_offset > 1 && topic.last_log_index >= from && pattern.matches(name)
            })
    }

    /// How many records of matching topics the entries from `from` on hold. Of the sealed part in which `from` lies it is an
    /// estimate.
    pub fn matching_records(&self, pattern: &Pattern, from: u64) -> u64 {
        let part = self.part_of(from).map(|at| &self.parts[at].meta);
        let topics = self.topics.iter().filter(|(name, topic)| {
            topic.last_log_index >= from && topic.high_watermark > 0 && pattern.matches(name)
        });
        topics
            .map(|(_, topic)| {
                let share = part.and_then(|part| topic.share_from(part.first_index));
                let first = match (part, share) {
                    (Some(part), Some(share)) if share.part == part.first_index && from > share.part => {
                        let end = topic.offset_after(share.part);
                        let entries = part.last.index + 1 - part.first_index;
                        let passed = from - part.first_index;
                        share.base_offset + (end - share.base_offset) * passed / entries
                    }
                    (_, Some(share)) => share.base_offset,
                    (_, None) => topic.first_offset_in_growing(from),
                };
                (topic.high_watermark + 1).saturating_sub(first)
            })
            .sum()
    }

    /// The shares of matching topics in the first part, from `part` on, in which there are any.
    fn shares_from(&self, pattern: &Pattern, part: u64) -> Vec<(Arc<str>, Share)> {
        let mut shares: Vec<(Arc<str>, Share)> = Vec::new();
        for (name, topic) in self.topics.shared().filter(|(name, _)| pattern.matches(name)) {
            let Some(share) = topic.share_from(part) else {
                continue;
            };
            match shares.first() {
                Some((_, first)) if first.part < share.part => continue,
                Some((_, first)) if first.part > share.part => shares.clear(),
                _ => {}
            }
            shares.push((name.clone(), share));
        }
        shares
    }

    /// The runs of matching topics in the growing part's entries from `from` on.
    fn runs_from<'a>(&'a self, pattern: &Pattern, from: u64) -> Vec<(Arc<str>, &'a [Run])> {
        let topics = self
            .topics
            .shared()
            .filter(|(name, topic)| topic.last_log_index >= from && pattern.matches(name));
        topics
            .map(|(name, topic)| (name.clone(), topic.growing_runs()))
            .collect()
    }
}

impl Tables {
    /// The entries from `from` on in which the topics of these shares have records, at most `limit`; and the entry before which
    /// there are no others.
    pub fn matching(&self, shares: &[(Arc<str>, Share)], from: u64, limit: usize) -> (Vec<Matched>, u64) {
        let rows: Vec<_> = shares
            .iter()
            .map(|(name, share)| {
                let runs = Rows {
                    tables: self,
                    share: *share,
                };
                (name.clone(), runs)
            })
            .collect();
        let (entries, is_all) = gather(Merged::new(rows, from), limit);
        let next = match entries.last() {
            Some((last, _)) if !is_all => last + 1,
            _ => self.end_index(),
        };
        (with_notes(entries, |index| self.note(index)), next)
    }
}

impl GrowingPart {
    pub(super) fn touched(&mut self, log_index: u64, base_offset: u64, topic: Arc<str>) {
        self.recent.push(super::recent::Touched {
            log_index,
            base_offset,
            topic,
        });
    }
}

/// A topic's runs, rising.
trait Runs {
    fn get(&self, at: usize) -> Option<Run>;
    fn len(&self) -> usize;
}

impl Runs for &[Run] {
    fn get(&self, at: usize) -> Option<Run> {
        <[Run]>::get(self, at).copied()
    }

    fn len(&self) -> usize {
        <[Run]>::len(self)
    }
}

/// Runs in a part's table.
struct Rows<'a> {
    tables: &'a Tables,
    share: Share,
}

impl Runs for Rows<'_> {
    fn get(&self, at: usize) -> Option<Run> {
        (at < self.len()).then(|| {
            let row = self.share.runs.first as usize + at;
            self.tables.run(row, self.share.base_offset)
        })
    }

    fn len(&self) -> usize {
        self.tables.rows_in(self.share.runs)
    }
}

/// The runs of several topics in the order of the log.
struct Merged<R> {
    topics: Vec<(Arc<str>, R)>,
    /// The next run of each topic: its entry, which topic, and the run's number.
    next: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

impl<R: Runs> Merged<R> {
    fn new(topics: Vec<(Arc<str>, R)>, from: u64) -> Self {
        let firsts = topics.iter().enumerate().filter_map(|(topic, (_, runs))| {
            let (mut first, mut beyond) = (0, runs.len());
            while first < beyond {
                let middle = first.midpoint(beyond);
                if runs.get(middle)?.log_index < from {
                    first = middle + 1;
                } else {
                    beyond = middle;
                }
            }
            Some(Reverse((runs.get(first)?.log_index, topic, first)))
        });
        Self {
            next: firsts.collect(),
            topics,
        }
    }
}

impl<R: Runs> Iterator for Merged<R> {
    type Item = (u64, Arc<str>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((log_index, topic, at)) = self.next.pop()?;
        let (name, runs) = &self.topics[topic];
        let run = runs.get(at)?;
        if let Some(after) = runs.get(at + 1) {
            self.next.push(Reverse((after.log_index, topic, at + 1)));
        }
        Some((log_index, name.clone(), run.base_offset))
    }
}

/// Entries, with the matching topics in each.
type Gathered = Vec<(u64, Vec<(Arc<str>, u64)>)>;

/// Gathers the rows of at most `limit` entries; whether those were all.
fn gather(rows: impl Iterator<Item = (u64, Arc<str>, u64)>, limit: usize) -> (Gathered, bool) {
    let mut entries = Gathered::new();
    for (log_index, topic, base_offset) in rows {
        let is_full = entries.len() == limit;
        match entries.last_mut() {
            Some((last, topics)) if *last == log_index => topics.push((topic, base_offset)),
            _ if is_full => return (entries, false),
            _ => entries.push((log_index, vec![(topic, base_offset)])),
        }
    }
    (entries, true)
}

fn with_notes(entries: Gathered, note: impl Fn(u64) -> Option<EntryNote>) -> Vec<Matched> {
    let with_note = |(log_index, mut topics): (u64, Vec<(Arc<str>, u64)>)| {
        topics.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Some(Matched {
            note: note(log_index)?,
            topics,
        })
    };
    entries.into_iter().filter_map(with_note).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiber_protocol::{
        ids::LogId,
        record::{Batch, Record},
    };

    use super::*;
    use crate::state::{Change, StateLimits};

    const TOPICS: [&str; 4] = ["a.x", "a.y", "b", "c.x"];

    /// What a reader of the whole log would find.
    fn scanned(log: &[Vec<usize>], pattern: &Pattern) -> Gathered {
        let mut ends = [0; TOPICS.len()];
        let mut found = Vec::new();
        for (index, records) in (0..).zip(log) {
            let mut topics = Vec::new();
            for (topic, name) in TOPICS.iter().enumerate() {
                let count = records.iter().filter(|of| **of == topic).count() as u64;
                if count > 0 && pattern.matches(name) {
                    topics.push((Arc::from(*name), ends[topic] + 1));
                }
                ends[topic] += count;
            }
            if !topics.is_empty() {
                found.push((index, topics));
            }
        }
        found
    }

    /// Goes through everything that is kept, `limit` entries at a time.
    fn merged(state: &State, pattern: &Pattern, from: u64, limit: usize) -> Vec<Matched> {
        let (mut all, mut at) = (Vec::new(), from);
        loop {
            let (entries, next) = match state.find_matching(pattern, at, limit) {
                Matching::Here { entries, next } => (entries, next),
                Matching::InPart { tables, shares } => tables
                    .unsaved
                    .expect("nothing is in files")
                    .matching(&shares, at, limit),
            };
            assert!(entries.len() <= limit);
            let is_end = entries.is_empty() && next >= state.next_index();
            assert!(next > at || is_end, "it goes on");
            all.extend(entries);
            if is_end {
                return all;
            }
            at = next;
        }
    }

    fn apply(state: &mut State, index: u64, records: &[usize]) {
        let record = |topic: &usize| Record {
            topic: TOPICS[*topic].into(),
            ..Record::default()
        };
        let batch = Batch {
            clock_ms: index,
            records: records.iter().map(record).collect(),
        };
        state.apply(LogId { term: 1, index }, 100, &Change::Records(batch));
    }

    proptest! {
        #[test]
        fn what_matches_is_found_and_nothing_else(
            log in proptest::collection::vec(proptest::collection::vec(0..TOPICS.len(), 0..4), 1..60),
            (from, limit, part) in (0_u64..70, 1_usize..5, 1_u32..30),
            pattern in prop::sample::select(vec![">", "a.*", "*.x", "b", "d.>"]),
            forgets in any::<bool>(),
        ) {
            let mut state = State { limits: StateLimits { part_entries: part, part_bytes: u64::MAX, ..StateLimits::default() }, ..State::default() };
            for (index, records) in (0..).zip(&log) {
                apply(&mut state, index, records);
            }
            if forgets {
                // As if more had come than is kept in the order of the log.
                state.growing.recent = super::super::recent::Recent::starting_at(u64::MAX);
            }
            let pattern = Pattern::new(pattern).expect("a pattern");
            let found: Vec<_> = merged(&state, &pattern, from, limit)
                .into_iter()
                .map(|matched| (matched.note.log_index, matched.topics))
                .collect();
            let expected: Vec<_> =
                scanned(&log, &pattern).into_iter().filter(|(index, _)| *index >= from).collect();
            prop_assert_eq!(&found, &expected);
            let records: u64 = log.iter().skip(usize::try_from(from).unwrap_or(0)).flatten()
                .filter(|topic| pattern.matches(TOPICS[**topic])).count() as u64;
            if state.part_of(from).is_none() {
                prop_assert_eq!(state.matching_records(&pattern, from), records);
            }
            prop_assert_eq!(state.matching_records(&pattern, 0), scanned_records(&log, &pattern));
        }
    }

    fn scanned_records(log: &[Vec<usize>], pattern: &Pattern) -> u64 {
        let all = log.iter().flatten();
        all.filter(|topic| pattern.matches(TOPICS[**topic])).count() as u64
    }
}
