//! One socket's life: frames out, pings, and what the browser says.
//!
//! A browser that does not read is waited for, and what makes the frames waits with it; one that takes nothing for
//! [`SEND_TIMEOUT`] is let go. One that talks faster than it is listened to is not read from meanwhile: beside what is on
//! its way to the ear, a single text waits here.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;

/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A socket that shows no sign of life for this long is gone. What the browser said and was not read yet is no sign: an
/// ear takes less than that for all it may hold.
const LIFE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a frame may wait for a browser that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames that are ready together are written together, up to this many.
const MAX_BATCH: usize = 64;

/// Sends `frames` until they end, the browser is gone, or `closing`. Without an ear, what the browser says is a sign of
/// life and nothing else.
pub(super) async fn pump(
    socket: WebSocket,
    frames: impl Stream<Item = Utf8Bytes>,
    ear: Option<mpsc::Sender<Utf8Bytes>>,
    closing: CancellationToken,
) {
    let (mut sink, mut incoming) = socket.split();
    let frames = frames.ready_chunks(MAX_BATCH);
    tokio::pin!(frames);
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive_at = Instant::now();
    // What was said and does not fit into the ear yet.
    let mut unheard = None;
    let (code, reason) = loop {
        let batch = tokio::select! {
            () = closing.cancelled() => break (close_code::AWAY, "the gateway ends"),
            permit = room(ear.as_ref()), if unheard.is_some() => {
                if let (Some(permit), Some(text)) = (permit, unheard.take()) {
                    permit.send(text);
                }
                continue;
            }
            message = incoming.next(), if unheard.is_none() => match message {
                Some(Ok(Message::Close(_))) => break (close_code::NORMAL, ""),
                Some(Ok(message)) => {
                    alive_at = Instant::now();
                    if let (Message::Text(text), Some(_)) = (message, &ear) {
                        unheard = Some(text);
                    }
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

/// A place in the ear; `None` if nobody listens any more.
async fn room(ear: Option<&mpsc::Sender<Utf8Bytes>>) -> Option<mpsc::Permit<'_, Utf8Bytes>> {
    ear?.reserve().await.ok()
}
