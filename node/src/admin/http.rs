//! The admin port's connections: a bounded number of them, none of which may dawdle over its request.
//!
//! `axum::serve` has neither bound, and a port that anyone may connect to needs both.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Open connections. Above it new ones wait in the listener's backlog, which the kernel bounds.
const MAX_CONNECTIONS: usize = 128;
/// A request's head must be here by then; it is also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's head is no longer; hyper refuses it with 431.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// After a failed `accept` (no file descriptors left, say) the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At the shutdown a connection whose other end does not read is given no longer.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Accepts until `shutdown`; returns when the last connection has ended.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, router, shutdown).await;
                    drop(slot);
                });
            }
            Err(e) => {
                tracing::warn!(target: "admin", "cannot accept a connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(END_TIMEOUT, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    // Events are small and late ones are worth less; without the option they are only slower.
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(target: "admin", "connection ended: {e}");
    }
}
