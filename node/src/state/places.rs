//! Places in the log by Lamport time: times rise along the log, and the notes say where each entry's begin.

use super::{EntryNote, State, Tables};

/// A sealed part's tables, if they are in memory, or where to read them.
#[derive(Clone, Debug)]
pub struct PartTables {
    /// Which part: its first entry.
    pub part: u64,
    pub unsaved: Option<Tables>,
}

/// Where an entry's note is.
#[derive(Clone, Debug)]
pub enum NoteAt {
    Here(EntryNote),
    Part(PartTables),
    /// The entry has not taken effect yet, and the next one's records will be later than this.
    Beyond {
        lamport: u64,
    },
}

/// Where the entry that follows a Lamport time is.
#[derive(Clone, Debug)]
pub enum EntryAt {
    Here(u64),
    /// In one of these, which are in order: in the last that does not begin later.
    Parts(Vec<PartTables>),
}

impl State {
    /// The first entry that retention has not dropped; the next one if there is none.
    pub fn first_index(&self) -> u64 {
        match self.parts.front() {
            Some(part) => part.meta.first_index,
            None if self.growing.is_empty() => self.next_index(),
            None => self.growing.first_index,
        }
    }

    /// The entry after the last one that took effect.
    pub fn next_index(&self) -> u64 {
        self.applied.map_or(0, |at| at.index + 1)
    }

    /// The note of an entry; of the first one that is kept, if it lies before.
    pub fn note(&self, log_index: u64) -> NoteAt {
        let log_index = log_index.max(self.first_index());
        if let Some(note) = self.growing.note(log_index) {
            return NoteAt::Here(note);
        }
        match self.part_of(log_index) {
            Some(at) => NoteAt::Part(self.part_tables(at)),
            None => NoteAt::Beyond {
                lamport: self.lamport,
            },
        }
    }

    /// The last entry whose records may be the first after `lamport`: those of the entries before it are not.
    pub fn entry_after(&self, lamport: u64) -> EntryAt {
        if let Some(index) = self.growing.entry_after(lamport) {
            return EntryAt::Here(index);
        }
        if self.parts.is_empty() {
            return EntryAt::Here(self.first_index());
        }
        let parts = 0..self.parts.len();
        EntryAt::Parts(parts.map(|at| self.part_tables(at)).collect())
    }

    /// The sealed part that holds an entry.
    pub(super) fn part_of(&self, log_index: u64) -> Option<usize> {
        let at = self
            .parts
            .partition_point(|part| part.meta.last.index < log_index);
        (at < self.parts.len()).then_some(at)
    }

    pub(super) fn part_tables(&self, at: usize) -> PartTables {
        let part = &self.parts[at];
        PartTables {
            part: part.meta.first_index,
            unsaved: part.unsaved.as_ref().map(|part| part.tables.clone()),
        }
    }
}
