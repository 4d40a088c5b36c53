//! The task that probes the other nodes, answers their probes, and looks after cluster time.

use std::{future::Future, sync::Arc, time::Duration};

use rand::Rng;
use wiber_protocol::{
    event::EventKind,
    membership::Member,
    probe::{Probe, ProbeHead, name_crc},
};
use wiber_time::{Keeper, MS, News, Now, SECOND, US, Votes, keeper::Own, peer::Outcome};

use super::{
    probes::{ProbeSocket, Received},
    shared::ClusterClock,
};
use crate::{runtime, shared_identity::SharedIdentity, trace::Trace};

/// How often the console shows all clocks.
const TABLE_NS: i64 = 60 * SECOND;

/// Whose clocks count, and in which voter sets: this node's, and every other's.
pub type Voters = (Votes, Vec<(Member, Votes)>);

/// What the task needs of its node.
pub struct Clocks {
    pub name: String,
    pub cluster_clock: Arc<ClusterClock>,
    pub socket: Arc<dyn ProbeSocket>,
    pub identity: SharedIdentity,
    pub trace: Trace,
    /// Whose clocks count just now.
    pub voters: Box<dyn Fn() -> Voters + Send + Sync>,
    /// Something that the status shows has changed.
    pub changed: Box<dyn Fn() + Send + Sync>,
}

/// Runs for ever.
pub async fn run(clocks: Clocks) {
    let mut task = Task {
        members: Vec::new(),
        voters: None,
        own_crc: name_crc(&clocks.name),
        look_due_ns: i64::MIN,
        table_due_ns: clocks.cluster_clock.clock().monotonic_ns() + TABLE_NS,
        clocks,
    };
    loop {
        let pause = task.pause();
        let socket = task.clocks.socket.clone();
        if let Some(received) = within(pause, socket.receive()).await {
            task.receives(&received);
        }
    }
}

async fn within<T>(pause: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(pause, what).await.ok()
}

struct Task {
    clocks: Clocks,
    /// In the order of the keeper's peers.
    members: Vec<Member>,
    voters: Option<Voters>,
    own_crc: u32,
    look_due_ns: i64,
    table_due_ns: i64,
}

impl Task {
    /// Looks at all clocks if that is due, and says when the next look is. A flood of datagrams must neither keep a look from
    /// its time nor cause more of them.
    fn pause(&mut self) -> Duration {
        let clock = self.clocks.cluster_clock.clock().clone();
        if clock.monotonic_ns() >= self.look_due_ns {
            self.look();
            let now_ns = clock.monotonic_ns();
            let due_ns = self
                .clocks
                .cluster_clock
                .with_keeper(|keeper| keeper.due_ns(now_ns));
            // Timers are no finer than a millisecond.
            self.look_due_ns = due_ns.max(now_ns + MS);
        }
        let pause_us = u64::try_from((self.look_due_ns - clock.monotonic_ns()) / US).unwrap_or(0);
        Duration::from_micros(pause_us.max(1_000))
    }

    /// Looks at all clocks, and asks who is due.
    fn look(&mut self) {
        let clock = self.clocks.cluster_clock.clock().clone();
        let now = clock.now();
        self.learns_members();
        let (due, news) = self.clocks.cluster_clock.with_keeper(|keeper| {
            keeper.looks(&now);
            (keeper.due(now.mono_ns), keeper.take_news())
        });
        self.tells(&news);
        if now.mono_ns >= self.table_due_ns {
            self.table_due_ns = now.mono_ns + TABLE_NS;
            self.clocks
                .cluster_clock
                .with_keeper(|keeper| table(keeper, &now));
        }
        for peer in due {
            let nonce = runtime::rng().next_u64();
            let datagram = Probe::Request(self.head(nonce)).encode();
            // Noted first: an answer may be quicker than this thread.
            self.clocks
                .cluster_clock
                .with_keeper(|keeper| keeper.sends(peer, nonce, clock.monotonic_ns()));
            self.clocks.socket.ask(&self.members[peer], datagram);
        }
    }

    fn learns_members(&mut self) {
        let voters = (self.clocks.voters)();
        if self.voters.as_ref() == Some(&voters) {
            return;
        }
        let (own, others) = &voters;
        self.clocks.cluster_clock.with_keeper(|keeper| {
            let named = others.iter().map(|(member, votes)| (member.name.clone(), *votes));
            keeper.set_peers(*own, named);
        });
        self.members = others.iter().map(|(member, _)| member.clone()).collect();
        self.voters = Some(voters);
    }

    fn head(&self, nonce: u64) -> ProbeHead {
        ProbeHead {
            cluster: self.clocks.identity.ids().0,
            name: self.own_crc,
            nonce,
        }
    }

    fn receives(&mut self, received: &Received) {
        let now = self.clocks.cluster_clock.clock().now();
        let arrived_ns = now.mono_ns - received.age_ns.max(0);
        let probe = match Probe::decode(&received.bytes) {
            Ok(probe) => probe,
            Err(error) => {
                tracing::debug!(target: "clock", "refused a datagram of {}: {error}", received.from);
                return;
            }
        };
        let (Probe::Request(head) | Probe::Answer(head, _)) = probe;
        let own = self.clocks.identity.ids().0;
        if head.cluster.zip(own).is_some_and(|(theirs, own)| theirs != own) {
            tracing::debug!(target: "clock", "refused a datagram of another cluster, from {}", received.from);
            return;
        }
        match probe {
            Probe::Request(head) => {
                let head = self.head(head.nonce);
                let clock = self.clocks.cluster_clock.clock().clone();
                // Read as late as can be: what passes until it is sent counts as the way.
                let answer = self
                    .clocks
                    .cluster_clock
                    .with_keeper(|keeper| keeper.answers(arrived_ns, &clock.now()));
                self.clocks
                    .socket
                    .answer(received.from, Probe::Answer(head, answer).encode());
            }
            Probe::Answer(head, answer) => {
                let asked = self
                    .clocks
                    .cluster_clock
                    .with_keeper(|keeper| keeper.asked(head.nonce));
                // Whoever has the address now may be another than was asked.
                let Some(peer) = asked.filter(|peer| name_crc(&self.members[*peer].name) == head.name) else {
                    tracing::debug!(target: "clock", "refused an answer to no question, from {}", received.from);
                    return;
                };
                let (outcome, due_ns, news) = self.clocks.cluster_clock.with_keeper(|keeper| {
                    let outcome = keeper.hears(peer, head.nonce, answer, arrived_ns, &now);
                    if outcome != Outcome::Refused {
                        keeper.looks(&now);
                    }
                    (outcome, keeper.due_ns(now.mono_ns), keeper.take_news())
                });
                self.look_due_ns = self.look_due_ns.min(due_ns);
                if outcome == Outcome::Refused {
                    tracing::debug!(target: "clock", "refused an answer of {}", self.members[peer].name);
                } else if tracing::enabled!(target: "clock", tracing::Level::TRACE) {
                    self.records(peer, &now);
                }
                self.tells(&news);
            }
        }
    }

    /// Prints a sample, as `node/time/tests/recorded.rs` reads it: the four timestamps, and the offset between the two
    /// monotonic clocks where it is known.
    fn records(&self, peer: usize, now: &Now) {
        let said = self.clocks.cluster_clock.with_keeper(|keeper| {
            let machine = keeper.own().machine;
            let peer = &keeper.peers()[peer];
            let heard = peer.heard()?;
            let (t1, t2) = (heard.asked_ns, heard.answer.received_ns);
            let (t3, t4) = (heard.answer.sent_ns, heard.at_ns);
            let truth = peer.truth_ns(now, machine);
            let truth = truth.map(|wall_ns| wall_ns + now.wall_ahead_ns() - heard.answer.wall_ahead_ns);
            let truth = truth.map_or_else(|| "-".to_owned(), |ns| ns.to_string());
            Some(format!("sample {} {t1} {t2} {t3} {t4} {truth}", peer.name))
        });
        if let Some(said) = said {
            tracing::trace!(target: "clock", "{said}");
        }
    }

    fn tells(&self, news: &[News]) {
        for one in news {
            if one.is_warning() {
                tracing::warn!(target: "clock", "{one}");
            } else {
                tracing::info!(target: "clock", "{one}");
            }
            // The status tells the rest for as long as it lasts.
            if one.is_step() {
                let text = one.to_string();
                self.clocks
                    .trace
                    .local(EventKind::Fault, 0, |event| event.detail = Some(text));
            }
        }
        if !news.is_empty() {
            (self.clocks.changed)();
        }
    }
}

/// One line that says what every clock is off by, and where it is known, by how much it really is.
fn table(keeper: &Keeper, now: &Now) {
    let own = keeper.reading().at(now.wall_ns, now.mono_ns);
    let cluster = match own.bound_ns {
        Some(bound_ns) => {
            let off_ns = now.wall_ns.saturating_sub(own.cluster_ns);
            format!(
                "{} from cluster time ± {}",
                signed(off_ns),
                wiber_time::span(bound_ns)
            )
        }
        None => "no cluster time".to_owned(),
    };
    let peers = keeper.peers().iter().map(|peer| {
        let Some(offset) = peer.wall_offset(now).filter(|_| peer.is_fresh(now.mono_ns)) else {
            return format!("{} silent", peer.name);
        };
        let Own { machine, .. } = keeper.own();
        let truth = match peer.truth_ns(now, *machine) {
            Some(truth_ns) => format!(" (truth {})", signed(truth_ns)),
            None => String::new(),
        };
        let (middle, radius) = (signed(offset.middle()), wiber_time::span(offset.radius()));
        format!("{} {middle} ± {radius}{truth}", peer.name)
    });
    let peers: Vec<String> = peers.collect();
    tracing::info!(target: "clock", "{cluster}; {}", peers.join(", "));
}

fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "" } else { "+" };
    format!("{sign}{}", wiber_time::span(ns))
}
