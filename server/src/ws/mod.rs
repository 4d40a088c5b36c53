//! The WebSockets: a socket is a stream of text frames, and on some of them an ear for what the browser says.
//!
//! A slow browser is waited for: the frames come from a cursor (a file, an offset) or from a bounded channel, so
//! nothing piles up ([`pump`]).

mod cluster;
mod convo;
mod logs;
mod member;
mod pump;
mod records;
mod topic;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{FromRequestParts, WebSocketUpgrade, ws::Utf8Bytes},
    http::{StatusCode, request::Parts},
    response::Response,
    routing::get,
};
use futures_util::Stream;
use serde::Serialize;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::http::{Gateway, Refusal};

/// Open sockets; another gets 503.
const MAX_SOCKETS: usize = 512;
/// A browser has little or nothing to say here; a larger message ends its socket.
const MAX_INCOMING_BYTES: usize = 16 << 10;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/ws/{convo}", get(convo::open))
        .route("/ws/node/{id}/logs", get(logs::open))
        .route("/live/cluster", get(cluster::open))
        .route("/live/topic/{convo}", get(topic::open))
        .route("/live/records/{pattern}", get(records::open))
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

    /// Answers an upgrade with a socket on which `frames` are sent until they end. What the browser says is dropped.
    fn accept(
        &self,
        upgrade: Upgrade,
        frames: impl Stream<Item = Utf8Bytes> + Send + 'static,
    ) -> Result<Response, Refusal> {
        self.open(upgrade, frames, None)
    }

    /// The same, and the texts that the browser sends come out of `ear`'s other end. While that is full, nothing more is
    /// read from the browser.
    fn accept_and_listen(
        &self,
        upgrade: Upgrade,
        frames: impl Stream<Item = Utf8Bytes> + Send + 'static,
        ear: mpsc::Sender<Utf8Bytes>,
    ) -> Result<Response, Refusal> {
        self.open(upgrade, frames, Some(ear))
    }

    fn open(
        &self,
        upgrade: Upgrade,
        frames: impl Stream<Item = Utf8Bytes> + Send + 'static,
        ear: Option<mpsc::Sender<Utf8Bytes>>,
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
            let pumping = pump::pump(socket, frames, ear, closing);
            sockets.tasks.track_future(pumping).await;
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
