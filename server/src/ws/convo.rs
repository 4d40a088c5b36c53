//! `/ws/{convo}`: a conversation's messages from now on, in the form that existing pages know.
//!
//! They are not told of a failover: the subscription goes on at another node without a gap. Only when no node
//! delivers for [`GONE_AFTER`] is the broker gone for good, and the page is told to come again.

use std::time::Duration;

use async_stream::stream;
use axum::{extract::State, response::Response};
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use wiber_app::service::MessageView;

use super::{Upgrade, json};
use crate::{
    http::{Gateway, PathOf, Refusal},
    messages::Followed,
};

/// How long the first connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Without any node for this long, the broker is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Frame {
    Connected,
    Message { payload: Box<MessageView> },
    Error { detail: String },
    BrokerClosed,
}

pub(super) async fn open(
    State(gateway): State<Gateway>,
    PathOf(convo): PathOf<String>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let followed = gateway.messages.follow_new(&convo)?;
    let frames = stream! {
        tokio::pin!(followed);
        let mut is_new = true;
        let mut gone_at = Some(Instant::now() + CONNECT_WITHIN);
        let mut why = "no node answers".to_owned();
        loop {
            let next = match gone_at {
                None => followed.next().await,
                Some(at) => match timeout_at(at, followed.next()).await {
                    Ok(next) => next,
                    Err(_) if is_new => {
                        yield json(&Frame::Error { detail: format!("The conversation can't be followed: {why}.") });
                        return;
                    }
                    Err(_) => {
                        yield json(&Frame::BrokerClosed);
                        return;
                    }
                },
            };
            match next {
                Some(Followed::Connected { .. }) => {
                    gone_at = None;
                    if std::mem::take(&mut is_new) {
                        yield json(&Frame::Connected);
                    }
                }
                Some(Followed::Message(payload)) => yield json(&Frame::Message { payload }),
                Some(Followed::Disconnected { detail }) => {
                    why = detail;
                    gone_at = gone_at.or_else(|| Some(Instant::now() + GONE_AFTER));
                }
                // What was followed is no more: the cluster's data was made anew.
                None => {
                    yield json(&Frame::BrokerClosed);
                    return;
                }
            }
        }
    };
    gateway.sockets.accept(upgrade, frames)
}
