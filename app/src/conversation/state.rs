//! What one conversation holds, and how sure each message is. Pure: the socket, the sender and the history
//! tell it what they heard, and the page draws what it says.
//!
//! Three ways bring the same message: the history, the socket and the answer to one's own publish, in any
//! order and more than once. They are told apart by two names: the offset says where a message stands
//! (offsets rise by one, so a gap is seen), the id says which message it is (so a retry is the same message).
//! A message of one's own is *unknown* until one of the three ways brings news of it: it is sent again under
//! the same id, and never given up as failed because an answer was missing.

use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
};

use super::delivery::{Delivery, Outgoing, Own, Stored, ToSend, Unsettled, read_status};
use crate::service::MessageView;

/// The most messages kept; older ones leave from the top.
pub const MESSAGES_KEPT: usize = 500;
/// The most messages of one's own on their way; more are refused until some arrive.
pub const OUTBOX_KEPT: usize = 100;

/// What arrived by the socket or the history, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next message.
    Next,
    /// It was here already.
    Known,
    /// Messages between are missing: ask again from `expected`.
    Gap { expected: u64, found: u64 },
    /// Another message stands at this offset: the cluster's data is not the data this page began with.
    OtherHistory { offset: u64 },
}

/// Where the socket goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    AsWanted,
    /// Later than wanted: the messages between are not kept any more.
    AfterHole,
    /// The topic ends before what is here: the cluster's data is not the data this page began with.
    OtherHistory,
}

/// One line of the conversation as drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// These offsets are kept nowhere any more.
    Hole {
        from: u64,
        to: u64,
    },
    Stored(Stored),
    Outgoing(Outgoing),
}

/// Why a message was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSaid {
    #[error("There is nothing to send yet.")]
    Blank,
    #[error("{OUTBOX_KEPT} messages are on their way already; wait for some to arrive.")]
    OutboxFull,
    #[error("A message with this id is here already.")]
    IdTaken,
}

/// One conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Talk {
    /// Offsets rise strictly; what is missing between two neighbours is a known hole.
    stored: VecDeque<Stored>,
    /// The offset the next message will have; `None` until anything is known of the topic.
    next_offset: Option<u64>,
    outbox: VecDeque<Outgoing>,
    /// Receipts of messages that have not come back yet, or came back first.
    by_id: HashMap<String, u64>,
}

impl Talk {
    /// Begins with the last messages of the history, oldest first.
    pub fn from_history(messages: Vec<MessageView>) -> Self {
        let mut talk = Self::default();
        talk.begin(messages);
        talk
    }

    /// Takes in the last messages of the history where nothing is known yet, or is forgotten.
    pub fn begin(&mut self, messages: Vec<MessageView>) {
        self.next_offset = Some(self.wanted_offset());
        for message in messages {
            self.next_offset = Some(self.wanted_offset().max(message.offset));
            self.arrived(message);
        }
    }

    /// Whether anything is known of the topic: where it ends, or that it is empty.
    pub fn has_begun(&self) -> bool {
        self.next_offset.is_some()
    }

    /// The offset to ask the socket for; 1 where nothing is known yet.
    pub fn wanted_offset(&self) -> u64 {
        self.next_offset.unwrap_or(1)
    }

    /// The socket goes on with `next_offset`.
    pub fn connected(&mut self, next_offset: u64) -> Connected {
        let wanted = self.wanted_offset();
        self.next_offset = Some(wanted.max(next_offset));
        match next_offset.cmp(&wanted) {
            Ordering::Equal => Connected::AsWanted,
            // Nobody keeps what lies between: it is shown as a hole, and no longer awaited.
            Ordering::Greater => Connected::AfterHole,
            Ordering::Less => Connected::OtherHistory,
        }
    }

    /// A message arrived by the socket or the history.
    pub fn arrived(&mut self, message: MessageView) -> Arrival {
        let expected = *self.next_offset.get_or_insert(1);
        let offset = message.offset;
        if offset > expected {
            return Arrival::Gap {
                expected,
                found: offset,
            };
        }
        if offset < expected {
            let known = self
                .stored
                .binary_search_by_key(&offset, |stored| stored.view.offset);
            return match known {
                Ok(place) if self.stored[place].view.message_id != message.message_id => {
                    Arrival::OtherHistory { offset }
                }
                _ => Arrival::Known,
            };
        }
        let own = self.take_outgoing(&message.message_id);
        self.by_id.insert(message.message_id.clone(), offset);
        self.stored.push_back(Stored { view: message, own });
        self.next_offset = Some(expected + 1);
        if self.stored.len() > MESSAGES_KEPT
            && let Some(oldest) = self.stored.pop_front()
        {
            self.by_id.remove(&oldest.view.message_id);
        }
        Arrival::Next
    }

    /// Forgets what is stored, because it is no longer what the cluster stores. What is on its way stays on it.
    pub fn begin_again(&mut self) {
        self.stored.clear();
        self.by_id.clear();
        self.next_offset = None;
    }

    /// Takes in a message to send.
    pub fn say(&mut self, message_id: String, sender: &str, text: &str) -> Result<(), NotSaid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NotSaid::Blank);
        }
        if self.outbox.len() >= OUTBOX_KEPT {
            return Err(NotSaid::OutboxFull);
        }
        if self.is_known(&message_id) {
            return Err(NotSaid::IdTaken);
        }
        self.outbox.push_back(Outgoing {
            message_id,
            sender: sender.trim().to_owned(),
            text: text.to_owned(),
            delivery: Delivery::Waiting,
            sent: 0,
            first_sent_us: None,
        });
        Ok(())
    }

    /// The message to send now, at `now_us` of any clock that only rises: the first that has no verdict. One at
    /// a time, because two on their way at once may be stored in either order.
    pub fn send_next(&mut self, now_us: u64) -> Option<ToSend> {
        let next = self
            .outbox
            .iter_mut()
            .find(|outgoing| !outgoing.delivery.is_settled())?;
        if next.first_sent_us.is_none() {
            next.first_sent_us = Some(now_us);
        }
        next.sent += 1;
        if let Delivery::Unknown { sent, .. } = &mut next.delivery {
            *sent = next.sent;
        } else {
            next.delivery = Delivery::Sending;
        }
        Some(ToSend {
            message_id: next.message_id.clone(),
            sender: next.sender.clone(),
            text: next.text.clone(),
        })
    }

    /// The cluster has stored a message; `status` is its line, e.g. `OK published <id> <offset> <lamport>`.
    /// Anything but an `OK` leaves the fate unknown.
    pub fn acknowledged(&mut self, message_id: &str, status: &str, now_us: u64) {
        let Some(mut receipt) = read_status(status) else {
            self.unknown(message_id, status);
            return;
        };
        if let Some(outgoing) = self.outgoing_mut(message_id) {
            receipt.took_us = outgoing
                .first_sent_us
                .map_or(0, |first| now_us.saturating_sub(first));
            outgoing.delivery = Delivery::Acknowledged(receipt);
        } else if let Some(stored) = self.stored_mut(message_id)
            && let Some(own) = &mut stored.own
        {
            receipt.took_us = own.first_sent_us.map_or(0, |first| now_us.saturating_sub(first));
            own.receipt.get_or_insert(receipt);
        }
    }

    /// No verdict came back: it may be stored, and it may not.
    pub fn unknown(&mut self, message_id: &str, why: &str) {
        if let Some(outgoing) = self.outgoing_mut(message_id)
            && !outgoing.delivery.is_settled()
        {
            outgoing.delivery = Delivery::Unknown {
                sent: outgoing.sent,
                why: why.to_owned(),
            };
        }
    }

    /// The cluster said no, for a reason that sending again does not change.
    pub fn refused(&mut self, message_id: &str, why: &str) {
        if let Some(outgoing) = self.outgoing_mut(message_id)
            && !outgoing.delivery.is_settled()
        {
            outgoing.delivery = Delivery::Refused { why: why.to_owned() };
        }
    }

    /// Takes a refused message away; its text, to write it again.
    pub fn dismiss(&mut self, message_id: &str) -> Option<String> {
        let place = self.outbox.iter().position(|outgoing| {
            outgoing.message_id == message_id && matches!(outgoing.delivery, Delivery::Refused { .. })
        })?;
        self.outbox.remove(place).map(|outgoing| outgoing.text)
    }

    /// What has no verdict yet, to be kept while nobody looks at the conversation.
    pub fn unsettled(&self) -> Vec<Unsettled> {
        self.outbox
            .iter()
            .filter(|outgoing| !outgoing.delivery.is_settled())
            .map(|outgoing| Unsettled {
                message_id: outgoing.message_id.clone(),
                sender: outgoing.sender.clone(),
                text: outgoing.text.clone(),
                sent: outgoing.sent,
            })
            .collect()
    }

    /// Takes up again what had no verdict when the page was left, unless it is known by now to be stored.
    pub fn resume(&mut self, unsettled: Vec<Unsettled>) {
        for kept in unsettled {
            let sent = kept.sent;
            if self.say(kept.message_id, &kept.sender, &kept.text).is_ok()
                && sent > 0
                && let Some(outgoing) = self.outbox.back_mut()
            {
                outgoing.sent = sent;
                let why = "The page was left before the answer came.".to_owned();
                outgoing.delivery = Delivery::Unknown { sent, why };
            }
        }
    }

    /// Whether something waits to be sent.
    pub fn has_unsent(&self) -> bool {
        self.outbox.iter().any(|outgoing| !outgoing.delivery.is_settled())
    }

    /// Whether the message still has no verdict: its fate is worth another attempt.
    pub fn is_unsettled(&self, message_id: &str) -> bool {
        self.outbox
            .iter()
            .any(|outgoing| outgoing.message_id == message_id && !outgoing.delivery.is_settled())
    }

    /// Everything in the order drawn: what is stored, with the holes in it, then what is on its way.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::with_capacity(self.stored.len() + self.outbox.len());
        let mut expected = self.stored.front().map(|first| first.view.offset);
        for stored in &self.stored {
            let offset = stored.view.offset;
            if let Some(from) = expected.filter(|expected| *expected < offset) {
                lines.push(Line::Hole { from, to: offset - 1 });
            }
            expected = Some(offset + 1);
            lines.push(Line::Stored(stored.clone()));
        }
        lines.extend(self.outbox.iter().cloned().map(Line::Outgoing));
        lines
    }

    pub fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.outbox.is_empty()
    }

    fn is_known(&self, message_id: &str) -> bool {
        self.by_id.contains_key(message_id)
            || self
                .outbox
                .iter()
                .any(|outgoing| outgoing.message_id == message_id)
    }

    fn take_outgoing(&mut self, message_id: &str) -> Option<Own> {
        let place = self
            .outbox
            .iter()
            .position(|outgoing| outgoing.message_id == message_id)?;
        let outgoing = self.outbox.remove(place)?;
        let receipt = match outgoing.delivery {
            Delivery::Acknowledged(receipt) => Some(receipt),
            _ => None,
        };
        Some(Own {
            sent: outgoing.sent,
            first_sent_us: outgoing.first_sent_us,
            receipt,
        })
    }

    fn outgoing_mut(&mut self, message_id: &str) -> Option<&mut Outgoing> {
        self.outbox
            .iter_mut()
            .find(|outgoing| outgoing.message_id == message_id)
    }

    fn stored_mut(&mut self, message_id: &str) -> Option<&mut Stored> {
        let offset = self.by_id.get(message_id)?;
        let place = self
            .stored
            .binary_search_by_key(offset, |stored| stored.view.offset)
            .ok()?;
        self.stored.get_mut(place)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
