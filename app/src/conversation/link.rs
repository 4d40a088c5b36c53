//! A conversation in the browser: the socket that brings messages, and the sender that brings one's own away.
//!
//! Both only tell the [`Talk`] what they heard; what follows from it is decided there.

use futures_util::{
    StreamExt,
    future::{Either, abortable, select},
};
use gloo_net::websocket::{Message, futures::WebSocket};
use gloo_timers::future::TimeoutFuture;
use leptos::{prelude::*, task::spawn_local};
use serde::Deserialize;

use super::{
    Talking,
    delivery::ToSend,
    keep::keep,
    people::in_path,
    state::{Arrival, Connected, NotSaid, Talk},
    why_not_ask,
};
use crate::{
    api,
    reconnect::{Backoff, Link, open},
    service::MessageView,
};

/// An answer that takes longer is taken for none; the gateway gives up before.
const ANSWER_WITHIN_MS: u32 = 10_000;

/// While no node answers, it is looked again so often.
const LOOK_AGAIN_MS: u32 = 500;

/// One frame of the socket.
#[derive(Deserialize)]
#[serde(try_from = "FlatFrame")]
enum TopicFrame {
    Connected { next_offset: u64 },
    Message { payload: Box<MessageView> },
    Disconnected { detail: String },
}

/// The same as it is read: flat, so that no copy of it is made to find its tag first.
#[derive(Deserialize)]
struct FlatFrame {
    event: TopicEvent,
    next_offset: Option<u64>,
    payload: Option<Box<MessageView>>,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TopicEvent {
    Connected,
    Message,
    Disconnected,
}

impl TryFrom<FlatFrame> for TopicFrame {
    type Error = &'static str;

    fn try_from(flat: FlatFrame) -> Result<Self, &'static str> {
        Ok(match flat.event {
            TopicEvent::Connected => Self::Connected {
                next_offset: flat.next_offset.ok_or("no next offset")?,
            },
            TopicEvent::Message => Self::Message {
                payload: flat.payload.ok_or("no payload")?,
            },
            TopicEvent::Disconnected => Self::Disconnected { detail: flat.detail },
        })
    }
}

/// What a frame asks of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    /// Something is missing: ask again from the offset that is wanted.
    Reopen,
    /// The cluster's data is other data: forget, and read the history again.
    BeginAgain,
}

/// Keeps the conversation connected for as long as it is on the page.
pub(super) fn keep_current(talking: Talking) {
    Effect::new(move |_| {
        // In an effect, because what is kept is not in what the server rendered.
        if keep(talking) {
            send_all(talking);
        }
        let (task, handle) = abortable(stay_connected(talking));
        spawn_local(async move {
            // An error says that the conversation has left the page.
            let _ = task.await;
        });
        on_cleanup(move || handle.abort());
    });
}

async fn stay_connected(talking: Talking) {
    let mut backoff = Backoff::default();
    let path = in_path(&talking.convo.get_value());
    talking.link.set(Link::Opening);
    loop {
        match begun(talking).await {
            Begun::Yes => {
                let from = talking.talk.with_untracked(Talk::wanted_offset);
                if let Some(socket) = open(&format!("/live/topic/{path}?from={from}")).await
                    && read_frames(socket, talking, &mut backoff).await == Then::BeginAgain
                {
                    talking.talk.update(Talk::begin_again);
                    continue;
                }
            }
            Begun::NoNodeAnswers(detail) => {
                talking.link.set(Link::Live);
                talking.stalled.set(Some(detail));
                TimeoutFuture::new(LOOK_AGAIN_MS).await;
                continue;
            }
            Begun::NoAnswer => {}
        }
        let retry_ms = backoff.wait_ms(js_sys::Math::random());
        talking.link.set(Link::Lost { retry_ms });
        TimeoutFuture::new(retry_ms).await;
    }
}

/// Whether anything is known of the topic.
enum Begun {
    Yes,
    /// The gateway answers, and no node does.
    NoNodeAnswers(String),
    NoAnswer,
}

/// Reads the history where nothing is known of the topic yet.
async fn begun(talking: Talking) -> Begun {
    if talking.talk.with_untracked(Talk::has_begun) {
        return Begun::Yes;
    }
    if let Some(detail) = untrack(|| why_not_ask(talking.live)) {
        return Begun::NoNodeAnswers(detail);
    }
    match api::history(talking.convo.get_value(), super::HISTORY_COUNT).await {
        Ok(page) => {
            talking.stalled.set(None);
            talking.consistency.set(Some(page.consistency));
            talking.talk.update(|talk| talk.begin(page.messages));
            Begun::Yes
        }
        Err(error) if error.status.is_some() => Begun::NoNodeAnswers(error.detail),
        Err(_) => Begun::NoAnswer,
    }
}

async fn read_frames(mut socket: WebSocket, talking: Talking, backoff: &mut Backoff) -> Then {
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let Ok(frame) = serde_json::from_str(&text) else {
            continue;
        };
        match take_in(frame, talking) {
            Then::GoOn => backoff.reset(),
            then => return then,
        }
    }
    Then::Reopen
}

fn take_in(frame: TopicFrame, talking: Talking) -> Then {
    match frame {
        TopicFrame::Connected { next_offset } => {
            talking.stalled.set(None);
            talking.link.set(Link::Live);
            match talking.talk.try_update(|talk| talk.connected(next_offset)) {
                Some(Connected::OtherHistory) => Then::BeginAgain,
                _ => Then::GoOn,
            }
        }
        TopicFrame::Message { payload } => match talking.talk.try_update(|talk| talk.arrived(*payload)) {
            Some(Arrival::Gap { .. }) => Then::Reopen,
            Some(Arrival::OtherHistory { .. }) => Then::BeginAgain,
            _ => Then::GoOn,
        },
        TopicFrame::Disconnected { detail } => {
            talking.link.set(Link::Live);
            talking.stalled.set(Some(detail));
            Then::GoOn
        }
    }
}

/// Takes what is in the box as a message, and sees to it that it is sent.
pub(super) fn say(talking: Talking) {
    let (sender, text) = (talking.sender.get_untracked(), talking.draft.get_untracked());
    let said = talking
        .talk
        .try_update(|talk| talk.say(new_message_id(), &sender, &text));
    match said {
        Some(Ok(())) => {
            talking.draft.set(String::new());
            talking.objection.set(None);
            send_all(talking);
        }
        Some(Err(NotSaid::Blank)) | None => {}
        Some(Err(why)) => talking.objection.set(Some(why.to_string())),
    }
}

/// Sends what is to be sent, one message after the other, each until it has a verdict.
fn send_all(talking: Talking) {
    let was_sending = talking
        .is_sending
        .try_update_value(|sending| std::mem::replace(sending, true));
    if was_sending != Some(false) {
        return;
    }
    spawn_local(async move {
        let mut backoff = Backoff::default();
        while let Some(next) = talking.talk.try_update(|talk| talk.send_next(now_us())).flatten() {
            let id = next.message_id.clone();
            send(next, talking).await;
            let is_unsettled = talking.talk.try_with_untracked(|talk| talk.is_unsettled(&id));
            if is_unsettled == Some(true) {
                TimeoutFuture::new(backoff.wait_ms(js_sys::Math::random())).await;
            } else {
                backoff.reset();
            }
        }
        talking.is_sending.try_set_value(false);
    });
}

async fn send(message: ToSend, talking: Talking) {
    let id = message.message_id.clone();
    let Some(convo) = talking.convo.try_get_value() else {
        return;
    };
    let publish = api::publish(
        convo,
        message.text,
        Some(message.sender),
        Some(message.message_id),
    );
    let answer = select(Box::pin(publish), TimeoutFuture::new(ANSWER_WITHIN_MS)).await;
    // `None` when the conversation has left the page in the meantime: then nobody asks any more.
    let _ = talking.talk.try_update(|talk| match answer {
        Either::Left((Ok(report), _)) => talk.acknowledged(&id, &report.status, now_us()),
        Either::Left((Err(error), _)) if error.is_refusal() => talk.refused(&id, &error.detail),
        Either::Left((Err(error), _)) => talk.unknown(&id, &error.detail),
        Either::Right(_) => talk.unknown(&id, "The gateway did not answer in time."),
    });
}

/// 128 random bits as hex: nobody else makes the same one.
fn new_message_id() -> String {
    let mut bytes = [0_u8; 16];
    let filled = window()
        .crypto()
        .is_ok_and(|crypto| crypto.get_random_values_with_u8_array(&mut bytes).is_ok());
    if !filled {
        for byte in &mut bytes {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below 256"
            )]
            let random = (js_sys::Math::random() * 256.0) as u8;
            *byte = random;
        }
    }
    format!("{:032x}", u128::from_le_bytes(bytes))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "microseconds since the page was opened"
)]
fn now_us() -> u64 {
    window()
        .performance()
        .map_or(0, |performance| (performance.now() * 1_000.0) as u64)
}
