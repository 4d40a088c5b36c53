//! Who is in a conversation and who said what. Pure.
//!
//! A stored text is only a text; the contract puts the sender before it, `<sender>: <message>`. A colon may also
//! be a part of the message, so what stands before it is taken for a sender only if it is one of the people
//! the conversation names, or a single word.

/// The longest name that is taken for a sender.
const NAME_CHARS: usize = 32;

/// The names in a conversation's id: `dm:alice:bob` is alice and bob.
pub fn people(convo: &str) -> Vec<&str> {
    match convo.strip_prefix("dm:") {
        Some(names) => names.split(':').filter(|name| !name.is_empty()).collect(),
        None => Vec::new(),
    }
}

/// The sender and the message of a stored text.
pub fn said_by<'a>(text: &'a str, convo: &str) -> (Option<&'a str>, &'a str) {
    let Some((name, message)) = text.split_once(": ") else {
        return (None, text);
    };
    let is_word = !name.is_empty()
        && name.chars().count() <= NAME_CHARS
        && !name.contains(|char: char| char.is_whitespace() || matches!(char, ':' | '/'));
    if is_word || people(convo).contains(&name) {
        (Some(name), message)
    } else {
        (None, text)
    }
}

/// The path segment of a conversation, with everything escaped that has a meaning in an address (RFC 3986 §2.1).
pub fn in_path(convo: &str) -> String {
    use std::fmt::Write as _;
    convo
        .bytes()
        .fold(String::with_capacity(convo.len()), |mut path, byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
                path.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
            path
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_people_of_a_conversation_are_in_its_id() {
        assert_eq!(people("dm:alice:bob"), ["alice", "bob"]);
        assert!(people("orders").is_empty());
    }

    #[test]
    fn a_sender_is_set_apart_and_a_colon_in_the_message_is_not_one() {
        assert_eq!(
            said_by("alice: hello: you", "dm:alice:bob"),
            (Some("alice"), "hello: you")
        );
        assert_eq!(
            said_by("note to self: buy milk", "dm:alice:bob"),
            (None, "note to self: buy milk")
        );
        assert_eq!(
            said_by("Mary Ann: hi", "dm:Mary Ann:bob"),
            (Some("Mary Ann"), "hi")
        );
        assert_eq!(said_by("https://x: y", "orders"), (None, "https://x: y"));
        assert_eq!(said_by("plain", "orders"), (None, "plain"));
    }

    #[test]
    fn an_id_is_one_segment_of_a_path() {
        assert_eq!(in_path("dm:alice:bob"), "dm:alice:bob");
        assert_eq!(in_path("a/b?c#d é"), "a%2Fb%3Fc%23d%20%C3%A9");
    }
}
