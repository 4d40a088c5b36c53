//! The headers of a message among those of a request: `wiber-header-<key>: <value>`.
//!
//! A value is written as in a `PUBLISH` line (visible ASCII, blanks, and `%` with two hexadecimal digits for each other
//! byte of its UTF-8), because HTTP does not say what a byte beyond ASCII means, and browsers send Latin-1. Names of HTTP
//! headers have no case, so a capital letter of a key is written with `%`, too.

use axum::http::{HeaderMap, HeaderName};
use wiber_protocol::line::decode_header;

use super::answer::Refusal;

const PREFIX: &str = "wiber-header-";

/// The message's headers. What they may be is the cluster's to say.
pub(super) fn of(request: &HeaderMap) -> Result<Vec<(String, String)>, Refusal> {
    let mut headers = Vec::new();
    for (name, value) in request {
        let Some(key) = key(name) else { continue };
        let value = value.to_str().map_err(|_| {
            Refusal::unreadable(format!(
                "The header {name} is not ASCII: write other bytes of its UTF-8 as % and two hexadecimal digits."
            ))
        })?;
        headers.push((decode_header(key)?, decode_header(value)?));
    }
    Ok(headers)
}

fn key(name: &HeaderName) -> Option<&str> {
    name.as_str().strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(name: &str, value: &[u8], expected: Option<(&str, &str)>) {
        let mut request = HeaderMap::new();
        request.insert("content-type", HeaderValue::from_static("text/plain"));
        request.insert(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
        let expected = expected.map(|(key, value)| vec![(key.to_owned(), value.to_owned())]);
        assert_eq!(of(&request).ok(), expected, "{name}");
    }

    #[test]
    fn keys_and_values_are_decoded_and_what_is_not_ascii_is_refused() {
        check("wiber-header-type", b"text/plain", Some(("type", "text/plain")));
        check("Wiber-Header-X.Kind", b"a b", Some(("x.kind", "a b")));
        check("wiber-header-%58-Kind", b"100%25", Some(("X-kind", "100%")));
        check(
            "wiber-header-note",
            b"%C3%BCber%0A",
            Some(("note", "\u{fc}ber\n")),
        );
        check("wiber-header-note", "\u{fc}".as_bytes(), None);
        check("wiber-header-note", b"%FF", None);
        check("wiber-header-note", b"100%", None);
    }
}
