//! Which peers have a connection to this node. Each peer that is up has one as long as it leads; a process that is gone has none.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;
use wiber_protocol::ids::RaftId;

/// How many connections are open from whom; nobody stands in it with none.
type Open = BTreeMap<RaftId, usize>;

/// The peers that are connected. Clones share it.
#[derive(Clone)]
pub struct Inbound(Arc<watch::Sender<Open>>);

impl Default for Inbound {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Open::new())))
    }
}

impl Inbound {
    /// Notes a connection from `peer` until what it returns is dropped.
    pub(super) fn enter(&self, peer: RaftId) -> Entered {
        self.0.send_modify(|open| *open.entry(peer).or_default() += 1);
        Entered {
            peer,
            inbound: self.clone(),
        }
    }

    /// Waits until no connection from `peer` is open.
    pub async fn await_none_from(&self, peer: RaftId) {
        let mut open = self.0.subscribe();
        // The sender lives as long as `self`.
        drop(open.wait_for(|open| !open.contains_key(&peer)).await);
    }
}

/// A connection that is open.
pub(super) struct Entered {
    pub(super) peer: RaftId,
    inbound: Inbound,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.inbound.0.send_modify(|open| {
            if let Some(count) = open.get_mut(&self.peer) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&self.peer);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_peer_is_there_until_its_last_connection_is_gone() {
        let inbound = Inbound::default();
        let is_gone = || inbound.await_none_from(RaftId(1)).now_or_never().is_some();
        assert!(is_gone());
        let first = inbound.enter(RaftId(1));
        let second = inbound.enter(RaftId(1));
        drop(first);
        assert!(!is_gone());
        drop(second);
        assert!(is_gone());
    }
}
