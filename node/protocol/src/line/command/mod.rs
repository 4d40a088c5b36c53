//! One line from a client, understood.
//!
//! Words are separated by white space; a message is the rest of its line, trimmed at both ends and otherwise
//! untouched. Verbs are upper case; `PING` alone is taken in any case.

mod headers;
mod listing;
mod publish;
mod read;
mod subscribe;
mod words;

use std::fmt;

pub use self::{
    headers::{check_headers, decode_header},
    publish::{PublishCommand, PublishError},
    read::{ReadCommand, ReadStart},
    subscribe::{Membership, SubscribeCommand, SubscribeStart},
    words::{check_group, check_id, check_message, check_pattern, check_topic, parse_seconds},
};
use self::{
    listing::{parse_groups, parse_topics, write_groups, write_topics},
    publish::{parse_pub, write_pub},
    read::parse_history,
    words::{
        next_word, no_words, number, only_topic, push_option, push_words, take_group, take_number,
        take_topic, take_word,
    },
};

const USAGE_PING: LineError = LineError::Usage("PING");
const USAGE_PUB: LineError = LineError::Usage("PUB <topic> [--id <id>] <message>");
const USAGE_PUBLISH: LineError = LineError::Usage(
    "PUBLISH <topic> <nbytes> [--id <id>] [--header <key>=<value>]... [--expect <offset>], then nbytes bytes",
);
const USAGE_SUB: LineError = LineError::Usage("SUB <topic>");
const USAGE_HISTORY: LineError = LineError::Usage("HISTORY <topic> <n>");
const USAGE_QUIT: LineError = LineError::Usage("QUIT");
const USAGE_READ: LineError = LineError::Usage(
    "READ <topic> [--last <n> | --from <offset> | --since <time>] [--limit <n>] [--bytes <n>] [--strong | --local] [--json]",
);
const USAGE_SUBSCRIBE: LineError = LineError::Usage(
    "SUBSCRIBE <topic> [--from <offset> | --start | --since <time> | --after <logical_time>] [--order <ms>] [--group <group> [--ack-timeout <ms>] [--max-deliveries <n>] [--max-in-flight <n>] [--limit <n>]]",
);
const USAGE_UNSUB: LineError = LineError::Usage("UNSUB <topic>");
const USAGE_ACK: LineError = LineError::Usage("ACK <topic> <group> <offset> [--through <offset>]");
const THROUGH_BEFORE: LineError =
    LineError::Usage("--through is the last of several offsets, and not before the first");
const USAGE_NACK: LineError = LineError::Usage("NACK <topic> <group> <offset>");
const USAGE_TOPICS: LineError = LineError::Usage("TOPICS [<pattern>] [--after <topic>] [--limit <n>]");
const USAGE_GROUPS: LineError = LineError::Usage("GROUPS [<pattern>]");
const USAGE_GROUP: LineError = LineError::Usage("GROUP <topic> <group> (--delete | --seek <offset>)");

/// Why a line is not a command. Displayed, it is the answer, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// No verb of ours.
    Unknown,
    /// A count or offset that is not a whole number from 0 up.
    NotAnInt,
    /// A verb of ours in the wrong form; says the right one.
    Usage(&'static str),
    /// What a `PUBLISH` announces is larger than this node takes, in bytes.
    TooLarge { max_bytes: usize },
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
            Self::TooLarge { max_bytes } => write!(f, "ERR too_large {max_bytes}"),
        }
    }
}

impl std::error::Error for LineError {}

/// One command. Counts are already cut to their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Ping,
    /// `text` is trimmed and not empty.
    Pub {
        topic: &'a str,
        id: Option<&'a str>,
        text: &'a str,
    },
    Publish(PublishCommand<'a>),
    Sub {
        topic: &'a str,
    },
    History {
        topic: &'a str,
        count: u64,
    },
    Read(ReadCommand<'a>),
    Subscribe(SubscribeCommand<'a>),
    /// Ends every subscription of this connection to this topic or pattern.
    Unsub {
        pattern: &'a str,
    },
    /// The records `first..=last` are done.
    Ack {
        topic: &'a str,
        group: &'a str,
        first: u64,
        last: u64,
    },
    /// The record is given back, for another member to have.
    Nack {
        topic: &'a str,
        group: &'a str,
        offset: u64,
    },
    /// Lists topics by name.
    Topics {
        pattern: Option<&'a str>,
        /// Only names behind this one: the cursor of the next page.
        after: Option<&'a str>,
        /// At least 1.
        limit: u64,
    },
    /// Lists the groups of topics.
    Groups {
        pattern: Option<&'a str>,
    },
    DeleteGroup {
        topic: &'a str,
        group: &'a str,
    },
    /// The group goes on at this offset.
    SeekGroup {
        topic: &'a str,
        group: &'a str,
        next_offset: u64,
    },
    Quit,
}

/// Why a line is no command that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// Answer it, and go on with the next line.
    Line(LineError),
    /// As said there.
    Publish(PublishError),
}

impl From<LineError> for CommandError {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

impl CommandError {
    /// What to answer.
    pub fn line_error(self) -> LineError {
        match self {
            Self::Line(error) => error,
            Self::Publish(error) => error.error,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line_error().fmt(f)
    }
}

impl<'a> Command<'a> {
    /// Understands one line, given without its line end.
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(not_utf8(line));
        };
        let (verb, rest) = next_word(line);
        Ok(match verb {
            "PUB" => parse_pub(rest)?,
            "PUBLISH" => Self::Publish(PublishCommand::parse(rest).map_err(CommandError::Publish)?),
            "SUB" => Self::Sub {
                topic: only_topic(rest, USAGE_SUB)?,
            },
            "HISTORY" => parse_history(rest)?,
            "READ" => Self::Read(ReadCommand::parse(rest)?),
            "SUBSCRIBE" => Self::Subscribe(SubscribeCommand::parse(rest)?),
            "UNSUB" => {
                let (pattern, rest) = take_word(rest, USAGE_UNSUB)?;
                check_pattern(pattern)?;
                no_words(rest, USAGE_UNSUB)?;
                Self::Unsub { pattern }
            }
            "ACK" => parse_ack(rest)?,
            "NACK" => {
                let (topic, group, rest) = take_topic_and_group(rest, USAGE_NACK)?;
                let (offset, rest) = take_word(rest, USAGE_NACK)?;
                no_words(rest, USAGE_NACK)?;
                let offset = number(offset)?;
                Self::Nack { topic, group, offset }
            }
            "TOPICS" => parse_topics(rest)?,
            "GROUPS" => parse_groups(rest)?,
            "GROUP" => parse_group(rest)?,
            "QUIT" => no_words(rest, USAGE_QUIT).map(|()| Self::Quit)?,
            ping if ping.eq_ignore_ascii_case("PING") => no_words(rest, USAGE_PING).map(|()| Self::Ping)?,
            _ => return Err(LineError::Unknown.into()),
        })
    }

    /// Appends the command's line. What the line cannot say is refused here, so that no topic, id or message,
    /// wherever it came from, can smuggle in a second command or an option. The body of a `PUBLISH` is for the caller to
    /// append.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        match self {
            Self::Ping => push_words(out, &["PING"]),
            Self::Quit => push_words(out, &["QUIT"]),
            Self::Pub { topic, id, text } => write_pub(topic, *id, text, out)?,
            Self::Publish(publish) => publish.write(out)?,
            Self::Sub { topic } => check_topic(topic).map(|()| push_words(out, &["SUB", topic]))?,
            Self::History { topic, count } => {
                check_topic(topic)?;
                push_words(out, &["HISTORY", topic, &count.to_string()]);
            }
            Self::Read(read) => read.write(out)?,
            Self::Subscribe(subscribe) => subscribe.write(out)?,
            Self::Unsub { pattern } => {
                check_pattern(pattern).map(|()| push_words(out, &["UNSUB", pattern]))?;
            }
            Self::Ack {
                topic,
                group,
                first,
                last,
            } => {
                check_topic(topic).and(check_group(group))?;
                if last < first {
                    return Err(THROUGH_BEFORE);
                }
                push_words(out, &["ACK", topic, group, &first.to_string()]);
                if last != first {
                    push_option(out, "through", last);
                }
            }
            Self::Nack { topic, group, offset } => {
                check_topic(topic).and(check_group(group))?;
                push_words(out, &["NACK", topic, group, &offset.to_string()]);
            }
            Self::Topics {
                pattern,
                after,
                limit,
            } => write_topics(*pattern, *after, *limit, out)?,
            Self::Groups { pattern } => write_groups(*pattern, out)?,
            Self::DeleteGroup { topic, group } => {
                check_topic(topic).and(check_group(group))?;
                push_words(out, &["GROUP", topic, group, "--delete"]);
            }
            Self::SeekGroup {
                topic,
                group,
                next_offset,
            } => {
                check_topic(topic).and(check_group(group))?;
                push_words(out, &["GROUP", topic, group, "--seek", &next_offset.to_string()]);
            }
        }
        out.push(b'\n');
        Ok(())
    }
}

/// A line that is no text may still be a `PUBLISH`: then what follows it is no command.
fn not_utf8(line: &[u8]) -> CommandError {
    // Replaced, what is no text is still no white space, so the verb is the one that it would have been.
    if next_word(&String::from_utf8_lossy(line)).0 == "PUBLISH" {
        CommandError::Publish(PublishError {
            error: LineError::NOT_UTF8,
            body_bytes: None,
        })
    } else {
        LineError::NOT_UTF8.into()
    }
}

fn take_topic_and_group(rest: &str, usage: LineError) -> Result<(&str, &str, &str), LineError> {
    let (topic, rest) = take_topic(rest, usage)?;
    let (group, rest) = take_group(rest, usage)?;
    Ok((topic, group, rest))
}

fn parse_ack(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, group, rest) = take_topic_and_group(rest, USAGE_ACK)?;
    let (first, rest) = take_word(rest, USAGE_ACK)?;
    let first = number(first)?;
    let mut last = None;
    let rest = match next_word(rest) {
        ("--through", after) => take_number(after, &mut last, USAGE_ACK)?,
        _ => rest,
    };
    no_words(rest, USAGE_ACK)?;
    let last = last.unwrap_or(first);
    if last < first {
        return Err(THROUGH_BEFORE);
    }
    Ok(Command::Ack {
        topic,
        group,
        first,
        last,
    })
}

fn parse_group(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, group, rest) = take_topic_and_group(rest, USAGE_GROUP)?;
    match next_word(rest) {
        ("--delete", rest) => no_words(rest, USAGE_GROUP).map(|()| Command::DeleteGroup { topic, group }),
        ("--seek", rest) => {
            let (offset, rest) = take_word(rest, USAGE_GROUP)?;
            no_words(rest, USAGE_GROUP)?;
            Ok(Command::SeekGroup {
                topic,
                group,
                next_offset: number(offset)?,
            })
        }
        _ => Err(USAGE_GROUP),
    }
}
