//! Reading a whole segment once, at recovery: every checksum, every index, the chain of hashes, in one buffer that is
//! used over and over, whatever lengths the file claims.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    disk::DiskFile,
    format::{
        ALIGN_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, Flaw, FrameHeader, FrameSeed, SEGMENT_HEADER_BYTES,
        SegmentHeader, chain, check_padding, u32_at,
    },
    segment::Segment,
    terms::TermRuns,
};

const WINDOW_BYTES: usize = 1 << 20;

/// Where a segment's frames stop being what was written.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) position: u64,
    pub(crate) flaw: Flaw,
}

/// What a scan found: everything up to the first flaw.
pub(crate) struct Scanned {
    /// One past the last good frame.
    pub(crate) end_index: u64,
    pub(crate) last_term: u64,
    pub(crate) prefix_hash: u64,
    /// Entries below this were flushed when the newest good frame was written.
    pub(crate) flushed_end: u64,
    /// `None` if the file ends with a whole frame.
    pub(crate) stop: Option<Stop>,
}

/// A file seen through one buffer.
pub(crate) struct Window {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    size_bytes: u64,
    buf: Vec<u8>,
    start: u64,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn DiskFile>, path: PathBuf, size_bytes: u64) -> Self {
        Self {
            file,
            path,
            size_bytes,
            buf: Vec::new(),
            start: 0,
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Up to `len` bytes from `position`, at most [`WINDOW_BYTES`]; fewer only at the end of the file.
    fn get(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let end = (position + len.min(WINDOW_BYTES) as u64).min(self.size_bytes);
        if position < self.start || end > self.start + self.buf.len() as u64 {
            let fill = (position + WINDOW_BYTES as u64)
                .min(self.size_bytes)
                .saturating_sub(position);
            self.buf.resize(usize::try_from(fill).unwrap_or(WINDOW_BYTES), 0);
            self.start = position;
            self.file.read_at(&mut self.buf, position).map_err(|error| {
                let text = format!("read {} at byte {position}: {error}", self.path.display());
                io::Error::new(error.kind(), text)
            })?;
        }
        let at = |position: u64| usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        Ok(self.buf.get(at(position)..at(end)).unwrap_or_default())
    }

    fn entry_crc(&mut self, mut position: u64, mut len: usize) -> io::Result<u32> {
        let mut crc = 0;
        while len > 0 {
            let part = self.get(position, len)?;
            if part.is_empty() {
                break;
            }
            crc = crc32c::crc32c_append(crc, part);
            position += part.len() as u64;
            len -= part.len();
        }
        Ok(crc)
    }
}

/// Scans the frames after `header`, noting places in `segment` and terms in `terms`.
pub(crate) fn scan_frames(
    window: &mut Window,
    header: &SegmentHeader,
    segment: &mut Segment,
    terms: &mut TermRuns,
) -> io::Result<Scanned> {
    let seed = FrameSeed::new(header.stamp, header.base_index);
    let mut scanned = Scanned {
        end_index: header.base_index,
        last_term: header.base_term,
        prefix_hash: header.prefix_hash,
        flushed_end: header.flushed_end,
        stop: None,
    };
    let mut position = SEGMENT_HEADER_BYTES as u64;
    while position < window.size_bytes {
        match scan_frame(window, seed, position, &scanned)? {
            Ok(frame) => {
                segment.note(frame.index, position);
                terms.push(frame.index, frame.term);
                position += frame.frame_bytes() as u64;
                scanned.end_index = frame.index + 1;
                scanned.last_term = frame.term;
                scanned.prefix_hash = frame.prefix_hash;
                scanned.flushed_end = scanned.flushed_end.max(frame.flushed_end);
            }
            Err(flaw) => {
                scanned.stop = Some(Stop { position, flaw });
                break;
            }
        }
    }
    segment.len_bytes = position;
    Ok(scanned)
}

/// One frame that must follow what was scanned. The outer error is the disk's, the inner one the bytes'.
fn scan_frame(
    window: &mut Window,
    seed: FrameSeed,
    position: u64,
    before: &Scanned,
) -> io::Result<Result<FrameHeader, Flaw>> {
    let left = window.size_bytes - position;
    let header_bytes = window.get(position, FRAME_HEADER_BYTES)?;
    if header_bytes.len() < FRAME_HEADER_BYTES {
        return Ok(Err(Flaw::new(
            "a frame header",
            format!("{left} bytes before the end of the file"),
        )));
    }
    let frame = match FrameHeader::decode(header_bytes, seed, position) {
        Ok(frame) => frame,
        Err(flaw) => return Ok(Err(flaw)),
    };
    if frame.frame_bytes() as u64 > left {
        let expected = format!("a frame of {} bytes", frame.frame_bytes());
        return Ok(Err(Flaw::new(
            expected,
            format!("{left} bytes before the end of the file"),
        )));
    }
    let entry_at = position + FRAME_HEADER_BYTES as u64;
    let entry_crc = window.entry_crc(entry_at, frame.entry_len as usize)?;
    let entry_end = entry_at + u64::from(frame.entry_len);
    let padding_bytes = frame.frame_bytes() - FRAME_HEADER_BYTES - frame.entry_len as usize;
    let padding = check_padding(window.get(entry_end, padding_bytes)?);
    let hash = chain(before.prefix_hash, frame.index, frame.term, frame.entry_crc);
    let chained = if hash == frame.prefix_hash {
        Ok(())
    } else {
        Err(Flaw::new(
            format!("prefix hash {hash:016x}"),
            format!("{:016x}", frame.prefix_hash),
        ))
    };
    let checks = frame
        .check_index(before.end_index)
        .and(frame.check_entry(entry_crc))
        .and(padding)
        .and(chained);
    Ok(checks.map(|()| frame))
}

/// What later frames say was flushed, after a flaw at `position`: the highest mark in any frame header that is valid
/// where it stands. A header is enough, as its mark was true when it was written, whatever became of its entry.
pub(crate) fn flushed_end_after(
    window: &mut Window,
    seed: FrameSeed,
    position: u64,
) -> io::Result<Option<u64>> {
    let mut highest = None;
    let mut at = (position + 1).next_multiple_of(ALIGN_BYTES as u64);
    while at + FRAME_HEADER_BYTES as u64 <= window.size_bytes {
        let bytes = window.get(at, WINDOW_BYTES)?;
        let tries = (bytes.len() - FRAME_HEADER_BYTES) / ALIGN_BYTES + 1;
        for offset in (0..tries).map(|step| step * ALIGN_BYTES) {
            if u32_at(bytes, offset) == FRAME_MAGIC
                && let Ok(frame) = FrameHeader::decode(&bytes[offset..], seed, at + offset as u64)
            {
                highest = highest.max(Some(frame.flushed_end));
            }
        }
        at += (tries * ALIGN_BYTES) as u64;
    }
    Ok(highest)
}

/// Whether there is nothing but zeros from `position` to the end of the file.
pub(crate) fn is_zero_from(window: &mut Window, position: u64) -> io::Result<bool> {
    let mut at = position;
    while at < window.size_bytes {
        let bytes = window.get(at, WINDOW_BYTES)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += bytes.len().max(1) as u64;
    }
    Ok(true)
}
