//! Reading records of all topics that match a pattern, in the order of the log.

use std::{io, sync::Arc};

use bytes::Bytes;
use wiber_protocol::{entry::Entry, pattern::Pattern};
use wiber_storage::Log;

use super::{Committed, FetchError, READ_BYTES, damaged, expand_each};
use crate::{
    group::Group,
    runtime,
    state::{Matched, Matching},
};

/// A place in the log: in front of an entry, and behind all records up to a Lamport time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    pub next_index: u64,
    pub lamport: u64,
}

/// Entries that hold what is wanted.
pub struct Matches {
    /// In order; empty only at the end of the log.
    pub entries: Vec<Matched>,
    /// Before this entry there are no others.
    pub next: u64,
    /// Nor are there any from it on, yet.
    pub is_end: bool,
}

impl Group {
    /// The next entries from `from` on that hold records of matching topics: at most `limit`. The reader has all that it
    /// wants up to the Lamport time `after`.
    ///
    /// # Errors
    /// Out of range, in Lamport times, if retention may have dropped some of them that are later.
    pub async fn matching(
        &self,
        pattern: &Pattern,
        mut from: u64,
        after: u64,
        limit: usize,
    ) -> Result<Matches, FetchError> {
        loop {
            let found = {
                let state = self.state.read();
                let first = state.first_index();
                if state.may_lack(pattern, from) {
                    Err(first)
                } else {
                    Ok((
                        state.find_matching(pattern, from, limit),
                        first,
                        state.next_index(),
                    ))
                }
            };
            let (found, first, end) = match found {
                Ok(found) => found,
                // As on a node that was behind and got a snapshot: the reader had it all from another one.
                Err(first) if self.lamport_of_cut().await? <= after => {
                    from = first;
                    continue;
                }
                Err(_) => return Err(self.out_of_log().await?),
            };
            from = from.max(first);
            let (entries, next) = match found {
                Matching::Here { entries, next } => {
                    return Ok(Matches {
                        entries,
                        next,
                        is_end: next >= end,
                    });
                }
                Matching::InPart { tables, shares } => {
                    let index = self.index.clone();
                    let find =
                        move || Ok::<_, io::Error>(tables.read(&index)?.matching(&shares, from, limit));
                    match runtime::blocking(find).await? {
                        Err(error)
                            if error.kind() == io::ErrorKind::NotFound && self.was_cut_above(first) =>
                        {
                            continue;
                        }
                        found => found?,
                    }
                }
            };
            if !entries.is_empty() {
                return Ok(Matches {
                    entries,
                    next,
                    is_end: false,
                });
            }
            from = next;
        }
    }

    /// What is there, by Lamport time: everything after `start`.
    pub async fn out_of_log(&self) -> io::Result<FetchError> {
        Ok(FetchError::OutOfRange {
            start: self.lamport_of_cut().await?,
            end: self.state.read().lamport,
        })
    }

    /// The matching records of an entry, if it is in memory.
    pub fn hot_matched(&self, matched: &Matched) -> Result<Option<Vec<Committed>>, FetchError> {
        match hot(self.log.log(), matched.note.log_index) {
            Some(bytes) => Ok(Some(expand_matched(bytes, matched)?)),
            None => Ok(None),
        }
    }

    /// The matching records of some entries, each for itself: of as many as have `max_bytes`, but one at least. None if
    /// retention dropped it meanwhile.
    pub async fn cold_matched(
        &self,
        entries: Vec<Matched>,
        max_bytes: usize,
    ) -> Result<Vec<Vec<Committed>>, FetchError> {
        let log = self.log.log().clone();
        let first = entries.first().map_or(0, |matched| matched.note.log_index);
        let read = move || {
            let mut all = Vec::new();
            let mut bytes = 0;
            for matched in &entries {
                let Some(entry) = cold(&log, matched.note.log_index)? else {
                    break;
                };
                bytes += entry.len();
                all.push(expand_matched(entry, matched)?);
                if bytes >= max_bytes {
                    break;
                }
            }
            Ok::<_, io::Error>(all)
        };
        match runtime::blocking(read).await? {
            Ok(all) if !all.is_empty() => Ok(all),
            Ok(_) if self.was_cut_above(first) => Ok(Vec::new()),
            Ok(_) => Err(missing(first).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.was_cut_above(first) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The place behind all records up to a Lamport time.
    ///
    /// # Errors
    /// Out of range, in Lamport times, if retention may have dropped matching records after it.
    pub async fn place_after(&self, pattern: &Pattern, lamport: u64) -> Result<LogPlace, FetchError> {
        let is_dropped = lamport < self.lamport_of_cut().await?;
        if is_dropped && self.state.read().may_lack(pattern, 0) {
            return Err(self.out_of_log().await?);
        }
        Ok(LogPlace {
            next_index: self.entry_after(lamport).await?,
            lamport,
        })
    }

    /// The place in front of everything that is kept.
    pub async fn place_of_start(&self) -> Result<LogPlace, FetchError> {
        self.place_before(0).await
    }

    /// The place in front of an entry, or of the first one that is kept, if it lies before.
    pub async fn place_before(&self, log_index: u64) -> Result<LogPlace, FetchError> {
        let next_index = log_index.max(self.state.read().first_index());
        let lamport = self.lamport_before(next_index).await?;
        Ok(LogPlace { next_index, lamport })
    }

    /// The place in front of a record from this moment of cluster time on, such that the one before it in the log is
    /// earlier. Cluster times need not rise along the log: then there are several such places, and this is one of them.
    ///
    /// # Errors
    /// Out of range, in Lamport times, if that is the first record kept and retention may have dropped matching ones.
    pub async fn place_since(&self, pattern: &Pattern, corrected_us: i64) -> Result<LogPlace, FetchError> {
        let (start, end) = {
            let state = self.state.read();
            (state.first_index(), state.next_index())
        };
        let (mut first, mut beyond) = (start, end);
        // Of the last entry that begins earlier.
        let mut before = Vec::new();
        while first < beyond {
            let middle = first.midpoint(beyond);
            let (index, records) = self.first_records(middle, beyond).await?;
            match records.first() {
                Some(record) if record.record.corrected_us < corrected_us => {
                    first = index + 1;
                    before = records;
                }
                _ => beyond = middle,
            }
        }
        let later = before
            .iter()
            .find(|record| record.record.corrected_us >= corrected_us);
        if let Some(later) = later {
            return Ok(LogPlace {
                next_index: later.log_id.index,
                lamport: later.lamport - 1,
            });
        }
        if before.is_empty() && self.state.read().may_lack(pattern, 0) {
            return Err(self.out_of_log().await?);
        }
        self.place_before(first).await
    }

    /// The records of the first entry of `from..end` that holds any, and where that is. The notes say which one it is, so
    /// that of all those without records none is read.
    async fn first_records(&self, mut from: u64, end: u64) -> Result<(u64, Vec<Committed>), FetchError> {
        while from < end {
            // Of an entry without records the next one's Lamport time is the same.
            let index = self.entry_with_records(from).await?;
            // Retention may drop it meanwhile: then what is kept is later.
            from = index.max(from) + 1;
            if index >= end {
                break;
            }
            let Ok(note) = self.note(index).await? else { break };
            if note.log_index != index {
                continue;
            }
            let log = self.log.log().clone();
            let bytes = match hot(&log, index) {
                Some(bytes) => Some(bytes),
                None => match runtime::blocking(move || cold(&log, index)).await? {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && self.was_cut_above(index) => {
                        None
                    }
                    read => read?,
                },
            };
            let Some(bytes) = bytes else { continue };
            let entry = Entry::decode(bytes).map_err(damaged)?;
            let records = expand_each(&entry, &note, |_| Some(0)).map_err(damaged)?;
            if !records.is_empty() {
                return Ok((index, records));
            }
        }
        Ok((end, Vec::new()))
    }

    fn was_cut_above(&self, log_index: u64) -> bool {
        self.state.read().first_index() > log_index
    }
}

fn hot(log: &Log, index: u64) -> Option<Bytes> {
    let mut read = log.read_hot(index, index + 1, READ_BYTES)?;
    Some(read.pop()?.bytes)
}

/// Blocks. `None` if retention dropped the entry.
fn cold(log: &Log, index: u64) -> io::Result<Option<Bytes>> {
    let read = log.read(index, index + 1, READ_BYTES)?;
    Ok(read
        .into_iter()
        .find(|entry| entry.index == index)
        .map(|entry| entry.bytes))
}

fn expand_matched(bytes: Bytes, matched: &Matched) -> io::Result<Vec<Committed>> {
    let entry = Entry::decode(bytes).map_err(damaged)?;
    let mut next: Vec<u64> = matched.topics.iter().map(|(_, base)| *base).collect();
    // Records of one topic tend to stand together.
    let mut last: Option<(Arc<str>, usize)> = None;
    let offset = |topic: &Arc<str>| {
        let at = match &last {
            Some((known, at)) if known == topic => *at,
            _ => {
                let found = matched
                    .topics
                    .binary_search_by(|(name, _)| name.cmp(topic))
                    .ok()?;
                last = Some((topic.clone(), found));
                found
            }
        };
        next[at] += 1;
        Some(next[at] - 1)
    };
    expand_each(&entry, &matched.note, offset).map_err(damaged)
}

fn missing(index: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("entry {index} is not in the log"),
    )
}
