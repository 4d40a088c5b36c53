//! A bounded set of open segment files, so that a long log does not use up the process's descriptors.

use std::{collections::VecDeque, io, path::Path, sync::Arc};

use parking_lot::Mutex;

use crate::{
    disk::{Disk, DiskFile},
    segment::SegmentId,
};

/// Segment files open for reading at once; the one unused for longest is closed first.
pub(crate) const MAX_OPEN_FILES: usize = 64;

#[derive(Default)]
pub(crate) struct OpenFiles {
    /// The most recently used is last. Few enough to search.
    files: Mutex<VecDeque<(SegmentId, Arc<dyn DiskFile>)>>,
}

impl OpenFiles {
    /// The open file of a segment, opened now if it is not. The path is only right for as long as the segment is:
    /// what was read is good only if nothing was cut or purged meanwhile.
    pub(crate) fn get(&self, disk: &dyn Disk, id: SegmentId, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let known = {
            let mut files = self.files.lock();
            let found = files
                .iter()
                .position(|(known, _)| *known == id)
                .and_then(|at| files.remove(at));
            found.map(|entry| {
                let file = Arc::clone(&entry.1);
                files.push_back(entry);
                file
            })
        };
        if let Some(file) = known {
            return Ok(file);
        }
        // Opened outside the lock: a slow disk does not hold up readers of other segments.
        let file = disk.open(path)?;
        self.put(id, Arc::clone(&file));
        Ok(file)
    }

    pub(crate) fn put(&self, id: SegmentId, file: Arc<dyn DiskFile>) {
        let mut files = self.files.lock();
        files.retain(|(known, _)| *known != id);
        if files.len() == MAX_OPEN_FILES {
            files.pop_front();
        }
        files.push_back((id, file));
    }

    pub(crate) fn forget(&self, id: SegmentId) {
        self.files.lock().retain(|(known, _)| *known != id);
    }
}
