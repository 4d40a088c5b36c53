//! `/live/topic/{convo}?from=<offset>`: a conversation from an offset on, so that a page that lost its socket asks
//! for the next offset and misses and repeats nothing.

use axum::{extract::State, response::Response};
use futures_util::StreamExt as _;
use serde::Serialize;
use wiber_app::service::MessageView;

use super::{Upgrade, json};
use crate::{
    http::{FromParams, Gateway, Params, PathOf, QueryOf, Refusal},
    messages::Followed,
};

pub(super) struct From {
    /// The first offset wanted; without it the last fifty records come first.
    from: Option<u64>,
}

impl FromParams for From {
    const NAMES: &'static [&'static str] = &["from"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            from: params.number("from")?,
        })
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Frame {
    Connected { next_offset: u64 },
    Message { payload: Box<MessageView> },
    Disconnected { detail: String },
}

pub(super) async fn open(
    State(gateway): State<Gateway>,
    PathOf(convo): PathOf<String>,
    QueryOf(From { from }): QueryOf<From>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let frames = gateway.messages.follow(convo, from)?.map(|followed| {
        json(&match followed {
            Followed::Connected { next_offset } => Frame::Connected { next_offset },
            Followed::Message(payload) => Frame::Message { payload },
            Followed::Disconnected { detail } => Frame::Disconnected { detail },
        })
    });
    gateway.sockets.accept(upgrade, frames)
}
