//! What a node shows of its clocks: the `clock` part of its status.

use wiber_protocol::status::{ClockPeer, ClockState, ClockStatus, Falseticker, OffsetRange, ProbeState};

use crate::{
    Interval, Keeper, Now,
    keeper::{TOLERANCE_NS, span},
    peer::Peer,
};

impl Keeper {
    /// Everything but the logical clock and what was injected.
    pub fn status(&self, now: &Now) -> ClockStatus {
        let stamp = self.reading().at(now.wall_ns, now.mono_ns);
        let own_ns = now.wall_ns.saturating_sub(stamp.cluster_ns);
        let is_synchronised = stamp.bound_ns.is_some();
        ClockStatus {
            offset_ms: is_synchronised.then(|| millis(own_ns)),
            error_bound_ms: stamp.bound_ns.map(millis),
            drift_ppm: self.drift_ppb(now.mono_ns).map(ppm),
            state: if is_synchronised {
                ClockState::Synchronised
            } else {
                ClockState::Unsynchronised
            },
            reason: self.why(now, is_synchronised, own_ns),
            cluster_us: self.reading().course.map(|_| stamp.cluster_ns / 1_000),
            falsetickers: self.falsetickers(),
            tolerance_ms: millis(TOLERANCE_NS),
            agreement: self.view().agreement.map(|agreed| OffsetRange {
                from_ms: millis(agreed.lo),
                to_ms: millis(agreed.hi),
            }),
            peers: (0..self.peers().len())
                .map(|place| self.peer_status(place, now))
                .collect(),
            clock_steps: self.clock_steps(),
            cluster_steps: self.cluster_steps(),
            ..ClockStatus::default()
        }
    }

    fn falsetickers(&self) -> Vec<Falseticker> {
        let view = self.view();
        let named = view.falsetickers.iter().map(|(place, off_ns)| Falseticker {
            id: self.name_of(*place),
            off_ms: millis(*off_ns),
            reason: format!(
                "{} {} the clocks of the majority, which agree to ± {}",
                span(off_ns.saturating_abs()),
                if *off_ns < 0 { "behind" } else { "ahead of" },
                span(TOLERANCE_NS)
            ),
        });
        named.collect()
    }

    /// Why there is no cluster time to rely on, or what is odd about it.
    fn why(&self, now: &Now, is_synchronised: bool, own_ns: i64) -> Option<String> {
        if let Some(reason) = self.reason() {
            return Some(reason.to_owned());
        }
        if !now.is_in_step_with(&self.reading().looked) {
            return Some("this machine's clock was just set, or the machine slept".to_owned());
        }
        if !is_synchronised {
            return Some("has not heard a majority for a moment".to_owned());
        }
        self.oddity(own_ns)
    }

    /// What a person should know of a cluster time that can be relied on: it does not go back when clocks do.
    fn oddity(&self, own_ns: i64) -> Option<String> {
        let wall_lead_ns = own_ns.saturating_add(self.view().agreement?.middle());
        (wall_lead_ns < -TOLERANCE_NS).then(|| {
            format!(
                "cluster time is {} ahead of the clocks that agree, and does not go back; it begins anew when all nodes have stopped",
                span(wall_lead_ns.saturating_abs())
            )
        })
    }

    fn peer_status(&self, place: usize, now: &Now) -> ClockPeer {
        let peer = &self.peers()[place];
        let offset = peer.wall_offset(now);
        let counted = peer.counted;
        ClockPeer {
            id: peer.name.clone(),
            state: self.probe_state(place, now),
            offset_ms: offset.map(|offset| millis(offset.middle())),
            error_bound_ms: offset.map(|offset| millis(offset.radius())),
            cluster_offset_ms: self.cluster_offset(peer, now).map(|away| millis(away.middle())),
            delay_ms: peer.delay_ns(now.mono_ns).map(millis),
            drift_ppm: peer.slope_ppb().map(ppm),
            drift_bound_ppm: peer.slope_ppb().map(|_| ppm(peer.rate_ppb().radius())),
            age_ms: peer.heard().map(|heard| {
                let age_ns = now.mono_ns - heard.at_ns;
                u64::try_from(age_ns / crate::MS).unwrap_or(0)
            }),
            interval_ms: u64::try_from(peer.interval_ns() / crate::MS).unwrap_or(0),
            sent: counted.sent,
            answered: counted.answered,
            refused: counted.refused,
            restarts: counted.restarts,
            suspicion: peer.suspicion(now.mono_ns),
            truth_ms: peer.truth_ns(now, self.own().machine).map(millis),
            truth_checked: counted.truth_checked,
            truth_inside: counted.truth_inside,
        }
    }

    fn cluster_offset(&self, peer: &Peer, now: &Now) -> Option<Interval> {
        let course = self.reading().course?;
        Some(
            peer.steady_course(now.mono_ns)?
                .shifted(-course.ahead_at(now.mono_ns)),
        )
    }

    fn probe_state(&self, place: usize, now: &Now) -> ProbeState {
        let peer = &self.peers()[place];
        if peer.heard().is_none() {
            ProbeState::Unknown
        } else if !peer.is_fresh(now.mono_ns) {
            ProbeState::Silent
        } else if self
            .view()
            .falsetickers
            .iter()
            .any(|(named, _)| *named == Some(place))
        {
            ProbeState::False
        } else {
            ProbeState::Good
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "for people: a nanosecond in a century is not shown"
)]
fn millis(ns: i64) -> f64 {
    ns as f64 / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
fn ppm(ppb: i64) -> f64 {
    ppb as f64 / 1e3
}
