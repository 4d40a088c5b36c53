//! Carrying out what recovery found: the only code that changes files at opening. Each step leaves a folder that recovery
//! understands, so a crash in between costs nothing.
//!
//! What was read may not be on disk: the process before may have ended between a write and its sync, and after a failed
//! sync the kernel may hold pages clean that never arrived. So the last segment's header, the end of the log that no mark proves flushed, the vote
//! and the start are written again and synced before anyone relies on them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    api::{LogOptions, Recovered},
    disk::{Disk, DiskFile},
    failure::{Failure, tried},
    format::SEGMENT_HEADER_BYTES,
    recovery::{Plan, Resume},
    segment::{Segment, SegmentId, segment_path},
    state::State,
    tail::{End, Tail},
    terms::TermRuns,
    vote::{SlotKind, Slots, Start, encode_committed},
};

const COPY_BYTES: usize = 1 << 20;

/// A log that is ready to be written.
pub(crate) struct Ready {
    pub(crate) state: State,
    pub(crate) vote: Slots,
    pub(crate) start_slots: Slots,
    pub(crate) committed: Slots,
    pub(crate) start: Start,
    pub(crate) tail: Tail,
    pub(crate) next_segment_id: u64,
    pub(crate) recovered: Recovered,
}

pub(crate) fn carry_out(
    plan: Plan,
    dir: &Path,
    options: &LogOptions,
    disk: &dyn Disk,
) -> Result<Ready, Failure> {
    match plan {
        Plan::Blank { leftovers } => make(&leftovers, dir, options, disk),
        Plan::Resume(resume) => Resuming { dir, options, disk }.run(*resume),
    }
}

/// The vote's file comes last: it says that the rest is there.
fn make(leftovers: &[PathBuf], dir: &Path, options: &LogOptions, disk: &dyn Disk) -> Result<Ready, Failure> {
    unlink_all(leftovers, dir, disk)?;
    let stamp = options.stamp;
    let start = Start::default();
    let start_slots = Slots::create(disk, dir, SlotKind::Start, stamp, &start.encode())?;
    let committed = Slots::create(disk, dir, SlotKind::Committed, stamp, &[])?;
    let id = SegmentId(0);
    let tail = Tail::create(
        disk,
        dir,
        stamp,
        id,
        End {
            index: 0,
            last_term: 0,
            prefix_hash: 0,
            chain_from: 0,
        },
        0,
    )?;
    let vote = Slots::create(disk, dir, SlotKind::Vote, stamp, &[])?;
    tried("fsync", dir, disk.sync_dir(dir))?;
    let state = State::new(
        None,
        0,
        0,
        options.hot_tail_bytes,
        TermRuns::default(),
        vec![Segment::new(id, 0)],
    );
    let recovered = Recovered::default();
    Ok(Ready {
        state,
        vote,
        start_slots,
        committed,
        start,
        tail,
        next_segment_id: 1,
        recovered,
    })
}

struct Resuming<'a> {
    dir: &'a Path,
    options: &'a LogOptions,
    disk: &'a dyn Disk,
}

impl Resuming<'_> {
    fn run(&self, mut found: Resume) -> Result<Ready, Failure> {
        unlink_all(&found.leftovers, self.dir, self.disk)?;
        let committed = self.resave_slots(&mut found)?;
        let mut tail = self.resume_tail(&found)?;
        let mut next_segment_id = found.segments.len() as u64;
        if found.restart {
            let index = found.start.first_index;
            let last_term = found.start.purged_term.unwrap_or(0);
            let id = SegmentId(next_segment_id);
            next_segment_id += 1;
            let end = End {
                index,
                last_term,
                prefix_hash: 0,
                chain_from: index,
            };
            tail = Tail::create(self.disk, self.dir, self.options.stamp, id, end, 0)?;
            let void = std::mem::replace(&mut found.segments, vec![Segment::new(id, index)]);
            let void: Vec<_> = void
                .iter()
                .map(|segment| segment_path(self.dir, segment.base_index))
                .collect();
            unlink_all(&void, self.dir, self.disk)?;
            found.terms.clear();
        }
        found.terms.purge(found.start.first_index);
        let state = State::new(
            found.recovered.purged,
            found.start.first_index,
            tail.end_index,
            self.options.hot_tail_bytes,
            found.terms,
            found.segments,
        );
        Ok(Ready {
            state,
            vote: found.vote_slots,
            start_slots: found.start_slots,
            committed,
            start: found.start,
            tail,
            next_segment_id,
            recovered: found.recovered,
        })
    }

    /// Each goes to the slot that does not hold it, so a crash meanwhile leaves the other.
    fn resave_slots(&self, found: &mut Resume) -> Result<Slots, Failure> {
        found
            .vote_slots
            .write(found.recovered.vote.as_deref().unwrap_or_default())?;
        found.vote_slots.sync()?;
        found.start_slots.write(&found.start.encode())?;
        found.start_slots.sync()?;
        if let Some(slots) = found.committed_slots.take() {
            return Ok(slots);
        }
        let hint = found
            .recovered
            .committed
            .map(|(term, index)| encode_committed(term, index));
        let payload = hint.as_ref().map_or(&[][..], |hint| hint);
        let slots = Slots::create(
            self.disk,
            self.dir,
            SlotKind::Committed,
            self.options.stamp,
            payload,
        )?;
        tried("fsync", self.dir, self.disk.sync_dir(self.dir))?;
        Ok(slots)
    }

    fn resume_tail(&self, found: &Resume) -> Result<Tail, Failure> {
        let header = &found.last_header;
        let path = segment_path(self.dir, header.base_index);
        let file = tried("open", &path, self.disk.open(&path))?;
        // Recovery refuses a log without segments.
        let (id, len_bytes, from) = found.segments.last().map_or((SegmentId(0), 0, 0), |segment| {
            (
                segment.id,
                segment.len_bytes,
                segment.nearest(found.scanned.flushed_end).1,
            )
        });
        if found.cut {
            tried("truncate", &path, file.set_len(len_bytes))?;
        }
        // The sync that was to cover the header may be the one that failed.
        rewrite(&path, &*file, 0, SEGMENT_HEADER_BYTES as u64)?;
        rewrite(&path, &*file, from, len_bytes)?;
        tried("fsync", &path, file.sync_all())?;
        let end = End {
            index: found.scanned.end_index,
            last_term: found.scanned.last_term,
            prefix_hash: found.scanned.prefix_hash,
            chain_from: header.chain_from,
        };
        let stamp = self.options.stamp;
        Ok(Tail::resume(
            path,
            Arc::clone(&file),
            stamp,
            id,
            header.base_index,
            len_bytes,
            end,
        ))
    }
}

/// Writes bytes `from..to` of a file over themselves, so that the next sync can't leave them out.
fn rewrite(path: &Path, file: &dyn DiskFile, from: u64, to: u64) -> Result<(), Failure> {
    let mut buf = vec![0; COPY_BYTES];
    let mut position = from;
    while position < to {
        let left = usize::try_from(to - position).unwrap_or(COPY_BYTES);
        let part = &mut buf[..left.min(COPY_BYTES)];
        tried("read", path, file.read_at(part, position))?;
        tried("write", path, file.write_at(part, position))?;
        position += part.len() as u64;
    }
    Ok(())
}

fn unlink_all(files: &[PathBuf], dir: &Path, disk: &dyn Disk) -> Result<(), Failure> {
    for file in files {
        tried("unlink", file, disk.unlink(file))?;
    }
    // Also without leftovers: what was found may have been created or renamed and never synced.
    tried("fsync", dir, disk.sync_dir(dir))
}
