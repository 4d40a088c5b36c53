//! Each broken promise is noticed, within a thousand seeds.

use wiber_sim::{
    mutants::Broken,
    run::{Plan, catch_panics, run},
};

const SEEDS: u64 = 1_000;

fn is_noticed(broken: Broken) {
    catch_panics();
    let noticed = (0..SEEDS).find_map(|seed| {
        let outcome = run(Plan {
            seed,
            broken: Some(broken),
            is_kept: false,
        });
        outcome.failure.map(|failure| (seed, failure))
    });
    let (seed, failure) = noticed.unwrap_or_else(|| panic!("{SEEDS} seeds pass with {broken:?}"));
    println!("{broken:?} is noticed at seed {seed}: {failure}");
}

#[test]
fn entries_that_are_acknowledged_before_they_are_synced_are_noticed() {
    is_noticed(Broken::NoFsyncBeforeAck);
}

#[test]
fn votes_that_are_not_synced_are_noticed() {
    is_noticed(Broken::VoteNotSynced);
}

#[test]
fn an_acknowledgement_before_a_majority_is_noticed() {
    is_noticed(Broken::AckBeforeQuorum);
}

#[test]
fn duplicates_that_are_let_through_are_noticed() {
    is_noticed(Broken::DedupOff);
}

#[test]
fn a_snapshot_from_after_the_cut_is_noticed() {
    is_noticed(Broken::SnapshotAtLastApplied);
}

#[test]
fn a_cut_that_keeps_one_entry_too_many_is_noticed() {
    is_noticed(Broken::TruncateOffByOne);
}

#[test]
fn records_that_are_dropped_by_the_wall_clock_are_noticed() {
    is_noticed(Broken::AgeByWallClock);
}

#[test]
fn cluster_time_that_is_known_less_well_than_it_says_is_noticed() {
    is_noticed(Broken::BoundTooSmall);
}

#[test]
fn a_group_s_record_that_is_handed_out_though_it_is_done_is_noticed() {
    is_noticed(Broken::HandOutUnchecked);
}

#[test]
fn acknowledgements_that_a_checkpoint_leaves_out_are_noticed() {
    is_noticed(Broken::AcksNotInCheckpoint);
}

#[test]
fn forgotten_ids_that_a_checkpoint_does_not_know_are_noticed() {
    is_noticed(Broken::ForgottenNotInCheckpoint);
}
