//! The WebSockets: a socket is a stream of text frames and nothing else.
//!
//! What a browser sends is read and dropped (but a close or a pong counts as a sign of life). A slow browser is
//! waited for: the frames come from a cursor (a file, an offset) or from a bounded channel, so nothing piles up;
//! one that takes nothing for [`SEND_TIMEOUT`] is let go.

mod cluster;
mod convo;
mod logs;
mod topic;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        FromRequestParts, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    http::{StatusCode, request::Parts},
    response::Response,
    routing::get,
};
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use serde::Serialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::http::{Gateway, Refusal};

/// Open sockets; another gets 503.
const MAX_SOCKETS: usize = 512;
/// A browser has nothing to say here; a larger message ends its socket.
const MAX_INCOMING_BYTES: usize = 16 << 10;
/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A socket that shows no sign of life for this long is gone.
const LIFE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a frame may wait for a browser that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames that are ready together are written together, up to this many.
const MAX_BATCH: usize = 64;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/ws/{convo}", get(convo::open))
        .route("/ws/node/{id}/logs", get(logs::open))
        .route("/live/cluster", get(cluster::open))
        .route("/live/topic/{convo}", get(topic::open))
}

/// All open sockets. Clones share the count.
#[derive(Clone)]
pub(crate) struct Sockets {
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Sockets {
    /// `closing` ends every socket.
    pub(crate) fn new(closing: CancellationToken) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(MAX_SOCKETS)),
            tasks: TaskTracker::new(),
            closing,
        }
    }

    /// Returns when every socket has said goodbye, or after a second.
    pub(crate) async fn wait(&self) {
        self.tasks.close();
        // One that does not read its goodbye is not waited for longer.
        let _ = timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }

    /// Answers an upgrade with a socket on which `frames` are sent until they end.
    fn accept(
        &self,
        upgrade: Upgrade,
        frames: impl Stream<Item = Utf8Bytes> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{MAX_SOCKETS} sockets are open already."),
            )
        })?;
        let sockets = self.clone();
        let upgrade = upgrade
            .0
            .max_message_size(MAX_INCOMING_BYTES)
            .max_frame_size(MAX_INCOMING_BYTES);
        Ok(upgrade.on_upgrade(async move |socket| {
            let closing = sockets.closing.clone();
            // Tracked, so that the end of the gateway waits for its goodbye.
            sockets.tasks.track_future(pump(socket, frames, closing)).await;
            drop(slot);
        }))
    }
}

/// A request to become a WebSocket.
pub(crate) struct Upgrade(WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        upgrade.map(Self).map_err(|rejection| {
            Refusal::new(
                rejection.status(),
                format!("This path is a WebSocket: {}.", rejection.body_text()),
            )
        })
    }
}

/// A frame's JSON.
fn json(frame: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(frame)
        .expect("a frame has string keys only and no failing serializer")
        .into()
}

async fn pump(socket: WebSocket, frames: impl Stream<Item = Utf8Bytes>, closing: CancellationToken) {
    let (mut sink, mut incoming) = socket.split();
    let frames = frames.ready_chunks(MAX_BATCH);
    tokio::pin!(frames);
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive_at = Instant::now();
    let (code, reason) = loop {
        let batch = tokio::select! {
            () = closing.cancelled() => break (close_code::AWAY, "the gateway ends"),
            message = incoming.next() => match message {
                Some(Ok(Message::Close(_))) => break (close_code::NORMAL, ""),
                Some(Ok(_)) => {
                    alive_at = Instant::now();
                    continue;
                }
                // Gone, or no WebSocket any more.
                Some(Err(_)) | None => return,
            },
            batch = frames.next() => match batch {
                Some(batch) => batch.into_iter().map(Message::Text).collect(),
                None => break (close_code::NORMAL, ""),
            },
            _ = pings.tick() => {
                if alive_at.elapsed() > LIFE_TIMEOUT {
                    return;
                }
                vec![Message::Ping(bytes::Bytes::new())]
            }
        };
        let sending = async {
            for message in batch {
                sink.feed(message).await?;
            }
            sink.flush().await
        };
        if !matches!(timeout(SEND_TIMEOUT, sending).await, Ok(Ok(()))) {
            return;
        }
    };
    let goodbye = Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }));
    // It is over either way.
    let _ = timeout(Duration::from_millis(500), sink.send(goodbye)).await;
}
