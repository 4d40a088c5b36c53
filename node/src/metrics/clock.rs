//! The clocks' part of `/metrics`.

use wiber_protocol::status::{ClockPeer, ClockState, ClockStatus};

use super::page::{Kind, Page};

pub(super) fn clock(page: &mut Page, clock: &ClockStatus) {
    let synchronised = u8::from(clock.state == ClockState::Synchronised);
    let help = "1 while cluster time is known within its bound.";
    page.single(Kind::Gauge, "wiber_clock_synchronised", help, synchronised);
    let optional = [
        (
            "wiber_clock_offset_ms",
            "This machine's clock minus cluster time.",
            clock.offset_ms,
        ),
        (
            "wiber_clock_error_bound_ms",
            "How far cluster time may be from a majority's.",
            clock.error_bound_ms,
        ),
        (
            "wiber_clock_drift_ppm",
            "How much faster this machine's clock runs than the cluster's.",
            clock.drift_ppm,
        ),
    ];
    for (name, help, value) in optional
        .into_iter()
        .filter_map(|(name, help, value)| Some((name, help, value?)))
    {
        page.single(Kind::Gauge, name, help, value);
    }
    let false_ones = clock.falsetickers.len();
    let help = "Clocks that the majority contradicts.";
    page.single(Kind::Gauge, "wiber_clock_falsetickers", help, false_ones);
    let totals = [
        (
            "wiber_clock_steps_total",
            "How often this machine's clock was set while the process ran.",
            clock.clock_steps,
        ),
        (
            "wiber_clock_cluster_steps_total",
            "How often cluster time was set here.",
            clock.cluster_steps,
        ),
        (
            "wiber_lamport_violations_total",
            "Receives that were not later than their send.",
            clock.lamport_violations,
        ),
    ];
    for (name, help, count) in totals {
        page.single(Kind::Counter, name, help, count);
    }
    peers(page, &clock.peers);
}

type Value = fn(&ClockPeer) -> Option<f64>;
type Count = fn(&ClockPeer) -> u64;

fn peers(page: &mut Page, peers: &[ClockPeer]) {
    let gauges: [(&str, &str, Value); 5] = [
        (
            "wiber_clock_peer_offset_ms",
            "The peer's clock minus this one.",
            |peer| peer.offset_ms,
        ),
        (
            "wiber_clock_peer_error_bound_ms",
            "How far that may be wrong.",
            |peer| peer.error_bound_ms,
        ),
        (
            "wiber_clock_peer_delay_ms",
            "The round trip of the best recent probe.",
            |peer| peer.delay_ms,
        ),
        (
            "wiber_clock_peer_drift_ppm",
            "How much faster the peer's clock runs.",
            |peer| peer.drift_ppm,
        ),
        (
            "wiber_clock_peer_suspicion",
            "Phi: how suspicious the peer's silence is.",
            |peer| peer.suspicion,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help);
        for (peer, value) in peers.iter().filter_map(|peer| Some((peer, value(peer)?))) {
            page.sample(name, &[("peer", &peer.id)], value);
        }
    }
    let counters: [(&str, &str, Count); 6] = [
        ("wiber_clock_probes_total", "Probes sent to the peer.", |peer| {
            peer.sent
        }),
        (
            "wiber_clock_answers_total",
            "Answers of the peer taken in.",
            |peer| peer.answered,
        ),
        (
            "wiber_clock_refused_total",
            "Answers of the peer that could not be.",
            |peer| peer.refused,
        ),
        (
            "wiber_clock_restarts_total",
            "How often the peer was measured anew.",
            |peer| peer.restarts,
        ),
        (
            "wiber_clock_truth_checked_total",
            "Measurements compared with the truth.",
            |peer| peer.truth_checked,
        ),
        (
            "wiber_clock_truth_inside_total",
            "Those that held it within their bound.",
            |peer| peer.truth_inside,
        ),
    ];
    for (name, help, count) in counters {
        page.counter(name, help);
        for peer in peers {
            page.sample(name, &[("peer", &peer.id)], count(peer));
        }
    }
}
