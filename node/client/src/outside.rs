//! What a client takes from outside: connections and randomness. Its time is Tokio's. Given others than the machine's, the
//! same code runs in a simulation.

use std::{fmt, io, pin::Pin, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use wiber_protocol::config::NodeSpec;

/// What a node says.
pub type Incoming = Box<dyn AsyncRead + Send + Unpin>;
/// What it is told. Dropping both ends closes the connection.
pub type Outgoing = Box<dyn AsyncWrite + Send + Unpin>;
/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<(Incoming, Outgoing)>> + Send + 'a>>;

/// The world around a client; see [`crate::Client::within`].
pub trait Outside: fmt::Debug + Send + Sync + 'static {
    /// Connects to the port for clients of `node`. Dropped unfinished when it takes too long.
    fn connect<'a>(&'a self, node: &'a NodeSpec) -> Connecting<'a>;

    /// Any number, each equally likely: it jitters waits, and tells clients apart.
    fn random_u64(&self) -> u64;
}

/// The machine's network and randomness.
#[derive(Debug)]
pub(crate) struct Machine;

impl Outside for Machine {
    fn connect<'a>(&'a self, node: &'a NodeSpec) -> Connecting<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((node.host.as_str(), node.port)).await?;
            // Commands are small and someone waits for each.
            stream.set_nodelay(true)?;
            let (incoming, outgoing) = stream.into_split();
            Ok((Box::new(incoming) as Incoming, Box::new(outgoing) as Outgoing))
        })
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }
}

/// Connects within `limit`; an error is a sentence that names the address.
pub(crate) async fn connect(
    outside: &dyn Outside,
    node: &NodeSpec,
    limit: Duration,
) -> Result<(Incoming, Outgoing), String> {
    timeout(limit, outside.connect(node))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|e| format!("cannot connect to {}:{}: {e}", node.host, node.port))
}
