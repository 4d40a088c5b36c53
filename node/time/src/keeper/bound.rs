//! How far cluster time may be from a majority's, and whether it can be relied on at all.

use super::{AHEAD_NS, Keeper, Now, SYNCHRONISED_NS, View, span};
use crate::course::{Bound, Course, LEASE_NS, Reading};

impl Keeper {
    /// Works the bound out, now and for a while ahead.
    pub(super) fn publishes(&mut self, now: &Now) {
        let course = self.phase.course().copied();
        self.reading = Reading { course, bound: None };
        self.reason = self.trouble();
        let (Some(course), None) = (course, &self.reason) else {
            return;
        };
        let later_ns = now.mono_ns + AHEAD_NS;
        let bounds = [now.mono_ns, later_ns].map(|at_ns| self.quorum_bound(&course, at_ns));
        let [Some(at_once), Some(later)] = bounds else {
            let voters = self.view.voters;
            self.reason = Some(format!(
                "no majority of the {voters} nodes has a steady cluster time"
            ));
            return;
        };
        let bound_ns = at_once.ns.max(later.ns);
        if bound_ns > SYNCHRONISED_NS {
            let apart = span(bound_ns);
            self.reason = Some(format!("cluster time is {apart} from a majority's"));
            return;
        }
        self.reading.bound = Some(Bound {
            ns: bound_ns,
            until_ns: later_ns,
            ends_ns: at_once.ends_ns.min(now.mono_ns + LEASE_NS),
        });
    }

    /// What keeps cluster time from being relied on, but for its bound.
    fn trouble(&self) -> Option<String> {
        let View {
            voters,
            quorum,
            heard,
            ..
        } = self.view;
        if heard < quorum {
            return Some(format!("hears {heard} of {voters} clocks"));
        }
        if self.view.agreement.is_none() {
            return Some(format!("no {quorum} of {voters} clocks agree"));
        }
        self.phase.trouble()
    }

    /// The distance within which a majority of steady courses lies from this one, and until when that many are promised.
    pub(super) fn quorum_bound(&self, course: &Course, at_ns: i64) -> Option<Bound> {
        let ahead_ns = course.ahead_at(at_ns);
        let others = self.peers.iter().filter(|peer| peer.is_voter).filter_map(|peer| {
            let away = peer.steady_course(at_ns)?.shifted(-ahead_ns);
            Some((away.reach(), peer.expires_ns()?))
        });
        let mut all: Vec<(i64, i64)> = others.chain(self.is_voter.then_some((0, i64::MAX))).collect();
        all.sort_unstable();
        let last = self.view.quorum - 1;
        let ns = all.get(last)?.0;
        let mut ends: Vec<i64> = all
            .iter()
            .filter(|(away_ns, _)| *away_ns <= ns)
            .map(|(_, ends_ns)| *ends_ns)
            .collect();
        ends.sort_unstable_by_key(|ends_ns| std::cmp::Reverse(*ends_ns));
        Some(Bound {
            ns,
            until_ns: at_ns,
            ends_ns: *ends.get(last)?,
        })
    }
}
