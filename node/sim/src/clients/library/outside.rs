//! The simulated network and dice, as the client library takes them from outside.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};
use wiber_client::{Connecting, Incoming, Outgoing, Outside};
use wiber_protocol::config::NodeSpec;

use crate::{clients::Clients, count::Count, dice::Dice};

pub(super) struct SimulatedOutside {
    clients: Clients,
    dice: Dice,
}

impl SimulatedOutside {
    pub(super) fn new(clients: &Clients, dice: Dice) -> Self {
        Self {
            clients: clients.clone(),
            dice,
        }
    }

    async fn dial(&self, node: &NodeSpec) -> io::Result<(Incoming, Outgoing)> {
        let cluster = &self.clients.cluster;
        let host = cluster.hosts.iter().position(|host| host.name == node.id);
        let host = host.ok_or(io::ErrorKind::NotFound)?;
        sleep(self.dice.pause(0, 5)).await;
        if cluster.network.is_silent(host) {
            // Nobody says that there is nobody.
            return std::future::pending().await;
        }
        let stream = cluster.network.connect_client(host);
        let (read, write) = tokio::io::split(stream.ok_or(io::ErrorKind::ConnectionRefused)?);
        let is_cut = !self.clients.is_winding_down() && self.dice.permille(200);
        let incoming: Incoming = if is_cut {
            let at = Instant::now() + self.dice.pause(1, 2_000);
            Box::new(Cut {
                stream: read,
                at: Box::pin(sleep_until(at)),
                clients: self.clients.clone(),
            })
        } else {
            Box::new(read)
        };
        Ok((incoming, Box::new(write)))
    }
}

impl fmt::Debug for SimulatedOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulation")
    }
}

impl Outside for SimulatedOutside {
    fn connect<'a>(&'a self, node: &'a NodeSpec) -> Connecting<'a> {
        Box::pin(self.dial(node))
    }

    fn random_u64(&self) -> u64 {
        self.dice.word()
    }
}

/// A connection that breaks: what was said and not heard by then is lost.
struct Cut<R> {
    stream: R,
    at: Pin<Box<Sleep>>,
    clients: Clients,
}

impl<R: AsyncRead + Unpin> AsyncRead for Cut<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.at.as_mut().poll(cx).is_ready() {
            self.clients.cluster.world.count(Count::ClientCut);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}
