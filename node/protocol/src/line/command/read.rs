//! `READ` and `HISTORY`: records of the past, a page at a time.

use super::{
    Command, LineError, USAGE_HISTORY, USAGE_READ,
    words::{
        check_topic, next_word, no_words, number, once, parse_seconds, push_option, push_time, push_words,
        take_number, take_topic, take_word,
    },
};
use crate::line::{Consistency, DEFAULT_READ_RECORDS, MAX_HISTORY_RECORDS, MAX_READ_BYTES, MAX_READ_RECORDS};

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStart {
    /// With the newest so many.
    Last(u64),
    /// At this offset.
    From(u64),
    /// At the first record from this moment of cluster time on, microseconds since the Unix epoch.
    Since(i64),
}

/// A `READ`. Counts are already cut to their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCommand<'a> {
    pub topic: &'a str,
    pub start: ReadStart,
    /// The most records.
    pub limit: u64,
    /// No more records once their lines have so many bytes: one from the front ends early, one of the last records begins
    /// later.
    pub max_bytes: usize,
    pub consistency: Consistency,
    /// Every line of the answer is a JSON document, and nothing else.
    pub json: bool,
}

impl<'a> ReadCommand<'a> {
    pub fn new(topic: &'a str, start: ReadStart) -> Self {
        Self {
            topic,
            start,
            limit: MAX_READ_RECORDS,
            max_bytes: MAX_READ_BYTES,
            consistency: Consistency::Strong,
            json: false,
        }
    }

    pub(super) fn parse(rest: &'a str) -> Result<Self, LineError> {
        let (topic, mut rest) = take_topic(rest, USAGE_READ)?;
        let (mut last, mut start, mut limit, mut bytes) = (None, None, None, None);
        let (mut consistency, mut json) = (None, None);
        loop {
            let (option, after) = next_word(rest);
            rest = match option {
                "" => break,
                "--last" => take_number(after, &mut last, USAGE_READ)?,
                "--from" => {
                    let mut from = None;
                    let after = take_number(after, &mut from, USAGE_READ)?;
                    once(&mut start, ReadStart::From(from.unwrap_or(0)), USAGE_READ)?;
                    after
                }
                "--since" => {
                    let (word, after) = take_word(after, USAGE_READ)?;
                    once(&mut start, ReadStart::Since(parse_seconds(word)?), USAGE_READ)?;
                    after
                }
                "--limit" => take_number(after, &mut limit, USAGE_READ)?,
                "--bytes" => take_number(after, &mut bytes, USAGE_READ)?,
                "--strong" => {
                    once(&mut consistency, Consistency::Strong, USAGE_READ)?;
                    after
                }
                "--local" => {
                    once(&mut consistency, Consistency::Local, USAGE_READ)?;
                    after
                }
                "--json" => {
                    once(&mut json, true, USAGE_READ)?;
                    after
                }
                _ => return Err(USAGE_READ),
            };
        }
        let limit = limit.unwrap_or(MAX_READ_RECORDS).min(MAX_READ_RECORDS);
        let start = match (last, start) {
            (Some(_), Some(_)) => return Err(USAGE_READ),
            (None, Some(start)) => start,
            (last, None) => ReadStart::Last(last.unwrap_or(DEFAULT_READ_RECORDS).min(limit)),
        };
        let max_bytes = bytes.map_or(MAX_READ_BYTES, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX).min(MAX_READ_BYTES)
        });
        Ok(Self {
            topic,
            start,
            limit,
            max_bytes,
            consistency: consistency.unwrap_or(Consistency::Strong),
            json: json.unwrap_or(false),
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        check_topic(self.topic)?;
        push_words(out, &["READ", self.topic]);
        match self.start {
            ReadStart::Last(count) => push_option(out, "last", count.min(self.limit)),
            ReadStart::From(offset) => push_option(out, "from", offset),
            ReadStart::Since(us) => push_time(out, "since", us),
        }
        if self.limit < MAX_READ_RECORDS {
            push_option(out, "limit", self.limit);
        }
        if self.max_bytes < MAX_READ_BYTES {
            push_option(out, "bytes", self.max_bytes);
        }
        push_words(out, &["", self.consistency.as_option()]);
        if self.json {
            push_words(out, &["", "--json"]);
        }
        Ok(())
    }
}

pub(super) fn parse_history(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, rest) = take_topic(rest, USAGE_HISTORY)?;
    let (count, rest) = take_word(rest, USAGE_HISTORY)?;
    no_words(rest, USAGE_HISTORY)?;
    Ok(Command::History {
        topic,
        count: number(count)?.min(MAX_HISTORY_RECORDS),
    })
}
