//! What nodes say of time. Whatever clocks do, two synchronised nodes read cluster times that differ by no more than both
//! bounds together, no measurement misses the truth, and no receive is earlier than its send.

use wiber_node::time::Moment;
use wiber_protocol::status::{ClockStatus, ProbeState};

use super::Oracle;
use crate::{count::Count, world::World};

impl Oracle {
    /// What nodes read at one moment.
    pub fn moments(&self, world: &World, moments: &[(String, Moment)]) {
        let synchronised = || moments.iter().filter(|(_, moment)| moment.synchronised);
        for (place, (who, one)) in synchronised().enumerate() {
            for (other, another) in synchronised().take(place) {
                world.count(Count::Comparable);
                let apart_us = one.corrected_us.abs_diff(another.corrected_us);
                let bounds_us = one.error_bound_us + another.error_bound_us;
                if apart_us > bounds_us {
                    world.fail(format!(
                        "{who} and {other} read cluster times {apart_us} µs apart, and say ± {} and ± {} µs",
                        one.error_bound_us, another.error_bound_us
                    ));
                }
            }
        }
    }

    /// What a node says of every clock.
    pub fn clocks(&self, world: &World, who: &str, clock: &ClockStatus) {
        for peer in &clock.peers {
            if peer.truth_checked > 0 {
                world.count(Count::TruthInBound);
            }
            if peer.truth_inside != peer.truth_checked {
                world.fail(format!(
                    "{who} measured {}'s clock and missed the truth in {} of {} measurements",
                    peer.id,
                    peer.truth_checked - peer.truth_inside,
                    peer.truth_checked
                ));
            }
            if peer.state == ProbeState::False {
                world.count(Count::Outvoted);
            }
        }
    }

    /// How many receives of a node were not later than their send.
    pub fn receives(&self, world: &World, who: &str, violations: u64) {
        world.count(Count::ReceivedLater);
        if violations > 0 {
            world.fail(format!(
                "{who} received {violations} messages at or before the time they were sent"
            ));
        }
    }
}
