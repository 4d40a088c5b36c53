//! Reading flushed entries back from a segment, checking every checksum on the way.
//!
//! The caller names a place at or before the first entry it wants; frames before that are stepped over by their
//! headers. Entries are slices of what was read, so a read costs one copy.

use std::{io, path::Path};

use bytes::Bytes;

use crate::{
    api::StoredEntry,
    disk::DiskFile,
    format::{FRAME_HEADER_BYTES, Flaw, FrameHeader, FrameSeed, check_padding},
    segment::MARK_SPACING_BYTES,
};

/// The most one read from a file asks for, but for a frame that is larger.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// A stretch of frames in one segment.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a> {
    pub(crate) path: &'a Path,
    pub(crate) seed: FrameSeed,
    /// A frame's index and position; the stretch starts there.
    pub(crate) index: u64,
    pub(crate) position: u64,
    /// The stretch ends here; frames end at or before it.
    pub(crate) end_position: u64,
}

impl Stretch<'_> {
    fn flaw(&self, position: u64, flaw: &Flaw) -> io::Error {
        let (file, expected, found) = (self.path.display(), &flaw.expected, &flaw.found);
        let text = format!("{file} is damaged at byte {position}: expected {expected}, found {found}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    fn read(&self, file: &dyn DiskFile, position: u64, len: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.end_position.saturating_sub(position)).unwrap_or(usize::MAX);
        if left < FRAME_HEADER_BYTES {
            let flaw = Flaw::new(
                "a frame",
                format!("the end of the segment's {} bytes", self.end_position),
            );
            return Err(self.flaw(position, &flaw));
        }
        let mut chunk = vec![0; len.min(left)];
        file.read_at(&mut chunk, position).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("read {} at byte {position}: {error}", self.path.display()),
            )
        })?;
        Ok(chunk.into())
    }
}

/// Entries `from..to` of a stretch that holds them all: at least one, then as many as one read brings and `max_bytes` allows.
pub(crate) fn read_entries(
    file: &dyn DiskFile,
    stretch: Stretch<'_>,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> io::Result<Vec<StoredEntry>> {
    let spacing = usize::try_from(MARK_SPACING_BYTES).unwrap_or(MAX_CHUNK_BYTES);
    let mut chunk_bytes = max_bytes.saturating_add(2 * spacing).min(MAX_CHUNK_BYTES);
    let mut entries = Vec::new();
    let mut taken_bytes = 0;
    let (mut index, mut position) = (stretch.index, stretch.position);
    while entries.is_empty() && index < to {
        let chunk = stretch.read(file, position, chunk_bytes)?;
        let chunk_start = position;
        let mut at = 0;
        while index < to && at + FRAME_HEADER_BYTES <= chunk.len() {
            let header = FrameHeader::decode(&chunk[at..], stretch.seed, position)
                .and_then(|header| header.check_index(index).map(|()| header))
                .map_err(|flaw| stretch.flaw(position, &flaw))?;
            let frame_bytes = header.frame_bytes();
            if stretch.end_position - position < frame_bytes as u64 {
                let flaw = Flaw::new(
                    format!("{frame_bytes} bytes"),
                    format!("the end at {}", stretch.end_position),
                );
                return Err(stretch.flaw(position, &flaw));
            }
            if index >= from {
                let entry_len = header.entry_len as usize;
                if at + frame_bytes > chunk.len() {
                    // A frame larger than a chunk is read whole, alone.
                    chunk_bytes = frame_bytes;
                    break;
                }
                if !entries.is_empty() && taken_bytes + entry_len > max_bytes {
                    return Ok(entries);
                }
                let bytes = chunk.slice(at + FRAME_HEADER_BYTES..at + FRAME_HEADER_BYTES + entry_len);
                header
                    .check_entry(crc32c::crc32c(&bytes))
                    .and_then(|()| {
                        check_padding(&chunk[at + FRAME_HEADER_BYTES + entry_len..at + frame_bytes])
                    })
                    .map_err(|flaw| stretch.flaw(position, &flaw))?;
                entries.push(StoredEntry {
                    index,
                    term: header.term,
                    bytes,
                });
                taken_bytes += entry_len;
            }
            at += frame_bytes;
            index += 1;
            position = chunk_start + at as u64;
        }
    }
    Ok(entries)
}

/// The position after the frame of `index`, and that frame's header: the writer goes on from there after a cut.
pub(crate) fn find_end_of(
    file: &dyn DiskFile,
    stretch: Stretch<'_>,
    index: u64,
) -> io::Result<(u64, FrameHeader)> {
    let mut position = stretch.position;
    let mut at_index = stretch.index;
    loop {
        let bytes = stretch.read(file, position, FRAME_HEADER_BYTES)?;
        let header = FrameHeader::decode(&bytes, stretch.seed, position)
            .and_then(|header| header.check_index(at_index).map(|()| header))
            .map_err(|flaw| stretch.flaw(position, &flaw))?;
        position += header.frame_bytes() as u64;
        if at_index == index {
            return Ok((position, header));
        }
        at_index += 1;
    }
}
