//! The client port: the line protocol of `docs/protocol.md`, one connection a client, commands pipelined.

mod connection;
mod lines;
mod member;
mod named;
mod responder;
mod room;
mod stamp;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

pub use connection::{Input, Output, run as serve_client};
pub use lines::LineCache;
pub use room::Room;
pub use stamp::Stamper;
pub use subscription::LAG_RECORDS;

use crate::{group::GroupCell, groups::Coordinators, metrics::Counters, trace::Trace};

/// Client connections at once; past it a new one is closed at once.
pub const MAX_CONNECTIONS: usize = 16_384;
/// A publish that is not committed by then is answered with `ERR timeout_waiting_commit`.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the client port needs of the node.
pub struct Clients {
    pub group: GroupCell,
    pub stamper: Arc<Stamper>,
    /// Of the groups that have members here.
    pub coordinators: Arc<Coordinators>,
    pub trace: Trace,
    pub counters: Arc<Counters>,
    /// Subscriptions of all connections.
    pub cursors: Arc<AtomicUsize>,
    pub lines: LineCache,
    /// Memory for what clients say.
    pub room: Room,
    /// The largest message body taken.
    pub max_message_bytes: usize,
    /// How many records a subscriber may be behind before it is told so.
    pub lag_records: u64,
}

/// Accepts clients until `stop`.
pub async fn serve(listener: TcpListener, clients: Arc<Clients>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let Ok(slot) = slots.clone().try_acquire_owned() else {
                    tracing::warn!(target: "publish", "refused {from}: {MAX_CONNECTIONS} clients are connected");
                    continue;
                };
                let (clients, stop) = (clients.clone(), stop.clone());
                crate::runtime::spawn(async move {
                    let counters = clients.counters.clone();
                    crate::metrics::count(&counters.connections_total);
                    crate::metrics::count(&counters.connections_open);
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = connection::over_tcp(stream, clients) => {}
                    }
                    crate::metrics::uncount(&counters.connections_open);
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(target: "publish", "cannot accept a client: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
