//! `PUB`, whose message is the rest of its line, and `PUBLISH`, whose message follows its line.

use super::{
    Command, LineError, USAGE_PUB, USAGE_PUBLISH,
    headers::{check_headers, parse_header, push_header},
    words::{
        check_id, check_message, check_topic, next_word, number, once, push_option, push_words, take_number,
        take_topic, take_word,
    },
};

/// A `PUBLISH` line. The next `body_bytes` bytes of the connection are the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishCommand<'a> {
    pub topic: &'a str,
    /// However large: whoever reads the command bounds it before it reads the body.
    pub body_bytes: u64,
    pub id: Option<&'a str>,
    /// Decoded; no key twice.
    pub headers: Vec<(String, String)>,
    /// Store it only if the topic's newest offset is this one.
    pub expect: Option<u64>,
}

/// A `PUBLISH` line that cannot be carried out, although it may be known how much of what follows belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishError {
    pub error: LineError,
    /// How many bytes to skip. `None`: nobody can tell where the next command begins.
    pub body_bytes: Option<u64>,
}

impl<'a> PublishCommand<'a> {
    /// Understands what stands behind the verb.
    pub(super) fn parse(rest: &'a str) -> Result<Self, PublishError> {
        let lost = |error| PublishError {
            error,
            body_bytes: None,
        };
        let (topic, rest) = take_word(rest, USAGE_PUBLISH).map_err(lost)?;
        let (bytes, rest) = take_word(rest, USAGE_PUBLISH).map_err(lost)?;
        // A number that is cut to 64 bits says nothing of where the body ends.
        let body_bytes = number(bytes)
            .ok()
            .filter(|count| *count < u64::MAX)
            .ok_or_else(|| lost(USAGE_PUBLISH))?;
        Self::parse_options(topic, body_bytes, rest).map_err(|error| PublishError {
            error,
            body_bytes: Some(body_bytes),
        })
    }

    fn parse_options(topic: &'a str, body_bytes: u64, mut rest: &'a str) -> Result<Self, LineError> {
        check_topic(topic)?;
        let (mut id, mut expect, mut headers) = (None, None, Vec::new());
        loop {
            let (option, after) = next_word(rest);
            rest = match option {
                "" => break,
                "--id" => {
                    let (word, after) = take_word(after, USAGE_PUBLISH)?;
                    check_id(word)?;
                    once(&mut id, word, USAGE_PUBLISH)?;
                    after
                }
                "--header" => {
                    let (word, after) = take_word(after, USAGE_PUBLISH)?;
                    headers.push(parse_header(word)?);
                    // Before the next one: the list stays as short as it may be.
                    check_headers(&headers)?;
                    after
                }
                "--expect" => take_number(after, &mut expect, USAGE_PUBLISH)?,
                _ => return Err(USAGE_PUBLISH),
            };
        }
        Ok(Self {
            topic,
            body_bytes,
            id,
            headers,
            expect,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        check_topic(self.topic)?;
        self.id.map_or(Ok(()), check_id)?;
        check_headers(&self.headers)?;
        if self.body_bytes == u64::MAX {
            return Err(USAGE_PUBLISH);
        }
        push_words(out, &["PUBLISH", self.topic, &self.body_bytes.to_string()]);
        if let Some(id) = self.id {
            push_option(out, "id", id);
        }
        for (key, value) in &self.headers {
            push_header(out, key, value);
        }
        if let Some(expect) = self.expect {
            push_option(out, "expect", expect);
        }
        Ok(())
    }
}

pub(super) fn parse_pub(rest: &str) -> Result<Command<'_>, LineError> {
    let (topic, mut rest) = take_topic(rest, USAGE_PUB)?;
    let mut id = None;
    // Without the first look every message's first word would be searched for its end.
    if rest.trim_start().starts_with("--id")
        && let ("--id", after) = next_word(rest)
    {
        let (word, after) = take_word(after, USAGE_PUB)?;
        check_id(word)?;
        (id, rest) = (Some(word), after);
    }
    let text = rest.trim();
    check_message(text)?;
    Ok(Command::Pub { topic, id, text })
}

pub(super) fn write_pub(
    topic: &str,
    id: Option<&str>,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), LineError> {
    check_topic(topic)?;
    check_message(text)?;
    id.map_or(Ok(()), check_id)?;
    if id.is_none() && next_word(text).0 == "--id" {
        return Err(USAGE_PUB);
    }
    push_words(out, &["PUB", topic]);
    if let Some(id) = id {
        push_option(out, "id", id);
    }
    push_words(out, &["", text.trim()]);
    Ok(())
}
