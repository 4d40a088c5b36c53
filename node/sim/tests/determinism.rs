//! The same seed gives the same trace, byte for byte, whatever else the machine does.

use wiber_sim::run::{Outcome, Plan, run};

fn traced(seed: u64) -> Outcome {
    run(Plan {
        seed,
        broken: None,
        is_kept: true,
    })
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    for seed in [1, 2] {
        // In another thread, and with another one busy beside it: nothing of either may show.
        let busy = std::thread::spawn(move || traced(seed + 100));
        let first = traced(seed);
        let second = std::thread::spawn(move || traced(seed))
            .join()
            .expect("a run does not panic");
        busy.join().expect("a run does not panic");
        let lines = |outcome: &Outcome| -> Vec<String> { outcome.trace.lines().map(str::to_owned).collect() };
        let (one, other) = (lines(&first), lines(&second));
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed}, line {at}:\n{}\n{}", one[at], other[at]);
        }
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.trace_hash, second.trace_hash);
    }
}

#[test]
fn a_trace_that_is_not_kept_does_not_change_what_happens() {
    let kept = traced(3);
    let bare = run(Plan {
        seed: 3,
        broken: None,
        is_kept: false,
    });
    assert_eq!((kept.failure, kept.simulated), (bare.failure, bare.simulated));
}
