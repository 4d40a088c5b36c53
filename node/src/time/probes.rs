//! The seam between the clocks' task and what carries its datagrams.

use std::{future::Future, net::SocketAddr, pin::Pin};

use bytes::Bytes;
use wiber_protocol::membership::Member;

/// A datagram that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub bytes: Bytes,
    /// Whom to answer.
    pub from: SocketAddr,
    /// How long it has been here already, nanoseconds; 0 where nobody can tell. Never more than it was.
    pub age_ns: i64,
}

/// Carries datagrams; any of them may be lost.
pub trait ProbeSocket: Send + Sync {
    /// To a member's `port + 200`.
    fn ask(&self, member: &Member, datagram: Bytes);
    /// Back to where a datagram came from.
    fn answer(&self, to: SocketAddr, datagram: Bytes);
    /// The next datagram; resolves never if there will be none.
    fn receive(&self) -> Pin<Box<dyn Future<Output = Received> + Send + '_>>;
}
