//! Decides what cluster time is.
//!
//! The problem: nodes whose clocks differ, jump, run fast and lie must stamp records so that stamps of different nodes
//! can be compared, with an honest bound, and go on doing so while nodes come and go. The method:
//!
//! - Each node carries a *course*: cluster time as a straight line over its own monotonic clock, which no setting of the
//!   time of day moves. It tells its course with every answer, and promises to keep to it, but for a bounded bend, for
//!   [`crate::course::LEASE_NS`]: it is *steady*.
//! - So every node can say how far its course is from every other's, and the *bound* of its cluster time is the distance
//!   within which a majority of courses lies, its own among them. Any two majorities share a node, so what two nodes read at
//!   the same moment differs by at most the sum of their bounds, as long as that node keeps its promise.
//! - Courses are drawn together to the middle of those that agree (Welch and Lynch, "A New Fault-Tolerant Algorithm for
//!   Clock Synchronization", 1988), gently bent, and very slowly towards the time of day that a majority of wall clocks agrees
//!   on ([`crate::marzullo`]). A wall clock that the majority contradicts is named and counts for nothing.
//! - What a node promised before it was started again binds it as well, and it has forgotten it: so it announces nothing
//!   before the last such promise has run out.
//! - A node without a course takes over a steady one; where there is none, the node with the smallest name among those that hear
//!   an agreeing majority founds one. A course is never set while somebody may rely on it: a node first says that
//!   it is steady no more, and waits until all promises have run out.

use crate::{
    Interval, MS, SECOND,
    course::{Bound, Course, LEASE_OVER_NS, Reading},
    peer::{Outcome, Peer},
};

mod bound;
mod news;
mod phase;
mod votes;
mod walls;

use self::phase::Phase;
pub use self::{
    news::{News, span},
    votes::Votes,
};
use wiber_protocol::probe::{AnnouncedCourse, ClockAnswer};

/// Two wall clocks agree when they are no more than twice this apart.
pub const TOLERANCE_NS: i64 = 500 * MS;
/// A course counts as the same cluster time when it is no further away.
pub const SYNCHRONISED_NS: i64 = 250 * MS;
/// When agreeing clocks are so far ahead of cluster time, it is set.
const STEP_NS: i64 = SECOND;
/// What gives cause to leave a course must hold for so long.
const PATIENCE_NS: i64 = SECOND;
/// A new cluster waits so long for clocks that have not answered.
const FOUNDING_NS: i64 = SECOND;
/// Cluster time follows the agreeing wall clocks by no more than this …
const FOLLOW_PPB: i64 = 10_000;
/// … and makes their lead good in about this many seconds.
const FOLLOW_S: i64 = 100;
/// How long a bound is worked out ahead: longer than the pause between two looks.
pub const AHEAD_NS: i64 = 300 * MS;
/// Whoever has not looked for so long stood still.
const STOOD_STILL_NS: i64 = 3 * LOOK_NS;
/// The longest pause between two looks.
pub const LOOK_NS: i64 = 100 * MS;
/// The wall clock was set if it moved by more than this, and a tenth of the time that passed, against the monotonic one.
const SET_NS: i64 = MS;

/// Both clocks of this machine, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono_ns: i64,
    pub wall_ns: i64,
    /// How far apart the two readings may be.
    pub reading_ns: i64,
    /// What was added to the wall clock on purpose.
    pub injected_ns: i64,
}

impl Now {
    pub fn wall_ahead_ns(&self) -> i64 {
        self.wall_ns.saturating_sub(self.mono_ns)
    }

    /// Whether the two clocks went on together since `before`: a time service may bend the wall clock, but not by so much.
    pub fn is_in_step_with(&self, before: &Self) -> bool {
        let moved_ns = self.wall_ahead_ns().saturating_sub(before.wall_ahead_ns());
        let passed_ns = self.mono_ns.saturating_sub(before.mono_ns).max(0);
        let read_ns = self.reading_ns.saturating_add(before.reading_ns);
        moved_ns.saturating_abs() <= (SET_NS + passed_ns / 10).saturating_add(read_ns)
    }
}

/// Who this node is among the clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub name: String,
    /// Which machine's clock it reads; 0 if unknown.
    pub machine: u64,
    /// Random for this run.
    pub run: u64,
}

/// What is known of the clocks at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// How many clocks count; 0 before the members are known.
    pub voters: usize,
    /// How many of them were heard lately, this one among them.
    pub heard: usize,
    /// Where a majority of wall clocks agrees, minus this machine's wall clock.
    pub agreement: Option<Interval>,
    /// Wall clocks that the majority contradicts, and by how much: [`None`] is this one.
    pub falsetickers: Vec<(Option<usize>, i64)>,
}

/// The clocks of one node and what it knows of the others'.
#[derive(Clone, Debug)]
pub struct Keeper {
    own: Own,
    votes: Votes,
    peers: Vec<Peer>,
    phase: Phase,
    view: View,
    reading: Reading,
    /// The last course that this run had.
    former: Option<Course>,
    /// Why it is not synchronised.
    reason: Option<String>,
    last: Option<Now>,
    /// When this run first looked.
    started_ns: Option<i64>,
    clock_steps: u64,
    cluster_steps: u64,
    news: Vec<News>,
}

impl Keeper {
    /// Of a node that knows nobody.
    pub fn new(own: Own) -> Self {
        Self {
            own,
            votes: Votes::default(),
            peers: Vec::new(),
            phase: Phase::Waiting { agreed_ns: None },
            view: View::default(),
            reading: Reading::default(),
            former: None,
            reason: None,
            last: None,
            started_ns: None,
            clock_steps: 0,
            cluster_steps: 0,
            news: Vec::new(),
        }
    }

    /// Whose clocks count from now on, and in which voter sets; `peers` are the other nodes by name. What was measured of
    /// those that stay is kept.
    pub fn set_peers(&mut self, votes: Votes, peers: impl IntoIterator<Item = (String, Votes)>) {
        let named: Vec<(Option<String>, i64)> = std::mem::take(&mut self.view.falsetickers)
            .into_iter()
            .map(|(of, off_ns)| (of.map(|place| self.peers[place].name.clone()), off_ns))
            .collect();
        self.votes = votes;
        let mut before = std::mem::take(&mut self.peers);
        for (name, votes) in peers {
            let known = before.iter().position(|peer| peer.name == name);
            let mut peer = match known {
                Some(place) => before.swap_remove(place),
                None => Peer::new(name),
            };
            peer.votes = votes;
            self.peers.push(peer);
        }
        // Who was outvoted is so still, wherever it stands now.
        let place_of = |name: &String| self.peers.iter().position(|peer| peer.name == *name);
        self.view.falsetickers = named
            .into_iter()
            .filter_map(|(name, off_ns)| match name {
                None => Some((None, off_ns)),
                Some(name) => Some((Some(place_of(&name)?), off_ns)),
            })
            .collect();
    }

    /// Whose probe has this number.
    pub fn asked(&self, nonce: u64) -> Option<usize> {
        self.peers.iter().position(|peer| peer.has_asked(nonce))
    }

    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    pub fn own(&self) -> &Own {
        &self.own
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    /// What stamps are read from until the next look.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub fn clock_steps(&self) -> u64 {
        self.clock_steps
    }

    pub fn cluster_steps(&self) -> u64 {
        self.cluster_steps
    }

    /// What happened since it was last asked.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// When to look again.
    pub fn due_ns(&self, now_ns: i64) -> i64 {
        let probe_ns = self.peers.iter().map(Peer::due_ns).min().unwrap_or(i64::MAX);
        probe_ns.clamp(now_ns, now_ns.saturating_add(LOOK_NS))
    }

    /// The peers that are to be asked now. Each is then to be told of its probe by [`Self::sends`].
    pub fn due(&self, now_ns: i64) -> Vec<usize> {
        (0..self.peers.len())
            .filter(|place| self.peers[*place].due_ns() <= now_ns)
            .collect()
    }

    /// A probe to `peer` leaves now.
    pub fn sends(&mut self, peer: usize, nonce: u64, now_ns: i64) {
        self.peers[peer].sends(nonce, now_ns);
    }

    /// What to answer a probe that arrived at `received_ns`.
    pub fn answers(&self, received_ns: i64, now: &Now) -> ClockAnswer {
        ClockAnswer {
            machine: self.own.machine,
            run: self.own.run,
            received_ns: received_ns.min(now.mono_ns),
            sent_ns: now.mono_ns,
            wall_ahead_ns: now.wall_ahead_ns(),
            reading_ns: u32::try_from(now.reading_ns).unwrap_or(u32::MAX),
            course: self.phase.course().map(|course| AnnouncedCourse {
                ahead_ns: course.ahead_at(now.mono_ns),
                rate_ppb: i32::try_from(course.rate_ppb).unwrap_or(0),
                is_steady: matches!(self.phase, Phase::Steady { .. }),
            }),
            is_synchronised: self
                .reading
                .bound
                .is_some_and(|bound| now.mono_ns <= bound.ends_ns),
            may_found: self.may_found(),
            injected_ns: Some(now.injected_ns),
        }
    }

    /// An answer of `peer` arrived at `received_ns`, a moment before `now`.
    pub fn hears(
        &mut self,
        peer: usize,
        nonce: u64,
        answer: ClockAnswer,
        received_ns: i64,
        now: &Now,
    ) -> Outcome {
        let machine = self.own.machine;
        let peer = &mut self.peers[peer];
        let outcome = peer.hears(nonce, answer, received_ns);
        if let Outcome::Anew(restart) = outcome
            && peer.is_news(now.mono_ns)
        {
            let name = peer.name.clone();
            self.news.push(News::Anew(name, restart));
        }
        if outcome != Outcome::Refused {
            peer.checks_truth(now, machine);
        }
        outcome
    }

    /// This clock runs at another rate from now on: what was measured against it is worth nothing, and who measured it is
    /// to begin anew, too.
    pub fn changes_rate(&mut self, run: u64) {
        self.own.run = run;
        // What was worked out for the old rate does not hold.
        self.reading.bound = None;
        self.peers.iter_mut().for_each(Peer::forget);
    }

    /// Looks at all clocks and decides anew. To be called at least every [`LOOK_NS`], and after each answer.
    pub fn looks(&mut self, now: &Now) {
        self.started_ns.get_or_insert(now.mono_ns);
        self.notices_step(now);
        let before = self.view.falsetickers.clone();
        self.view = self.compares_walls(now);
        self.tells_falsetickers(&before);
        let was_synchronised = self.reading.bound.is_some();
        self.decides(now);
        self.publishes(now);
        match (was_synchronised, self.reading.bound) {
            (false, Some(bound)) => self.news.push(News::Synchronised { bound_ns: bound.ns }),
            (true, None) => self.news.push(News::Unsynchronised {
                reason: self.reason.clone().unwrap_or_default(),
            }),
            _ => {}
        }
        self.last = Some(*now);
    }

    fn notices_step(&mut self, now: &Now) {
        let Some(last) = self.last else { return };
        if now.mono_ns - last.mono_ns > STOOD_STILL_NS {
            self.peers.iter_mut().for_each(Peer::stood_still);
        }
        let by_ns = now.wall_ahead_ns() - last.wall_ahead_ns();
        if !now.is_in_step_with(&last) {
            // Either the wall clock was set, or the monotonic one stood still, as in a suspended machine: then this course is
            // behind, and nothing that was heard before is of now.
            self.peers.iter_mut().for_each(|peer| peer.distrusts(now.mono_ns));
            self.clock_steps += 1;
            self.news.push(News::ClockSet { by_ns });
        }
    }

    /// The name of a clock; [`None`] is this one.
    pub fn name_of(&self, place: Option<usize>) -> String {
        place
            .and_then(|place| self.peers.get(place))
            .map_or_else(|| self.own.name.clone(), |peer| peer.name.clone())
    }

    /// Whether a promise of an earlier run of this process may still bind it.
    fn may_be_bound(&self, now_ns: i64) -> bool {
        let since_ns = self.started_ns.map_or(0, |started_ns| now_ns - started_ns);
        since_ns < LEASE_OVER_NS
    }

    fn may_found(&self) -> bool {
        self.is_voter() && self.view.agreement.is_some() && matches!(self.phase, Phase::Waiting { .. })
    }
}
