//! How far cluster time may be from a majority's, and whether it can be relied on at all.

use super::{AHEAD_NS, Keeper, Now, SYNCHRONISED_NS, View, span, votes::Away};
use crate::course::{Bound, Course, LEASE_NS, Reading};

impl Keeper {
    /// Works the bound out, from now on and for a while.
    pub(super) fn publishes(&mut self, now: &Now) {
        let course = self.phase.course().copied();
        self.former = course.or(self.former);
        self.reading = Reading {
            course,
            bound: None,
            looked: *now,
        };
        self.reason = self.trouble(now);
        let (Some(course), None) = (course, &self.reason) else {
            return;
        };
        let later_ns = now.mono_ns + AHEAD_NS;
        let Some(bound) = self.quorum_bound(&course, now.mono_ns, later_ns) else {
            let voters = self.view.voters;
            self.reason = Some(format!(
                "no majority of the {voters} nodes has a steady cluster time"
            ));
            return;
        };
        if bound.ns > SYNCHRONISED_NS {
            let apart = span(bound.ns);
            self.reason = Some(format!("cluster time is {apart} from a majority's"));
            return;
        }
        self.reading.bound = Some(Bound {
            ends_ns: bound.ends_ns.min(now.mono_ns + LEASE_NS),
            ..bound
        });
    }

    /// What keeps cluster time from being relied on, but for its bound.
    fn trouble(&self, now: &Now) -> Option<String> {
        let View { voters, heard, .. } = self.view;
        if voters == 0 {
            return Some("does not know the members yet".to_owned());
        }
        if !self.is_majority(|of| of.is_none_or(|place| self.peers[place].is_fresh(now.mono_ns))) {
            return Some(format!("hears {heard} of {voters} clocks"));
        }
        if self.view.agreement.is_none() {
            return Some(format!("no {} of {voters} clocks agree", voters / 2 + 1));
        }
        self.phase.trouble()
    }

    /// The distance within which a majority of steady courses lies from this one, at any moment from `from_ns` to `until_ns`.
    pub(super) fn quorum_bound(&self, course: &Course, from_ns: i64, until_ns: i64) -> Option<Bound> {
        let reach = |place: usize, at_ns: i64| {
            let ahead_ns = course.ahead_at(at_ns);
            Some(self.peers[place].steady_course(at_ns)?.shifted(-ahead_ns).reach())
        };
        let others = (0..self.peers.len()).filter_map(|place| {
            // Lines, and intervals that widen ever faster: the worst is at one of the ends.
            let reach_ns = reach(place, from_ns)?.max(reach(place, until_ns)?);
            let ends_ns = self.peers[place].expires_ns()?;
            Some(Away {
                of: Some(place),
                reach_ns,
                ends_ns,
            })
        });
        let own = Away {
            of: None,
            reach_ns: 0,
            ends_ns: i64::MAX,
        };
        let bound = self.majority_within(others.chain([own]).collect())?;
        Some(Bound { until_ns, ..bound })
    }
}
