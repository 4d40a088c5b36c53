//! One line from a client, understood.
//!
//! Words are separated by white space; a message is the rest of its line, trimmed at both ends and otherwise
//! untouched. Verbs are upper case; `PING` alone is taken in any case.

use std::fmt;

use super::{Consistency, DEFAULT_READ_RECORDS, MAX_HISTORY_RECORDS, MAX_READ_RECORDS};
use crate::record::{MAX_BODY_BYTES, MAX_ID_BYTES, MAX_TOPIC_BYTES};

const USAGE_PING: LineError = LineError::Usage("PING");
const USAGE_PUB: LineError = LineError::Usage("PUB <topic> [--id <id>] <message>");
const USAGE_SUB: LineError = LineError::Usage("SUB <topic>");
const USAGE_HISTORY: LineError = LineError::Usage("HISTORY <topic> <n>");
const USAGE_QUIT: LineError = LineError::Usage("QUIT");
const USAGE_READ: LineError =
    LineError::Usage("READ <topic> [--last <n> | --from <offset>] [--limit <n>] [--strong | --local]");
const USAGE_SUBSCRIBE: LineError = LineError::Usage("SUBSCRIBE <topic> [--from <offset>]");
const BAD_TOPIC: LineError =
    LineError::Usage("a topic has 1 to 249 bytes and no white space or control characters");
const BAD_ID: LineError =
    LineError::Usage("an id has 1 to 256 bytes and no white space or control characters");
const LONG_MESSAGE: LineError = LineError::Usage("a message has at most 1048576 bytes");

/// Why a line is not a command. Displayed, it is the answer, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// No verb of ours.
    Unknown,
    /// A count or offset that is not a whole number from 0 up.
    NotAnInt,
    /// A verb of ours in the wrong form; says the right one.
    Usage(&'static str),
}

impl LineError {
    pub const NOT_UTF8: Self = Self::Usage("a line is UTF-8 text");
    pub const TOO_LONG: Self = Self::Usage("a line has at most 1052672 bytes");

    /// Appends the answer, with its line end.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
        out.push(b'\n');
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("ERR unknown"),
            Self::NotAnInt => f.write_str("ERR n_must_be_int"),
            Self::Usage(form) => write!(f, "ERR usage: {form}"),
        }
    }
}

impl std::error::Error for LineError {}

/// Which records a read is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRange {
    /// The newest `count`.
    Last { count: u64 },
    /// Up to `limit` from `offset` on, or from the first that is still there.
    From { offset: u64, limit: u64 },
}

/// One command. Counts are already cut to their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Ping,
    /// `text` is trimmed and not empty.
    Pub {
        topic: &'a str,
        id: Option<&'a str>,
        text: &'a str,
    },
    Sub {
        topic: &'a str,
    },
    History {
        topic: &'a str,
        count: u64,
    },
    Read {
        topic: &'a str,
        range: ReadRange,
        consistency: Consistency,
    },
    /// `from` is the first offset to deliver; `None` means the first one after this command.
    Subscribe {
        topic: &'a str,
        from: Option<u64>,
    },
    Quit,
}

impl<'a> Command<'a> {
    /// Understands one line, given without its line end.
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        let line = std::str::from_utf8(line).map_err(|_| LineError::NOT_UTF8)?;
        let (verb, rest) = next_word(line);
        match verb {
            "PUB" => parse_pub(rest),
            "SUB" => Ok(Self::Sub {
                topic: only_topic(rest, USAGE_SUB)?,
            }),
            "HISTORY" => parse_history(rest),
            "READ" => parse_read(rest),
            "SUBSCRIBE" => parse_subscribe(rest),
            "QUIT" => no_words(rest, USAGE_QUIT).map(|()| Self::Quit),
            ping if ping.eq_ignore_ascii_case("PING") => no_words(rest, USAGE_PING).map(|()| Self::Ping),
            _ => Err(LineError::Unknown),
        }
    }

    /// Appends the command's line. What the line cannot say is refused here, so that no topic, id or message,
    /// wherever it came from, can smuggle in a second command or an option.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        match *self {
            Self::Ping => out.extend_from_slice(b"PING"),
            Self::Quit => out.extend_from_slice(b"QUIT"),
            Self::Pub { topic, id, text } => {
                check_topic(topic)?;
                check_message(text)?;
                id.map_or(Ok(()), check_id)?;
                if id.is_none() && next_word(text).0 == "--id" {
                    return Err(USAGE_PUB);
                }
                push_words(out, &["PUB", topic]);
                id.inspect(|id| push_words(out, &[" --id", id]));
                push_words(out, &["", text.trim()]);
            }
            Self::Sub { topic } => check_topic(topic).map(|()| push_words(out, &["SUB", topic]))?,
            Self::History { topic, count } => {
                check_topic(topic)?;
                push_words(out, &["HISTORY", topic, &count.to_string()]);
            }
            Self::Read {
                topic,
                range,
                consistency,
            } => {
                check_topic(topic)?;
                push_words(out, &["READ", topic]);
                match range {
                    ReadRange::Last { count } => push_words(out, &[" --last", &count.to_string()]),
                    ReadRange::From { offset, limit } => {
                        push_words(
                            out,
                            &[" --from", &offset.to_string(), "--limit", &limit.to_string()],
                        );
                    }
                }
                push_words(
                    out,
                    &[
                        "",
                        if consistency == Consistency::Strong {
                            "--strong"
                        } else {
                            "--local"
                        },
                    ],
                );
            }
            Self::Subscribe { topic, from } => {
                check_topic(topic)?;
                push_words(out, &["SUBSCRIBE", topic]);
                from.inspect(|from| push_words(out, &[" --from", &from.to_string()]));
            }
        }
        out.push(b'\n');
        Ok(())
    }
}

fn push_words(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(words.join(" ").as_bytes());
}

/// The first word and what follows it, which starts with white space or is empty.
fn next_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
        None => text.len(),
        Some(at) if text.as_bytes()[at] == b' ' => at,
        // Neither plain text nor a space: what it is takes a closer look.
        Some(at) => text[at..]
            .find(char::is_whitespace)
            .map_or(text.len(), |found| at + found),
    };
    text.split_at(end)
}

fn no_words(rest: &str, usage: LineError) -> Result<(), LineError> {
    if rest.trim().is_empty() {
        Ok(())
    } else {
        Err(usage)
    }
}

/// The topic at the front of `rest`, and what follows it.
fn take_topic(rest: &str, usage: LineError) -> Result<(&str, &str), LineError> {
    let (topic, rest) = next_word(rest);
    if topic.is_empty() {
        return Err(usage);
    }
    check_topic(topic)?;
    Ok((topic, rest))
}

fn only_topic(rest: &str, usage: LineError) -> Result<&str, LineError> {
    let (topic, rest) = take_topic(rest, usage)?;
    no_words(rest, usage).map(|()| topic)
}

fn parse_pub(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, mut rest) = take_topic(rest, USAGE_PUB)?;
    let mut id = None;
    // Without the first look every message's first word would be searched for its end.
    if rest.trim_start().starts_with("--id")
        && let ("--id", after) = next_word(rest)
    {
        let (word, after) = next_word(after);
        if word.is_empty() {
            return Err(USAGE_PUB);
        }
        check_id(word)?;
        (id, rest) = (Some(word), after);
    }
    let text = rest.trim();
    check_message(text)?;
    Ok(Command::Pub { topic, id, text })
}

fn parse_history(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, rest) = take_topic(rest, USAGE_HISTORY)?;
    let (count, rest) = next_word(rest);
    if count.is_empty() {
        return Err(USAGE_HISTORY);
    }
    no_words(rest, USAGE_HISTORY)?;
    Ok(Command::History {
        topic,
        count: number(count)?.min(MAX_HISTORY_RECORDS),
    })
}

fn parse_read(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, mut rest) = take_topic(rest, USAGE_READ)?;
    let (mut last, mut from, mut limit, mut consistency) = (None, None, None, None);
    loop {
        let (option, after) = next_word(rest);
        let slot = match option {
            "" => break,
            "--last" => &mut last,
            "--from" => &mut from,
            "--limit" => &mut limit,
            "--strong" | "--local" if consistency.is_none() => {
                consistency = Some(if option == "--strong" {
                    Consistency::Strong
                } else {
                    Consistency::Local
                });
                rest = after;
                continue;
            }
            _ => return Err(USAGE_READ),
        };
        rest = take_number(after, slot, USAGE_READ)?;
    }
    let limit = limit.unwrap_or(MAX_READ_RECORDS).min(MAX_READ_RECORDS);
    let range = match (last, from) {
        (Some(_), Some(_)) => return Err(USAGE_READ),
        (None, Some(offset)) => ReadRange::From { offset, limit },
        (last, None) => ReadRange::Last {
            count: last.unwrap_or(DEFAULT_READ_RECORDS).min(limit),
        },
    };
    Ok(Command::Read {
        topic,
        range,
        consistency: consistency.unwrap_or(Consistency::Strong),
    })
}

fn parse_subscribe(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, rest) = take_topic(rest, USAGE_SUBSCRIBE)?;
    let mut from = None;
    match next_word(rest) {
        ("", _) => {}
        ("--from", after) => no_words(take_number(after, &mut from, USAGE_SUBSCRIBE)?, USAGE_SUBSCRIBE)?,
        _ => return Err(USAGE_SUBSCRIBE),
    }
    Ok(Command::Subscribe { topic, from })
}

/// Reads an option's number into its empty slot; gives what follows.
fn take_number<'a>(rest: &'a str, slot: &mut Option<u64>, usage: LineError) -> Result<&'a str, LineError> {
    let (word, rest) = next_word(rest);
    if word.is_empty() || slot.is_some() {
        return Err(usage);
    }
    *slot = Some(number(word)?);
    Ok(rest)
}

/// A whole number from 0 up; one beyond 64 bits is still a number, and as good as the largest.
fn number(word: &str) -> Result<u64, LineError> {
    let digits = word.strip_prefix('+').unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LineError::NotAnInt);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn is_word(text: &str, max_bytes: usize) -> bool {
    !text.is_empty()
        && text.len() <= max_bytes
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether `topic` can be a topic's name.
pub fn check_topic(topic: &str) -> Result<(), LineError> {
    if is_word(topic, MAX_TOPIC_BYTES) {
        Ok(())
    } else {
        Err(BAD_TOPIC)
    }
}

/// Whether `id` can be a message's id.
pub fn check_id(id: &str) -> Result<(), LineError> {
    if is_word(id, MAX_ID_BYTES) {
        Ok(())
    } else {
        Err(BAD_ID)
    }
}

/// Whether `text` can be said as a message of one line.
pub fn check_message(text: &str) -> Result<(), LineError> {
    let text = text.trim();
    if text.len() > MAX_BODY_BYTES {
        return Err(LONG_MESSAGE);
    }
    if text.is_empty() || text.contains('\n') {
        Err(USAGE_PUB)
    } else {
        Ok(())
    }
}
