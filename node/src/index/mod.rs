//! The index on disk: sealed parts, and the state as of the retention cut.
//!
//! Everything here follows from the log, so damage is no loss: a bad part is made again from the log. A file is written
//! beside its name, synced and renamed, and only for entries that are flushed, so no restart finds a part beyond the
//! log. The one thing that cannot be made again is the state as of the cut, because the log before it is gone.

mod file;
mod keeper;
mod open;
mod rebuild;
mod room;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use parking_lot::Mutex;
use wiber_protocol::{codec::DecodeError, ids::LogId};
use wiber_storage::{Disk, DiskFile, Log, Stamp};

pub use keeper::Keeper;
pub use open::{Opened, open};

use crate::{
    folder::REBUILD,
    small_files::{Temporary, at, read, replace, sync_dir},
    state::{Remembered, SealedPart, Snapshot, StateLimits, Tables, WindowLimits},
};

/// Tables of parts kept in memory for readers of old records.
const CACHED_PARTS: usize = 8;
const CUT: &str = "cut";
const PART_SUFFIX: &str = ".part";

/// What is wrong with a file of the index.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] DecodeError),
    #[error("it belongs to another cluster or group")]
    Foreign,
    #[error("it is the part that begins at entry {0}")]
    Misnamed(u64),
}

/// The folder of the index. One thread at a time writes: the keeper, or whoever installs a snapshot.
pub struct Index {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    stamp: Stamp,
    limits: StateLimits,
    /// What every part can be made again from.
    log: Log,
    writing: Mutex<Written>,
    /// The keeper waits for room.
    lacks_room: AtomicBool,
    /// By first entry, most recently read last.
    cached: Mutex<Vec<(u64, Tables)>>,
}

/// What whoever writes knows of the files.
#[derive(Default)]
struct Written {
    /// The newest entry that the state as of the cut covers.
    cut: Option<u64>,
    /// How large the next state as of a cut may be, as far as is known: so much room is kept for it.
    room_bytes: u64,
}

impl Index {
    /// Writes a sealed part; durable when it returns. One that a snapshot has overtaken is left out: it is no part of
    /// what follows the cut.
    pub fn save(&self, part: &SealedPart) -> io::Result<()> {
        let mut written = self.writing.lock();
        if written.cut.is_some_and(|cut| part.meta.first_index <= cut) {
            return Ok(());
        }
        // First: with room for the cut, retention can make room for the part.
        self.keep_room_if_any(&mut written, Snapshot::size_bytes(&part.after, part.remembered))?;
        self.write(part)
    }

    fn write(&self, part: &SealedPart) -> io::Result<()> {
        let path = self.dir.join(part_name(part.meta.first_index));
        replace(
            &*self.disk,
            &path,
            &file::encode(part, self.stamp),
            Temporary::Anew,
        )
    }

    /// Keeps the state as of `at`, where a part ends, and lets go of the parts up to there, of which `unsaved` have no
    /// file. Does nothing if that was done before.
    pub fn cut(&self, at: LogId, unsaved: &[Arc<SealedPart>]) -> io::Result<()> {
        let mut written = self.writing.lock();
        if written.cut.is_none_or(|cut| cut < at.index) {
            let snapshot = self.snapshot_at(at, unsaved)?;
            self.write_cut(&mut written, &snapshot)?;
        }
        self.drop_parts(at.index)?;
        self.keep_room_if_any(&mut written, 0)
    }

    /// Replaces everything by a snapshot that another node took.
    pub fn install(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut written = self.writing.lock();
        self.write_cut(&mut written, snapshot)?;
        self.drop_parts(u64::MAX)?;
        self.keep_room_if_any(&mut written, 0)
    }

    /// The state as of the cut, if there was one.
    pub fn snapshot(&self) -> io::Result<Option<Snapshot>> {
        let path = self.cut_path();
        let Some(bytes) = read(&*self.disk, &path)? else {
            return Ok(None);
        };
        Snapshot::decode(&bytes.into()).map(Some).map_err(|error| {
            let text = format!("{}: {error}; {REBUILD}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    /// The tables of the saved part that begins at entry `part`; blocks.
    pub fn tables(&self, part: u64) -> io::Result<Tables> {
        let mut cached = self.cached.lock();
        if let Some(at) = cached.iter().position(|(first, _)| *first == part) {
            let found = cached.remove(at);
            let tables = found.1.clone();
            cached.push(found);
            return Ok(tables);
        }
        drop(cached);
        let tables = match self.read_part(part, |header, file| header.tables(file)) {
            Err(error) if is_lost(&error) => {
                let written = self.writing.lock();
                if written.cut.is_some_and(|cut| part <= cut) {
                    return Err(not_found(format!(
                        "retention dropped the part that begins at entry {part}"
                    )));
                }
                self.read_sound_part(part, |header, file| header.tables(file))?
            }
            other => other?,
        };
        let mut cached = self.cached.lock();
        if cached.len() >= CACHED_PARTS {
            cached.remove(0);
        }
        cached.push((part, tables.clone()));
        Ok(tables)
    }

    fn snapshot_at(&self, at: LogId, unsaved: &[Arc<SealedPart>]) -> io::Result<Snapshot> {
        let before = self.snapshot()?;
        let parts = self.parts_up_to(before.as_ref(), at.index + 1, unsaved)?;
        let in_memory = |first| unsaved.iter().find(|part| part.meta.first_index == first);
        let newest = *parts.last().ok_or_else(|| no_part_ends_before(at.index + 1))?;
        let checkpoint = match in_memory(newest) {
            Some(part) => part.after.clone(),
            None => self.read_sound_part(newest, |header, file| header.checkpoint(file))?,
        };
        let ids_of = |first| match in_memory(first) {
            Some(part) => Ok(part.ids.clone()),
            None => self.ids_of(first),
        };
        let ids = ids_at(self.limits.window, checkpoint.clock_ms, &parts, ids_of, before)?;
        Ok(Snapshot {
            checkpoint: checkpoint.without_records(),
            ids,
        })
    }

    /// The first entries of the parts from the cut to entry `end`, before which one ends: those of `unsaved`, and files. A
    /// missing or bad file is made again. Whoever calls it has the turn to write.
    fn parts_up_to(
        &self,
        cut: Option<&Snapshot>,
        end: u64,
        unsaved: &[Arc<SealedPart>],
    ) -> io::Result<Vec<u64>> {
        let mut firsts = Vec::new();
        let mut next = cut
            .and_then(|cut| cut.checkpoint.applied)
            .map_or(0, |cut| cut.index + 1);
        while next < end {
            firsts.push(next);
            let in_memory = unsaved.iter().find(|part| part.meta.first_index == next);
            let last = match in_memory {
                Some(part) => part.meta.last,
                None => self.read_sound_part(next, |header, _| Ok(header.meta.last))?,
            };
            next = last.index + 1;
        }
        if next == end {
            Ok(firsts)
        } else {
            Err(no_part_ends_before(end))
        }
    }

    fn ids_of(&self, part: u64) -> io::Result<Vec<Remembered>> {
        self.read_sound_part(part, |header, file| header.ids(file))
    }

    fn read_part<T>(
        &self,
        first: u64,
        read: impl Fn(&file::Header, &dyn DiskFile) -> Result<T, Damage>,
    ) -> io::Result<T> {
        let path = self.dir.join(part_name(first));
        let file = self.disk.open(&path).map_err(|e| at(&path, "cannot open", &e))?;
        file::read_header(&*file, self.stamp)
            .and_then(|header| match header.meta.first_index {
                found if found != first => Err(Damage::Misnamed(found)),
                _ => read(&header, &*file),
            })
            .map_err(|damage| damaged(&path, &damage))
    }

    /// As [`Self::read_part`]; a missing or bad part is made again first. Whoever calls it has the turn to write.
    fn read_sound_part<T>(
        &self,
        first: u64,
        read: impl Fn(&file::Header, &dyn DiskFile) -> Result<T, Damage>,
    ) -> io::Result<T> {
        match self.read_part(first, &read) {
            Err(error) if is_lost(&error) => {
                tracing::warn!(target: "storage", "makes a part of the index again: {error}");
                self.rebuild(first)?;
                self.read_part(first, read)
            }
            other => other,
        }
    }

    /// The first entries of all parts that have a file, rising.
    fn part_firsts(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(&self.dir);
        let names = names.map_err(|e| at(&self.dir, "cannot list", &e))?;
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| part_first(name)).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// Removes the files of parts that begin at or before `log_index`.
    fn drop_parts(&self, log_index: u64) -> io::Result<()> {
        let firsts = self.part_firsts()?;
        self.remove(firsts.into_iter().filter(|first| *first <= log_index))
    }

    fn remove(&self, firsts: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut removed = false;
        for first in firsts {
            let path = self.dir.join(part_name(first));
            self.disk
                .unlink(&path)
                .map_err(|e| at(&path, "cannot remove", &e))?;
            self.cached.lock().retain(|(cached, _)| *cached != first);
            removed = true;
        }
        if removed {
            sync_dir(&*self.disk, &self.dir)
        } else {
            Ok(())
        }
    }

    /// Writes the state as of the cut into the file that keeps its room.
    fn write_cut(&self, written: &mut Written, snapshot: &Snapshot) -> io::Result<()> {
        let bytes = snapshot.encode();
        self.keep_room(written, bytes.len() as u64)?;
        let replaced = replace(&*self.disk, &self.cut_path(), &bytes, Temporary::Kept);
        if let Err(error) = replaced {
            // Not every file system keeps room.
            self.give_back(written)?;
            return Err(error);
        }
        written.cut = snapshot.checkpoint.applied.map(|at| at.index);
        Ok(())
    }

    fn cut_path(&self) -> PathBuf {
        self.dir.join(CUT)
    }
}

/// The ids a dedup window remembers at the end of the last of `parts`, which took in `ids_of` each; oldest first.
fn ids_at(
    window: WindowLimits,
    clock_ms: u64,
    parts: &[u64],
    ids_of: impl Fn(u64) -> io::Result<Vec<Remembered>>,
    before: Option<Snapshot>,
) -> io::Result<Vec<Remembered>> {
    let mut newest_first: Vec<Remembered> = Vec::new();
    let of_parts = parts.iter().rev().map(|first| ids_of(*first));
    let of_cut = before.map(|cut| Ok(cut.ids));
    for ids in of_parts.chain(of_cut) {
        for id in ids?.into_iter().rev() {
            if id.is_expired(window.age_ms, clock_ms) || newest_first.len() == window.ids {
                newest_first.reverse();
                return Ok(newest_first);
            }
            newest_first.push(id);
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// Whether a part's file is not there or says nothing, so that it has to be made again.
fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
}

fn no_part_ends_before(end: u64) -> io::Error {
    not_found(format!("no part of the index ends before entry {end}"))
}

fn not_found(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, text)
}

fn part_name(first_index: u64) -> String {
    format!("{first_index:020}{PART_SUFFIX}")
}

fn part_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(PART_SUFFIX)?;
    let first = digits.parse().ok()?;
    (part_name(first) == name).then_some(first)
}

fn damaged(path: &Path, damage: &Damage) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {damage}", path.display()),
    )
}
