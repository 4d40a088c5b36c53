//! Places in the whole log, by Lamport time. What is in memory is looked up at once, the rest on the blocking pool.

use std::io;

use crate::{
    group::Group,
    index::Index,
    runtime,
    state::{EntryAt, EntryNote, NoteAt, PartTables, Tables},
};

impl PartTables {
    /// Blocks if they are in a file.
    pub(super) fn read(self, index: &Index) -> io::Result<Tables> {
        match self.unsaved {
            Some(tables) => Ok(tables),
            None => index.tables(self.part),
        }
    }
}

impl Group {
    /// Waits until this node has a record of this Lamport time, or a later one.
    pub async fn await_lamport(&self, lamport: u64) {
        let mut applied = self.watermarks.applied();
        // The sender lives as long as the group.
        drop(applied.wait_for(|_| self.state.read().lamport >= lamport).await);
    }

    /// The Lamport time of the last record that retention dropped.
    pub async fn lamport_of_cut(&self) -> io::Result<u64> {
        self.lamport_before(0).await
    }

    /// The Lamport time of the last record before an entry; before the first one that is kept, if it lies before.
    pub async fn lamport_before(&self, log_index: u64) -> io::Result<u64> {
        match self.note(log_index).await? {
            Ok(note) => Ok(note.lamport_before),
            Err(lamport) => Ok(lamport),
        }
    }

    /// An entry's note, or of the first one that is kept, if it lies before. The last Lamport time of all if there is no such
    /// entry yet.
    pub(super) async fn note(&self, log_index: u64) -> io::Result<Result<EntryNote, u64>> {
        loop {
            let (found, first) = {
                let state = self.state.read();
                (state.note(log_index), state.first_index())
            };
            let tables = match found {
                NoteAt::Here(note) => return Ok(Ok(note)),
                NoteAt::Beyond { lamport } => return Ok(Err(lamport)),
                NoteAt::Part(tables) => tables,
            };
            let index = self.index.clone();
            let note = runtime::blocking(move || {
                let tables = tables.read(&index)?;
                tables.note(log_index.max(first)).ok_or_else(outside)
            });
            match note.await? {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.first_kept() > first => {}
                note => return note.map(Ok),
            }
        }
    }

    /// The last entry whose records may be the first after `lamport`: those of the entries before it are not.
    pub(super) async fn entry_after(&self, lamport: u64) -> io::Result<u64> {
        loop {
            let (found, first) = {
                let state = self.state.read();
                (state.entry_after(lamport), state.first_index())
            };
            let parts = match found {
                EntryAt::Here(index) => return Ok(index),
                EntryAt::Parts(parts) => parts,
            };
            let index = self.index.clone();
            match runtime::blocking(move || entry_in(parts, &index, lamport)).await? {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.first_kept() > first => {}
                found => return found,
            }
        }
    }

    /// The last entry that may be the first from `from` on with records: those before it have none. As a rule the part that
    /// holds `from` says so alone.
    pub(super) async fn entry_with_records(&self, from: u64) -> io::Result<u64> {
        let lamport = self.lamport_before(from).await?;
        let found = self.state.read().note(from);
        if let NoteAt::Part(tables) = found {
            let index = self.index.clone();
            let within = move || {
                let tables = tables.read(&index)?;
                let entry = tables.entry_after(lamport);
                // Whether the part's last entry has any is for the next part to say.
                Ok::<_, io::Error>(tables.note(entry + 1).map(|_| entry))
            };
            if let Ok(Some(entry)) = runtime::blocking(within).await? {
                return Ok(entry);
            }
        }
        self.entry_after(lamport).await
    }

    fn first_kept(&self) -> u64 {
        self.state.read().first_index()
    }
}

/// Blocks; each step of the bisection reads one part's tables.
fn entry_in(mut parts: Vec<PartTables>, index: &Index, lamport: u64) -> io::Result<u64> {
    let (mut first, mut beyond) = (0, parts.len());
    while first + 1 < beyond {
        let middle = first.midpoint(beyond);
        let tables = parts[middle].clone().read(index)?;
        if tables.lamport_before(0) <= Some(lamport) {
            first = middle;
        } else {
            beyond = middle;
        }
    }
    let tables = parts.swap_remove(first).read(index)?;
    Ok(tables.entry_after(lamport))
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an entry that is not in its part")
}
