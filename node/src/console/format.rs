//! One line of the console, and how it looks.

use std::fmt::Write;

use chrono::{DateTime, Local};
use tracing::Level;

/// The longest message or value shown; a longer one ends in an ellipsis.
const MAX_TEXT_CHARS: usize = 1_000;

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const EMPHASIS: &str = "\x1b[1;33m";
const FAILURE: &str = "\x1b[1;31m";

/// An event, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub at_us: i64,
    pub level: Level,
    pub target: String,
    pub message: String,
    /// In the order given.
    pub fields: Vec<(&'static str, String)>,
    /// Something that a passer-by should notice, such as a new leader.
    pub emphasis: bool,
    /// How many events of the same place were left out before this one.
    pub alike: u64,
}

impl Line {
    /// Appends the line and its line end.
    pub(super) fn render(&self, coloured: bool, out: &mut String) {
        let paint = |style: &'static str| if coloured { style } else { "" };
        let (dim, reset) = (paint(DIM), paint(RESET));
        let level = match self.level {
            Level::ERROR => paint("\x1b[1;31m"),
            Level::WARN => paint("\x1b[33m"),
            Level::INFO => paint("\x1b[32m"),
            Level::DEBUG => paint("\x1b[36m"),
            Level::TRACE => paint("\x1b[35m"),
        };
        let text = match self.level {
            Level::ERROR => paint(FAILURE),
            _ if self.emphasis => paint(EMPHASIS),
            _ => "",
        };
        // Writing to a String can't fail.
        let _ = write!(
            out,
            "{dim}{}{reset} {level}{:>5}{reset} {dim}",
            time_of_day(self.at_us),
            self.level.as_str()
        );
        push_clean(out, &self.target);
        out.push_str(reset);
        if !self.message.is_empty() {
            let _ = write!(out, " {text}");
            push_clean(out, &self.message);
            out.push_str(if text.is_empty() { "" } else { reset });
        }
        for (key, value) in &self.fields {
            let style = if text.is_empty() { dim } else { text };
            let _ = write!(out, " {style}{key}={}", if text.is_empty() { reset } else { "" });
            push_value(out, value);
            out.push_str(if text.is_empty() { "" } else { reset });
        }
        if self.alike > 0 {
            let _ = write!(out, " {dim}(and {} alike){reset}", self.alike);
        }
        out.push('\n');
    }
}

/// The local date a line belongs to; the output writes it where it changes.
pub(super) fn date(at_us: i64) -> String {
    local(at_us).format("%Y-%m-%d").to_string()
}

pub(super) fn render_date(date: &str, coloured: bool, out: &mut String) {
    let (dim, reset) = if coloured { (DIM, RESET) } else { ("", "") };
    let _ = writeln!(out, "{dim}{date}{reset}");
}

fn time_of_day(at_us: i64) -> impl std::fmt::Display {
    local(at_us).format("%H:%M:%S%.3f")
}

fn local(at_us: i64) -> DateTime<Local> {
    DateTime::from_timestamp_micros(at_us)
        .unwrap_or_default()
        .with_timezone(&Local)
}

/// A value with spaces is quoted, unless it brings its own brackets.
fn push_value(out: &mut String, value: &str) {
    let bare = !value.is_empty() && !value.contains(' ');
    if bare || value.starts_with(['"', '[', '{', '(']) {
        push_clean(out, value);
    } else {
        out.push('"');
        push_clean(out, value);
        out.push('"');
    }
}

/// One line stays one line, and what a client sent can't steer the terminal: line ends become spaces, other
/// controls are shown escaped.
fn push_clean(out: &mut String, text: &str) {
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == MAX_TEXT_CHARS => return out.push('…'),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            at_us: 1_700_000_000_123_456,
            level: Level::INFO,
            target: "raft".into(),
            message: "follower".into(),
            fields: vec![("term", "7".into()), ("leader", "n2".into())],
            emphasis: false,
            alike: 0,
        }
    }

    /// Without the time of day, which depends on where the test runs.
    fn shown(line: &Line, coloured: bool) -> String {
        let mut out = String::new();
        line.render(coloured, &mut out);
        let time = time_of_day(line.at_us).to_string();
        assert!(time.ends_with(".123"), "{time}");
        out.replace(&time, "TIME")
    }

    #[test]
    fn a_plain_line_reads_as_in_the_readme() {
        assert_eq!(
            shown(&line(), false),
            "TIME  INFO raft follower term=7 leader=n2\n"
        );
    }

    #[test]
    fn a_coloured_line_has_the_same_words() {
        let coloured = shown(&line(), true);
        assert!(
            coloured.starts_with("\x1b[2mTIME\x1b[0m \x1b[32m INFO\x1b[0m "),
            "{coloured:?}"
        );
        let mut words = String::new();
        for (i, part) in coloured.split("\x1b[").enumerate() {
            words.push_str(if i == 0 {
                part
            } else {
                part.split_once('m').unwrap().1
            });
        }
        assert_eq!(words, shown(&line(), false));
    }

    #[test]
    fn emphasis_and_errors_stand_out() {
        let leader = Line {
            emphasis: true,
            ..line()
        };
        assert!(shown(&leader, true).contains("\x1b[1;33mfollower\x1b[0m \x1b[1;33mterm=7\x1b[0m"));
        let error = Line {
            level: Level::ERROR,
            ..line()
        };
        assert!(shown(&error, true).contains("\x1b[1;31mfollower"));
    }

    #[test]
    fn what_a_client_sent_cannot_steer_the_terminal() {
        let line = Line {
            message: "a\nb\x1b[2J\u{9b}c".into(),
            fields: vec![("topic", "x y".into())],
            ..line()
        };
        assert_eq!(
            shown(&line, false),
            "TIME  INFO raft a b\\u{1b}[2J\\u{9b}c topic=\"x y\"\n"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_repeats_are_counted() {
        let line = Line {
            message: "é".repeat(5_000),
            fields: Vec::new(),
            alike: 3,
            ..line()
        };
        let expected = format!("TIME  INFO raft {}… (and 3 alike)\n", "é".repeat(MAX_TEXT_CHARS));
        assert_eq!(shown(&line, false), expected);
    }
}
