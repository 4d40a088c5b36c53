//! Retention: which records go, decided by the leader, and how their bytes go, done by every node for itself.

use std::{sync::Arc, time::Duration};

use openraft::async_runtime::WatchReceiver;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use wiber_protocol::{
    config::Retention,
    entry::{Cut, EntryKind},
    ids::LogId,
};

use crate::{
    clock::Clock,
    group::{Group, Leader},
    mutant::{self, Mutant},
    raft::{self, Proposal, Raft},
    state::{PartMeta, State},
};

/// The leader looks this often whether something has to go.
const PERIOD: Duration = Duration::from_secs(1);
/// The engine takes note of a cut within this time, or it is told again at the next one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to cut: at the end of the newest part that `retention` wants gone with all before it. `clock_ms` is the
/// replicated clock now, `growing_bytes` what lies after the parts.
pub fn decide<'a>(
    retention: Retention,
    parts: impl Iterator<Item = &'a PartMeta> + Clone,
    growing_bytes: u64,
    clock_ms: u64,
) -> Option<u64> {
    let too_old = |part: &PartMeta| {
        retention
            .max_age_ms
            .is_some_and(|age| part.clock_ms.saturating_add(age) < clock_ms)
    };
    let mut kept_bytes = growing_bytes + parts.clone().map(|part| part.bytes).sum::<u64>();
    let mut cut = None;
    for part in parts {
        kept_bytes -= part.bytes;
        let too_many = retention.max_bytes.is_some_and(|max| kept_bytes >= max);
        if !too_many && !too_old(part) {
            break;
        }
        cut = Some(part.last.index);
    }
    cut
}

/// Proposes cuts while this node leads. Runs for ever.
pub async fn propose(group: Arc<Group>, retention: Retention) {
    if retention == Retention::default() {
        return;
    }
    loop {
        tokio::time::sleep(PERIOD).await;
        let Leader::Own { term } = group.leader() else {
            continue;
        };
        let clock_ms = group.leader_clock.now_ms(term);
        let cut = {
            let state = group.state.read();
            decide(retention, state.parts(), state.growing_bytes(), clock_ms)
        };
        if let Some(last_index) = cut {
            tracing::info!(target: "storage", "retention drops the log up to entry {last_index}");
            let cut = Cut { last_index, clock_ms };
            let proposal = Proposal {
                kind: EntryKind::Cut,
                payload: cut.encode(),
                records: 0,
                trace: (0, false),
            };
            if let Err(error) = group.raft.client_write(proposal).await {
                tracing::debug!(target: "storage", "the cut at entry {last_index} was not made: {error}");
            }
        }
    }
}

/// The replicated clock as a leader drives it: from where the state stands, by the node's own monotonic clock. No wall
/// clock can age anything. What a leader stamps and what it compares come from the same clock, or a record would
/// seem older than it is.
pub struct LeaderClock {
    state: Arc<RwLock<State>>,
    clock: Arc<dyn Clock>,
    running: Mutex<Running>,
}

#[derive(Clone, Copy, Default)]
struct Running {
    term: u64,
    base_ms: u64,
    since_us: u64,
}

impl LeaderClock {
    pub fn new(state: Arc<RwLock<State>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            state,
            clock,
            running: Mutex::default(),
        }
    }

    /// The time for the leader of `term`. It starts anew when the state is ahead: a new leader may still have to apply what
    /// others left it, and everything after that is younger.
    pub fn now_ms(&self, term: u64) -> u64 {
        let applied_ms = self.state.read().clock_ms;
        let now_us = if mutant::is_broken(Mutant::AgeByWallClock) {
            self.clock.wall_us().unsigned_abs()
        } else {
            self.clock.monotonic_us()
        };
        let mut running = self.running.lock();
        let time_ms = running.base_ms + now_us.saturating_sub(running.since_us) / 1000;
        if running.term == term && time_ms >= applied_ms {
            return time_ms;
        }
        *running = Running {
            term,
            base_ms: applied_ms,
            since_us: now_us,
        };
        applied_ms
    }
}

/// Lets go of the log up to each cut, once the state as of there is on disk. Runs until the engine stops.
pub async fn purge(raft: Raft, mut cut: watch::Receiver<Option<LogId>>) {
    loop {
        let target = *cut.borrow_and_update();
        if let Some(at) = target
            && !purge_to(&raft, at).await
        {
            return;
        }
        if cut.changed().await.is_err() {
            return;
        }
    }
}

async fn purge_to(raft: &Raft, at: LogId) -> bool {
    let covers = move |metrics: &raft::Metrics| {
        metrics
            .snapshot
            .as_ref()
            .is_some_and(|last| last.index >= at.index)
    };
    if !covers(&raft.metrics().borrow_watched()) {
        if raft.trigger().snapshot().await.is_err() {
            return false;
        }
        if let Err(error) = raft
            .wait(Some(PATIENCE))
            .metrics(covers, "a snapshot at the cut")
            .await
        {
            tracing::warn!(target: "storage", "the log up to entry {} stays for now: {error}", at.index);
            return true;
        }
    }
    raft.trigger().purge_log(at.index).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(of: &[(u64, u64)]) -> Vec<PartMeta> {
        (0..)
            .zip(of)
            .map(|(n, (bytes, clock_ms))| PartMeta {
                first_index: n * 10,
                last: LogId {
                    term: 1,
                    index: n * 10 + 9,
                },
                bytes: *bytes,
                clock_ms: *clock_ms,
            })
            .collect()
    }

    fn cut(
        max_age_ms: Option<u64>,
        max_bytes: Option<u64>,
        growing_bytes: u64,
        clock_ms: u64,
    ) -> Option<u64> {
        let parts = parts(&[(100, 1_000), (50, 2_000), (100, 3_000)]);
        decide(
            Retention {
                max_age_ms,
                max_bytes,
            },
            parts.iter(),
            growing_bytes,
            clock_ms,
        )
    }

    #[test]
    fn at_least_the_bytes_asked_for_are_kept() {
        assert_eq!(cut(None, Some(300), 0, 0), None);
        assert_eq!(cut(None, Some(200), 49, 0), None);
        assert_eq!(cut(None, Some(200), 50, 0), Some(9));
        assert_eq!(cut(None, Some(100), 49, 0), Some(19));
        assert_eq!(cut(None, Some(100), 100, 0), Some(29));
    }

    #[test]
    fn a_part_goes_when_its_newest_record_is_too_old() {
        assert_eq!(cut(Some(500), None, 0, 1_500), None);
        assert_eq!(cut(Some(500), None, 0, 1_501), Some(9));
        assert_eq!(cut(Some(500), None, 0, 9_000), Some(29));
    }

    #[derive(Default)]
    struct Hands(std::sync::atomic::AtomicI64);

    impl Clock for Hands {
        fn wall_ns(&self) -> i64 {
            0
        }

        fn monotonic_ns(&self) -> i64 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    /// What was lost: records that were dropped before their time, as they were stamped by another clock than they were
    /// compared with, one that began when the new leader had not yet applied what others had left it.
    #[test]
    fn a_leader_that_applies_what_it_found_goes_on_from_there() {
        let state = Arc::new(RwLock::new(State::default()));
        let hands = Arc::new(Hands::default());
        let clock = LeaderClock::new(state.clone(), hands.clone());
        let at = |ms: i64| {
            hands
                .0
                .store(ms * 1_000_000, std::sync::atomic::Ordering::Relaxed);
        };
        at(7_000);
        assert_eq!(clock.now_ms(3), 0);
        at(7_100);
        assert_eq!(clock.now_ms(3), 100);
        state.write().clock_ms = 5_000;
        at(7_200);
        assert_eq!(clock.now_ms(3), 5_000);
        at(7_300);
        assert_eq!(clock.now_ms(3), 5_100);
        assert_eq!(clock.now_ms(4), 5_000);
    }

    #[test]
    fn without_a_limit_everything_stays() {
        assert_eq!(cut(None, None, u64::MAX / 2, u64::MAX), None);
    }
}
