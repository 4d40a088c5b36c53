//! Room on the disk for the next state as of a cut, and what may wait in memory for want of room.
//!
//! Retention makes room, but has to write first: up to 40 MB of remembered ids. So the file that this goes to is there
//! beforehand, with its room. Opening the index removes what an earlier process left, as it may be the old file under another
//! name.

use std::{io, sync::atomic::Ordering::Relaxed};

use super::{Index, Written};
use crate::{
    small_files::{at, is_full, temporary},
    state::{SealedPart, State},
};

/// Jobs that may wait while the disk has room: applying then waits for the keeper, which is only slow.
const MAX_JOBS: usize = 4;

/// Bytes of unsaved parts that may wait while the disk has none, for as long as that lasts. A node that is started then
/// applies the tail of its log, all that its index could not write before, and is to be read from. A part of 64 MiB of log
/// takes 3 MB if its records are of 1 KiB (40 bytes of id and 8 of a run for each), and 55 MB if they are the smallest there
/// are (a million ids, 8 bytes for each of 1.6 million records, 8 for each of 65,536 entries): that is ten parts at least,
/// and 10 GiB of log as a rule. Beyond, applying waits, and a node that starts does not get to answer before there is room.
const MAX_UNSAVED_BYTES: usize = 512 << 20;

impl Index {
    /// Takes the room for a snapshot of so many bytes, that [`Index::install`] may not fail for want of it.
    pub fn make_room(&self, size_bytes: u64) -> io::Result<()> {
        self.keep_room(&mut self.writing.lock(), size_bytes)
    }

    /// Takes the room for a next state as of a cut of so many bytes. If there is none, what was taken before stays.
    pub(super) fn keep_room(&self, written: &mut Written, size_bytes: u64) -> io::Result<()> {
        let path = temporary(&self.cut_path());
        let file = match self.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(&path),
            opened => opened,
        };
        let file = file.map_err(|e| at(&path, "cannot make", &e))?;
        let wanted = size_bytes.max(written.room_bytes);
        if let Err(error) = file.reserve(wanted) {
            self.give_back(written)?;
            return Err(at(&path, "cannot keep room in", &error));
        }
        written.room_bytes = wanted;
        Ok(())
    }

    /// As [`Self::keep_room`], where that can be done later.
    pub(super) fn keep_room_if_any(&self, written: &mut Written, size_bytes: u64) -> io::Result<()> {
        match self.keep_room(written, size_bytes) {
            Err(error) if !is_full(&error) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives back what an attempt took that did not come to its end, but for the room that was kept before.
    pub(super) fn give_back(&self, written: &Written) -> io::Result<()> {
        let path = temporary(&self.cut_path());
        let again = || {
            let file = self.disk.open(&path)?;
            file.set_len(0)?;
            file.reserve(written.room_bytes)
        };
        match again() {
            Err(error) if error.kind() != io::ErrorKind::NotFound && !is_full(&error) => {
                Err(at(&path, "cannot give back", &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether `state` may take in more before its jobs are done.
    pub fn may_go_on(&self, state: &State) -> bool {
        state.jobs().0 <= MAX_JOBS
            || self.lacks_room.load(Relaxed) && unsaved_bytes(state) <= MAX_UNSAVED_BYTES
    }
}

fn unsaved_bytes(state: &State) -> usize {
    state.unsaved().map(SealedPart::size_bytes).sum()
}
