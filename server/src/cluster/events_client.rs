//! Reading a node's `GET /events`, for as long as it goes on.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    http,
};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::sse::{BadStream, SseEvent, SseParser};
use crate::admin::{self, AdminError};

/// A node says something at least once a second; after this long without a byte it counts as gone.
const SILENCE: Duration = Duration::from_secs(4);

/// Why a stream could not be opened or went away.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("silent for {} s", SILENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Bad(#[from] BadStream),
}

/// An open event stream.
pub(super) struct EventStream {
    body: Incoming,
    parser: SseParser,
    _connection: AbortOnDropHandle<()>,
}

impl EventStream {
    pub(super) async fn open(host: &str, port: u16) -> Result<Self, StreamError> {
        let request = Request::get("/events").body(Empty::<Bytes>::new())?;
        let answer = admin::send(host, port, request).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(StreamError::Status(answer.response.status()));
        }
        Ok(Self {
            body: answer.response.into_body(),
            parser: SseParser::default(),
            _connection: answer.connection,
        })
    }

    /// The next events; `None` when the node closed the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<SseEvent>>, StreamError> {
        let frame = timeout(SILENCE, self.body.frame())
            .await
            .map_err(|_| StreamError::Silent)?;
        let Some(frame) = frame.transpose()? else {
            return Ok(None);
        };
        let Ok(bytes) = frame.into_data() else {
            return Ok(Some(Vec::new()));
        };
        Ok(Some(self.parser.feed(&bytes)?))
    }
}
