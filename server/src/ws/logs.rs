//! `/ws/node/{id}/logs?tail=200`: a node's console, the last lines and then each new one.

use std::{io, time::Duration};

use async_stream::stream;
use axum::{extract::State, response::Response};
use serde::Serialize;
use tokio::{task::spawn_blocking, time::sleep};

use super::{Upgrade, json};
use crate::{
    http::{FromParams, Gateway, Params, PathOf, QueryOf, Refusal},
    tail::{Look, Tail},
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The last lines that come first if nothing is said.
const DEFAULT_TAIL: u64 = 200;

pub(super) struct Lines {
    /// How many of the last lines come first, at most [`crate::tail::MAX_TAIL_LINES`].
    tail: usize,
}

impl FromParams for Lines {
    const NAMES: &'static [&'static str] = &["tail"];
    const PASSES_OVER_OTHERS: bool = true;

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        let tail = params.number("tail")?.unwrap_or(DEFAULT_TAIL);
        Ok(Self {
            tail: usize::try_from(tail).unwrap_or(usize::MAX),
        })
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Frame {
    Log { line: String },
    Info { detail: String },
    Error { detail: String },
}

pub(super) async fn open(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    QueryOf(lines): QueryOf<Lines>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let known = gateway.supervisor.index_of(&id);
    let path = gateway.data_root.join(&id).join("logs").join("console.log");
    let remote_host = known
        .as_ref()
        .ok()
        .filter(|index| !gateway.supervisor.is_local(**index))
        .and_then(|index| {
            gateway
                .supervisor
                .specs()
                .nth(*index)
                .map(|spec| spec.host.clone())
        });
    let frames = stream! {
        // A browser can't read why an upgrade was refused, so it is told on the socket.
        if let Err(error) = known {
            yield json(&Frame::Error { detail: error.detail().to_owned() });
            return;
        }
        if let Some(host) = remote_host {
            yield json(&Frame::Error { detail: format!("{id} runs on {host}, and so is its console there.") });
            return;
        }
        let opened = {
            let path = path.clone();
            blocking(move || Tail::open(&path, lines.tail)).await
        };
        let (mut tail, last) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                yield json(&Frame::Error { detail: format!("{} can't be read: {error}.", path.display()) });
                return;
            }
        };
        if !tail.exists() {
            yield json(&Frame::Info { detail: format!("{id} has not printed anything yet.") });
        }
        for line in last {
            yield json(&Frame::Log { line });
        }
        loop {
            let looked = blocking(move || tail.look().map(|look| (tail, look))).await;
            let Look { lines, has_more } = match looked {
                Ok((same, look)) => {
                    tail = same;
                    look
                }
                Err(error) => {
                    yield json(&Frame::Error { detail: format!("{} can't be read: {error}.", path.display()) });
                    return;
                }
            };
            for line in lines {
                yield json(&Frame::Log { line });
            }
            if !has_more {
                sleep(LOOK_EVERY).await;
            }
        }
    };
    gateway.sockets.accept(upgrade, frames)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
