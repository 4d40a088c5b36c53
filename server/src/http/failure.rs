//! What the client library could not do, as a status and a sentence: one table for all the forms that say it.

use axum::http::StatusCode;
use wiber_client::{AckError, LineError, PublishError, ReadError, RequestError};

use super::answer::Refusal;
use crate::messages::NotPublished;

/// Of a publish under this id.
pub(super) fn of_publish(error: PublishError, id: &str) -> Refusal {
    let said = format!("Not published: {error}.");
    match error {
        PublishError::IdConflict { .. } | PublishError::IdExpired { .. } => {
            Refusal::new(StatusCode::CONFLICT, said)
        }
        PublishError::OffsetMismatch { end } => Refusal::new(StatusCode::CONFLICT, said).with("end", end),
        PublishError::TooLarge { max_bytes } => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, said).with("max_bytes", max_bytes)
        }
        // Not 429: a topic never goes away, so that to wait and ask again, as that one tells a script, is of no use.
        PublishError::TooManyTopics { max } => {
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, said).with("max", max)
        }
        PublishError::Rejected(why) => Refusal::unreadable(sentence(&why)),
        PublishError::Unavailable(_) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, said),
        PublishError::Unknown(_) => {
            let said = format!("Unknown: {error}. Sent again under the id {id} it stays one message.");
            unknown(said).with("id", id)
        }
    }
}

/// Of the older form, whose status for every lack of an answer is 503.
impl From<NotPublished> for Refusal {
    fn from(why: NotPublished) -> Self {
        match why {
            NotPublished::Refused(error) => error.into(),
            NotPublished::Unknown { id, detail } => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .with("unknown", true)
                .with("message_id", id),
        }
    }
}

/// The gateway asked for something and does not know whether it was, or will be, done.
fn unknown(said: String) -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, said).with("unknown", true)
}

/// A node's answer, or a mistake found before one was asked, for people, and in the words of these forms: what the line
/// protocol calls `--max-in-flight` is a parameter `max_in_flight` here.
pub(super) fn sentence(why: &str) -> String {
    let why = why.strip_prefix("ERR usage: ").unwrap_or(why);
    let words = why.split(' ').map(|word| {
        let option = word.strip_prefix("--").unwrap_or_default();
        match option.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()) {
            "" => word.to_owned(),
            name => format!("`{}`{}", name.replace('-', "_"), &option[name.len()..]),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

impl From<LineError> for Refusal {
    fn from(error: LineError) -> Self {
        Self::unreadable(sentence(&error.to_string()))
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let said = format!("Not read: {error}.");
        match error {
            ReadError::Rejected(why) => Self::unreadable(sentence(&why)),
            ReadError::OffsetOutOfRange { start, end } => {
                let said = format!("That is no longer kept: offsets {start} to {end} can be read.");
                Self::new(StatusCode::GONE, said)
                    .with("start", start)
                    .with("end", end)
            }
            ReadError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, said),
        }
    }
}

impl From<AckError> for Refusal {
    fn from(error: AckError) -> Self {
        let said = format!("Not done: {error}.");
        match error {
            AckError::NotDelivered { offset } => Self::new(StatusCode::CONFLICT, said).with("offset", offset),
            AckError::NoSuchGroup => Self::new(StatusCode::NOT_FOUND, said),
            AckError::Rejected(why) => Self::unreadable(sentence(&why)),
            AckError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, said),
            AckError::Unknown(_) => unknown(format!("Unknown: {error}.")),
        }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let said = format!("{error}.");
        match error {
            // The library made its id, and a request whose fate is unknown is one without a reply.
            RequestError::NotPublished(error) => of_publish(error, ""),
            RequestError::NoReply => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "No reply came in time; the request may still be answered.",
            ),
            RequestError::NoInbox(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("Not published: {said}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_line_protocol_are_named_as_parameters() {
        let check = |why: &str, expected: &str| assert_eq!(sentence(why), expected);
        check(
            "ERR usage: --from and --group are for one topic; a pattern begins with --after, --since or --start",
            "`from` and `group` are for one topic; a pattern begins with `after`, `since` or `start`",
        );
        check(
            "ERR usage: --max-in-flight is 1 to 1024 records",
            "`max_in_flight` is 1 to 1024 records",
        );
        check("a topic has 1 to 249 bytes", "a topic has 1 to 249 bytes");
        check(
            "what begins with --, as its options do",
            "what begins with --, as its options do",
        );
    }
}
