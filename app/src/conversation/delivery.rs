//! One's own messages on their way: how sure each is, and what the cluster said of it.

use serde::{Deserialize, Serialize};

use crate::service::MessageView;

/// How sure one's own message is. The states only move downwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Behind an earlier one, so that the two are stored in the order written.
    Waiting,
    /// Sent for the first time, not yet answered.
    Sending,
    /// Nobody knows yet whether it is stored; it is being sent again under its id. `sent` counts the times.
    Unknown { sent: u32, why: String },
    /// On the disks of a majority.
    Acknowledged(Receipt),
    /// The cluster will not store it, and sending it again would not help.
    Refused { why: String },
}

/// What the cluster said when it had stored a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub offset: Option<u64>,
    pub logical_time: Option<u64>,
    /// It was stored already: an earlier attempt had arrived although its answer had not.
    pub duplicate: bool,
    /// From the first attempt to the answer, microseconds.
    pub took_us: u64,
}

/// A message of one's own that has not yet come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub message_id: String,
    pub sender: String,
    pub text: String,
    pub delivery: Delivery,
    pub(super) sent: u32,
    /// By the clock of this visit.
    pub(super) first_sent_us: Option<u64>,
}

/// A stored message, and what is known of it when it is one's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub view: MessageView,
    pub own: Option<Own>,
}

/// How a message of one's own fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// How often it was sent.
    pub sent: u32,
    /// By the clock of this visit.
    pub(super) first_sent_us: Option<u64>,
    /// `None` when it came back before, or instead of, its answer.
    pub receipt: Option<Receipt>,
}

/// A message of one's own without a verdict, as it is kept between two visits of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    pub message_id: String,
    pub sender: String,
    pub text: String,
    /// How often it was sent.
    pub sent: u32,
}

/// The message that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSend {
    pub message_id: String,
    pub sender: String,
    pub text: String,
}

impl Delivery {
    /// Whether the cluster has given its verdict.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Acknowledged(_) | Self::Refused { .. })
    }
}

/// Reads `OK published|duplicate|REDIRECTED <id> [<offset> <logical_time> …]`.
pub(super) fn read_status(status: &str) -> Option<Receipt> {
    let mut words = status.split_ascii_whitespace();
    if words.next()? != "OK" {
        return None;
    }
    let duplicate = words.next()? == "duplicate";
    words.next()?;
    let offset = words.next().and_then(|word| word.parse().ok());
    let logical_time = words.next().and_then(|word| word.parse().ok());
    Some(Receipt {
        offset,
        logical_time,
        duplicate,
        took_us: 0,
    })
}
