//! From no cluster time to a steady course, and back.

use super::{
    FOLLOW_PPB, FOLLOW_S, FOUNDING_NS, Keeper, News, Now, PATIENCE_NS, STEP_NS, SYNCHRONISED_NS, news::span,
};
use crate::{
    Interval, MS,
    course::{Course, LEASE_OVER_NS, MAX_COURSE_PPB},
    marzullo::agreement,
};

/// Courses that are no further apart than this belong together when one is taken over.
const TOGETHER_NS: i64 = MS;

/// What a node has of cluster time.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Nothing, since it started or since it left a course.
    Waiting {
        /// Since when a majority of clocks agrees.
        agreed_ns: Option<i64>,
    },
    /// A course that others may rely on.
    Steady {
        course: Course,
        /// What speaks for leaving it, and since when.
        doubt: Option<(Doubt, i64)>,
    },
    /// A course that it is about to leave: it goes straight on until nobody relies on it any more.
    Leaving {
        course: Course,
        doubt: Doubt,
        until_ns: i64,
    },
}

/// Why a course may have to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The agreeing clocks are this far ahead of it.
    Behind { by_ns: i64 },
    /// A majority's is this far away.
    Alone { by_ns: i64 },
}

impl Phase {
    pub(super) fn course(&self) -> Option<&Course> {
        match self {
            Self::Waiting { .. } => None,
            Self::Steady { course, .. } | Self::Leaving { course, .. } => Some(course),
        }
    }

    /// Why cluster time cannot be relied on.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Waiting { .. } => Some("waits for a node to set cluster time".to_owned()),
            Self::Steady { .. } => None,
            Self::Leaving {
                doubt: Doubt::Behind { by_ns },
                ..
            } => Some(format!("cluster time is about to be set {} ahead", span(*by_ns))),
            Self::Leaving {
                doubt: Doubt::Alone { by_ns },
                ..
            } => Some(format!(
                "about to take over cluster time, which is {} away",
                span(*by_ns)
            )),
        }
    }
}

impl Keeper {
    /// One look: the next step on the way to a steady course, or a bend of it.
    pub(super) fn decides(&mut self, now: &Now) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Waiting { agreed_ns: None }) {
            Phase::Waiting { agreed_ns } => self.waits(now, agreed_ns),
            Phase::Steady { course, doubt } => self.keeps(now, course, doubt),
            Phase::Leaving { until_ns, .. } if until_ns <= now.mono_ns => self.waits(now, None),
            leaving @ Phase::Leaving { .. } => leaving,
        };
    }

    fn waits(&mut self, now: &Now, agreed_ns: Option<i64>) -> Phase {
        if self.may_be_bound(now.mono_ns) {
            return Phase::Waiting { agreed_ns };
        }
        if let Some((ahead_ns, rate_ppb)) = self.finds_course(now) {
            return self.sets(now, ahead_ns, rate_ppb);
        }
        let Some(agreed) = self.view.agreement.filter(|_| self.is_voter()) else {
            return Phase::Waiting { agreed_ns: None };
        };
        let agreed_ns = agreed_ns.unwrap_or(now.mono_ns);
        let is_whole = self.view.heard == self.view.voters || now.mono_ns - agreed_ns >= FOUNDING_NS;
        let is_first = !self.peers.iter().any(|peer| {
            let may_found = peer.heard().is_some_and(|heard| heard.answer.may_found);
            peer.votes.is_voter() && peer.is_fresh(now.mono_ns) && may_found && peer.name < self.own.name
        });
        if !is_whole || !is_first {
            return Phase::Waiting {
                agreed_ns: Some(agreed_ns),
            };
        }
        self.news.push(News::Founded {
            ahead_ns: agreed.middle(),
        });
        self.sets(
            now,
            now.wall_ahead_ns().saturating_add(agreed.middle()),
            self.mean_rate_ppb(now.mono_ns),
        )
    }

    /// The steady courses of others, minus this monotonic clock.
    fn steady_courses(&self, now_ns: i64) -> Vec<(usize, Interval)> {
        let voters = self
            .peers
            .iter()
            .enumerate()
            .filter(|(_, peer)| peer.votes.is_voter());
        voters
            .filter_map(|(place, peer)| Some((place, peer.steady_course(now_ns)?)))
            .collect()
    }

    /// The course that most have, and its rate, if it is one to take over: a majority has it, or the agreeing wall clocks are not
    /// ahead of it. Cluster time may rightly be ahead of them, if they were set back; but one node alone that is far behind would be
    /// left again at once.
    fn finds_course(&self, now: &Now) -> Option<(i64, i64)> {
        let steady = self.steady_courses(now.mono_ns);
        let wide: Vec<Interval> = steady
            .iter()
            .map(|(_, ahead)| ahead.widened(TOGETHER_NS))
            .collect();
        let (found, _) = agreement(&wide)?;
        let having: Vec<usize> = steady
            .iter()
            .zip(&wide)
            .filter(|(_, ahead)| ahead.touches(found))
            .map(|((place, _), _)| *place)
            .collect();
        let is_majority = self.is_majority(|of| of.is_some_and(|place| having.contains(&place)));
        let is_not_behind = self.view.agreement.is_some_and(|agreed| {
            let wall_ns = now.wall_ahead_ns().saturating_add(agreed.middle());
            wall_ns.saturating_sub(found.middle()) <= STEP_NS
        });
        let rates: Vec<i64> = having
            .iter()
            .filter_map(|place| self.peers[*place].course_rate_ppb())
            .collect();
        (is_majority || is_not_behind).then(|| (found.middle(), mean(&rates)))
    }

    /// A new course.
    fn sets(&mut self, now: &Now, ahead_ns: i64, rate_ppb: i64) -> Phase {
        if let Some(before) = &self.former {
            let by_ns = ahead_ns.saturating_sub(before.ahead_at(now.mono_ns));
            if by_ns.saturating_abs() > TOGETHER_NS {
                self.cluster_steps += 1;
                self.news.push(News::ClusterSet { by_ns });
            }
        }
        Phase::Steady {
            course: Course {
                at_ns: now.mono_ns,
                ahead_ns,
                rate_ppb: rate_ppb.clamp(-MAX_COURSE_PPB, MAX_COURSE_PPB),
            },
            doubt: None,
        }
    }

    fn keeps(&mut self, now: &Now, mut course: Course, doubt: Option<(Doubt, i64)>) -> Phase {
        let wall_lead_ns = self.view.agreement.map(|agreed| {
            let wall_ns = now.wall_ahead_ns().saturating_add(agreed.middle());
            wall_ns.saturating_sub(course.ahead_at(now.mono_ns))
        });
        let doubt = self.doubts(&course, wall_lead_ns, now.mono_ns).map(|new| {
            let since_ns = doubt.map_or(now.mono_ns, |(_, since_ns)| since_ns);
            (new, since_ns)
        });
        if let Some((doubt, since_ns)) = doubt
            && now.mono_ns - since_ns >= PATIENCE_NS
        {
            return Phase::Leaving {
                course,
                doubt,
                until_ns: now.mono_ns + LEASE_OVER_NS,
            };
        }
        let follow_ppb =
            wall_lead_ns.map_or(0, |lead_ns| (lead_ns / FOLLOW_S).clamp(-FOLLOW_PPB, FOLLOW_PPB));
        let rate_ppb = self.mean_rate_ppb(now.mono_ns).saturating_add(follow_ppb);
        let error_ns = self.middle(&course, now.mono_ns);
        course.steer(now.mono_ns, error_ns, rate_ppb);
        Phase::Steady { course, doubt }
    }

    fn doubts(&self, course: &Course, wall_lead_ns: Option<i64>, now_ns: i64) -> Option<Doubt> {
        if let Some(by_ns) = wall_lead_ns.filter(|lead_ns| *lead_ns > STEP_NS) {
            return Some(Doubt::Behind { by_ns });
        }
        let by_ns = self.quorum_bound(course, now_ns, now_ns)?.ns;
        (by_ns > SYNCHRONISED_NS).then_some(Doubt::Alone { by_ns })
    }

    /// How far ahead the middle of the courses is that agree with this one.
    fn middle(&self, course: &Course, now_ns: i64) -> i64 {
        let own_ns = course.ahead_at(now_ns);
        let near = self.near_courses(own_ns, now_ns).map(|(_, away)| away.middle());
        let all: Vec<i64> = near.chain(self.is_voter().then_some(0)).collect();
        match (all.iter().min(), all.iter().max()) {
            (Some(least), Some(most)) => least.midpoint(*most),
            _ => 0,
        }
    }

    fn near_courses(&self, own_ns: i64, now_ns: i64) -> impl Iterator<Item = (usize, Interval)> {
        self.steady_courses(now_ns)
            .into_iter()
            .map(move |(place, ahead)| (place, ahead.shifted(-own_ns)))
            .filter(|(_, away)| away.reach() <= SYNCHRONISED_NS)
    }

    /// How fast the mean of the clocks runs against this one. Clocks whose course is elsewhere do not count.
    fn mean_rate_ppb(&self, now_ns: i64) -> i64 {
        let own_ns = self.phase_ahead(now_ns);
        let counts = |place: usize| match own_ns {
            Some(own_ns) => self.near_courses(own_ns, now_ns).any(|(near, _)| near == place),
            None => self.peers[place].is_fresh(now_ns),
        };
        let slopes = (0..self.peers.len())
            .filter(|place| self.peers[*place].votes.is_voter() && counts(*place))
            .filter_map(|place| self.peers[place].slope_ppb());
        let all: Vec<i64> = slopes.chain(self.is_voter().then_some(0)).collect();
        mean(&all)
    }

    fn phase_ahead(&self, now_ns: i64) -> Option<i64> {
        Some(self.reading.course?.ahead_at(now_ns))
    }

    /// How much slower or faster this clock runs than the mean, once that is measured.
    pub(crate) fn drift_ppb(&self, now_ns: i64) -> Option<i64> {
        let measured = self.peers.iter().any(|peer| peer.slope_ppb().is_some());
        (measured || self.view.voters == 1).then(|| -self.mean_rate_ppb(now_ns))
    }
}

fn mean(all: &[i64]) -> i64 {
    let count = i64::try_from(all.len()).unwrap_or(1).max(1);
    all.iter().sum::<i64>() / count
}
