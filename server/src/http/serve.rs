//! The gateway's connections: a bounded number, none of which may dawdle over its request's head.
//!
//! `axum::serve` has no timer for that (slowloris), so hyper is driven here. A connection that became a WebSocket
//! leaves this count; [`crate::ws`] bounds those.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Open connections. Above it new ones wait in the listener's backlog, which the kernel bounds.
const MAX_CONNECTIONS: usize = 512;
/// A request's head must be here by then; it is also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's head is no longer.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// After a failed `accept` (no file descriptors left, say) the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests that are still being answered at the end get this long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Accepts until `closing`, then lets the requests under way finish, for a while.
pub(crate) async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    while let Some((stream, peer, slot)) = accept(&listener, &slots, &closing).await {
        let (router, closing) = (router.clone(), closing.clone());
        connections.spawn(async move {
            serve_one(stream, peer, router, closing).await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "requests were cut off");
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    closing: &CancellationToken,
) -> Option<Accepted> {
    loop {
        let accepted = async {
            let slot = Arc::clone(slots)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (stream, peer) = listener.accept().await?;
            Ok::<_, io::Error>((stream, peer, slot))
        };
        let result = tokio::select! {
            () = closing.cancelled() => return None,
            result = accepted => result,
        };
        match result {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, peer: SocketAddr, router: Router, closing: CancellationToken) {
    // Without it small frames are only slower.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
