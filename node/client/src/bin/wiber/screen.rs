//! A picture that is redrawn in place, on a terminal's second screen: what was on the first is there again afterwards.

use std::io;

use rustix::termios::tcgetwinsize;

use crate::output::say;

/// The second screen; no cursor; what is too wide is cut off, as wrapped lines would move all below them.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE_END: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The terminal is as it was when this is gone.
pub(crate) struct Screen {
    stdout: io::Stdout,
}

impl Screen {
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let screen = Self { stdout: io::stdout() };
        say(ENTER)?;
        Ok(screen)
    }

    /// Over the picture before, without clearing it first: that would flicker. False if nobody looks any more.
    pub(crate) fn draw(&self, text: &str) -> anyhow::Result<bool> {
        let rows = tcgetwinsize(&self.stdout).map_or(0, |size| usize::from(size.ws_row));
        say(&picture(text, rows))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Without a terminal there is nothing to restore.
        let _ = say(LEAVE);
    }
}

/// At most `rows` lines, the last without a line end, as that would scroll; 0 is a terminal that does not say.
fn picture(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let hidden = match rows {
        0 => 0,
        _ if lines.len() <= rows => 0,
        _ => lines.len() - rows + 1,
    };
    let mut shown: Vec<String> = lines[..lines.len() - hidden]
        .iter()
        .map(|line| format!("{line}{CLEAR_LINE_END}"))
        .collect();
    if hidden > 0 {
        shown.push(format!("… {hidden} more lines{CLEAR_LINE_END}"));
    }
    format!("{HOME}{}{CLEAR_BELOW}", shown.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_no_higher_than_the_terminal() {
        let check = |rows, expected: &str| assert_eq!(picture("a\nb\n\nd\n", rows), expected);
        let whole = "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[K\r\nd\x1b[K\x1b[J";
        check(0, whole);
        check(4, whole);
        check(3, "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n… 2 more lines\x1b[K\x1b[J");
        check(1, "\x1b[H… 4 more lines\x1b[K\x1b[J");
    }
}
