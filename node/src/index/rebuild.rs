//! A part made again from the log.

use std::io;

use wiber_protocol::entry::Entry;
use wiber_storage::Log;

use super::{Index, ids_at, not_found};
use crate::state::{Change, Job, SealedPart, Snapshot, State};

/// Entries are read from the log in steps of this size.
const READ_BYTES: usize = 4 << 20;

impl Index {
    /// Makes the part that begins at entry `first` again, and with it those before that are missing or bad; blocks.
    /// Whoever calls it has the turn to write.
    pub(super) fn rebuild(&self, first: u64) -> io::Result<()> {
        let before = self.state_before(first)?;
        let part = replay(State::restore(self.limits, before, []), first, &self.log)?;
        self.write(&part)
    }

    /// The state before entry `first`, where a part begins.
    fn state_before(&self, first: u64) -> io::Result<Snapshot> {
        let cut = self.snapshot()?;
        let earlier = self.parts_up_to(cut.as_ref(), first, &[])?;
        let Some(previous) = earlier.last() else {
            return Ok(cut.unwrap_or_default());
        };
        let checkpoint = self.read_sound_part(*previous, |header, file| header.checkpoint(file))?;
        let ids = ids_at(
            self.limits.window,
            checkpoint.clock_ms,
            &earlier,
            |part| self.ids_of(part),
            cut,
        )?;
        Ok(Snapshot { checkpoint, ids })
    }
}

fn replay(mut state: State, first: u64, log: &Log) -> io::Result<SealedPart> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut next = first;
    loop {
        let entries = log.read(next, u64::MAX, READ_BYTES)?;
        if entries.first().is_none_or(|entry| entry.index != next) {
            let text = format!("the log has no entry {next}, which a part of the index covers");
            return Err(not_found(text));
        }
        for stored in entries {
            next = stored.index + 1;
            let entry = Entry::decode(stored.bytes).map_err(invalid)?;
            let change = Change::decode(&entry).map_err(invalid)?;
            state.apply(entry.log_id, entry.bytes().len() as u64, &change);
            if let (_, Some(Job::Save(part))) = state.jobs() {
                return Ok(SealedPart::clone(part));
            }
        }
    }
}
