//! One other node's clock, as it is measured.

use std::collections::VecDeque;

use wiber_protocol::probe::{AnnouncedCourse, ClockAnswer};

use crate::{
    Interval, MAX_RATE_PPB, MS, Now, SECOND, Votes,
    course::{self, LEASE_NS},
    drift::Drift,
    drifted,
    filter::{Filter, Sample},
    phi::Phi,
};

/// How often a peer is asked at first, and after a jump.
const QUICK_NS: i64 = 25 * MS;
/// So many times; then the pause doubles …
const QUICK_PROBES: u32 = 16;
/// … up to this.
pub const SLOW_NS: i64 = 200 * MS;
/// How often it is told, at most, that a peer is measured anew.
const NEWS_NS: i64 = 10 * SECOND;
/// Probes that may be under way; an answer to an older one is no use any more.
const MOST_PENDING: usize = 32;

/// A probe that was sent.
#[derive(Clone, Copy, Debug)]
struct Pending {
    nonce: u64,
    sent_ns: i64,
    /// When the next one was to follow.
    gap_ns: i64,
}

/// The newest answer.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub answer: ClockAnswer,
    /// When its probe was sent, and when it arrived.
    pub asked_ns: i64,
    pub at_ns: i64,
    gap_ns: i64,
}

/// Why all that was measured of a peer was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Another run of its process.
    NewRun,
    /// Its monotonic clock contradicts what it said before: it, or this one, stood still or was moved.
    Jump,
    /// Its rate, or this clock's, changed at once.
    NewRate,
}

/// What an answer led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Anew(Restart),
    /// No answer to a probe that is under way, or one that cannot be.
    Refused,
}

/// Another node's clock.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    /// In which voter sets its clock counts.
    pub votes: Votes,
    pending: VecDeque<Pending>,
    sent_ns: i64,
    /// What it said to a probe from before is not relied on.
    distrusted_until_ns: i64,
    /// When it was last told that it is measured anew.
    told_ns: Option<i64>,
    due_ns: i64,
    interval_ns: i64,
    quick_left: u32,
    filter: Filter,
    drift: Drift,
    phi: Phi,
    heard: Option<Heard>,
    pub counted: Counted,
}

/// What happened to a peer's probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub sent: u64,
    pub answered: u64,
    pub refused: u64,
    pub restarts: u64,
    pub truth_checked: u64,
    pub truth_inside: u64,
}

impl Peer {
    pub fn new(name: String) -> Self {
        Self {
            name,
            votes: Votes::default(),
            sent_ns: i64::MIN,
            distrusted_until_ns: i64::MIN,
            told_ns: None,
            pending: VecDeque::new(),
            due_ns: i64::MIN,
            interval_ns: QUICK_NS,
            quick_left: QUICK_PROBES,
            filter: Filter::default(),
            drift: Drift::default(),
            phi: Phi::default(),
            heard: None,
            counted: Counted::default(),
        }
    }

    /// When the next probe is due.
    pub fn due_ns(&self) -> i64 {
        self.due_ns
    }

    pub fn interval_ns(&self) -> i64 {
        self.interval_ns
    }

    pub fn heard(&self) -> Option<&Heard> {
        self.heard.as_ref()
    }

    /// Notes a probe that is sent now.
    pub fn sends(&mut self, nonce: u64, now_ns: i64) {
        if self.quick_left > 0 {
            self.quick_left -= 1;
            self.interval_ns = QUICK_NS;
        } else {
            self.interval_ns = (self.interval_ns * 2).min(SLOW_NS);
        }
        self.sent_ns = now_ns;
        self.due_ns = now_ns.saturating_add(self.interval_ns);
        if self.pending.len() == MOST_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(Pending {
            nonce,
            sent_ns: now_ns,
            gap_ns: self.interval_ns,
        });
        self.counted.sent += 1;
    }

    /// Takes an answer in that arrived at `received_ns`.
    pub fn hears(&mut self, nonce: u64, answer: ClockAnswer, received_ns: i64) -> Outcome {
        let Some(place) = self.pending.iter().position(|pending| pending.nonce == nonce) else {
            self.counted.refused += 1;
            return Outcome::Refused;
        };
        let asked = self.pending[place];
        // An answer that overtook an older one makes the older one useless.
        self.pending.drain(..=place);
        let Ok(sample) = Sample::of(asked.sent_ns, answer.received_ns, answer.sent_ns, received_ns) else {
            self.counted.refused += 1;
            return Outcome::Refused;
        };
        self.counted.answered += 1;
        let is_new_run = self.heard.is_some_and(|heard| heard.answer.run != answer.run);
        if is_new_run {
            self.forget();
        }
        let planned_ns = self.heard.map_or(asked.gap_ns, |heard| heard.gap_ns);
        self.phi.heard(received_ns, planned_ns);
        self.heard = Some(Heard {
            answer,
            asked_ns: asked.sent_ns,
            at_ns: received_ns,
            gap_ns: asked.gap_ns,
        });
        let restart = if is_new_run {
            self.filter.push(sample, self.drift.rate_ppb());
            Some(Restart::NewRun)
        } else {
            self.measures(sample)
        };
        match restart {
            Some(restart) => {
                self.counted.restarts += 1;
                Outcome::Anew(restart)
            }
            None => Outcome::Taken,
        }
    }

    fn measures(&mut self, sample: Sample) -> Option<Restart> {
        self.drift.forgets_before(sample.at_ns);
        if !self.filter.push(sample, self.drift.rate_ppb()) {
            self.drift.clear();
            self.hurry();
            return Some(Restart::Jump);
        }
        let best = *self.filter.best(sample.at_ns, self.drift.rate_ppb())?;
        if self.drift.push(best) {
            return None;
        }
        // Only the newest sample is surely of the new rate.
        self.drift.clear();
        self.drift.push(sample);
        self.filter.clear();
        self.filter.push(sample, self.drift.rate_ppb());
        self.hurry();
        Some(Restart::NewRate)
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        self.filter.clear();
        self.drift.clear();
        self.phi.clear();
        self.heard = None;
        self.hurry();
    }

    fn hurry(&mut self) {
        self.quick_left = QUICK_PROBES;
        // However often that is: not quicker than quick.
        self.due_ns = self.due_ns.min(self.sent_ns.saturating_add(QUICK_NS));
    }

    /// One of this machine's clocks was set or stood still: nothing from before is relied on until it was asked again.
    pub fn distrusts(&mut self, now_ns: i64) {
        self.distrusted_until_ns = now_ns;
        self.hurry();
    }

    /// Whether it is worth telling that it is measured anew; not oftener than now and then.
    pub fn is_news(&mut self, now_ns: i64) -> bool {
        let is_news = self.told_ns.is_none_or(|told_ns| now_ns - told_ns >= NEWS_NS);
        if is_news {
            self.told_ns = Some(now_ns);
        }
        is_news
    }

    /// Whether a probe of this number is under way to it.
    pub fn has_asked(&self, nonce: u64) -> bool {
        self.pending.iter().any(|pending| pending.nonce == nonce)
    }

    /// Whether it was heard not too long ago to be relied on.
    pub fn is_fresh(&self, now_ns: i64) -> bool {
        self.expires_ns().is_some_and(|expires_ns| now_ns <= expires_ns)
    }

    /// Until when what it last announced can be relied on.
    pub fn expires_ns(&self) -> Option<i64> {
        let asked_ns = self.heard?.asked_ns;
        Some(if asked_ns < self.distrusted_until_ns {
            i64::MIN
        } else {
            asked_ns.saturating_add(LEASE_NS)
        })
    }

    /// Its monotonic clock minus this one.
    pub fn offset(&self, now_ns: i64) -> Option<Interval> {
        let rate_ppb = self.drift.rate_ppb();
        let best = self.filter.best(now_ns, rate_ppb)?;
        Some(best.offset_at(now_ns, rate_ppb))
    }

    /// Its wall clock minus this one.
    pub fn wall_offset(&self, now: &Now) -> Option<Interval> {
        let answer = self.heard?.answer;
        let reading_ns = i64::from(answer.reading_ns).saturating_add(now.reading_ns);
        let apart_ns = answer.wall_ahead_ns.saturating_sub(now.wall_ahead_ns());
        Some(self.offset(now.mono_ns)?.shifted(apart_ns).widened(reading_ns))
    }

    /// Its cluster time minus this monotonic clock, if it has announced a course and keeps to it.
    pub fn steady_course(&self, now_ns: i64) -> Option<Interval> {
        let heard = self.heard.filter(|_| self.is_fresh(now_ns))?;
        let AnnouncedCourse {
            ahead_ns, rate_ppb, ..
        } = heard.answer.course.filter(|course| course.is_steady)?;
        let rate_ppb = i64::from(rate_ppb);
        let age = Interval::new((now_ns - heard.at_ns).max(0), (now_ns - heard.asked_ns).max(0));
        // Its age is measured by another clock than it runs by.
        let mistaken_ns = drifted(drifted(age.hi, MAX_RATE_PPB), rate_ppb).abs();
        Some(course::announced(self.offset(now_ns)?, ahead_ns, rate_ppb, age).widened(mistaken_ns + 1))
    }

    /// How fast its course runs against this monotonic clock.
    pub fn course_rate_ppb(&self) -> Option<i64> {
        let course = self.heard?.answer.course?;
        Some(i64::from(course.rate_ppb).saturating_add(self.slope_ppb().unwrap_or(0)))
    }

    /// How much faster its clock runs than this one.
    pub fn slope_ppb(&self) -> Option<i64> {
        self.drift.slope_ppb()
    }

    pub fn rate_ppb(&self) -> Interval {
        self.drift.rate_ppb()
    }

    /// The delay of the probe that is relied on.
    pub fn delay_ns(&self, now_ns: i64) -> Option<i64> {
        Some(self.filter.best(now_ns, self.drift.rate_ppb())?.delay_ns)
    }

    /// This process stood still, so silence until now says nothing.
    pub fn stood_still(&mut self) {
        self.phi.stood_still();
    }

    /// φ: how suspicious its silence is.
    pub fn suspicion(&self, now_ns: i64) -> Option<f64> {
        self.phi.at(now_ns, self.heard?.gap_ns)
    }

    /// What [`Self::wall_offset`] really is: only where both read one machine's clock, but for what was injected.
    pub fn truth_ns(&self, now: &Now, machine: u64) -> Option<i64> {
        let answer = self.heard?.answer;
        let same = machine != 0 && machine == answer.machine;
        Some(
            answer
                .injected_ns
                .filter(|_| same)?
                .saturating_sub(now.injected_ns),
        )
    }

    /// Compares the newest measurement with the truth, if that is known. The truth of the other side is as old as its
    /// answer, so it may have moved by what a false clock drifts meanwhile.
    pub fn checks_truth(&mut self, now: &Now, machine: u64) {
        let (Some(truth_ns), Some(offset), Some(heard)) =
            (self.truth_ns(now, machine), self.wall_offset(now), self.heard)
        else {
            return;
        };
        let slack_ns = drifted(now.mono_ns - heard.asked_ns, MAX_RATE_PPB) + 1;
        self.counted.truth_checked += 1;
        self.counted.truth_inside += u64::from(offset.widened(slack_ns).holds(truth_ns));
    }
}
