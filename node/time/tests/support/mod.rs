//! A few nodes' clocks in simulated time: every keeper runs as in a node, between clocks that are wrong in known ways and a
//! network that delays each message as it likes.

use std::{cmp::Reverse, collections::BinaryHeap};

use wiber_protocol::probe::ClockAnswer;
use wiber_time::{Keeper, MS, News, Now, SECOND, Stamp, US, drifted, keeper::Own, peer::Outcome};

/// Small and repeatable (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn between(&mut self, lo: i64, hi: i64) -> i64 {
        let span = u64::try_from(hi - lo).expect("from low to high") + 1;
        lo + i64::try_from(self.word() % span).expect("a span of 63 bits")
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.word().is_multiple_of(n)
    }
}

/// A machine's clocks. True time is the world's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// The oscillator: how much faster it runs, and what it has gained up to `since_ns`.
    rate_ppb: i64,
    gained_ns: i64,
    since_ns: i64,
    /// What the monotonic clock began at.
    base_ns: i64,
    /// Wall minus monotonic, but for the epoch.
    pub(crate) wall_ahead_ns: i64,
}

impl Machine {
    pub(crate) fn new(skew_ns: i64, rate_ppb: i64) -> Self {
        Self {
            rate_ppb,
            gained_ns: 0,
            since_ns: 0,
            base_ns: 0,
            wall_ahead_ns: skew_ns,
        }
    }

    fn mono_ns(&self, true_ns: i64) -> i64 {
        true_ns - self.base_ns + self.gained_ns + drifted(true_ns - self.since_ns, self.rate_ppb)
    }

    /// What its wall clock is ahead of true time.
    fn wall_error_ns(&self, true_ns: i64) -> i64 {
        self.mono_ns(true_ns) + self.base_ns - true_ns + self.wall_ahead_ns
    }

    fn set_rate(&mut self, true_ns: i64, rate_ppb: i64) {
        self.gained_ns += drifted(true_ns - self.since_ns, self.rate_ppb);
        self.since_ns = true_ns;
        self.rate_ppb = rate_ppb;
    }
}

pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) keeper: Keeper,
    pub(crate) up: bool,
    /// Nobody can read its clocks.
    pub(crate) asleep: bool,
    /// The last synchronised reading.
    last_ns: Option<i64>,
    pub(crate) news: Vec<(i64, News)>,
    /// No event of it is handled before that: its process stands still.
    paused_until_ns: i64,
}

enum Event {
    Look(usize, u64),
    Request {
        from: usize,
        to: usize,
        nonce: u64,
    },
    Answer {
        from: usize,
        to: usize,
        nonce: u64,
        answer: ClockAnswer,
    },
}

/// Delays of one way, nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Net {
    pub(crate) least_ns: i64,
    pub(crate) usual_ns: i64,
    /// One in a hundred takes up to this.
    pub(crate) worst_ns: i64,
    pub(crate) lost_one_in: u64,
}

pub(crate) const LOOPBACK: Net = Net {
    least_ns: 8 * US,
    usual_ns: 25 * US,
    worst_ns: 20 * MS,
    lost_one_in: 1_000,
};

pub(crate) struct World {
    pub(crate) now_ns: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) dice: Dice,
    pub(crate) net: Net,
    /// `cut[from][to]`.
    pub(crate) cut: Vec<Vec<bool>>,
    events: BinaryHeap<Reverse<(i64, u64)>>,
    bodies: std::collections::HashMap<u64, Event>,
    next: u64,
    /// How often each thing was compared.
    pub(crate) offsets_checked: u64,
    pub(crate) readings_checked: u64,
    /// When a wall clock was last set: what was measured before is of another clock.
    set_ns: i64,
}

pub(crate) const EPOCH_NS: i64 = 1_735_689_600 * SECOND;

impl World {
    pub(crate) fn new(seed: u64, net: Net, machines: &[Machine]) -> Self {
        let size = machines.len();
        let mut world = Self {
            now_ns: 0,
            nodes: Vec::new(),
            dice: Dice(seed),
            net,
            cut: vec![vec![false; size]; size],
            events: BinaryHeap::new(),
            bodies: std::collections::HashMap::new(),
            next: 0,
            offsets_checked: 0,
            readings_checked: 0,
            set_ns: i64::MIN / 2,
        };
        for machine in machines {
            let place = world.nodes.len();
            let run = world.dice.word();
            world.nodes.push(Node {
                machine: *machine,
                keeper: keeper(place, size, run),
                up: true,
                asleep: false,
                last_ns: None,
                news: Vec::new(),
                paused_until_ns: 0,
            });
            let start_ns = world.dice.between(0, 300 * MS);
            world.push(start_ns, Event::Look(place, run));
        }
        world
    }

    fn push(&mut self, at_ns: i64, event: Event) {
        self.next += 1;
        self.events.push(Reverse((at_ns.max(self.now_ns), self.next)));
        self.bodies.insert(self.next, event);
    }

    /// Both clocks of a node, as it reads them.
    pub(crate) fn now_of(&self, node: usize) -> Now {
        let machine = &self.nodes[node].machine;
        let mono_ns = machine.mono_ns(self.now_ns);
        Now {
            mono_ns,
            wall_ns: EPOCH_NS + self.now_ns + machine.wall_error_ns(self.now_ns),
            reading_ns: 0,
            injected_ns: machine.wall_error_ns(self.now_ns),
        }
    }

    pub(crate) fn stamp(&self, node: usize) -> Stamp {
        let now = self.now_of(node);
        self.nodes[node].keeper.reading().at(now.wall_ns, now.mono_ns)
    }

    pub(crate) fn is_synchronised(&self, node: usize) -> bool {
        let one = &self.nodes[node];
        one.up && !one.asleep && self.stamp(node).bound_ns.is_some()
    }

    fn delay(&mut self) -> Option<i64> {
        let net = self.net;
        if self.dice.one_in(net.lost_one_in) {
            return None;
        }
        let most = if self.dice.one_in(100) {
            net.worst_ns
        } else {
            net.usual_ns
        };
        Some(self.dice.between(net.least_ns, most))
    }

    /// Lets time pass, and compares everything with the truth on the way.
    pub(crate) fn run(&mut self, span_ns: i64) {
        let end_ns = self.now_ns + span_ns;
        while let Some(Reverse((at_ns, id))) = self.events.peek().copied() {
            if at_ns > end_ns {
                break;
            }
            self.events.pop();
            self.now_ns = at_ns;
            let event = self.bodies.remove(&id).expect("every event has a body");
            self.handle(event);
            if self.dice.one_in(16) {
                self.check();
            }
        }
        self.now_ns = end_ns;
        self.check();
    }

    fn handle(&mut self, event: Event) {
        let (Event::Look(node, _) | Event::Request { to: node, .. } | Event::Answer { to: node, .. }) = event;
        if self.nodes[node].paused_until_ns > self.now_ns {
            // Its socket's buffer and its timers wait with it.
            let until_ns = self.nodes[node].paused_until_ns;
            return self.push(until_ns, event);
        }
        match event {
            Event::Look(node, run) => self.look(node, run),
            Event::Request { from, to, nonce } => {
                if !self.nodes[to].up {
                    return;
                }
                let now = self.now_of(to);
                let answer = self.nodes[to].keeper.answers(now.mono_ns, &now);
                if let Some(delay_ns) = self.delay().filter(|_| !self.cut[to][from]) {
                    let event = Event::Answer {
                        from: to,
                        to: from,
                        nonce,
                        answer,
                    };
                    self.push(self.now_ns + delay_ns, event);
                }
            }
            Event::Answer {
                from,
                to,
                nonce,
                answer,
            } => {
                if !self.nodes[to].up {
                    return;
                }
                let now = self.now_of(to);
                let place = peer_place(to, from);
                let keeper = &mut self.nodes[to].keeper;
                if keeper.hears(place, nonce, answer, now.mono_ns, &now) != Outcome::Refused {
                    keeper.looks(&now);
                    self.news(to);
                }
            }
        }
    }

    fn look(&mut self, node: usize, run: u64) {
        if !self.nodes[node].up || self.nodes[node].keeper.own().run != run {
            return;
        }
        let now = self.now_of(node);
        self.nodes[node].keeper.looks(&now);
        self.news(node);
        for place in self.nodes[node].keeper.due(now.mono_ns) {
            let nonce = self.dice.word();
            self.nodes[node].keeper.sends(place, nonce, now.mono_ns);
            let to = if place < node { place } else { place + 1 };
            if let Some(delay_ns) = self.delay().filter(|_| !self.cut[node][to]) {
                self.push(
                    self.now_ns + delay_ns,
                    Event::Request {
                        from: node,
                        to,
                        nonce,
                    },
                );
            }
        }
        let due_ns = self.nodes[node].keeper.due_ns(now.mono_ns) - now.mono_ns;
        self.push(self.now_ns + due_ns.max(100 * US), Event::Look(node, run));
    }

    fn news(&mut self, node: usize) {
        let now_ns = self.now_ns;
        let node = &mut self.nodes[node];
        node.news
            .extend(node.keeper.take_news().into_iter().map(|news| (now_ns, news)));
    }

    /// Everything that is promised of measurements and readings.
    fn check(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].up && !self.nodes[node].asleep {
                self.check_offsets(node);
                self.check_reading(node);
            }
        }
        for a in 0..self.nodes.len() {
            for b in 0..a {
                if self.is_synchronised(a) && self.is_synchronised(b) {
                    let (stamp_a, stamp_b) = (self.stamp(a), self.stamp(b));
                    let apart_ns = (stamp_a.cluster_ns - stamp_b.cluster_ns).abs();
                    let bounds_ns = stamp_a.bound_ns.unwrap_or(0) + stamp_b.bound_ns.unwrap_or(0);
                    assert!(
                        apart_ns <= bounds_ns,
                        "at {} s n{} and n{} read times {apart_ns} ns apart, with bounds of {bounds_ns} in all",
                        self.now_ns / SECOND,
                        a + 1,
                        b + 1
                    );
                    self.readings_checked += 1;
                }
            }
        }
    }

    fn check_offsets(&mut self, node: usize) {
        let now = self.now_of(node);
        for (place, peer) in self.nodes[node].keeper.peers().iter().enumerate() {
            let other = if place < node { place } else { place + 1 };
            let is_of_now = peer.is_fresh(now.mono_ns)
                && self.nodes[other].up
                && !self.nodes[other].asleep
                && peer.heard().is_some_and(|heard| {
                    let set_ns = now.mono_ns - (self.now_ns - self.set_ns);
                    heard.answer.run == self.nodes[other].keeper.own().run && heard.asked_ns > set_ns + MS
                });
            let Some(offset) = peer.wall_offset(&now).filter(|_| is_of_now) else {
                continue;
            };
            let truth_ns = self.now_of(other).wall_ns - now.wall_ns;
            assert!(
                offset.holds(truth_ns),
                "at {} s n{} says n{}'s clock is off by {offset:?}, and it is {truth_ns}",
                self.now_ns / SECOND,
                node + 1,
                other + 1
            );
            self.offsets_checked += 1;
        }
    }

    /// Cluster time does not go back while it can be relied on.
    fn check_reading(&mut self, node: usize) {
        let stamp = self.stamp(node);
        let node = &mut self.nodes[node];
        if stamp.bound_ns.is_none() {
            node.last_ns = None;
        } else {
            assert!(
                node.last_ns.is_none_or(|last_ns| last_ns <= stamp.cluster_ns),
                "{:?}",
                node.last_ns
            );
            node.last_ns = Some(stamp.cluster_ns);
        }
    }

    pub(crate) fn set_wall(&mut self, node: usize, by_ns: i64) {
        self.nodes[node].machine.wall_ahead_ns += by_ns;
        self.set_ns = self.now_ns;
    }

    /// All clocks of all machines but their wall clocks stand still: the one machine they run on is asleep.
    pub(crate) fn suspend_all(&mut self, span_ns: i64) {
        for node in &mut self.nodes {
            node.machine.base_ns += span_ns;
            node.machine.since_ns += span_ns;
        }
        let waiting: Vec<_> = self.events.drain().collect();
        self.events = waiting
            .into_iter()
            .map(|Reverse((at_ns, id))| Reverse((at_ns + span_ns, id)))
            .collect();
        self.now_ns += span_ns;
        self.set_ns = self.now_ns;
    }

    /// One machine sleeps: its monotonic clock and its process stand still, its wall clock does not.
    pub(crate) fn sleep_one(&mut self, node: usize, span_ns: i64) {
        self.pause(node, span_ns);
        self.nodes[node].asleep = true;
        // Up to the moment before it wakes.
        self.run(span_ns - 1);
        let machine = &mut self.nodes[node].machine;
        machine.base_ns += span_ns;
        machine.since_ns += span_ns;
        self.nodes[node].asleep = false;
        self.set_ns = self.now_ns;
    }

    /// Tells every node whose clocks count, as its task does again and again.
    pub(crate) fn tell_members(&mut self) {
        for node in 0..self.nodes.len() {
            let others = (0..self.nodes.len()).filter(|other| *other != node);
            let others: Vec<_> = others.map(|other| (name(other), true.into())).collect();
            self.nodes[node].keeper.set_peers(true.into(), others);
        }
    }

    pub(crate) fn pause(&mut self, node: usize, span_ns: i64) {
        self.nodes[node].paused_until_ns = self.now_ns + span_ns;
    }

    pub(crate) fn set_rate(&mut self, node: usize, rate_ppb: i64) {
        let now_ns = self.now_ns;
        self.nodes[node].machine.set_rate(now_ns, rate_ppb);
    }

    pub(crate) fn stop(&mut self, node: usize) {
        self.nodes[node].up = false;
    }

    pub(crate) fn start(&mut self, node: usize) {
        let run = self.dice.word();
        let size = self.nodes.len();
        let now_ns = self.now_ns;
        let one = &mut self.nodes[node];
        one.up = true;
        one.keeper = keeper(node, size, run);
        one.last_ns = None;
        one.machine.set_rate(now_ns, one.machine.rate_ppb);
        // Its monotonic clock begins at zero; its wall clock does not.
        let gained_ns = std::mem::take(&mut one.machine.gained_ns);
        one.machine.wall_ahead_ns += gained_ns;
        one.machine.base_ns = now_ns;
        self.push(now_ns, Event::Look(node, run));
    }

    pub(crate) fn isolate(&mut self, node: usize, cut: bool) {
        for other in 0..self.nodes.len() {
            self.cut[node][other] = cut;
            self.cut[other][node] = cut;
        }
    }

    /// The worst bound of all nodes; `None` if one is not synchronised.
    pub(crate) fn worst_bound_ns(&self) -> Option<i64> {
        let bounds = (0..self.nodes.len()).filter(|node| self.nodes[*node].up);
        let bounds: Option<Vec<i64>> = bounds.map(|node| self.stamp(node).bound_ns).collect();
        bounds?.into_iter().max()
    }

    /// How far apart the nodes' readings are.
    pub(crate) fn spread_ns(&self) -> i64 {
        let up = (0..self.nodes.len()).filter(|node| self.nodes[*node].up);
        let all: Vec<i64> = up.map(|node| self.stamp(node).cluster_ns).collect();
        all.iter().max().expect("a node") - all.iter().min().expect("a node")
    }

    /// Whether every other node that runs names this one as wrong.
    pub(crate) fn is_named(&self, node: usize) -> bool {
        (0..self.nodes.len())
            .filter(|other| *other != node && self.nodes[*other].up)
            .all(|other| {
                let keeper = &self.nodes[other].keeper;
                let named = &keeper.view().falsetickers;
                named
                    .iter()
                    .any(|(place, _)| keeper.name_of(*place) == name(node))
            })
    }
}

fn name(node: usize) -> String {
    format!("n{}", node + 1)
}

fn peer_place(of: usize, other: usize) -> usize {
    if other < of { other } else { other - 1 }
}

fn keeper(place: usize, size: usize, run: u64) -> Keeper {
    let own = Own {
        name: name(place),
        machine: 1,
        run,
    };
    let peers = (0..size)
        .filter(|other| *other != place)
        .map(|other| (name(other), true.into()));
    let mut keeper = Keeper::new(own);
    keeper.set_peers(true.into(), peers);
    keeper
}
