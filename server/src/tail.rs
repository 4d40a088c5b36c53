//! Following a log file as `tail -F` does: the last lines first, then each new one.
//!
//! The file may not exist yet, may be cut short, and may be renamed to `<name>.1` and made anew. The open file is
//! followed, not its name: when the name leads to another file, the open one is read to its end once more and
//! only then left, so no line is lost or repeated. A file that was cut and has grown beyond the old place
//! between two looks can't be told from one that only grew.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The most lines of the past that can be asked for.
pub(crate) const MAX_TAIL_LINES: usize = 10_000;
/// How far back the past is read for them, per file.
const MAX_TAIL_BYTES: u64 = 8 << 20;
/// A longer line is cut here and marked.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 10;
/// The most read at one look; the rest comes with the next.
const READ_BYTES: usize = 256 << 10;
/// What stands where the rest of a long line was.
const CUT_MARK: &str = " … (cut)";

/// Bytes into lines of bounded length.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    /// Whether `partial` lost bytes.
    is_cut: bool,
}

impl Lines {
    fn feed(&mut self, mut bytes: &[u8], mut give: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            give(self.take());
        }
        self.extend(bytes);
    }

    /// Gives the line that no line end will follow.
    fn finish(&mut self, give: impl FnOnce(String)) {
        if !self.partial.is_empty() {
            give(self.take());
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.partial.len();
        self.is_cut |= bytes.len() > room;
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> String {
        let bytes = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let mut line = String::from_utf8_lossy(bytes).into_owned();
        if std::mem::take(&mut self.is_cut) {
            line.push_str(CUT_MARK);
        }
        self.partial.clear();
        line
    }
}

/// What one look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) lines: Vec<String>,
    /// There is more to read now.
    pub(crate) has_more: bool,
}

/// A followed file. All its methods block on the disk.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    open: Option<Open>,
    lines: Lines,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// How far the file has been read.
    at: u64,
    identity: (u64, u64),
}

impl Open {
    fn new(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let identity = identity(&file.metadata()?);
        Ok(Some(Self {
            file,
            at: 0,
            identity,
        }))
    }

    /// Reads on. Fewer bytes than [`READ_BYTES`] mean that the end was reached.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.file
            .by_ref()
            .take(READ_BYTES as u64)
            .read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Tail {
    /// Starts at the end of the file and gives its last `count` lines, those of the rotated file before it
    /// included.
    pub(crate) fn open(path: &Path, count: usize) -> io::Result<(Self, Vec<String>)> {
        let count = count.min(MAX_TAIL_LINES);
        let mut tail = Self {
            path: path.to_owned(),
            open: Open::new(path)?,
            lines: Lines::default(),
        };
        let mut last = VecDeque::new();
        if let Some(open) = &mut tail.open {
            last = last_lines(open, count, &mut tail.lines)?;
        }
        if last.len() < count
            && let Some(mut before) = Open::new(&rotated(path))?
        {
            let mut rest = Lines::default();
            let mut older = last_lines(&mut before, count - last.len(), &mut rest)?;
            rest.finish(|line| older.push_back(line));
            let excess = (older.len() + last.len()).saturating_sub(count);
            older.drain(..excess.min(older.len()));
            older.append(&mut last);
            last = older;
        }
        Ok((tail, last.into()))
    }

    /// Whether the file exists, or did when it was last looked at.
    pub(crate) fn exists(&self) -> bool {
        self.open.is_some()
    }

    /// Reads what is new.
    pub(crate) fn look(&mut self) -> io::Result<Look> {
        let mut look = Look::default();
        let Some(open) = &mut self.open else {
            self.open = Open::new(&self.path)?;
            look.has_more = self.open.is_some();
            return Ok(look);
        };
        // The name is looked up before the reading: what is written after the name moved is in the new file.
        let named = std::fs::metadata(&self.path)
            .ok()
            .map(|metadata| identity(&metadata));
        let length = open.file.metadata()?.len();
        if length < open.at {
            open.at = 0;
            self.lines.finish(|line| look.lines.push(line));
        }
        let bytes = open.read()?;
        self.lines.feed(&bytes, |line| look.lines.push(line));
        look.has_more = bytes.len() == READ_BYTES;
        // A name that leads nowhere: the new file is yet to be made, and the old one may still be written.
        if !look.has_more && named.is_some_and(|named| named != open.identity) {
            self.lines.finish(|line| look.lines.push(line));
            self.open = Open::new(&self.path)?;
            look.has_more = true;
        }
        Ok(look)
    }
}

/// `console.log` → `console.log.1`.
fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// The last `count` whole lines; what follows the last line end is left in `lines`, and `open` stands at the end.
fn last_lines(open: &mut Open, count: usize, lines: &mut Lines) -> io::Result<VecDeque<String>> {
    let length = open.file.metadata()?.len();
    let back = MAX_TAIL_BYTES.min(length);
    open.at = length - back;
    let mut last = VecDeque::with_capacity(count);
    let mut is_broken = open.at > 0;
    loop {
        let bytes = open.read()?;
        lines.feed(&bytes, |line| {
            // The first line of a read that began in the middle of the file is not a whole one.
            if std::mem::take(&mut is_broken) || count == 0 {
                return;
            }
            if last.len() == count {
                last.pop_front();
            }
            last.push_back(line);
        });
        if bytes.len() < READ_BYTES {
            return Ok(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write};

    use super::*;

    struct Log {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("console.log");
            Self {
                _folder: folder,
                path,
            }
        }

        fn append(&self, text: &str) {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self) {
            std::fs::rename(&self.path, rotated(&self.path)).unwrap();
        }
    }

    /// Looks until there is nothing more to read.
    fn drain(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let look = tail.look().unwrap();
            lines.extend(look.lines);
            if !look.has_more {
                return lines;
            }
        }
    }

    #[test]
    fn the_last_lines_come_first_and_then_only_new_ones() {
        let log = Log::new();
        log.append("one\ntwo\r\nthree\nfo");
        let (mut tail, last) = Tail::open(&log.path, 2).unwrap();
        assert_eq!(last, ["two", "three"]);
        assert!(drain(&mut tail).is_empty(), "a line is given when it is whole");
        log.append("ur\nfive\n");
        assert_eq!(drain(&mut tail), ["four", "five"]);
        let (_, last) = Tail::open(&log.path, 0).unwrap();
        assert!(last.is_empty());
    }

    #[test]
    fn a_file_that_does_not_exist_yet_is_followed_from_its_first_line() {
        let log = Log::new();
        let (mut tail, last) = Tail::open(&log.path, 5).unwrap();
        assert!(last.is_empty() && !tail.exists());
        assert!(drain(&mut tail).is_empty());
        log.append("first\n");
        assert_eq!(drain(&mut tail), ["first"]);
        assert!(tail.exists());
    }

    #[test]
    fn a_cut_file_is_read_from_its_new_start() {
        let log = Log::new();
        log.append("a long first line\nhalf");
        let (mut tail, _) = Tail::open(&log.path, 0).unwrap();
        std::fs::write(&log.path, "new\n").unwrap();
        assert_eq!(drain(&mut tail), ["half", "new"]);
    }

    #[test]
    fn rotation_loses_and_repeats_no_line() {
        let log = Log::new();
        log.append("1\n");
        let (mut tail, _) = Tail::open(&log.path, 0).unwrap();
        let mut seen = Vec::new();
        for round in 0..20 {
            log.append(&format!("{round} before\n"));
            if round % 2 == 0 {
                seen.extend(drain(&mut tail));
            }
            log.append(&format!("{round} unseen\n"));
            log.rotate();
            if round % 3 == 0 {
                seen.extend(drain(&mut tail));
            }
            // The writer's file goes by the rotated name until it has made the new one.
            OpenOptions::new()
                .append(true)
                .open(rotated(&log.path))
                .unwrap()
                .write_all(format!("{round} late\n").as_bytes())
                .unwrap();
            log.append(&format!("{round} after\n"));
            seen.extend(drain(&mut tail));
        }
        let expected: Vec<String> = (0..20)
            .flat_map(|round| ["before", "unseen", "late", "after"].map(|word| format!("{round} {word}")))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_past_reaches_into_the_rotated_file() {
        let log = Log::new();
        log.append("1\n2\n3\n");
        log.rotate();
        log.append("4\n");
        let (mut tail, last) = Tail::open(&log.path, 3).unwrap();
        assert_eq!(last, ["2", "3", "4"]);
        assert!(drain(&mut tail).is_empty());
    }

    #[test]
    fn long_lines_are_cut_and_bad_utf8_is_replaced() {
        let log = Log::new();
        let (mut tail, _) = Tail::open(&log.path, 0).unwrap();
        let endless = "x".repeat(3 * READ_BYTES);
        log.append(&format!("{endless}\n\u{1b}[31mred\u{1b}[0m\n"));
        OpenOptions::new()
            .append(true)
            .open(&log.path)
            .unwrap()
            .write_all(b"\xff!\n")
            .unwrap();
        let lines = drain(&mut tail);
        assert_eq!(lines[0].len(), MAX_LINE_BYTES + CUT_MARK.len());
        assert_eq!(lines[1..], ["\u{1b}[31mred\u{1b}[0m", "\u{fffd}!"]);
    }

    #[test]
    fn a_long_past_is_read_back_only_so_far() {
        let log = Log::new();
        let line = format!("{}\n", "y".repeat(1_000));
        let count = usize::try_from(MAX_TAIL_BYTES).unwrap() / 1_000 + 100;
        log.append(&line.repeat(count));
        let (_, last) = Tail::open(&log.path, MAX_TAIL_LINES).unwrap();
        assert!(last.len() < count && last.len() > count - 300, "{}", last.len());
        assert!(last.iter().all(|line| line.len() == 1_000), "no half line");
    }
}
