//! Headers as words of a line: `key=value`, with `%` and two hexadecimal digits for each byte that a word cannot have.

use super::LineError;
use crate::{
    line::push_fmt,
    record::{MAX_HEADER_KEY_BYTES, MAX_HEADERS, MAX_HEADERS_BYTES},
};

const BAD_HEADER: LineError = LineError::Usage(
    "a header is key=value: a key has 1 to 64 of A-Z a-z 0-9 . _ -, a value is UTF-8 with %20 for a blank and %25 for %",
);
const TWICE: LineError = LineError::Usage("a message has each header once");
const TOO_MANY: LineError = LineError::Usage("a message has at most 32 headers with 8192 bytes together");

/// One header of a line, decoded.
pub(super) fn parse_header(word: &str) -> Result<(String, String), LineError> {
    let (key, value) = word.split_once('=').ok_or(BAD_HEADER)?;
    check_key(key)?;
    Ok((key.to_owned(), decode_header(value)?))
}

/// The value of a header as a line has it, decoded.
pub fn decode_header(value: &str) -> Result<String, LineError> {
    decode(value).ok_or(BAD_HEADER)
}

/// Appends ` --header key=value`.
pub(super) fn push_header(out: &mut Vec<u8>, key: &str, value: &str) {
    push_fmt(out, format_args!(" --header {key}="));
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(byte);
        } else {
            push_fmt(out, format_args!("%{byte:02X}"));
        }
    }
}

/// Whether a message can have these headers.
pub fn check_headers(headers: &[(String, String)]) -> Result<(), LineError> {
    let bytes: usize = headers.iter().map(|(key, value)| key.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADERS_BYTES {
        return Err(TOO_MANY);
    }
    for (at, (key, _)) in headers.iter().enumerate() {
        check_key(key)?;
        if headers[..at].iter().any(|(other, _)| other == key) {
            return Err(TWICE);
        }
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), LineError> {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !key.is_empty() && key.len() <= MAX_HEADER_KEY_BYTES && key.bytes().all(is_right) {
        Ok(())
    } else {
        Err(BAD_HEADER)
    }
}

fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
