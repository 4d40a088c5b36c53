//! What three real processes measured of each other, replayed: on loopback, for 75 seconds, while a program was being compiled
//! on the same two processors and the cluster took 88,000 messages a second for 15 of them. n3's clock ran 30 ppm fast.
//!
//! A line is a sample: peer, the four timestamps in nanoseconds, and the true offset between the two monotonic clocks. To record
//! another: `wiber-node … --log clock=trace`, and take the lines that say `sample`.

use std::collections::BTreeMap;

use wiber_time::{
    Interval, SECOND, US,
    drift::Drift,
    filter::{Filter, Sample},
};

const LOOPBACK: &str = include_str!("traces/loopback.txt");

struct Recorded {
    peer: &'static str,
    sample: Sample,
    truth_ns: i64,
}

fn recorded() -> impl Iterator<Item = Recorded> {
    LOOPBACK.lines().map(|line| {
        let mut words = line.split(' ');
        let peer = words.next().expect("a name");
        let numbers: Vec<i64> = words.map(|word| word.parse().expect("a number")).collect();
        let [t1, t2, t3, t4, truth_ns] = numbers[..] else {
            panic!("{line}");
        };
        Recorded {
            peer,
            sample: Sample::of(t1, t2, t3, t4).expect("times that can be"),
            truth_ns,
        }
    })
}

#[derive(Default)]
struct Measured {
    filter: Filter,
    drift: Drift,
    bounds_ns: Vec<i64>,
    last_at_ns: i64,
}

#[test]
fn every_recorded_sample_and_every_estimate_from_them_holds_the_truth() {
    let mut peers: BTreeMap<&str, Measured> = BTreeMap::new();
    for Recorded {
        peer,
        sample,
        truth_ns,
    } in recorded()
    {
        let measured = peers.entry(peer).or_default();
        assert!(sample.offset.holds(truth_ns), "{sample:?} misses {truth_ns}");
        assert!(
            measured.filter.push(sample, measured.drift.rate_ppb()),
            "no clock leapt"
        );
        let best = *measured
            .filter
            .best(sample.at_ns, measured.drift.rate_ppb())
            .unwrap();
        assert!(measured.drift.push(best), "no rate changed");
        let estimate = best.offset_at(sample.at_ns, measured.drift.rate_ppb());
        assert!(estimate.holds(truth_ns), "{estimate:?} misses {truth_ns}");
        measured.bounds_ns.push(estimate.radius());
        measured.last_at_ns = sample.at_ns;
    }
    for (peer, rate_ppb) in [("n2", 0), ("n3", 30_000)] {
        let measured = &peers[peer];
        assert!(measured.bounds_ns.len() > 300);
        assert!(
            measured.drift.rate_ppb().holds(rate_ppb),
            "{peer}: {:?}",
            measured.drift.rate_ppb()
        );
        assert!((measured.drift.slope_ppb().unwrap() - rate_ppb).abs() < 1_000);
        // What is asked of it after a minute, it is after a second.
        let settled = &measured.bounds_ns[40..];
        assert!(
            settled.iter().all(|bound_ns| *bound_ns <= 200 * US),
            "{:?}",
            settled.iter().max()
        );
        assert!(measured.last_at_ns > 60 * SECOND);
    }
}

/// With the middle of the newest sample alone, as a clock without a filter would have it, the truth is further off than the
/// filter's whole bound, some of the time: that is what the filter is for.
#[test]
fn the_filter_is_better_than_the_newest_sample() {
    let (mut worst_raw_ns, mut worst_filtered_ns) = (0, 0);
    let mut filter = Filter::default();
    let rate = Interval::around(0, 40_000);
    for Recorded { sample, truth_ns, .. } in recorded().filter(|one| one.peer == "n2") {
        filter.push(sample, rate);
        let best = filter
            .best(sample.at_ns, rate)
            .unwrap()
            .offset_at(sample.at_ns, rate);
        worst_raw_ns = worst_raw_ns.max((sample.offset.middle() - truth_ns).abs());
        worst_filtered_ns = worst_filtered_ns.max((best.middle() - truth_ns).abs());
    }
    assert!(
        worst_raw_ns > 2 * worst_filtered_ns,
        "{worst_raw_ns} {worst_filtered_ns}"
    );
}
