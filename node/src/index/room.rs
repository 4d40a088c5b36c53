//! What may wait in memory for the index's files.

use std::sync::atomic::Ordering::Relaxed;

use super::Index;
use crate::state::State;

/// Jobs that may wait while the disk has room: applying then waits for the keeper, which is only slow.
const MAX_JOBS: usize = 4;

/// Bytes of unsaved parts that may wait while the disk has none, for as long as that lasts. A node that is started then
/// applies the tail of its log, all that its index could not write before, and is to be read from. A part of 64 MiB of log
/// takes 3 MB if its records are of 1 KiB (40 bytes of id and 8 of a run for each), and 55 MB if they are the smallest there
/// are (a million ids, 8 bytes for each of 1.6 million records, 8 for each of 65,536 entries): that is ten parts at least,
/// and 10 GiB of log as a rule. Beyond, applying waits, and a node that starts does not get to answer before there is room.
const MAX_UNSAVED_BYTES: usize = 512 << 20;

impl Index {
    /// Whether `state` may take in more before its jobs are done.
    pub fn may_go_on(&self, state: &State) -> bool {
        state.jobs().0 <= MAX_JOBS
            || self.lacks_room.load(Relaxed) && unsaved_bytes(state) <= MAX_UNSAVED_BYTES
    }
}

fn unsaved_bytes(state: &State) -> usize {
    state.unsaved().map(|part| part.size_bytes()).sum()
}
