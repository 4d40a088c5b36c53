//! `/live/cluster`: the picture, then its changes. One that falls too far behind gets the picture anew.

use async_stream::stream;
use axum::{extract::State, extract::ws::Utf8Bytes, response::Response};
use tokio::sync::broadcast::error::RecvError;

use super::Upgrade;
use crate::http::{Gateway, NoParams, QueryOf, Refusal};

pub(super) async fn open(
    State(gateway): State<Gateway>,
    _: QueryOf<NoParams>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let cluster = gateway.cluster.clone();
    let frames = stream! {
        loop {
            let (snapshot, mut changes) = cluster.subscribe();
            yield Utf8Bytes::from(snapshot);
            loop {
                match changes.recv().await {
                    Ok(change) => yield Utf8Bytes::from(&*change),
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    };
    gateway.sockets.accept(upgrade, frames)
}
