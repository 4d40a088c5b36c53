//! The admin port, `port + 100`: a node as it sees itself, over HTTP.
//!
//! ```text
//! /healthz  the process is alive
//! /readyz   a read index round and an fsync succeeded just now
//! /status   one JSON document
//! /events   status changes and the trace, as server-sent events
//! /metrics  every number, in Prometheus' text form
//! /faults/clock  POST: makes this node's clock wrong, where --allow-faults lets it
//! ```
//! All but the last only GET, and change nothing. A browser must not be able to read it for a foreign page: no
//! CORS header is sent, and a Host that a foreign name could be bound to is refused (DNS rebinding).

mod access;
mod events;
mod faults;
mod http;
#[cfg(test)]
mod tests;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use wiber_protocol::status::{ClockFault, InjectedFault, NodeStatus, Role};

use self::events::Events;
use crate::{
    metrics::{self, Counters},
    time::FaultError,
    trace::Trace,
};

/// `/readyz` says no when the node has not answered by then.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The node, as the admin port needs to know it.
pub trait StatusSource: Send + Sync + 'static {
    /// The whole document, of this moment.
    fn status(&self) -> NodeStatus;
    /// Role and term alone, cheaper than [`Self::status`] where it matters: asked on every change.
    fn role_and_term(&self) -> (Role, u64) {
        let status = self.status();
        (status.role, status.term)
    }
    /// Moves on whenever [`Self::status`] would say something new.
    fn changed(&self) -> watch::Receiver<u64>;
    /// `Ok` when a read index round and an fsync succeed now or did a moment ago, else why not.
    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
    fn trace(&self) -> Trace;
    fn counters(&self) -> &Counters;
    /// Makes the node's clock wrong from now on.
    fn inject_clock(&self, fault: ClockFault) -> Result<InjectedFault, FaultError>;
}

#[derive(Clone)]
struct Admin {
    source: Arc<dyn StatusSource>,
    events: Arc<Events>,
}

/// Serves until `shutdown`, then ends every connection. `host` is this node's name in the configuration: with
/// IP addresses and `localhost`, it is what a request may call the node.
pub async fn serve(
    listener: TcpListener,
    host: String,
    source: Arc<dyn StatusSource>,
    shutdown: CancellationToken,
) {
    let events = Arc::new(Events::new(Arc::clone(&source), shutdown.clone()));
    let router = router(
        Admin {
            source,
            events: Arc::clone(&events),
        },
        host,
    );
    tokio::join!(events.run(), http::serve(listener, router, shutdown));
}

fn router(admin: Admin, host: String) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/events", get(events::handle))
        .route("/metrics", get(prometheus))
        .route("/faults/clock", post(faults::clock))
        .with_state(admin)
        .layer(axum::middleware::from_fn_with_state(
            Arc::<str>::from(host),
            access::check,
        ))
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let reason = match timeout(READY_TIMEOUT, admin.source.ready()).await {
        Ok(Ok(())) => return "ready\n".into_response(),
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} s", READY_TIMEOUT.as_secs()),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

async fn status(State(admin): State<Admin>) -> Json<NodeStatus> {
    Json(admin.source.status())
}

async fn prometheus(State(admin): State<Admin>) -> impl IntoResponse {
    let left_out = admin.source.trace().rpcs_left_out();
    let text = metrics::render(&admin.source.status(), admin.source.counters(), left_out);
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
}
