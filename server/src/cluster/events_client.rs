//! Reading a node's `GET /events`: one plain HTTP/1.1 connection, no pool, no proxy.

use std::{io, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::sse::{BadStream, SseEvent, SseParser};

/// How long the connection and the answer's head may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A node says something at least once a second; after this long without a byte it counts as gone.
const SILENCE: Duration = Duration::from_secs(4);

/// Why a stream could not be opened or went away.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("no answer in {} s", CONNECT_TIMEOUT.as_secs())]
    NoAnswer,
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("silent for {} s", SILENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Bad(#[from] BadStream),
}

/// An open event stream.
pub(super) struct EventStream {
    body: hyper::body::Incoming,
    parser: SseParser,
    /// Drives the connection; ends it when dropped.
    _connection: tokio_util::task::AbortOnDropHandle<()>,
}

impl EventStream {
    pub(super) async fn open(host: &str, port: u16) -> Result<Self, StreamError> {
        timeout(CONNECT_TIMEOUT, Self::open_unbounded(host, port))
            .await
            .unwrap_or(Err(StreamError::NoAnswer))
    }

    async fn open_unbounded(host: &str, port: u16) -> Result<Self, StreamError> {
        let socket = TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(async move {
            // An error here ends the body as well, and that is where it is told.
            let _ = connection.await;
        });
        let name = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let request = Request::get("/events")
            .header(HOST, name)
            .body(Empty::<Bytes>::new());
        let request = request.map_err(io::Error::other)?;
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(StreamError::Status(response.status()));
        }
        Ok(Self {
            body: response.into_body(),
            parser: SseParser::default(),
            _connection: tokio_util::task::AbortOnDropHandle::new(driver),
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
