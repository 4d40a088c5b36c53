//! The client line protocol as values: one command a line in, one or more lines out.
//!
//! [`LineSplitter`] cuts a connection's bytes into lines, [`Command`] is one of them understood, [`Reply`] one
//! line of an answer, and [`RecordView`] a record as `MSG`, `HISTORY` and `RECORD` lines show it. Each form is
//! written and read in one place, so that node and client cannot differ. The old verbs (`PING PUB SUB HISTORY
//! QUIT`) have clients of their own and never change; what is new has a new verb.

use std::{fmt, io::Write as _};

use serde::{Deserialize, Serialize};

mod command;
mod http;
mod listing;
mod read_json;
mod record_line;
mod reply;
mod splitter;

pub use command::{
    Command, CommandError, LineError, Membership, PublishCommand, PublishError, ReadCommand, ReadStart,
    SubscribeCommand, SubscribeStart, check_group, check_headers, check_id, check_message, check_pattern,
    check_topic, decode_header, parse_seconds,
};
pub use http::looks_like_http;
pub use listing::{GroupLine, TopicLine};
pub use read_json::ReadJson;
use record_line::Seconds;
pub use record_line::{CLOCK_TYPE, HandedOut, RecordLine, RecordLineError, RecordView};
pub use reply::{Ended, Reply};
pub use splitter::{Line, LineSplitter};

/// The longest line in bytes, its `\n` not counted: the longest message and room for verb, topic and id.
pub const MAX_LINE_BYTES: usize = crate::record::MAX_BODY_BYTES + 4096;
/// The longest answer line in bytes. JSON writes one byte of a text as up to six, and says a message that is no text in base64 as
/// well; the rest is for headers and names.
pub const MAX_ANSWER_LINE_BYTES: usize = 8 * crate::record::MAX_BODY_BYTES + (64 << 10);
/// The most records one `HISTORY` answers; a larger `n` means this one. It bounds how long an answer can keep
/// a connection busy: records are to be sent as they are read, not gathered first.
pub const MAX_HISTORY_RECORDS: u64 = 1_000_000;
/// The most records one `READ` answers; its reader goes on from the last one's offset.
pub const MAX_READ_RECORDS: u64 = 10_000;
/// A `READ` answers no more records once their lines have this many bytes: one from an offset ends early, one of the
/// last records begins later.
pub const MAX_READ_BYTES: usize = 32 << 20;
/// How many records a `READ` without a range answers.
pub const DEFAULT_READ_RECORDS: u64 = 50;

/// The most topics one `TOPICS` answers; its reader goes on behind the last one's name.
pub const MAX_LISTED: u64 = 1_000;
/// How many records a member of a group may hold at once.
pub const MAX_IN_FLIGHT: u32 = 1_024;
/// How many it holds if it does not say.
pub const DEFAULT_IN_FLIGHT: u32 = 64;
/// The longest time that `--order` holds a record, milliseconds.
pub const MAX_ORDER_MS: u128 = 60_000;
/// A header of a request: the topic that wants the reply.
pub const HEADER_REPLY_TO: &str = "reply-to";
/// A header of a request, which its reply repeats.
pub const HEADER_CORRELATION_ID: &str = "correlation-id";

/// What a read is sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// After a read index round: nothing acknowledged before the read is missing.
    Strong,
    /// What the node has applied; it may be behind, and needs no majority.
    Local,
}

impl Consistency {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Local => "local",
        }
    }

    fn as_option(self) -> &'static str {
        match self {
            Self::Strong => "--strong",
            Self::Local => "--local",
        }
    }
}

/// Appends formatted text.
fn push_fmt(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing into memory cannot fail");
}

#[cfg(test)]
mod tests;
