//! Cluster time as a function of a node's monotonic clock, and what is read from it.
//!
//! A course is a straight line. It bends gently, so that whoever heard of it knows where it is a while later: its rate changes by
//! no more than [`BEND_PPB_PER_S`].

use crate::{Interval, MS, Now, SECOND, drifted};

/// How fast a course's rate may change, parts in 10⁹ per second.
pub const BEND_PPB_PER_S: i64 = 20_000;
/// However long it was not looked after, it bends at once by no more than in this time.
const BEND_AT_ONCE_NS: i64 = 250 * MS;
/// No course runs faster or slower against its clock.
pub const MAX_COURSE_PPB: i64 = 2_000_000;
/// A small error is made good in about this time.
const HORIZON_S: i64 = 2;
/// Beyond the time that a bound was worked out for, it grows by this: a clock and a course, both as wrong as can be.
const UNWATCHED_PPB: i64 = 8_000_000;

/// Cluster time from some moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// The moment, by the monotonic clock.
    pub at_ns: i64,
    /// Cluster time minus the monotonic clock then.
    pub ahead_ns: i64,
    /// How much faster than the monotonic clock it runs.
    pub rate_ppb: i64,
}

impl Course {
    /// Cluster time minus the monotonic clock.
    pub fn ahead_at(&self, mono_ns: i64) -> i64 {
        self.ahead_ns
            .saturating_add(drifted(mono_ns - self.at_ns, self.rate_ppb))
    }

    pub fn cluster_at(&self, mono_ns: i64) -> i64 {
        mono_ns.saturating_add(self.ahead_at(mono_ns))
    }

    /// Bends towards a line that runs at `rate_ppb` and is `error_ns` ahead of this one, as far as the bending is
    /// bounded. Never so fast towards it that it would shoot past.
    pub fn steer(&mut self, now_ns: i64, error_ns: i64, rate_ppb: i64) {
        let span_ns = (now_ns - self.at_ns).clamp(0, BEND_AT_ONCE_NS);
        *self = Self {
            at_ns: now_ns,
            ahead_ns: self.ahead_at(now_ns),
            rate_ppb: self.rate_ppb,
        };
        let wanted_ppb = rate_ppb
            .saturating_add(approach_ppb(error_ns))
            .clamp(-MAX_COURSE_PPB, MAX_COURSE_PPB);
        let most_ppb = drifted(span_ns, BEND_PPB_PER_S);
        self.rate_ppb += (wanted_ppb - self.rate_ppb).clamp(-most_ppb, most_ppb);
    }
}

/// How far a course may be, `age_ns` after it was announced, from where the announced line is.
pub fn bend_ns(age_ns: i64) -> i64 {
    let rate_ppb = drifted(age_ns.saturating_add(BEND_AT_ONCE_NS), BEND_PPB_PER_S);
    drifted(age_ns, rate_ppb)
}

/// The rate at which an error is made good: in proportion while it is small, and no faster than can be stopped in time
/// when it is not.
fn approach_ppb(error_ns: i64) -> i64 {
    let proportional = error_ns.saturating_abs() / HORIZON_S;
    // v² = 2·a·s, at half of the bend that there is.
    let braking = (i128::from(error_ns.saturating_abs()) * i128::from(BEND_PPB_PER_S)).isqrt();
    let speed = proportional.min(i64::try_from(braking).unwrap_or(MAX_COURSE_PPB));
    speed.min(MAX_COURSE_PPB) * error_ns.signum()
}

/// What a moment is in cluster time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Since the Unix epoch.
    pub cluster_ns: i64,
    /// It differs by no more from what a majority reads at the same moment; `None` while unsynchronised.
    pub bound_ns: Option<i64>,
}

/// What stamps are read from: small, and copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub course: Option<Course>,
    /// While synchronised: the bound, the time up to which it was worked out, and the time up to which it stands at all.
    pub bound: Option<Bound>,
    /// Both clocks when that was worked out. Who finds that they have not gone on together since relies on nothing.
    pub looked: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub ns: i64,
    pub until_ns: i64,
    pub ends_ns: i64,
}

impl Reading {
    /// Cluster time at a moment, which both clocks of the machine tell.
    pub fn at(&self, wall_ns: i64, mono_ns: i64) -> Stamp {
        let now = Now {
            mono_ns,
            wall_ns,
            ..Now::default()
        };
        let Some(course) = &self.course else {
            return Stamp {
                cluster_ns: wall_ns,
                bound_ns: None,
            };
        };
        let standing = self
            .bound
            .filter(|bound| mono_ns <= bound.ends_ns && now.is_in_step_with(&self.looked));
        Stamp {
            cluster_ns: course.cluster_at(mono_ns),
            bound_ns: standing.map(|bound| {
                let unwatched_ns = (mono_ns - bound.until_ns).max(0);
                bound.ns.saturating_add(drifted(unwatched_ns, UNWATCHED_PPB))
            }),
        }
    }
}

/// Where another node's course is against this node's monotonic clock, `age_ns` at most after it was announced.
pub fn announced(offset: Interval, ahead_ns: i64, rate_ppb: i64, age: Interval) -> Interval {
    let moved = [drifted(age.lo, rate_ppb), drifted(age.hi, rate_ppb)];
    let run = Interval::new(moved[0].min(moved[1]), moved[0].max(moved[1]));
    Interval::new(
        offset.lo.saturating_add(ahead_ns).saturating_add(run.lo),
        offset.hi.saturating_add(ahead_ns).saturating_add(run.hi),
    )
    .widened(bend_ns(age.hi))
}

/// For so long a node keeps to the course that it announced, by the clock of whoever asked it.
pub const LEASE_NS: i64 = wiber_protocol::probe::LEASE_MS * MS;
/// After so long, by its own clock, nobody relies on it any more: clocks may run a little differently.
pub const LEASE_OVER_NS: i64 = LEASE_NS + LEASE_NS / 100;
const _: () = assert!(LEASE_NS < 60 * SECOND);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::US;

    /// Steers towards a line and returns its errors at each tenth of a second.
    fn steered(mut course: Course, start_error_ns: i64, rate_ppb: i64, seconds: i64) -> Vec<i64> {
        let target_at = |mono_ns: i64| course.ahead_ns + start_error_ns + drifted(mono_ns, rate_ppb);
        let ahead = |mono_ns: i64| target_at(mono_ns);
        let mut errors = Vec::new();
        let targets: Vec<i64> = (1..=seconds * 10).map(|k| ahead(k * SECOND / 10)).collect();
        for (k, target) in (1..).zip(targets) {
            let now_ns = k * SECOND / 10;
            let error_ns = target - course.ahead_at(now_ns);
            errors.push(error_ns);
            course.steer(now_ns, error_ns, rate_ppb);
        }
        errors
    }

    const FLAT: Course = Course {
        at_ns: 0,
        ahead_ns: 0,
        rate_ppb: 0,
    };

    #[test]
    fn an_error_is_made_good_without_shooting_past() {
        for start_ns in [10 * US, 300 * US, 10 * MS, -10 * MS] {
            let errors = steered(FLAT, start_ns, 0, 120);
            let past = errors
                .iter()
                .map(|error| -error * start_ns.signum())
                .max()
                .unwrap_or(0);
            assert!(past < start_ns.abs() / 10 + US, "{start_ns} shoots {past} past");
            assert!(
                errors.last().unwrap().abs() < US,
                "{start_ns} ends at {:?}",
                errors.last()
            );
        }
    }

    #[test]
    fn a_drift_is_followed() {
        let errors = steered(FLAT, 0, 30_000, 20);
        assert!(errors.iter().all(|error| error.abs() < 100 * US), "{errors:?}");
        assert!(errors.last().unwrap().abs() < US);
    }

    #[test]
    fn a_course_stays_where_those_who_heard_of_it_think_it_is() {
        let mut course = FLAT;
        let mut wild = 1;
        let mut announced = (0, course);
        for k in 1..2_000_i64 {
            let now_ns = k * 70 * MS;
            // Pulled to and fro as hard as can be.
            wild = if k % 37 == 0 { -wild } else { wild };
            course.steer(now_ns, wild * SECOND, 0);
            let (at_ns, line) = announced;
            let off_ns = course.ahead_at(now_ns) - line.ahead_at(now_ns);
            assert!(
                off_ns.abs() <= bend_ns(now_ns - at_ns),
                "{off_ns} after {}",
                now_ns - at_ns
            );
            if k % 41 == 0 {
                announced = (now_ns, course);
            }
        }
    }

    #[test]
    fn a_bound_that_nobody_looks_after_grows_and_ends() {
        let reading = Reading {
            course: Some(FLAT),
            bound: Some(Bound {
                ns: 10 * US,
                until_ns: SECOND,
                ends_ns: 4 * SECOND,
            }),
            looked: Now::default(),
        };
        let bound = |mono_ns| reading.at(mono_ns, mono_ns).bound_ns;
        assert_eq!(
            reading.at(3 * SECOND, SECOND).bound_ns,
            None,
            "one of the clocks was set or stood still"
        );
        assert_eq!(bound(SECOND), Some(10 * US));
        assert_eq!(bound(2 * SECOND), Some(10 * US + 8 * MS));
        assert_eq!(bound(4 * SECOND + 1), None);
        assert_eq!(
            Reading::default().at(77, 5),
            Stamp {
                cluster_ns: 77,
                bound_ns: None
            }
        );
    }
}
