//! `/events`: the node's status whenever it changes, and its trace, as server-sent events.
//!
//! One task turns changes into documents for all listeners, and only while there are any: at most ten a
//! second, but a new role or term at once, as that is what one watches for. A listener that reads slowly gets
//! the newest document and no older ones; of the trace it may miss events, and is told how many.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_stream::stream;
use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use wiber_protocol::status::Role;

use super::{Admin, StatusSource};

/// Listeners at once; another gets 503.
pub(super) const MAX_LISTENERS: usize = 32;
/// Between two documents, unless role or term changed.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// Without any change a document is sent this often, as ages and percentiles move on by themselves.
const STATUS_REFRESH: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What all listeners share.
pub(super) struct Events {
    source: Arc<dyn StatusSource>,
    /// The newest document, as JSON text.
    status: watch::Sender<Arc<str>>,
    listeners: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Events {
    pub(super) fn new(source: Arc<dyn StatusSource>, shutdown: CancellationToken) -> Self {
        let status = watch::Sender::new(Arc::from(""));
        Self {
            source,
            status,
            listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
            shutdown,
        }
    }

    /// Makes documents until the shutdown, while somebody listens.
    pub(super) async fn run(&self) {
        let mut changed = self.source.changed();
        let mut sent_at = Instant::now();
        let mut sent_state = self.source.role_and_term();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = self.next_reason(&mut changed, sent_at, sent_state) => {}
            }
            sent_at = Instant::now();
            sent_state = self.source.role_and_term();
            if self.status.receiver_count() > 0 {
                self.status.send_replace(self.document());
            }
        }
    }

    /// Resolves when the next document is due.
    async fn next_reason(
        &self,
        changed: &mut watch::Receiver<u64>,
        sent_at: Instant,
        sent_state: (Role, u64),
    ) {
        if timeout_at(sent_at + STATUS_REFRESH, changed.changed())
            .await
            .is_err()
        {
            return;
        }
        loop {
            if self.source.role_and_term() != sent_state {
                return;
            }
            tokio::select! {
                () = sleep_until(sent_at + STATUS_INTERVAL) => return,
                Ok(()) = changed.changed() => {}
            }
        }
    }

    fn document(&self) -> Arc<str> {
        match serde_json::to_string(&self.source.status()) {
            Ok(text) => text.into(),
            Err(e) => {
                tracing::error!(target: "admin", "cannot write the status as JSON: {e}");
                "null".into()
            }
        }
    }
}

pub(super) async fn handle(State(admin): State<Admin>) -> Response {
    let Ok(permit) = Arc::clone(&admin.events.listeners).try_acquire_owned() else {
        let refusal = format!("{MAX_LISTENERS} listeners are here already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, refusal).into_response();
    };
    Sse::new(listen(admin.events, permit))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

fn listen(
    events: Arc<Events>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    // Subscribed before the first document is made, so that no change falls between.
    let mut status = events.status.subscribe();
    let mut trace = events.source.trace().subscribe();
    stream! {
        let _permit = permit;
        yield Ok(status_event(&events.document()));
        loop {
            tokio::select! {
                () = events.shutdown.cancelled() => return,
                Ok(()) = status.changed() => {
                    let document = Arc::clone(&status.borrow_and_update());
                    yield Ok(status_event(&document));
                }
                batch = trace.next_batch() => match Event::default().event("trace").json_data(&batch) {
                    Ok(event) => yield Ok(event),
                    Err(e) => tracing::error!(target: "admin", "cannot write the trace as JSON: {e}"),
                },
            }
        }
    }
}

fn status_event(document: &str) -> Event {
    Event::default().event("status").data(document)
}
