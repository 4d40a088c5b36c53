//! One connection to a node's line port: a command out, lines in.

use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};
use wiber_protocol::config::NodeSpec;

/// No answer here takes longer, a page out of ten million records included.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Conn {
    lines: BufReader<TcpStream>,
}

impl Conn {
    pub(super) fn open(node: &NodeSpec) -> anyhow::Result<Self> {
        let connect = || {
            let stream = TcpStream::connect((node.host.as_str(), node.port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok::<_, io::Error>(stream)
        };
        let stream = connect().with_context(|| format!("cannot connect to {}", node.id))?;
        Ok(Self {
            lines: BufReader::with_capacity(256 << 10, stream),
        })
    }

    pub(super) fn send(&mut self, command: &str) -> anyhow::Result<()> {
        self.lines
            .get_mut()
            .write_all(command.as_bytes())
            .context("cannot send")
    }

    /// One line without its `\n`, into `line`.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> anyhow::Result<()> {
        line.clear();
        self.lines
            .read_until(b'\n', line)
            .map_err(|error| match error.kind() {
                ErrorKind::WouldBlock => io::Error::from(ErrorKind::TimedOut),
                _ => error,
            })?;
        if line.pop() != Some(b'\n') {
            bail!("the node closed the connection");
        }
        Ok(())
    }

    /// Sends a command and gives each line of the answer to `each`, the last one, which begins with `OK `, to the caller.
    pub(super) fn ask(
        &mut self,
        command: &str,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<String> {
        self.send(command)?;
        let mut line = Vec::new();
        loop {
            self.line(&mut line)?;
            if line.starts_with(b"OK ") {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if line.starts_with(b"ERR ") {
                bail!("`{}` to `{}`", String::from_utf8_lossy(&line), command.trim_end());
            }
            each(&line)?;
        }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.lines.into_inner()
    }
}
