//! A browser as a member of a consumer group: records out; `{"ack": offset}` and `{"nack": offset}` in.
//!
//! The membership is the socket's: when it ends, what was not acknowledged is handed out again. What the browser says is
//! carried out beside the delivery, so that neither waits for the other; answers name their offset and come as they are
//! ready. A browser that says more than is being carried out is not read from meanwhile.

use std::{collections::BTreeSet, ops::RangeInclusive};

use async_stream::stream;
use axum::extract::ws::Utf8Bytes;
use futures_util::Stream;
use tokio::{sync::mpsc, task::JoinSet};
use wiber_client::{Client, GroupOptions, LineError, MemberEvent, MemberHandle};

use super::{json, records::Frame};
use crate::{
    http::{FromParams, Params, Refusal},
    messages::{CHANGE_WITHIN, Messages},
};

/// What the browser said and is not being carried out yet.
const MAX_WAITING_TEXTS: usize = 16;
/// What is being carried out at once; at the bound, what is said waits.
const MAX_AT_ONCE: usize = 64;
/// The offsets that may be given back: more than a group has handed out and not done, so that what was handed to another
/// meanwhile is forgotten first.
const MAX_HELD: usize = 1_024;

/// What a browser says.
#[derive(Debug)]
struct Said {
    ack: Option<u64>,
    /// With `ack`: all from there to here.
    through: Option<u64>,
    nack: Option<u64>,
}

impl FromParams for Said {
    const NAMES: &'static [&'static str] = &["ack", "through", "nack"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            ack: params.number("ack")?,
            through: params.number("through")?,
            nack: params.number("nack")?,
        })
    }
}

/// The same, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Ack { first: u64, last: u64 },
    Nack { offset: u64 },
}

impl Wish {
    fn parse(text: &str) -> Result<Self, String> {
        let said = Params::read_json::<Said>(text.as_bytes());
        match said.map_err(Refusal::into_detail)? {
            Said {
                ack: Some(first),
                through,
                nack: None,
            } => Ok(Self::Ack {
                first,
                last: through.unwrap_or(first),
            }),
            Said {
                ack: None,
                through: None,
                nack: Some(offset),
            } => Ok(Self::Nack { offset }),
            _ => Err(
                r#"A member says {"ack":offset}, {"ack":offset,"through":offset} or {"nack":offset}."#
                    .to_owned(),
            ),
        }
    }
}

/// The offsets that this socket got and neither acknowledged nor gave back.
#[derive(Debug, Default)]
struct Held(BTreeSet<u64>);

impl Held {
    fn got(&mut self, offset: u64) {
        self.0.insert(offset);
        if self.0.len() > MAX_HELD {
            self.0.pop_first();
        }
    }

    fn acked(&mut self, offsets: &RangeInclusive<u64>) {
        self.0.retain(|offset| !offsets.contains(offset));
    }

    /// Whether it was there.
    fn gave_back(&mut self, offset: u64) -> bool {
        self.0.remove(&offset)
    }
}

/// Joins, and gives where to put what the browser says, and what it is told. The frames end with the group, or when the
/// cluster's data is made anew.
pub(super) fn frames(
    messages: &Messages,
    topic: &str,
    group: &str,
    options: GroupOptions,
) -> Result<
    (
        mpsc::Sender<Utf8Bytes>,
        impl Stream<Item = Utf8Bytes> + Send + use<>,
    ),
    LineError,
> {
    let (ear, mut said) = mpsc::channel::<Utf8Bytes>(MAX_WAITING_TEXTS);
    let (mut member, made_anew) = messages.join(topic, group, options)?;
    let mut socket = Socket {
        client: messages.client().clone(),
        handle: member.handle(),
        topic: topic.to_owned(),
        group: group.to_owned(),
        held: Held::default(),
        answers: JoinSet::new(),
    };
    let frames = stream! {
        tokio::pin!(made_anew);
        loop {
            let frame = tokio::select! {
                () = &mut made_anew => return,
                event = member.next() => match event {
                    Some(event) => socket.told(event),
                    None => return,
                },
                Some(answer) = socket.answers.join_next() => match answer {
                    Ok(answer) => socket.carried_out(answer),
                    Err(error) => Frame::Error { detail: format!("It is not known what became of it: {error}."), offset: None },
                },
                Some(text) = said.recv(), if socket.answers.len() < MAX_AT_ONCE => match socket.hear(&text) {
                    Ok(()) => continue,
                    Err(frame) => frame,
                },
            };
            yield json(&frame);
        }
    };
    Ok((ear, frames))
}

struct Socket {
    client: Client,
    handle: MemberHandle,
    topic: String,
    group: String,
    held: Held,
    /// What is being carried out. It ends with the socket, as nobody is there to be told what came of it.
    answers: JoinSet<CarriedOut>,
}

/// What came of a wish.
struct CarriedOut {
    frame: Frame,
    /// What is acknowledged now, and so is not held any more.
    acked: Option<RangeInclusive<u64>>,
}

impl Socket {
    fn told(&mut self, event: MemberEvent) -> Frame {
        match event {
            MemberEvent::Joined { node } => Frame::Connected {
                node,
                next_offset: None,
                logical_time: None,
                group: Some(self.group.clone()),
            },
            MemberEvent::Record(payload) => {
                self.held.got(payload.offset);
                Frame::Record { payload }
            }
            MemberEvent::Skipped { first, last } => Frame::Skipped {
                from: Some(first),
                to: last.saturating_add(1),
            },
            MemberEvent::Disconnected { reason } => {
                // With the connection, all of it was given back.
                self.held = Held::default();
                Frame::Disconnected { detail: reason }
            }
            MemberEvent::Ended { reason } => Frame::Ended { detail: reason },
        }
    }

    fn carried_out(&mut self, CarriedOut { frame, acked }: CarriedOut) -> Frame {
        if let Some(offsets) = acked {
            self.held.acked(&offsets);
        }
        frame
    }

    /// Begins to do what the browser wants, or says why not.
    fn hear(&mut self, text: &str) -> Result<(), Frame> {
        let wish = Wish::parse(text).map_err(|detail| Frame::Error { detail, offset: None })?;
        match wish {
            Wish::Ack { first, last } => {
                let (client, topic, group) = (self.client.clone(), self.topic.clone(), self.group.clone());
                self.answers.spawn(async move {
                    let offsets = first..=last;
                    match client.ack(&topic, &group, offsets.clone(), CHANGE_WITHIN).await {
                        Ok(()) => CarriedOut {
                            frame: Frame::Acked { offset: last },
                            acked: Some(offsets),
                        },
                        // Perhaps it is not done, so that it can still be given back.
                        Err(error) => CarriedOut {
                            frame: Frame::Error {
                                detail: Refusal::from(error).into_detail(),
                                offset: Some(last),
                            },
                            acked: None,
                        },
                    }
                });
            }
            Wish::Nack { offset } if self.held.gave_back(offset) => {
                let handle = self.handle.clone();
                self.answers.spawn(async move {
                    handle.nack_offset(offset).await;
                    CarriedOut {
                        frame: Frame::Nacked { offset },
                        acked: None,
                    }
                });
            }
            Wish::Nack { offset } => {
                return Err(Frame::Error {
                    detail: format!("Offset {offset} is not held by this socket."),
                    offset: Some(offset),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_says_what_is_done_or_given_back_and_nothing_else() {
        let parse = |text| Wish::parse(text).ok();
        assert_eq!(parse(r#"{"ack":3}"#), Some(Wish::Ack { first: 3, last: 3 }));
        assert_eq!(
            parse(r#"{"ack":3,"through":5}"#),
            Some(Wish::Ack { first: 3, last: 5 })
        );
        assert_eq!(parse(r#"{"nack":3}"#), Some(Wish::Nack { offset: 3 }));
        for text in [
            "",
            "hello",
            "{}",
            r#"{"ack":3,"nack":3}"#,
            r#"{"nack":3,"through":4}"#,
            r#"{"through":4}"#,
            r#"{"ack":-1}"#,
            r#"{"ack":"3"}"#,
            r#"{"ack":3,"why":1}"#,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_got_can_be_given_back_once_and_the_oldest_is_forgotten() {
        let mut held = Held::default();
        (1..=5).for_each(|offset| held.got(offset));
        held.acked(&(2..=3));
        assert!(held.gave_back(1) && !held.gave_back(1) && !held.gave_back(2) && held.gave_back(4));
        let many = 10 + MAX_HELD as u64;
        (10..=many).for_each(|offset| held.got(offset));
        assert!(!held.gave_back(10) && held.gave_back(11) && held.gave_back(many));
    }
}
