//! What is known in memory about one segment file: its name, its published length, and a sparse index of it.

use std::path::{Path, PathBuf};

use crate::format::SEGMENT_HEADER_BYTES;

/// An entry's place is noted whenever this much was written since the last note.
pub(crate) const MARK_SPACING_BYTES: u64 = 64 << 10;
const SUFFIX: &str = ".seg";
const NAME_DIGITS: usize = 20;

/// Names one file for as long as the process lives, also after its name was given to another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentId(pub(crate) u64);

/// One segment as readers may see it: everything up to `len_bytes` is flushed.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) base_index: u64,
    pub(crate) len_bytes: u64,
    marks: Vec<Mark>,
}

/// A place in a segment: eight bytes per 64 KiB, so that an index of all files stays small.
#[derive(Clone, Copy, Debug)]
struct Mark {
    index_from_base: u32,
    position: u32,
}

impl Segment {
    pub(crate) fn new(id: SegmentId, base_index: u64) -> Self {
        Self {
            id,
            base_index,
            len_bytes: SEGMENT_HEADER_BYTES as u64,
            marks: Vec::new(),
        }
    }

    /// Notes that the entry at `index` starts at `position`, if enough lies between it and the last note.
    pub(crate) fn note(&mut self, index: u64, position: u64) {
        let last = self.marks.last().map_or(0, |mark| u64::from(mark.position));
        if position - last < MARK_SPACING_BYTES {
            return;
        }
        // Both fit by the bound on segment sizes; a place that did not would only make reads start earlier.
        if let (Ok(index_from_base), Ok(position)) =
            (u32::try_from(index - self.base_index), u32::try_from(position))
        {
            self.marks.push(Mark {
                index_from_base,
                position,
            });
        }
    }

    /// The nearest noted place at or before the entry at `index`: its index and position.
    pub(crate) fn nearest(&self, index: u64) -> (u64, u64) {
        let after = self
            .marks
            .partition_point(|mark| self.base_index + u64::from(mark.index_from_base) <= index);
        match after.checked_sub(1).map(|at| self.marks[at]) {
            Some(mark) => (
                self.base_index + u64::from(mark.index_from_base),
                u64::from(mark.position),
            ),
            None => (self.base_index, SEGMENT_HEADER_BYTES as u64),
        }
    }

    /// Forgets everything at and beyond `len_bytes`.
    pub(crate) fn cut(&mut self, len_bytes: u64) {
        self.len_bytes = len_bytes;
        self.marks.retain(|mark| u64::from(mark.position) < len_bytes);
    }
}

/// `<dir>/<base index in 20 digits>.seg`: names sort as indexes do.
pub(crate) fn segment_path(dir: &Path, base_index: u64) -> PathBuf {
    dir.join(format!("{base_index:0NAME_DIGITS$}{SUFFIX}"))
}

/// The base index in a segment's file name.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// The segment that holds `index`, among segments sorted by base, the first of which starts at or below it.
pub(crate) fn position_of(segments: &[Segment], index: u64) -> Option<usize> {
    segments
        .partition_point(|segment| segment.base_index <= index)
        .checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_others_are_not_ours() {
        let path = segment_path(Path::new("d"), 42);
        assert_eq!(path, Path::new("d/00000000000000000042.seg"));
        assert_eq!(parse_name("00000000000000000042.seg"), Some(42));
        for other in [
            "42.seg",
            "00000000000000000042.tmp",
            "vote",
            "0000000000000000004x.seg",
            "99999999999999999999.seg",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn the_nearest_place_is_never_past_the_entry() {
        let mut segment = Segment::new(SegmentId(1), 10);
        for (step, index) in (10..20).enumerate() {
            segment.note(index, 128 + step as u64 * 40_000);
        }
        assert_eq!(segment.nearest(10), (10, 128));
        assert_eq!(segment.nearest(11), (10, 128));
        assert_eq!(segment.nearest(12), (12, 80_128));
        assert_eq!(segment.nearest(13), (12, 80_128));
        segment.cut(80_128);
        assert_eq!(segment.nearest(19), (10, 128));
    }
}
