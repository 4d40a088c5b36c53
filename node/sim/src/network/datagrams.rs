//! Datagrams between nodes: each takes its own time, and may be lost, repeated and overtaken like any other.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};
use wiber_node::time::{ProbeSocket, Received};
use wiber_protocol::membership::Member;

use super::Network;
use crate::count::Count;

/// What waits for a process that does not read; past it datagrams are lost.
const INBOX: usize = 256;
/// A host's number is the port that its datagrams come from.
const FIRST_PORT: u16 = 1_000;

/// The socket of one run of a node.
struct Datagrams {
    network: Network,
    host: usize,
    inbox: Mutex<mpsc::Receiver<Received>>,
}

impl Network {
    /// The datagrams of the node at `host`, from now on.
    pub fn datagrams(&self, host: usize) -> Arc<dyn ProbeSocket> {
        let (sender, inbox) = mpsc::channel(INBOX);
        self.0.state.lock().hosts[host].inbox = Some(sender);
        Arc::new(Datagrams {
            network: self.clone(),
            host,
            inbox: Mutex::new(inbox),
        })
    }

    fn sends(&self, from: usize, to: usize, bytes: &Bytes) {
        let (dice, noise) = (&self.0.datagram_dice, self.0.state.lock().noise);
        if self.is_blocked(from, to) || dice.permille(noise.drop) {
            self.0.world.count(Count::DatagramLost);
            return;
        }
        let mut slowest_ms = noise.latency_ms;
        if dice.permille(noise.delay) || dice.permille(noise.reorder) {
            slowest_ms += noise.delay_ms;
        }
        let copies = 1 + usize::from(dice.permille(noise.duplicate));
        for _ in 0..copies {
            let after = Duration::from_millis(dice.between(0, slowest_ms + 1));
            let (network, bytes) = (self.clone(), bytes.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let inbox = network.0.state.lock().hosts[to].inbox.clone();
                if let Some(inbox) = inbox {
                    // A full inbox, or one whose process is gone, loses it.
                    let _ = inbox.try_send(Received {
                        bytes,
                        from: address(from),
                        age_ns: 0,
                    });
                }
            });
        }
    }
}

impl ProbeSocket for Datagrams {
    fn ask(&self, member: &Member, datagram: Bytes) {
        if let Some(to) = self.network.0.names.iter().position(|name| *name == member.name) {
            self.network.sends(self.host, to, &datagram);
        }
    }

    fn answer(&self, to: SocketAddr, datagram: Bytes) {
        let host = usize::from(to.port() - FIRST_PORT);
        self.network.sends(self.host, host, &datagram);
    }

    fn receive(&self) -> Pin<Box<dyn Future<Output = Received> + Send + '_>> {
        Box::pin(async {
            match self.inbox.lock().await.recv().await {
                Some(received) => received,
                // Another run has the host's inbox now.
                None => std::future::pending().await,
            }
        })
    }
}

fn address(host: usize) -> SocketAddr {
    let number = u16::try_from(host).unwrap_or(u16::MAX - FIRST_PORT);
    SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + number))
}
