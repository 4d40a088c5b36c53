//! Cuts a stream of bytes into lines, whatever pieces it arrives in, in bounded memory.

use bytes::{Bytes, BytesMut};

/// One line of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its line end (`\n` or `\r\n`); shares the memory it was read into.
    Text(Bytes),
    /// Longer than the bound. Told as soon as it is known; the rest of it is dropped as it comes.
    TooLong,
}

/// Bytes in, lines out. It holds at most one line's bound and what was put in last: take all lines out before
/// more is put in. Bytes after the last line end are never a line: a client that died in the middle of one
/// did not say it.
#[derive(Debug)]
pub struct LineSplitter {
    buf: BytesMut,
    /// How much of `buf` is known to have no line end.
    scanned_bytes: usize,
    max_line_bytes: usize,
    /// Inside a line that was already told to be too long.
    dropping: bool,
}

impl LineSplitter {
    /// `max_line_bytes` counts a line without its `\n`.
    pub fn new(max_line_bytes: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            scanned_bytes: 0,
            max_line_bytes,
            dropping: false,
        }
    }

    /// Where to append what was received.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// The next line, or `None` until more is put in.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = memchr::memchr(b'\n', &self.buf[self.scanned_bytes..]);
            let Some(at) = found.map(|at| at + self.scanned_bytes) else {
                return self.no_line_end();
            };
            let mut line = self.buf.split_to(at + 1);
            self.scanned_bytes = 0;
            if std::mem::take(&mut self.dropping) {
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

    fn no_line_end(&mut self) -> Option<Line> {
        if self.dropping {
            self.buf.clear();
        }
        self.scanned_bytes = self.buf.len();
        if self.scanned_bytes <= self.max_line_bytes {
            return None;
        }
        self.buf.clear();
        self.scanned_bytes = 0;
        self.dropping = true;
        Some(Line::TooLong)
    }
}
