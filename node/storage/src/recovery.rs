//! What a log folder holds after a stop of any kind, worked out without changing a byte of it.
//!
//! Unsynced blocks land in any order or not at all, so a bad frame alone says nothing. What decides is what was known
//! flushed: frames, segment headers and the very existence of a next segment each say that everything below
//! some index was durable when they were written. A bad frame at or above every such mark is a torn tail and is cut; a
//! bad frame below one is damage, and the log refuses to open. [`crate::repair`] carries the plan out.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{
    api::{Recovered, Stamp},
    disk::Disk,
    error::OpenError,
    format::{FORMAT_VERSION, Flaw, FrameSeed, HeaderFlaw, SEGMENT_HEADER_BYTES, SegmentHeader},
    scan::{Scanned, Stop, Window, flushed_end_after, is_zero_from, scan_frames},
    segment::{Segment, SegmentId, parse_name, segment_path},
    terms::TermRuns,
    vote::{Committed, SlotKind, Slots, Start},
};

/// What is in the folder, by name.
struct Listing {
    /// Base indexes, sorted.
    segments: Vec<u64>,
    temps: Vec<PathBuf>,
    has_vote: bool,
    has_start: bool,
    has_committed: bool,
}

/// What was found and what is to be done about it.
pub(crate) enum Plan {
    /// A folder where no log was ever complete: leftovers of an interrupted first opening go.
    Blank { leftovers: Vec<PathBuf> },
    /// A log.
    Resume(Box<Resume>),
}

pub(crate) struct Resume {
    pub(crate) recovered: Recovered,
    pub(crate) start: Start,
    pub(crate) vote_slots: Slots,
    pub(crate) start_slots: Slots,
    /// `None` if the hint was unreadable: it is made anew.
    pub(crate) committed_slots: Option<Slots>,
    /// The segments to keep, scanned; the last is cut to its published length.
    pub(crate) segments: Vec<Segment>,
    pub(crate) terms: TermRuns,
    pub(crate) last_header: SegmentHeader,
    pub(crate) scanned: Scanned,
    /// The log's end lies below its start: it goes on in a new segment there.
    pub(crate) restart: bool,
    /// Whether bytes follow the last good frame.
    pub(crate) cut: bool,
    /// Purged segments, a torn new segment, temporary files.
    pub(crate) leftovers: Vec<PathBuf>,
}

fn io(op: &'static str, file: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let file = file.to_owned();
    move |source| OpenError::Io { op, file, source }
}

fn damaged(file: &Path, position: u64, flaw: Flaw) -> OpenError {
    OpenError::Damaged {
        file: file.to_owned(),
        position,
        expected: flaw.expected,
        found: flaw.found,
    }
}

/// Looks at everything in `dir`; a folder that is missing is a blank one.
pub(crate) fn examine(dir: &Path, stamp: Stamp, disk: &dyn Disk) -> Result<Plan, OpenError> {
    let listing = list(dir, disk)?;
    if !listing.has_vote {
        return examine_blank(dir, listing, disk);
    }
    if !listing.has_start {
        let file = dir.join(SlotKind::Start.file_name());
        return Err(damaged(
            &file,
            0,
            Flaw::new("the log's start, as there is a vote", "no file"),
        ));
    }
    let (vote_slots, vote) = Slots::open(disk, dir, SlotKind::Vote, stamp)?;
    let (start_slots, start) = Slots::open(disk, dir, SlotKind::Start, stamp)?;
    let start = Start::decode(&start).ok_or_else(|| {
        damaged(
            start_slots.path(),
            0,
            Flaw::new("the log's start", format!("{start:02x?}")),
        )
    })?;
    let (committed_slots, committed) = examine_committed(dir, &listing, stamp, disk)?;

    let mut leftovers = listing.temps;
    let mut bases = listing.segments;
    let torn = find_torn(dir, &bases, stamp, disk)?;
    if torn.is_some() {
        bases.pop();
    }
    leftovers.extend(torn.map(|base| segment_path(dir, base)));
    // Below a segment that starts at or before the log's start everything is purged, whatever it is worth.
    let kept_from = bases
        .partition_point(|base| *base <= start.first_index)
        .saturating_sub(1);
    leftovers.extend(bases.drain(..kept_from).map(|base| segment_path(dir, base)));

    let examined = examine_segments(dir, &bases, torn, &start, stamp, disk)?;
    let Examined {
        segments,
        terms,
        last_header,
        scanned,
        behind_bytes,
        cut_bytes,
    } = examined;
    let restart = scanned.end_index < start.first_index;
    let last = if scanned.end_index > start.first_index {
        Some((scanned.last_term, scanned.end_index - 1))
    } else {
        start.purged()
    };
    let is_missed = |committed: &Committed| committed.durable_end > scanned.end_index.max(start.first_index);
    if let Some(Committed { durable_end, .. }) = committed.filter(is_missed) {
        let (file, position) = match bases.last() {
            Some(base) => (
                segment_path(dir, *base),
                segments.last().map_or(0, |last| last.len_bytes),
            ),
            None => (dir.to_owned(), 0),
        };
        let flaw = Flaw::new(
            format!("entries below {durable_end}, which were durable"),
            format!("the end after entries below {}", scanned.end_index),
        );
        return Err(damaged(&file, position, flaw));
    }
    let committed = committed.and_then(|Committed { term, index, .. }| match last {
        Some((last_term, last_index)) if index > last_index => Some((last_term, last_index)),
        Some(_) => Some((term, index)),
        None => None,
    });
    let vote = Some(vote).filter(|vote: &Bytes| !vote.is_empty());
    Ok(Plan::Resume(Box::new(Resume {
        recovered: Recovered {
            vote,
            committed,
            purged: start.purged(),
            last,
            cut_bytes,
        },
        start,
        vote_slots,
        start_slots,
        committed_slots,
        segments,
        terms,
        last_header,
        scanned,
        restart,
        cut: behind_bytes > 0,
        leftovers,
    })))
}

fn list(dir: &Path, disk: &dyn Disk) -> Result<Listing, OpenError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        names => names.map_err(io("list", dir))?,
    };
    let has = |kind: SlotKind| names.iter().any(|name| name == kind.file_name());
    let is_temp = |name: &&String| {
        [SlotKind::Vote, SlotKind::Start, SlotKind::Committed]
            .iter()
            .any(|kind| name.strip_suffix(".tmp") == Some(kind.file_name()))
    };
    let mut segments: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    segments.sort_unstable();
    Ok(Listing {
        segments,
        temps: names.iter().filter(is_temp).map(|name| dir.join(name)).collect(),
        has_vote: has(SlotKind::Vote),
        has_start: has(SlotKind::Start),
        has_committed: has(SlotKind::Committed),
    })
}

/// The vote's file is made last, so without it nothing was ever promised; unless somebody took it away.
fn examine_blank(dir: &Path, listing: Listing, disk: &dyn Disk) -> Result<Plan, OpenError> {
    let mut leftovers = listing.temps;
    for base in &listing.segments {
        let path = segment_path(dir, *base);
        let size = disk
            .open(&path)
            .and_then(|file| file.size_bytes())
            .map_err(io("open", &path))?;
        if *base > 0 || size > SEGMENT_HEADER_BYTES as u64 {
            let file = dir.join(SlotKind::Vote.file_name());
            let flaw = Flaw::new(format!("a vote, as {} has entries", path.display()), "no file");
            return Err(damaged(&file, 0, flaw));
        }
        leftovers.push(path);
    }
    Ok(Plan::Blank { leftovers })
}

/// `(term, index)` last saved as committed.
type Hint = Option<Committed>;

/// The commit hint is never flushed, so an unreadable one is no damage.
fn examine_committed(
    dir: &Path,
    listing: &Listing,
    stamp: Stamp,
    disk: &dyn Disk,
) -> Result<(Option<Slots>, Hint), OpenError> {
    if !listing.has_committed {
        return Ok((None, None));
    }
    match Slots::open(disk, dir, SlotKind::Committed, stamp) {
        Ok((slots, committed)) => Ok((Some(slots), Committed::decode(&committed))),
        Err(OpenError::Damaged { .. }) => Ok((None, None)),
        Err(error) => Err(error),
    }
}

/// The last segment, if it was being made: its header is not whole and no frame in it is. The first one was whole
/// before the vote's file was, so it can't be that.
fn find_torn(dir: &Path, bases: &[u64], stamp: Stamp, disk: &dyn Disk) -> Result<Option<u64>, OpenError> {
    let Some((&base, [_, ..])) = bases.split_last() else {
        return Ok(None);
    };
    let path = segment_path(dir, base);
    let (header, mut window) = open_segment(&path, stamp, disk)?;
    let Err(flaw) = header else { return Ok(None) };
    let mark = flushed_end_after(&mut window, FrameSeed::new(stamp, base), 0).map_err(io("read", &path))?;
    match mark {
        Some(_) => Err(damaged(&path, 0, flaw)),
        None => Ok(Some(base)),
    }
}

/// A segment's header, and the file to scan. A header of another version or log is an error; one that is not whole is
/// for the caller to judge.
fn open_segment(
    path: &Path,
    stamp: Stamp,
    disk: &dyn Disk,
) -> Result<(Result<SegmentHeader, Flaw>, Window), OpenError> {
    let file = disk.open(path).map_err(io("open", path))?;
    let size = file.size_bytes().map_err(io("size", path))?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let header = if size < SEGMENT_HEADER_BYTES as u64 {
        Err(Flaw::new("a segment header", format!("a file of {size} bytes")))
    } else {
        file.read_at(&mut bytes, 0).map_err(io("read", path))?;
        match SegmentHeader::decode(&bytes, stamp) {
            Ok(header) => Ok(header),
            Err(HeaderFlaw::Torn(flaw)) => Err(flaw),
            Err(HeaderFlaw::Version(found)) => {
                return Err(OpenError::UnknownVersion {
                    file: path.to_owned(),
                    expected: FORMAT_VERSION,
                    found,
                });
            }
            Err(HeaderFlaw::Stamp(found)) => {
                let (expected, found) = (stamp.to_string(), found.to_string());
                return Err(OpenError::WrongStamp {
                    file: path.to_owned(),
                    expected,
                    found,
                });
            }
        }
    };
    Ok((header, Window::new(file, path.to_owned(), size)))
}

struct Examined {
    segments: Vec<Segment>,
    terms: TermRuns,
    last_header: SegmentHeader,
    scanned: Scanned,
    /// Bytes of the last segment behind its last good frame.
    behind_bytes: u64,
    /// The same, unless they are zeros, as they are where room was filled ahead.
    cut_bytes: u64,
}

/// Scans the segments at `bases`, which must join without a gap and reach the log's start. `torn` is the base of a
/// segment that was being made after them.
fn examine_segments(
    dir: &Path,
    bases: &[u64],
    torn: Option<u64>,
    start: &Start,
    stamp: Stamp,
    disk: &dyn Disk,
) -> Result<Examined, OpenError> {
    let mut terms = TermRuns::default();
    let mut segments: Vec<Segment> = Vec::with_capacity(bases.len());
    let mut before: Option<(SegmentHeader, Scanned)> = None;
    let (mut behind_bytes, mut cut_bytes) = (0, 0);
    for (at, &base) in bases.iter().enumerate() {
        (behind_bytes, cut_bytes) = (0, 0);
        let path = segment_path(dir, base);
        let (header, mut window) = open_segment(&path, stamp, disk)?;
        let header = header.map_err(|flaw| damaged(&path, 0, flaw))?;
        check_joins(&header, base, before.as_ref().map(|(_, scanned)| scanned), start)
            .map_err(|flaw| damaged(&path, 0, flaw))?;
        let mut segment = Segment::new(SegmentId(at as u64), base);
        let scanned =
            scan_frames(&mut window, &header, &mut segment, &mut terms).map_err(io("read", &path))?;
        // A new segment is only made when everything before it is flushed. One that starts at the log's start may
        // follow a gap: the log was made empty there.
        let next = bases
            .get(at + 1)
            .copied()
            .or(torn.filter(|base| *base != start.first_index));
        if let Some(Stop { position, flaw }) = &scanned.stop {
            let seed = FrameSeed::new(stamp, base);
            let marked = flushed_end_after(&mut window, seed, *position).map_err(io("read", &path))?;
            if marked.max(next).unwrap_or(0) > scanned.end_index {
                return Err(damaged(&path, *position, flaw.clone()));
            }
            behind_bytes = window.size_bytes() - position;
            let is_room = is_zero_from(&mut window, *position).map_err(io("read", &path))?;
            cut_bytes = if is_room { 0 } else { behind_bytes };
        }
        if let Some(next) = next.filter(|next| *next != scanned.end_index) {
            let flaw = Flaw::new(format!("entries up to {next}, where the next segment starts"), {
                format!("the end after entries below {}", scanned.end_index)
            });
            return Err(damaged(&path, segment.len_bytes, flaw));
        }
        segments.push(segment);
        before = Some((header, scanned));
    }
    let Some((last_header, scanned)) = before else {
        return Err(damaged(
            &segment_path(dir, start.first_index),
            0,
            Flaw::new("a segment", "no file"),
        ));
    };
    if start.log_end > start.first_index && scanned.end_index < start.first_index {
        let path = segment_path(dir, last_header.base_index);
        let flaw = Flaw::new(format!("entries up to {}", start.first_index), {
            format!("the end after entries below {}", scanned.end_index)
        });
        return Err(damaged(
            &path,
            segments.last().map_or(0, |segment| segment.len_bytes),
            flaw,
        ));
    }
    Ok(Examined {
        segments,
        terms,
        last_header,
        scanned,
        behind_bytes,
        cut_bytes,
    })
}

/// Whether a segment is what its name says, and goes on where the one before ended.
fn check_joins(
    header: &SegmentHeader,
    base: u64,
    before: Option<&Scanned>,
    start: &Start,
) -> Result<(), Flaw> {
    if header.base_index != base {
        return Err(Flaw::new(
            format!("base index {base}, as its name says"),
            header.base_index.to_string(),
        ));
    }
    let Some(before) = before else {
        if base <= start.first_index {
            return Ok(());
        }
        return Err(Flaw::new(
            format!("a segment with entry {}", start.first_index),
            format!("one from {base} on"),
        ));
    };
    let joins = [
        ("entry", before.end_index, base),
        ("last term", before.last_term, header.base_term),
        ("prefix hash", before.prefix_hash, header.prefix_hash),
    ];
    match joins.into_iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(Flaw::new(format!("{what} {expected}"), found.to_string())),
        None => Ok(()),
    }
}
