//! What is written, and for whom: a person at a terminal, or a pipe.
//!
//! A pipe gets every byte as it is. A terminal takes some bytes for commands, and what nodes and messages say comes from
//! anybody.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::Context as _;

use crate::grid::Style;

/// Whether stdout is a terminal that can do more than print.
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal() && !is_set("TERM", |term| term == "dumb")
}

/// Colours for a terminal, unless they are not wanted (<https://no-color.org>).
pub(crate) fn style() -> Style {
    Style {
        coloured: on_terminal() && !is_set("NO_COLOR", |value| !value.is_empty()),
    }
}

fn is_set(name: &str, counts: impl Fn(&OsStr) -> bool) -> bool {
    std::env::var_os(name).is_some_and(|value| counts(&value))
}

/// Writes all of it at once, so that a redrawn table does not flicker. False if nobody reads any more.
pub(crate) fn say(text: &str) -> anyhow::Result<bool> {
    say_bytes(text.as_bytes())
}

/// As [`say`], for what may have any bytes.
pub(crate) fn say_bytes(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write"),
    }
}

/// Says in one line on stderr what is worth knowing and ends nothing.
pub(crate) fn remark(text: &str) {
    let line = format!("wiber: {}\n", crate::cli::one_line(text));
    // Without a stderr nobody wants to know.
    let _ = io::stderr().write_all(line.as_bytes());
}
