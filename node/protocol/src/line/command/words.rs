//! The words of a line, and what each kind of word may be.

use super::LineError;
use crate::{
    group_op::MAX_GROUP_BYTES,
    line::{Seconds, push_fmt},
    pattern::Pattern,
    record::{MAX_BODY_BYTES, MAX_ID_BYTES, MAX_TOPIC_BYTES},
};

const BAD_TOPIC: LineError =
    LineError::Usage("a topic has 1 to 249 bytes and no white space or control characters");
const BAD_PATTERN: LineError =
    LineError::Usage("in a pattern of topics > is the last part, and stands for all that follow");
const BAD_ID: LineError =
    LineError::Usage("an id has 1 to 256 bytes and no white space or control characters");
const BAD_GROUP: LineError =
    LineError::Usage("a group has 1 to 64 bytes and no white space or control characters");
const BAD_TIME: LineError = LineError::Usage("a time is Unix seconds, such as 1795378200.123456");
const LONG_MESSAGE: LineError = LineError::Usage("a message has at most 1048576 bytes");

/// The first word and what follows it, which starts with white space or is empty.
pub(super) fn next_word(text: &str) -> (&str, &str) {
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

pub(super) fn no_words(rest: &str, usage: LineError) -> Result<(), LineError> {
    if rest.trim().is_empty() {
        Ok(())
    } else {
        Err(usage)
    }
}

/// The word at the front of `rest`, and what follows it.
pub(super) fn take_word(rest: &str, usage: LineError) -> Result<(&str, &str), LineError> {
    match next_word(rest) {
        ("", _) => Err(usage),
        found => Ok(found),
    }
}

/// The topic at the front of `rest`, and what follows it.
pub(super) fn take_topic(rest: &str, usage: LineError) -> Result<(&str, &str), LineError> {
    let (topic, rest) = take_word(rest, usage)?;
    check_topic(topic)?;
    Ok((topic, rest))
}

pub(super) fn take_group(rest: &str, usage: LineError) -> Result<(&str, &str), LineError> {
    let (group, rest) = take_word(rest, usage)?;
    check_group(group)?;
    Ok((group, rest))
}

pub(super) fn only_topic(rest: &str, usage: LineError) -> Result<&str, LineError> {
    let (topic, rest) = take_topic(rest, usage)?;
    no_words(rest, usage).map(|()| topic)
}

/// Puts an option's value into its empty slot.
pub(super) fn once<T>(slot: &mut Option<T>, value: T, usage: LineError) -> Result<(), LineError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(usage),
    }
}

/// Reads an option's number into its empty slot; gives what follows.
pub(super) fn take_number<'a>(
    rest: &'a str,
    slot: &mut Option<u64>,
    usage: LineError,
) -> Result<&'a str, LineError> {
    let (word, rest) = take_word(rest, usage)?;
    once(slot, number(word)?, usage)?;
    Ok(rest)
}

/// A whole number from 0 up; one beyond 64 bits is still a number, and as good as the largest.
pub(super) fn number(word: &str) -> Result<u64, LineError> {
    let digits = word.strip_prefix('+').unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LineError::NotAnInt);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// Unix seconds, as decimals or whole, in microseconds. Digits beyond the sixth are cut off.
pub fn parse_seconds(word: &str) -> Result<i64, LineError> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return Err(BAD_TIME);
    }
    let micros = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(6)
        .fold(0_i64, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    let whole: i64 = whole.parse().map_err(|_| BAD_TIME)?;
    let us = whole
        .checked_mul(1_000_000)
        .and_then(|us| us.checked_add(micros))
        .ok_or(BAD_TIME)?;
    Ok(sign * us)
}

pub(super) fn push_words(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(words.join(" ").as_bytes());
}

/// ` --name value`.
pub(super) fn push_option(out: &mut Vec<u8>, name: &str, value: impl std::fmt::Display) {
    push_fmt(out, format_args!(" --{name} {value}"));
}

pub(super) fn push_time(out: &mut Vec<u8>, name: &str, us: i64) {
    push_option(out, name, Seconds(us));
}

fn is_word(text: &str, max_bytes: usize) -> bool {
    !text.is_empty()
        && text.len() <= max_bytes
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn check(is_right: bool, error: LineError) -> Result<(), LineError> {
    if is_right { Ok(()) } else { Err(error) }
}

/// Whether `topic` can be a topic's name.
pub fn check_topic(topic: &str) -> Result<(), LineError> {
    check(is_word(topic, MAX_TOPIC_BYTES), BAD_TOPIC)
}

/// Whether `pattern` can be a topic's name or a pattern of names.
pub fn check_pattern(pattern: &str) -> Result<(), LineError> {
    check_topic(pattern)?;
    check(Pattern::new(pattern).is_ok(), BAD_PATTERN)
}

/// Whether `id` can be a message's id.
pub fn check_id(id: &str) -> Result<(), LineError> {
    check(is_word(id, MAX_ID_BYTES), BAD_ID)
}

/// Whether `group` can be a consumer group's name.
pub fn check_group(group: &str) -> Result<(), LineError> {
    check(is_word(group, MAX_GROUP_BYTES), BAD_GROUP)
}

/// Whether `text` can be said as a message of one line.
pub fn check_message(text: &str) -> Result<(), LineError> {
    let text = text.trim();
    check(text.len() <= MAX_BODY_BYTES, LONG_MESSAGE)?;
    check(!text.is_empty() && !text.contains('\n'), super::USAGE_PUB)
}
