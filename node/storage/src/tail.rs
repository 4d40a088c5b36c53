//! The end of the log on disk: the segment that is being written, and the frames that are on their way into it.
//!
//! Frames gather in one buffer and go to the file in one write. Nothing here decides when; [`crate::writer`] does.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    api::{Stamp, StoredEntry},
    disk::{Disk, DiskFile},
    failure::{Failure, tried},
    format::{FrameHeader, FrameSeed, SEGMENT_HEADER_BYTES, SegmentHeader, chain, frame_bytes},
    segment::{MARK_SPACING_BYTES, SegmentId, segment_path},
};

/// Frames are written out when so much of them is waiting, so that the buffer stays small.
const WRITE_CHUNK_BYTES: usize = 4 << 20;
/// Flushes of more than this are not worth filling ahead for: their own bytes take longer than what it saves.
const FILL_FOR_BYTES: usize = 16 << 10;

pub(crate) struct Tail {
    pub(crate) id: SegmentId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    seed: FrameSeed,
    /// Bytes of the file that are written, synced or not.
    written_bytes: u64,
    /// The size up to which the disk keeps room for the file.
    reserved_bytes: u64,
    /// The file's size: beyond `written_bytes` it holds zeros.
    filled_bytes: u64,
    /// Frames that follow them.
    buf: Vec<u8>,
    /// `(index, position)` of frames since the last flush, about one per [`MARK_SPACING_BYTES`].
    places: Vec<(u64, u64)>,
    /// Bytes of frames that no sync covers yet.
    unsynced_bytes: u64,
    /// One past the last entry, buffered or written.
    pub(crate) end_index: u64,
    pub(crate) last_term: u64,
    pub(crate) prefix_hash: u64,
    /// See [`SegmentHeader::chain_from`].
    pub(crate) chain_from: u64,
}

/// Where the log ends: what a tail continues from.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) index: u64,
    pub(crate) last_term: u64,
    pub(crate) prefix_hash: u64,
    pub(crate) chain_from: u64,
}

/// Room behind the end of a closed segment.
pub(crate) struct UnneededRoom {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    size_bytes: u64,
    is_some: bool,
}

impl UnneededRoom {
    pub(crate) fn give_back(self) -> Result<(), Failure> {
        if self.is_some {
            tried(
                "give room back from",
                &self.path,
                self.file.set_len(self.size_bytes),
            )?;
        }
        Ok(())
    }
}

impl Tail {
    /// Makes a new segment at the log's end, durably and with room for `reserve_bytes`: its header is on disk before any
    /// frame may be. If there is no room, nothing is left of it.
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        stamp: Stamp,
        id: SegmentId,
        end: End,
        reserve_bytes: u64,
    ) -> Result<Self, Failure> {
        let created = Self::try_create(disk, dir, stamp, id, end, reserve_bytes);
        if let Err(failure) = &created
            && failure.is_full()
        {
            let path = segment_path(dir, end.index);
            match disk.unlink(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return tried("unlink", &path, Err(error));
                }
                _ => tried("fsync", dir, disk.sync_dir(dir))?,
            }
        }
        created
    }

    fn try_create(
        disk: &dyn Disk,
        dir: &Path,
        stamp: Stamp,
        id: SegmentId,
        end: End,
        reserve_bytes: u64,
    ) -> Result<Self, Failure> {
        let path = segment_path(dir, end.index);
        let header = SegmentHeader {
            stamp,
            base_index: end.index,
            base_term: end.last_term,
            prefix_hash: end.prefix_hash,
            chain_from: end.chain_from,
            flushed_end: end.index,
        };
        let file = tried("create", &path, disk.create(&path))?;
        tried("write", &path, file.write_at(&header.encode(), 0))?;
        let mut tail = Self::resume(path, file, stamp, id, end.index, SEGMENT_HEADER_BYTES as u64, end);
        tail.reserve(reserve_bytes)?;
        tried("fsync", &tail.path, tail.file.sync_all())?;
        tried("fsync", dir, disk.sync_dir(dir))?;
        Ok(tail)
    }

    /// Sees to it that there is room for `ahead_bytes` more; takes twice as much at a time, where it can.
    pub(crate) fn reserve(&mut self, ahead_bytes: u64) -> Result<(), Failure> {
        let len = self.len_bytes();
        if ahead_bytes > 0 && len + ahead_bytes > self.reserved_bytes {
            let mut size = len + 2 * ahead_bytes;
            let mut reserved = tried("reserve room for", &self.path, self.file.reserve(size));
            if reserved.as_ref().is_err_and(Failure::is_full) {
                size = len + ahead_bytes;
                reserved = tried("reserve room for", &self.path, self.file.reserve(size));
            }
            reserved?;
            self.reserved_bytes = size;
        }
        Ok(())
    }

    /// How much fits what is reserved.
    pub(crate) fn spare_bytes(&self) -> u64 {
        self.reserved_bytes.saturating_sub(self.len_bytes())
    }

    /// What a segment keeps reserved and will not need any more once it is closed. Everything in it is written.
    pub(crate) fn unneeded_room(&self) -> UnneededRoom {
        UnneededRoom {
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            size_bytes: self.written_bytes,
            is_some: self.reserved_bytes.max(self.filled_bytes) > self.written_bytes,
        }
    }

    /// Goes on in a segment of `written_bytes` that is durable up to there.
    pub(crate) fn resume(
        path: PathBuf,
        file: Arc<dyn DiskFile>,
        stamp: Stamp,
        id: SegmentId,
        base_index: u64,
        written_bytes: u64,
        end: End,
    ) -> Self {
        Self {
            id,
            path,
            file,
            seed: FrameSeed::new(stamp, base_index),
            written_bytes,
            reserved_bytes: written_bytes,
            filled_bytes: written_bytes,
            buf: Vec::new(),
            places: Vec::new(),
            unsynced_bytes: 0,
            end_index: end.index,
            last_term: end.last_term,
            prefix_hash: end.prefix_hash,
            chain_from: end.chain_from,
        }
    }

    pub(crate) fn end(&self) -> End {
        End {
            index: self.end_index,
            last_term: self.last_term,
            prefix_hash: self.prefix_hash,
            chain_from: self.chain_from,
        }
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// The segment's length with everything that is on its way.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.written_bytes + self.buf.len() as u64
    }

    /// Whether an entry of `entry_len` bytes belongs in the next segment. Every segment takes at least one.
    pub(crate) fn is_full_for(&self, entry_len: usize, segment_bytes: u64) -> bool {
        let len = self.len_bytes();
        len > SEGMENT_HEADER_BYTES as u64 && len + frame_bytes(entry_len) as u64 > segment_bytes
    }

    /// Adds the frame of the entry that follows.
    pub(crate) fn stage(&mut self, entry: &StoredEntry, flushed_end: u64) -> Result<(), Failure> {
        debug_assert_eq!(entry.index, self.end_index, "the handle lets no gap through");
        let entry_crc = crc32c::crc32c(&entry.bytes);
        let prefix_hash = chain(self.prefix_hash, entry.index, entry.term, entry_crc);
        let header = FrameHeader {
            entry_len: u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX),
            index: entry.index,
            term: entry.term,
            flushed_end,
            prefix_hash,
            entry_crc,
        };
        let position = self.len_bytes();
        if self
            .places
            .last()
            .is_none_or(|(_, last)| position - last >= MARK_SPACING_BYTES)
        {
            self.places.push((entry.index, position));
        }
        let frame_end = self.buf.len() + header.frame_bytes();
        self.buf.reserve(header.frame_bytes());
        self.buf.extend_from_slice(&header.encode(self.seed, position));
        self.buf.extend_from_slice(&entry.bytes);
        self.buf.resize(frame_end, 0);
        self.unsynced_bytes += header.frame_bytes() as u64;
        self.end_index = entry.index + 1;
        self.last_term = entry.term;
        self.prefix_hash = prefix_hash;
        if self.buf.len() >= WRITE_CHUNK_BYTES {
            self.write_out(0)?;
        }
        Ok(())
    }

    /// How many zeros to write behind what is buffered. A sync that finds the file's size and blocks as they were writes
    /// nothing but them, no metadata and no journal of the file system; so a small flush makes room for many.
    fn zeros_ahead(&self, fill_bytes: u64) -> u64 {
        let end = self.len_bytes();
        if self.buf.len() > FILL_FOR_BYTES || end <= self.filled_bytes {
            return 0;
        }
        // Never beyond what is reserved: that write could find the disk full.
        (end + fill_bytes).min(self.reserved_bytes).saturating_sub(end)
    }

    fn write_out(&mut self, zeros: u64) -> Result<(), Failure> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let len = self.buf.len();
        self.buf.resize(len + usize::try_from(zeros).unwrap_or(0), 0);
        tried(
            "write",
            &self.path,
            self.file.write_at(&self.buf, self.written_bytes),
        )?;
        self.filled_bytes = self.filled_bytes.max(self.written_bytes + self.buf.len() as u64);
        self.written_bytes += len as u64;
        self.buf.clear();
        // One large entry must not hold its memory for ever.
        self.buf.shrink_to(2 * WRITE_CHUNK_BYTES);
        Ok(())
    }

    /// Writes what is buffered and syncs. Returns the bytes that became durable and the microseconds the sync took; `None`
    /// if there were none. A small flush that grows the file grows it by `fill_bytes` more.
    pub(crate) fn flush(&mut self, disk: &dyn Disk, fill_bytes: u64) -> Result<Option<(u64, u64)>, Failure> {
        if self.unsynced_bytes == 0 {
            return Ok(None);
        }
        self.write_out(self.zeros_ahead(fill_bytes))?;
        let start_us = disk.now_us();
        tried("fdatasync", &self.path, self.file.sync_data())?;
        let elapsed_us = disk.now_us().saturating_sub(start_us);
        Ok(Some((std::mem::take(&mut self.unsynced_bytes), elapsed_us)))
    }

    /// Places in what was flushed, for the sparse index.
    pub(crate) fn take_places(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.places)
    }
}
