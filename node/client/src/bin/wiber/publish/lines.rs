//! The lines of a file or a pipe, in batches of what is there, in bounded memory.

use std::io::{self, ErrorKind, Read};

use tokio::sync::mpsc::{self, error::TryRecvError};
use wiber_client::MAX_TOGETHER;
use wiber_protocol::line::{Line, LineSplitter, MAX_LINE_BYTES};

/// Read and not yet cut into lines; at the bound, no more is read.
const MAX_WAITING_CHUNKS: usize = 4;
const CHUNK_BYTES: usize = 64 << 10;
/// A batch gets no more lines once it has this many bytes.
const BATCH_BYTES: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NumberedLine {
    /// Counts from 1.
    pub(super) number: u64,
    /// Or why it can be no message.
    pub(super) text: Result<String, &'static str>,
}

pub(super) struct Lines {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    splitter: LineSplitter,
    /// Of the last line that was cut off.
    number: u64,
    read_bytes: u64,
    has_ended: bool,
}

impl Lines {
    /// Reads on a thread of its own, as neither files nor terminals can be waited for otherwise.
    pub(super) fn read(source: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = mpsc::channel(MAX_WAITING_CHUNKS);
        tokio::task::spawn_blocking(move || read_all(source, &sender));
        Self {
            chunks,
            splitter: LineSplitter::new(MAX_LINE_BYTES),
            number: 0,
            read_bytes: 0,
            has_ended: false,
        }
    }

    /// The number of the last line that was given; 0 before the first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How much has been cut into lines or is about to be.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Whether it is certain that no line is left. Ends the reading.
    pub(super) fn has_no_more(mut self) -> bool {
        self.splitter.buffer().is_empty()
            && (self.has_ended || matches!(self.chunks.try_recv(), Err(TryRecvError::Disconnected)))
    }

    /// The lines that are there, at least one; `None` at the end. A last line without a line end is a line, too.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<NumberedLine>>> {
        loop {
            let batch = self.cut();
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            if self.has_ended {
                return Ok(None);
            }
            if let Some(chunk) = self.chunks.recv().await {
                let chunk = chunk?;
                self.read_bytes += chunk.len() as u64;
                self.splitter.buffer().extend_from_slice(&chunk);
            } else {
                self.has_ended = true;
                if !self.splitter.buffer().is_empty() {
                    self.splitter.buffer().extend_from_slice(b"\n");
                }
            }
        }
    }

    fn cut(&mut self) -> Vec<NumberedLine> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_TOGETHER
            && bytes < BATCH_BYTES
            && let Some(line) = self.splitter.next_line()
        {
            self.number += 1;
            let text = match line {
                Line::TooLong | Line::Body(_) => Err("a message has at most 1048576 bytes"),
                Line::Text(line) => std::str::from_utf8(&line)
                    .map(str::to_owned)
                    .map_err(|_| "a message is UTF-8 text"),
            };
            bytes += text.as_ref().map_or(0, String::len);
            batch.push(NumberedLine {
                number: self.number,
                text,
            });
        }
        batch
    }
}

/// Until the end, an error, or until nobody wants more.
fn read_all(mut source: impl Read, sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match source.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if sender.blocking_send(read).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: Vec<u8>) -> Vec<NumberedLine> {
        let mut lines = Lines::read(io::Cursor::new(bytes));
        let mut all = Vec::new();
        while let Some(batch) = lines.next().await.unwrap() {
            assert!(!batch.is_empty() && batch.len() <= MAX_TOGETHER);
            all.extend(batch);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_numbered_and_the_last_needs_no_line_end() {
        let texts = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            async move {
                let lines = all(bytes).await.into_iter();
                lines
                    .map(|line| (line.number, line.text.unwrap()))
                    .collect::<Vec<_>>()
            }
        };
        let line = |number, text: &str| (number, text.to_owned());
        assert_eq!(texts(b"").await, []);
        assert_eq!(texts(b"a\r\nb").await, [line(1, "a"), line(2, "b")]);
        assert_eq!(
            texts(b"a\n\nb\n").await,
            [line(1, "a"), line(2, ""), line(3, "b")]
        );
    }

    #[tokio::test]
    async fn a_line_that_can_be_no_message_does_not_hide_those_after_it() {
        let mut bytes = vec![b'x'; 3 * MAX_LINE_BYTES];
        bytes.extend_from_slice(b"\n\xff\nb");
        let lines = all(bytes).await;
        let text = |at: usize| lines[at].text.clone();
        assert_eq!(lines.len(), 3);
        assert_eq!(text(0), Err("a message has at most 1048576 bytes"));
        assert_eq!(text(1), Err("a message is UTF-8 text"));
        assert_eq!((lines[2].number, text(2)), (3, Ok("b".to_owned())));
    }

    #[tokio::test]
    async fn many_lines_come_in_batches_and_none_is_lost() {
        let texts: Vec<String> = (1..=10_000).map(|number| format!("line {number}")).collect();
        let lines = all(texts.join("\n").into_bytes()).await;
        assert_eq!(lines.len(), 10_000);
        for (line, number) in lines.iter().zip(1..) {
            assert_eq!((line.number, &line.text), (number, &Ok(format!("line {number}"))));
        }
    }
}
