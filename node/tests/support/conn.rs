//! A raw connection to a node's line port: bytes out, lines in.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use super::PATIENCE;

pub(crate) struct Conn {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Conn {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            lines: BufReader::new(stream.try_clone()?),
            stream,
        })
    }

    #[track_caller]
    pub(crate) fn to(port: u16) -> Self {
        Self::open(port).expect("a node that listens")
    }

    /// One half to listen and one to speak, for two threads.
    pub(crate) fn split(self) -> (Self, Self) {
        let stream = self.stream.try_clone().expect("an open connection");
        let lines = BufReader::new(self.stream.try_clone().expect("an open connection"));
        (self, Self { stream, lines })
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("a node that listens");
    }

    /// One line without its `\n`; an error at the end of the connection.
    pub(crate) fn try_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8(line).expect("an answer in UTF-8"))
    }

    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("an answer")
    }

    /// Sends one command and gives the first line of its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\n"));
        self.line()
    }

    pub(crate) fn try_ask(&mut self, command: &str) -> io::Result<String> {
        self.try_send(format!("{command}\n").as_bytes())?;
        self.try_line()
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Sends one command, whose whole answer must be this line.
    #[track_caller]
    pub(crate) fn check(&mut self, command: &str, answer: &str) {
        assert_eq!(self.ask(command), answer, "to `{command}`");
    }

    /// Nothing comes for that long.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, duration: Duration) {
        self.stream.set_read_timeout(Some(duration)).expect("a timeout");
        let heard = self.lines.fill_buf().map(<[u8]>::to_vec);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        match heard {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Ok(heard) => panic!("{:?} instead of silence", heard.lines().next()),
            Err(e) => panic!("{e} instead of silence"),
        }
    }

    /// Nothing more comes, and the connection is closed, cleanly or by a reset.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        match self.try_line() {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) => {}
            other => panic!("{other:?} instead of the end"),
        }
    }

    /// Sends no more, but still listens.
    pub(crate) fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("an open connection");
    }

    /// The lines of one `HISTORY` answer.
    #[track_caller]
    pub(crate) fn history(&mut self, topic: &str, count: u64) -> Vec<String> {
        self.send(format!("HISTORY {topic} {count}\n"));
        self.until("OK history_end")
    }

    /// Whether a majority confirms what the node has of a topic.
    #[track_caller]
    pub(crate) fn reads_strongly(&mut self, topic: &str) -> bool {
        self.send(format!("READ {topic} --last 1 --strong\n"));
        loop {
            let line = self.line();
            if !line.starts_with("RECORD ") {
                return line.starts_with("OK read_end ");
            }
        }
    }

    /// The first line that is not as said.
    #[track_caller]
    pub(crate) fn skip_while(&mut self, is_as_said: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line();
            if !is_as_said(&line) {
                return line;
            }
        }
    }

    /// The lines up to `last`, that one left out.
    #[track_caller]
    pub(crate) fn until(&mut self, last: &str) -> Vec<String> {
        std::iter::from_fn(|| Some(self.line()).filter(|line| line != last)).collect()
    }
}
