//! How often the trace may record what: rates by the generic cell rate algorithm (ITU-T I.371, annex A), which
//! needs one number per rate and no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wiber_protocol::event::{EventKind, RpcKind};

/// RPCs that are neither elections nor heartbeats. Each makes up to four events in the cluster.
const RPCS_PER_S: u64 = 200;
/// Heartbeats of all peers together: a pulse to see, not a crowd that pushes the rest out of the ring.
const HEARTBEATS_PER_S: u64 = 10;
/// Each frequent kind of local event by itself.
const LOCALS_PER_S: u64 = 100;

#[derive(Debug)]
pub(super) struct Permits {
    rpcs: Rate,
    heartbeats: Rate,
    append: Rate,
    flush: Rate,
    commit: Rate,
    apply: Rate,
    publish: Rate,
    deliver: Rate,
}

impl Permits {
    pub(super) fn new() -> Self {
        let local = || Rate::per_second(LOCALS_PER_S);
        Self {
            rpcs: Rate::per_second(RPCS_PER_S),
            heartbeats: Rate::per_second(HEARTBEATS_PER_S),
            append: local(),
            flush: local(),
            commit: local(),
            apply: local(),
            publish: local(),
            deliver: local(),
        }
    }

    pub(super) fn rpc(&self, kind: RpcKind, now_us: u64) -> bool {
        match kind {
            // Rare, and what one looks for after a failure.
            RpcKind::Vote | RpcKind::PreVote | RpcKind::Transfer => true,
            RpcKind::Heartbeat => self.heartbeats.take(now_us),
            RpcKind::Probe
            | RpcKind::Join
            | RpcKind::Append
            | RpcKind::Snapshot
            | RpcKind::Forward
            | RpcKind::ReadIndex => self.rpcs.take(now_us),
        }
    }

    pub(super) fn local(&self, kind: EventKind, now_us: u64) -> bool {
        match kind {
            EventKind::Append => self.append.take(now_us),
            EventKind::Flush => self.flush.take(now_us),
            EventKind::Commit => self.commit.take(now_us),
            EventKind::Apply => self.apply.take(now_us),
            EventKind::Publish => self.publish.take(now_us),
            EventKind::Deliver => self.deliver.take(now_us),
            // Sends and receives are decided with their RPC; the others are rare.
            EventKind::Send | EventKind::Receive | EventKind::Vote | EventKind::Role | EventKind::Fault => {
                true
            }
        }
    }
}

/// At most so many a second, and as many at once after a quiet second.
#[derive(Debug)]
struct Rate {
    interval_us: u64,
    /// The theoretical arrival time of the next permit, were they spread evenly.
    next_us: AtomicU64,
}

/// How far ahead of an even spread permits may be given: the burst.
const BURST_US: u64 = 1_000_000;

impl Rate {
    fn per_second(permits: u64) -> Self {
        Self {
            interval_us: 1_000_000 / permits,
            next_us: AtomicU64::new(0),
        }
    }

    fn take(&self, now_us: u64) -> bool {
        let give = |next_us: u64| {
            let after = next_us.max(now_us) + self.interval_us;
            (after <= now_us + BURST_US).then_some(after)
        };
        self.next_us.fetch_update(Relaxed, Relaxed, give).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(permits: &Permits, kind: RpcKind, now_us: u64, asked: u32) -> u32 {
        (0..asked).map(|_| u32::from(permits.rpc(kind, now_us))).sum()
    }

    #[test]
    fn a_quiet_second_allows_a_burst_and_no_more() {
        let permits = Permits::new();
        assert_eq!(given(&permits, RpcKind::Append, 5_000_000, 1_000), 200);
        assert_eq!(given(&permits, RpcKind::Append, 5_100_000, 1_000), 20);
        assert_eq!(given(&permits, RpcKind::Append, 60_000_000, 1_000), 200);
    }

    #[test]
    fn heartbeats_take_nothing_from_the_others() {
        let permits = Permits::new();
        assert_eq!(given(&permits, RpcKind::Heartbeat, 0, 1_000), 10);
        assert_eq!(given(&permits, RpcKind::Append, 0, 1_000), 200);
    }

    #[test]
    fn elections_are_always_traced() {
        let permits = Permits::new();
        for kind in [RpcKind::Vote, RpcKind::PreVote, RpcKind::Transfer] {
            assert_eq!(given(&permits, kind, 0, 1_000), 1_000);
        }
    }

    #[test]
    fn frequent_local_kinds_have_a_rate_each_and_rare_ones_none() {
        let permits = Permits::new();
        let given = |kind| (0..500).filter(|_| permits.local(kind, 0)).count();
        assert_eq!((given(EventKind::Append), given(EventKind::Flush)), (100, 100));
        assert_eq!(
            (
                given(EventKind::Role),
                given(EventKind::Vote),
                given(EventKind::Fault)
            ),
            (500, 500, 500)
        );
    }
}
