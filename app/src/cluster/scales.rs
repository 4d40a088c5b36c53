//! A node's clock, its flushes and its round trips, on small scales that are the same in every row.

use leptos::prelude::*;
use wiber_protocol::status::{ClockState, ClockStatus, Role};

use super::figure::percent;
use crate::{
    reactive::{derived, memo},
    time::{
        clocks::Agreement,
        icons::{agreement_ink, agreement_shape, icon},
    },
    view::NodeView,
    words::{apart, grouped, millis, offset_and_bound, signed, within},
};

/// The latency scale is logarithmic, from 0.01 ms …
const LATENCY_LEAST_MS: f64 = 0.01;
/// … over this many powers of ten.
const LATENCY_DECADES: f64 = 4.0;
/// The clock scale is linear up to a microsecond to both sides, and logarithmic …
const CLOCK_LEAST_MS: f64 = 0.001;
/// … over this many powers of ten beyond: to one second.
const CLOCK_DECADES: f64 = 6.0;

/// A latency's place on the scale, in percent.
pub fn latency_x(ms: f64) -> f64 {
    let decades = (ms.max(LATENCY_LEAST_MS) / LATENCY_LEAST_MS).log10();
    (100.0 * decades / LATENCY_DECADES).min(100.0)
}

/// A clock offset's place on the scale, in percent. It never changes with what it shows, so that rows and moments
/// compare, and has a place for a bound of microseconds as for a skew of hundreds of milliseconds.
pub fn clock_x(offset_ms: f64) -> f64 {
    let decades = (1.0 + offset_ms.abs() / CLOCK_LEAST_MS)
        .log10()
        .min(CLOCK_DECADES);
    50.0 + 50.0 * offset_ms.signum() * decades / CLOCK_DECADES
}

/// What a clock says of itself.
pub fn clock_words(clock: &ClockStatus) -> Option<String> {
    Some(match (clock.offset_ms?, clock.error_bound_ms) {
        // Little room: a clock that is far off is told in seconds.
        (offset_ms, Some(bound_ms)) if offset_ms.abs() >= 1_000.0 => {
            let sign = if offset_ms < 0.0 { '−' } else { '+' };
            format!("{sign}{} {}", apart(offset_ms), within(bound_ms))
        }
        (offset_ms, Some(bound_ms)) => offset_and_bound(offset_ms, bound_ms),
        (offset_ms, None) => format!("{}\u{a0}ms, unbounded", signed(offset_ms, 3)),
    })
}

/// How a live node's clock stands.
fn clock_stands(clock: &ClockStatus, is_outvoted: bool) -> Agreement {
    match clock.state {
        _ if is_outvoted => Agreement::Outvoted,
        ClockState::Synchronised => Agreement::Agrees,
        ClockState::Unsynchronised => Agreement::Unsynchronised,
    }
}

#[component]
pub fn ClockAxis() -> impl IntoView {
    view! {
        <div class="scale-axis clock-axis" aria-hidden="true">
            <span class="axis-name">"Lamport time, clock"</span>
            <div class="clock-ticks">
                {[(-1_000.0, "−1 s"), (-1.0, ""), (0.0, "0"), (1.0, ""), (1_000.0, "+1 s")]
                    .map(|(ms, text)| {
                        view! {
                            <span
                                class="axis-tick"
                                class:first={ms < -1.0}
                                class:last={ms > 1.0}
                                style:--x=percent(clock_x(ms))
                            >
                                {text}
                            </span>
                        }
                    })}
            </div>
        </div>
    }
}

#[component]
pub fn LatencyAxis() -> impl IntoView {
    view! {
        <div class="scale-axis latency-axis" aria-hidden="true">
            <span class="axis-name">"fsync p50 to p99, round trips, ms"</span>
            <div class="latency-ticks">
                {[(0.01, "0.01"), (0.1, ""), (1.0, "1"), (10.0, ""), (100.0, "100")]
                    .map(|(ms, text)| {
                        view! {
                            <span class="axis-tick" style:--x=percent(latency_x(ms))>
                                {text}
                            </span>
                        }
                    })}
            </div>
        </div>
    }
}

/// Lamport time, and the clock against the cluster's as far as that is measured.
#[component]
pub fn ClockCell(node: Memo<NodeView>, outvoted: Memo<Vec<String>>) -> impl IntoView {
    let clock = memo(move || {
        node.with(|node| {
            node.status
                .as_ref()
                .filter(|_| node.live)
                .map(|status| status.clock.clone())
        })
    });
    let interval = memo(move || {
        clock.get().and_then(|clock| {
            let (offset, bound) = (clock.offset_ms?, clock.error_bound_ms.unwrap_or(0.0));
            Some((clock_x(offset), clock_x(offset - bound), clock_x(offset + bound)))
        })
    });
    let stands = derived(move || {
        let is_outvoted = node.with(|node| outvoted.with(|outvoted| outvoted.contains(&node.id)));
        clock.with(|clock| {
            clock
                .as_ref()
                .map_or(Agreement::Away, |clock| clock_stands(clock, is_outvoted))
        })
    });
    let word = derived(move || {
        match stands.get() {
            Agreement::Away => "silent",
            Agreement::Agrees => "in agreement",
            other => other.word(),
        }
        .to_owned()
    });
    view! {
        <div class="cell clock" data-clock-state=derived(move || stands.get().word().to_owned())>
            <span class="lab">"Lamport"</span>
            <span class="num lamport" hidden=move || clock.get().is_none()>{derived(move || clock.get().map(|clock| grouped(clock.lamport)))}</span>
            <span class="track" hidden=move || interval.get().is_none() aria-hidden="true">
                <i class="track-zero"></i>
                <i
                    class="track-span"
                    style:left=move || percent(interval.get().map_or(0.0, |interval| interval.1))
                    style:width=move || percent(interval.get().map_or(0.0, |interval| interval.2 - interval.1))
                ></i>
                <i class="track-dot" style:left=move || percent(interval.get().map_or(0.0, |interval| interval.0))></i>
            </span>
            <a class="clock-words" class:silent=move || clock.get().is_none() href="/time">
                <span class="num">
                    {derived(move || clock.with(|clock| clock.as_ref().and_then(clock_words)).unwrap_or_default())}
                </span>
                <span class=derived(move || format!("clock-stands small {}", agreement_ink(stands.get()).class()))>
                    {icon(derived(move || agreement_shape(stands.get()).to_owned()))}
                    {word}
                </span>
            </a>
        </div>
    }
    .into_any()
}

/// One line of the latency cell.
#[derive(Clone, Debug, PartialEq)]
struct Latency {
    name: String,
    /// The dot, and the end of the whisker where there is one; milliseconds.
    from_ms: Option<f64>,
    to_ms: Option<f64>,
    /// What stands in place of a number.
    instead: &'static str,
    alarm: bool,
}

fn latencies(node: &NodeView) -> Vec<Latency> {
    let Some(status) = node.status.as_ref().filter(|_| node.live) else {
        return Vec::new();
    };
    let ms = |us: Option<u64>| us.map(|us| f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1_000.0);
    let fsync = Latency {
        name: "fsync".into(),
        from_ms: ms(status.storage.fsync_p50_us),
        to_ms: ms(status.storage.fsync_p99_us),
        instead: "none yet",
        alarm: false,
    };
    let peers = status.peers.iter().map(|peer| Latency {
        name: format!("to {}", peer.id),
        from_ms: peer.rtt_ms.filter(|_| peer.connected),
        to_ms: None,
        instead: if peer.connected {
            "not measured"
        } else {
            "no connection"
        },
        // Followers need not talk to each other; a leader must reach everyone.
        alarm: !peer.connected && status.role == Role::Leader,
    });
    std::iter::once(fsync).chain(peers).collect()
}

/// The median flush to the slowest hundredth, and the round trip to each peer.
#[component]
pub fn LatencyCell(node: Memo<NodeView>) -> impl IntoView {
    let lines = memo(move || node.with(latencies));
    let count = memo(move || lines.with(Vec::len));
    let line = move |place: usize| memo(move || lines.with(|lines| lines.get(place).cloned()));
    view! {
        <div class="cell latency" class:absent=move || count.get() == 0>
            {move || (0..count.get()).map(|place| view! { <LatencyLine line=line(place) /> }).collect_view()}
        </div>
    }
    .into_any()
}

#[component]
fn LatencyLine(line: Memo<Option<Latency>>) -> impl IntoView {
    let from = memo(move || line.get().and_then(|line| line.from_ms).map(latency_x));
    let to = memo(move || line.get().and_then(|line| line.to_ms).map(latency_x));
    let number = derived(move || {
        line.get().map(|line| match (line.from_ms, line.to_ms) {
            (Some(from), Some(to)) => format!("{} to {}", millis(from), millis(to)),
            (Some(from), None) => millis(from),
            (None, _) => line.instead.to_owned(),
        })
    });
    view! {
        <span class="latency-name">{derived(move || line.get().map(|line| line.name))}</span>
        <span class="track" aria-hidden="true">
            <i
                class="track-whisker"
                class:absent=move || to.get().is_none()
                style:left=move || percent(from.get().unwrap_or(0.0))
                style:width=move || percent((to.get().unwrap_or(0.0) - from.get().unwrap_or(0.0)).max(0.0))
            ></i>
            <i
                class="track-dot"
                class:absent=move || from.get().is_none()
                style:left=move || percent(from.get().unwrap_or(0.0))
            ></i>
        </span>
        <span class="num" class:alarm=move || line.get().is_some_and(|line| line.alarm)>
            {number}
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{gone, live};

    #[test]
    fn the_latency_scale_has_a_place_for_everything() {
        assert!(latency_x(0.0).abs() < 1e-9);
        assert!((latency_x(1.0) - 50.0).abs() < 1e-9);
        assert!((latency_x(9_000.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn an_unmeasured_clock_says_so() {
        let clock = ClockStatus::default();
        assert_eq!(clock_words(&clock), None);
        assert_eq!(clock_stands(&clock, false), Agreement::Unsynchronised);
        let clock = ClockStatus {
            offset_ms: Some(-0.04),
            error_bound_ms: Some(0.28),
            state: ClockState::Synchronised,
            ..clock
        };
        assert_eq!(clock_words(&clock).as_deref(), Some("−0.04 ±\u{a0}0.28\u{a0}ms"));
        let far = ClockStatus {
            offset_ms: Some(-5_000.002),
            ..clock.clone()
        };
        assert_eq!(
            clock_words(&far).as_deref(),
            Some("−5.000\u{a0}s ±\u{a0}280\u{a0}µs")
        );
        assert_eq!(clock_stands(&clock, false), Agreement::Agrees);
        assert_eq!(clock_stands(&clock, true), Agreement::Outvoted);
    }

    #[test]
    fn the_clock_scale_shows_microseconds_and_hundreds_of_milliseconds() {
        assert!((clock_x(0.0) - 50.0).abs() < 1e-9);
        assert!(
            clock_x(0.014) - clock_x(-0.014) > 15.0,
            "a bound of microseconds is an interval"
        );
        assert!(clock_x(250.0) < clock_x(500.0) && clock_x(500.0) < 99.0);
        assert!((clock_x(60_000.0) - 100.0).abs() < 1e-9);
        assert!(clock_x(-60_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_lost_connection_has_no_round_trip_even_if_one_was_measured() {
        let mut node = live("n1", Role::Leader, 7);
        if let Some(status) = &mut node.status {
            status.peers[0].rtt_ms = Some(0.3);
            status.peers[1].rtt_ms = Some(0.4);
            status.peers[1].connected = true;
        }
        let lines = latencies(&node);
        assert_eq!(
            (lines[1].from_ms, lines[1].instead, lines[1].alarm),
            (None, "no connection", true)
        );
        assert_eq!(lines[2].from_ms, Some(0.4));
        if let Some(status) = &mut node.status {
            status.role = Role::Follower;
        }
        assert!(!latencies(&node)[1].alarm);
        assert!(latencies(&gone("n1", true)).is_empty());
    }
}
