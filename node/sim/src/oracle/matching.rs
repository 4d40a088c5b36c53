//! What a subscriber to a pattern must be shown: every record of every topic that matches, by the one log.

use wiber_protocol::{line::RecordLine, pattern::Pattern};

use super::{Inner, Oracle};
use crate::{host::PART_LIMITS, world::World};

/// Somebody was shown records with these Lamport times, one directly after the other.
pub(super) struct Step {
    who: String,
    pattern: Pattern,
    after: u64,
    until: u64,
}

impl Oracle {
    /// A subscriber to a pattern was shown `until` directly after `after`: nothing that matches lies between.
    pub fn follows(&self, world: &World, who: &str, pattern: &Pattern, after: u64, until: u64) {
        let step = Step {
            who: who.to_owned(),
            pattern: pattern.clone(),
            after,
            until,
        };
        let mut inner = self.0.lock();
        if !inner.judge_step(world, &step) {
            inner.open_steps.push(step);
        }
    }

    /// How many records match and are later than `after`, at the most that a node may say: of the sealed part that it is
    /// in it estimates, so what that part holds before may be counted.
    pub fn most_matching(&self, pattern: &Pattern, after: u64) -> u64 {
        let inner = self.0.lock();
        let first_index = inner
            .log
            .index_after(after)
            .saturating_sub(u64::from(PART_LIMITS.entries));
        let all = inner.log.matching(pattern, 0, u64::MAX);
        all.filter(|record| record.log_index >= first_index).count() as u64
    }

    /// The first record that matches, is later than `after`, and is not as `is_right` says, of those known up to the Lamport time
    /// `until`; whether all those are known.
    pub fn first_matching(
        &self,
        pattern: &Pattern,
        (after, until): (u64, u64),
        mut is_wanted: impl FnMut(&RecordLine) -> bool,
    ) -> (Option<RecordLine>, bool) {
        let inner = self.0.lock();
        let found = inner
            .log
            .matching(pattern, after, until)
            .find(|record| is_wanted(record));
        (found.cloned(), inner.log.lamport() >= until)
    }
}

impl Inner {
    pub(super) fn judge_open_steps(&mut self, world: &World) {
        let steps = std::mem::take(&mut self.open_steps);
        let open = steps.into_iter().filter(|step| !self.judge_step(world, step));
        self.open_steps = open.collect();
    }

    /// Whether so much of the log is known that it could be judged.
    fn judge_step(&self, world: &World, step: &Step) -> bool {
        if self.log.lamport() < step.until {
            return false;
        }
        let mut between = self.log.matching(&step.pattern, step.after, step.until - 1);
        if let Some(left_out) = between.next() {
            world.fail(format!(
                "{} shows {} of {} directly after {}, and leaves out offset {} of {} at {}",
                step.who,
                step.until,
                step.pattern.as_str(),
                step.after,
                left_out.offset,
                left_out.topic,
                left_out.logical_time
            ));
        }
        true
    }
}
