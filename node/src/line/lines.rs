//! The lines of committed records, made once for everybody who follows their topic.
//!
//! Subscribers of a busy topic want the same lines at about the same time. Reading an entry, working out its offsets and
//! writing its lines for each of them would cost most of a core for a hundred.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use wiber_protocol::ids::LogId;

use super::subscription::Form;
use crate::fetch::Committed;

/// Lines are kept for the newest entries read: so many, and so many bytes.
const KEPT_ENTRIES: usize = 64;
const KEPT_BYTES: usize = 16 << 20;

/// The lines of one topic's records in one entry, or of all that match a pattern.
#[derive(Debug)]
pub(super) struct Lines {
    pub log_id: LogId,
    /// The last record's Lamport time.
    pub last_lamport: u64,
    first_offset: u64,
    bytes: Bytes,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Lines {
    /// `None` without records. They have consecutive offsets.
    pub(super) fn of(records: &[Committed], form: Form) -> Option<Self> {
        Self::numbered(records, form, records.first()?.offset)
    }

    /// Records of several topics in one entry. What stands for their offsets are their numbers, from 0 up.
    pub(super) fn of_entry(records: &[Committed], form: Form) -> Option<Self> {
        Self::numbered(records, form, 0)
    }

    fn numbered(records: &[Committed], form: Form, first_offset: u64) -> Option<Self> {
        let last = records.last()?;
        let (mut out, mut ends) = (Vec::new(), Vec::with_capacity(records.len()));
        for record in records {
            form.write(record, &mut out);
            ends.push(out.len());
        }
        Some(Self {
            log_id: last.log_id,
            last_lamport: last.lamport,
            first_offset,
            bytes: out.into(),
            ends,
        })
    }

    /// The lines from `offset` on, as many as fit `max_bytes` but at least one, how many they are, and the offset after them. None
    /// if they all lie before.
    pub(super) fn from(&self, offset: u64, max_bytes: usize) -> (&[u8], usize, u64) {
        let skipped = usize::try_from(offset.saturating_sub(self.first_offset)).unwrap_or(usize::MAX);
        let Some(ends) = self.ends.get(skipped..).filter(|ends| !ends.is_empty()) else {
            return (&[], 0, offset);
        };
        let start = skipped.checked_sub(1).map_or(0, |before| self.ends[before]);
        let count = ends.partition_point(|end| end - start <= max_bytes).max(1);
        let next = self.first_offset + (skipped + count) as u64;
        (&self.bytes[start..ends[count - 1]], count, next)
    }

    /// The offset after the last line's.
    pub(super) fn next_offset(&self) -> u64 {
        self.first_offset + self.ends.len() as u64
    }
}

/// Which lines: of the entry at this index, in this form, of this topic or pattern. A topic whose name looks like a pattern is
/// shown in nine fields alone, so the two are not mistaken for each other.
type Key = (u64, Form, String);

/// The lines made last.
#[derive(Debug, Default)]
pub struct LineCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    lines: VecDeque<(Key, Arc<Lines>)>,
    bytes: usize,
}

impl LineCache {
    pub(super) fn get(&self, log_index: u64, form: Form, topic: &str) -> Option<Arc<Lines>> {
        let kept = self.0.lock();
        let wanted = |(key, _): &&(Key, Arc<Lines>)| key.0 == log_index && key.1 == form && key.2 == topic;
        // Most ask for the newest.
        kept.lines
            .iter()
            .rev()
            .find(wanted)
            .map(|(_, lines)| lines.clone())
    }

    pub(super) fn put(&self, form: Form, topic: &str, lines: Arc<Lines>) {
        let mut kept = self.0.lock();
        kept.bytes += lines.bytes.len();
        kept.lines
            .push_back(((lines.log_id.index, form, topic.to_owned()), lines));
        while kept.lines.len() > KEPT_ENTRIES || kept.bytes > KEPT_BYTES {
            let Some((_, oldest)) = kept.lines.pop_front() else {
                return;
            };
            kept.bytes -= oldest.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::record::Record;

    use super::*;

    fn records(first_offset: u64, count: u64, body_len: usize) -> Vec<Committed> {
        (first_offset..first_offset + count)
            .map(|offset| Committed {
                record: Record {
                    topic: "t".into(),
                    id: format!("id{offset}"),
                    client_id: false,
                    node: "n1".into(),
                    ts_us: 0,
                    corrected_us: 0,
                    error_bound_us: 0,
                    synchronised: false,
                    lamport: offset,
                    headers: Vec::new(),
                    body: vec![b'x'; body_len].into(),
                    ..Record::default()
                },
                offset,
                lamport: offset,
                log_id: LogId {
                    term: 1,
                    index: first_offset,
                },
            })
            .collect()
    }

    #[test]
    fn lines_are_had_from_any_offset() {
        let lines = Lines::of(&records(5, 3, 1), Form::Msg).expect("there are records");
        assert_eq!(lines.next_offset(), 8);
        let ids = |offset| -> Vec<String> {
            let (text, count, _) = lines.from(offset, usize::MAX);
            let text = std::str::from_utf8(text).expect("UTF-8");
            assert_eq!(text.lines().count(), count);
            let id = |line: &str| line.split(' ').nth(2).map(str::to_owned);
            text.lines().filter_map(id).collect()
        };
        assert_eq!(ids(1), ["id5", "id6", "id7"]);
        assert_eq!(ids(5), ["id5", "id6", "id7"]);
        assert_eq!(ids(7), ["id7"]);
        assert!(ids(8).is_empty() && ids(u64::MAX).is_empty());
        assert!(Lines::of(&[], Form::Msg).is_none());
    }

    #[test]
    fn no_more_lines_are_had_than_fit_but_one() {
        let lines = Lines::of(&records(5, 3, 100), Form::Msg).expect("there are records");
        let (all, ..) = lines.from(5, usize::MAX);
        let line = all.len() / 3;
        let had = |offset, max_bytes| {
            let (text, count, next) = lines.from(offset, max_bytes);
            assert_eq!(text.len(), count * line);
            assert!(text.is_empty() || text.ends_with(b"\n"));
            (count, next)
        };
        assert_eq!(had(5, 0), (1, 6));
        assert_eq!(had(5, 2 * line), (2, 7));
        assert_eq!(had(6, 3 * line), (2, 8));
        assert_eq!(had(8, line), (0, 8));
    }

    #[test]
    fn the_cache_keeps_what_fits_and_tells_forms_and_topics_apart() {
        let cache = LineCache::default();
        let made =
            |first: u64, len| Arc::new(Lines::of(&records(first, 1, len), Form::Msg).expect("a record"));
        cache.put(Form::Msg, "t", made(1, 10));
        assert!(cache.get(1, Form::Msg, "t").is_some());
        assert!(cache.get(1, Form::Record, "t").is_none() && cache.get(1, Form::Msg, "u").is_none());
        for index in 2..=65 {
            cache.put(Form::Msg, "t", made(index, 10));
        }
        assert!(cache.get(1, Form::Msg, "t").is_none(), "one too many");
        for index in 66..=67 {
            cache.put(Form::Msg, "t", made(index, 10 << 20));
        }
        assert!(cache.get(66, Form::Msg, "t").is_none() && cache.get(67, Form::Msg, "t").is_some());
    }
}
