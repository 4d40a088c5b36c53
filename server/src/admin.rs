//! One request to a node's admin port: one plain HTTP/1.1 connection, no pool, no proxy.

use std::{io, time::Duration};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long the connection and the answer's head may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("no answer in {} s", CONNECT_TIMEOUT.as_secs())]
    NoAnswer,
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    /// Drives the connection; ends it when dropped.
    pub(crate) connection: AbortOnDropHandle<()>,
}

/// Sends a request, whose target is a path alone, and gives the answer's head.
pub(crate) async fn send<B>(host: &str, port: u16, request: Request<B>) -> Result<Answer, AdminError>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    B::Data: Send,
{
    timeout(CONNECT_TIMEOUT, send_unbounded(host, port, request))
        .await
        .unwrap_or(Err(AdminError::NoAnswer))
}

async fn send_unbounded<B>(host: &str, port: u16, mut request: Request<B>) -> Result<Answer, AdminError>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    B::Data: Send,
{
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
    let name = HeaderValue::try_from(name).map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, name);
    Ok(Answer {
        response: sender.send_request(request).await?,
        connection: AbortOnDropHandle::new(driver),
    })
}
