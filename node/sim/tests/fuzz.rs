//! The client port is sent rubbish: a corpus, and mutations of it.
//!
//! `WIBER_FUZZ_SESSIONS=100000 cargo test -p wiber-sim --test fuzz` looks for longer. What it finds is worth a file in
//! `corpus/`.

use std::fs;

use wiber_sim::{
    count::Count,
    run::{catch_panics, fuzz},
};

/// Sessions for each seed; some seconds together.
const SESSIONS: u64 = 1_000;
const SEEDS: u64 = 4;

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let files = fs::read_dir(folder).expect("the corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

#[test]
fn every_command_in_any_bytes_is_answered_once() {
    catch_panics();
    let corpus = corpus();
    let asked = std::env::var("WIBER_FUZZ_SESSIONS").ok();
    let sessions = asked.map_or(SESSIONS, |text| text.parse().expect("a number of sessions"));
    let seeds = if sessions == SESSIONS {
        0..SEEDS
    } else {
        100..100 + SEEDS
    };
    std::thread::scope(|scope| {
        for seed in seeds {
            let corpus = &corpus;
            scope.spawn(move || {
                let outcome = fuzz(seed, corpus, sessions);
                assert_eq!(outcome.failure, None, "seed {seed}");
                assert!(
                    outcome.counters.get(Count::Operations) > sessions,
                    "too little was answered to prove anything"
                );
            });
        }
    });
}
