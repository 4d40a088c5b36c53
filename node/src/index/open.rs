//! From what the folder holds to a state to go on from.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use parking_lot::Mutex;
use wiber_storage::{Disk, Log, Stamp};

use super::{Damage, Index, Written, file, ids_at, part_name};
use crate::{
    folder::REBUILD,
    small_files::{TEMPORARY_EXTENSION, at, sync_dir},
    state::{Checkpoint, Job, PartMeta, PartTopic, Snapshot, State, StateLimits},
};

/// An index and the newest state that the log is not behind.
pub struct Opened {
    pub index: Index,
    pub state: State,
    /// Parts that were missing or bad and will be made again from the log, oldest first, each with the reason.
    pub dropped: Vec<String>,
}

struct Part {
    meta: PartMeta,
    topics: Vec<PartTopic>,
    after: Checkpoint,
}

/// Opens the index in `dir` (made if missing) of the log `log`. What is bad is removed, and what is missing follows
/// from replaying the log after the state this returns. Fails if the state as of the cut is bad: then it cannot be
/// made again.
pub fn open(
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    stamp: Stamp,
    limits: StateLimits,
    log: &Log,
) -> io::Result<Opened> {
    disk.create_dir_all(&dir)
        .map_err(|e| at(&dir, "cannot make", &e))?;
    for name in disk.list(&dir).map_err(|e| at(&dir, "cannot list", &e))? {
        let path = dir.join(name);
        if path.extension().is_some_and(|of| of == TEMPORARY_EXTENSION) {
            disk.unlink(&path).map_err(|e| at(&path, "cannot remove", &e))?;
        }
    }
    // An earlier process may have ended between the rename of a file and its sync. What is read here is relied upon, and the
    // log let go of for it, so it must not be gone after a power loss.
    sync_dir(&*disk, &dir)?;
    let mut index = Index {
        dir,
        disk,
        stamp,
        limits,
        log: log.clone(),
        writing: Mutex::default(),
        lacks_room: AtomicBool::new(false),
        cached: Mutex::new(Vec::new()),
    };
    let purged = log.purged().map(|(_, purged)| purged);
    let snapshot = match index.snapshot() {
        Err(error) if error.kind() == io::ErrorKind::InvalidData && purged.is_none() => {
            // The whole log is there, so this follows from it as everything else does.
            let path = index.cut_path();
            index
                .disk
                .unlink(&path)
                .map_err(|e| at(&path, "cannot remove", &e))?;
            None
        }
        other => other?,
    };
    let cut = snapshot.as_ref().and_then(|cut| cut.checkpoint.applied);
    let size_bytes = |of: &Snapshot| Snapshot::size_bytes(&of.checkpoint, of.ids.len());
    let mut written = Written {
        cut: cut.map(|cut| cut.index),
        room_bytes: snapshot.as_ref().map_or(0, size_bytes),
    };
    if let Some(purged) = purged.filter(|purged| cut.is_none_or(|cut| cut.index < *purged)) {
        let text = format!(
            "{}: the log begins after entry {purged} and the state as of there is missing; {REBUILD}",
            index.cut_path().display(),
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut dropped = Vec::new();
    let parts = index.usable_parts(cut.map(|cut| cut.index), log, &mut dropped)?;
    let newest = parts.last().map(|part| part.after.clone());
    let restored = match newest {
        None => snapshot.unwrap_or_default(),
        Some(checkpoint) => {
            let firsts: Vec<u64> = parts.iter().map(|part| part.meta.first_index).collect();
            let ids = ids_at(
                limits.window,
                checkpoint.clock_ms,
                &firsts,
                |part| index.ids_of(part),
                snapshot,
            )?;
            Snapshot { checkpoint, ids }
        }
    };
    index.keep_room_if_any(&mut written, size_bytes(&restored))?;
    *index.writing.get_mut() = written;
    // The newest part may be from before the cut was applied. What is gone is gone, and applying the cut again then
    // changes nothing.
    let last_cut = restored.checkpoint.cut.max(cut);
    let readable = parts
        .into_iter()
        .filter(|part| last_cut.is_none_or(|cut| part.meta.first_index > cut.index))
        .map(|part| (part.meta, part.topics));
    let mut state = State::restore(limits, restored, readable);
    state.cut = last_cut;
    if let Some(at) = last_cut {
        // Also when it was done: the log up to there may still have to go.
        state.resume(Job::Cut {
            at,
            unsaved: Vec::new(),
        });
    }
    Ok(Opened {
        index,
        state,
        dropped,
    })
}

impl Index {
    /// The parts after the cut that follow each other without a gap and that the log is not behind; the rest is
    /// removed.
    fn usable_parts(&self, cut: Option<u64>, log: &Log, dropped: &mut Vec<String>) -> io::Result<Vec<Part>> {
        let mut usable: Vec<Part> = Vec::new();
        let mut useless = Vec::new();
        let first_entry = cut.map_or(0, |cut| cut + 1);
        let last_entry = log.last().map(|(_, index)| index);
        for first in self.part_firsts()? {
            let next = usable.last().map_or(first_entry, |part| part.meta.last.index + 1);
            if first != next {
                // Before the cut, or behind a part that is no longer there.
                useless.push(first);
                continue;
            }
            let path = self.dir.join(part_name(first));
            let part = match self.examine(&path, first) {
                Ok(part) => part,
                Err(Damage::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(at(&path, "cannot read", &error));
                }
                Err(damage) => {
                    dropped.push(format!("{}: {damage}", path.display()));
                    useless.push(first);
                    continue;
                }
            };
            if last_entry.is_some_and(|last| part.meta.last.index <= last) {
                usable.push(part);
            } else {
                dropped.push(format!("{}: the log ends before it", path.display()));
                useless.push(first);
            }
        }
        self.remove(useless.into_iter())?;
        Ok(usable)
    }

    fn examine(&self, path: &Path, first: u64) -> Result<Part, Damage> {
        let file = self.disk.open(path)?;
        let header = file::read_header(&*file, self.stamp)?;
        if header.meta.first_index != first {
            return Err(Damage::Misnamed(header.meta.first_index));
        }
        Ok(Part {
            topics: header.topics(&*file)?,
            after: header.checkpoint(&*file)?,
            meta: header.meta,
        })
    }
}
