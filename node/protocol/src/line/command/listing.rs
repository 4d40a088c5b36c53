//! `TOPICS` and `GROUPS`: what there is, a page of names at a time.

use super::{
    Command, LineError, USAGE_GROUPS, USAGE_TOPICS,
    words::{
        check_pattern, check_topic, next_word, no_words, once, push_option, push_words, take_number,
        take_topic,
    },
};
use crate::line::MAX_LISTED;

/// Nobody could tell an empty page from the last one.
const NO_TOPICS: LineError = LineError::Usage("--limit is a number of topics from 1 up");
const OPTION_AS_PATTERN: LineError = LineError::Usage("a pattern of a list does not begin with --");

pub(super) fn parse_topics(rest: &str) -> Result<Command<'_>, LineError> {
    let (mut pattern, mut after, mut limit) = (None, None, None);
    let mut rest = rest;
    loop {
        let (word, behind) = next_word(rest);
        rest = match word {
            "" => break,
            "--after" => {
                let (topic, behind) = take_topic(behind, USAGE_TOPICS)?;
                once(&mut after, topic, USAGE_TOPICS)?;
                behind
            }
            "--limit" => take_number(behind, &mut limit, USAGE_TOPICS)?,
            word if word.starts_with("--") => return Err(USAGE_TOPICS),
            word => {
                check_pattern(word)?;
                once(&mut pattern, word, USAGE_TOPICS)?;
                behind
            }
        };
    }
    if limit == Some(0) {
        return Err(NO_TOPICS);
    }
    Ok(Command::Topics {
        pattern,
        after,
        limit: limit.unwrap_or(MAX_LISTED).min(MAX_LISTED),
    })
}

pub(super) fn write_topics(
    pattern: Option<&str>,
    after: Option<&str>,
    limit: u64,
    out: &mut Vec<u8>,
) -> Result<(), LineError> {
    push_words(out, &["TOPICS"]);
    if let Some(pattern) = pattern {
        check_pattern(pattern)?;
        if pattern.starts_with("--") {
            return Err(OPTION_AS_PATTERN);
        }
        push_words(out, &["", pattern]);
    }
    if let Some(after) = after {
        check_topic(after)?;
        push_option(out, "after", after);
    }
    if limit == 0 {
        return Err(NO_TOPICS);
    }
    if limit < MAX_LISTED {
        push_option(out, "limit", limit);
    }
    Ok(())
}

pub(super) fn parse_groups(rest: &str) -> Result<Command<'_>, LineError> {
    let (pattern, rest) = next_word(rest);
    no_words(rest, USAGE_GROUPS)?;
    let pattern = (!pattern.is_empty()).then_some(pattern);
    pattern.map_or(Ok(()), check_pattern)?;
    Ok(Command::Groups { pattern })
}

pub(super) fn write_groups(pattern: Option<&str>, out: &mut Vec<u8>) -> Result<(), LineError> {
    push_words(out, &["GROUPS"]);
    if let Some(pattern) = pattern {
        check_pattern(pattern)?;
        push_words(out, &["", pattern]);
    }
    Ok(())
}
