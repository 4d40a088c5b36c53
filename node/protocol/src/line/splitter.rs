//! Cuts a stream of bytes into lines and bodies, whatever pieces it arrives in, in bounded memory.

use bytes::{Buf, Bytes, BytesMut};

/// A body smaller than this is copied, so that it does not hold the memory that it was read into.
const SHARED_BODY_BYTES: usize = 16 << 10;

/// Room so many times larger than what is asked for is not kept.
const KEPT_ROOM: usize = 4;

/// The next thing on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its line end (`\n` or `\r\n`); shares the memory it was read into.
    Text(Bytes),
    /// Longer than the bound. Told as soon as it is known; the rest of it is dropped as it comes.
    TooLong,
    /// What [`LineSplitter::expect_body`] asked for.
    Body(Bytes),
}

/// Where the splitter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Lines,
    /// A line that was already told to be too long.
    LongLine,
    Body {
        bytes: usize,
    },
    /// A body that nobody wants.
    SkippedBody {
        left: u64,
    },
    /// Directly after a body: a line end there belongs to it.
    AfterBody,
}

/// Bytes in, lines out. It holds at most one line's or body's bound and what was put in last: take all lines out before
/// more is put in. Bytes after the last line end are never a line: a client that died in the middle of one
/// did not say it.
#[derive(Debug)]
pub struct LineSplitter {
    buf: BytesMut,
    /// How much of `buf` is known to have no line end.
    scanned_bytes: usize,
    max_line_bytes: usize,
    inside: Inside,
}

impl LineSplitter {
    /// `max_line_bytes` counts a line without its `\n`.
    pub fn new(max_line_bytes: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            scanned_bytes: 0,
            max_line_bytes,
            inside: Inside::Lines,
        }
    }

    /// Where to append what was received.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Makes room to append so many bytes. What was made for much more, and holds nothing, is let go of.
    pub fn make_room(&mut self, bytes: usize) {
        if self.buf.is_empty() && self.buf.capacity() > bytes.saturating_mul(KEPT_ROOM) {
            self.buf = BytesMut::new();
        }
        self.buf.reserve(bytes);
    }

    /// The line just taken says that so many bytes follow it. They come next, as [`Line::Body`]; a line end directly
    /// after them is taken for theirs and left out. The caller bounds `bytes`: they are held until all are there.
    pub fn expect_body(&mut self, bytes: usize) {
        self.inside = Inside::Body { bytes };
    }

    /// As [`Self::expect_body`], for bytes that are not wanted: they are dropped as they come.
    pub fn skip_body(&mut self, bytes: u64) {
        self.inside = Inside::SkippedBody { left: bytes };
    }

    /// The next line or body, or `None` until more is put in.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            match self.inside {
                Inside::Body { bytes } => return self.body(bytes).map(Line::Body),
                Inside::SkippedBody { left } => {
                    let here = usize::try_from(left).map_or(self.buf.len(), |left| left.min(self.buf.len()));
                    self.buf.advance(here);
                    let left = left - here as u64;
                    if left > 0 {
                        self.inside = Inside::SkippedBody { left };
                        return None;
                    }
                    self.inside = Inside::AfterBody;
                }
                Inside::AfterBody => match *self.buf {
                    [] | [b'\r'] => return None,
                    [b'\n', ..] => self.end_body(1),
                    [b'\r', b'\n', ..] => self.end_body(2),
                    _ => self.end_body(0),
                },
                Inside::Lines | Inside::LongLine => {
                    let found = memchr::memchr(b'\n', &self.buf[self.scanned_bytes..]);
                    let Some(at) = found.map(|at| at + self.scanned_bytes) else {
                        return self.no_line_end();
                    };
                    let mut line = self.buf.split_to(at + 1);
                    self.scanned_bytes = 0;
                    if self.inside == Inside::LongLine {
                        self.inside = Inside::Lines;
                        continue;
                    }
                    if at > self.max_line_bytes {
                        return Some(Line::TooLong);
                    }
                    let len = if line[..at].ends_with(b"\r") { at - 1 } else { at };
                    line.truncate(len);
                    return Some(Line::Text(line.freeze()));
                }
            }
        }
    }

    fn body(&mut self, bytes: usize) -> Option<Bytes> {
        if self.buf.len() < bytes {
            return None;
        }
        self.inside = Inside::AfterBody;
        if bytes < SHARED_BODY_BYTES {
            let body = Bytes::copy_from_slice(&self.buf[..bytes]);
            self.buf.advance(bytes);
            return Some(body);
        }
        Some(self.buf.split_to(bytes).freeze())
    }

    fn end_body(&mut self, line_end_bytes: usize) {
        self.buf.advance(line_end_bytes);
        self.scanned_bytes = 0;
        self.inside = Inside::Lines;
    }

    fn no_line_end(&mut self) -> Option<Line> {
        if self.inside == Inside::LongLine {
            self.buf.clear();
        }
        self.scanned_bytes = self.buf.len();
        if self.scanned_bytes <= self.max_line_bytes {
            return None;
        }
        self.buf.clear();
        self.scanned_bytes = 0;
        self.inside = Inside::LongLine;
        Some(Line::TooLong)
    }
}
