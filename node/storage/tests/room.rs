//! A disk that fills up: the log says so before anything fails, takes what fits its reserve, and goes on by itself when
//! there is room again.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::sync::Arc;

use support::{Acks, Driven, Heard, entries, options};
use wiber_storage::{LogOptions, MemoryDisk};

const RESERVE_BYTES: u64 = 10_000;

fn reserving(segment_bytes: u64) -> LogOptions {
    LogOptions {
        reserve_bytes: RESERVE_BYTES,
        ..options(segment_bytes, 1 << 20)
    }
}

/// Appends until the log says that there is no room, and gives the next index.
fn fill(driven: &mut Driven, from: u64) -> u64 {
    let mut next = from;
    while driven.log.has_room() {
        driven.store(entries(next..next + 1, 1, 500));
        next += 1;
        assert!(next < from + 1_000, "it never fills");
    }
    next
}

#[test]
fn a_full_disk_is_told_before_it_fails_and_what_is_reserved_can_be_used() {
    let disk = MemoryDisk::new();
    let heard = Arc::new(Heard::default());
    let mut driven = Driven::observed(&disk, reserving(1 << 20), heard.clone()).unwrap();
    disk.set_room(Some(30_000));
    let next = fill(&mut driven, 0);
    assert_eq!(*heard.rooms.lock().unwrap(), [false]);
    // Ten thousand bytes are promised, frames included.
    driven.store(entries(next..next + 15, 1, 500));
    assert!(!driven.log.has_room());
    assert_eq!(driven.log.failed(), None);

    disk.set_room(Some(100_000));
    driven.turn();
    driven.writer.turn(Vec::new());
    assert!(driven.log.has_room());
    assert_eq!(*heard.rooms.lock().unwrap(), [false, true]);
    driven.store(entries(next + 15..next + 16, 1, 500));
    assert_eq!(driven.read_all().len() as u64, next + 16);
}

#[test]
fn a_segment_that_cannot_be_followed_by_another_goes_on() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, reserving(4_000)).unwrap();
    driven.store(entries(0..5, 1, 500));
    assert_eq!(driven.log.stats().segments, 1);
    disk.set_room(Some(0));
    // The first segment is full, and there is no room for a second one.
    driven.store(entries(5..12, 1, 500));
    assert!(!driven.log.has_room());
    assert_eq!(driven.log.stats().segments, 1);
    driven.store(entries(12..13, 1, 500));

    disk.set_room(None);
    driven.writer.turn(Vec::new());
    driven.store(entries(13..14, 1, 500));
    assert_eq!(driven.log.stats().segments, 2);
    drop(driven);
    disk.crash(3);
    let driven = Driven::open(&disk, reserving(4_000)).unwrap();
    assert_eq!(driven.read_all(), entries(0..14, 1, 500));
}

/// What was lost: a node that was behind the log's start and got a snapshot while its disk was full.
#[test]
fn a_log_that_begins_anew_on_a_full_disk_goes_on_without_a_reserve() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, reserving(1 << 20)).unwrap();
    driven.store(entries(0..5, 1, 500));
    disk.set_room(Some(0));
    let acks = Acks::default();
    driven.log.purge(2, 99, acks.done());
    driven.turn();
    assert_eq!(acks.all_ok(), 1);
    disk.set_room(None);
    driven.writer.turn(Vec::new());
    assert!(driven.log.has_room());
    driven.store(entries(100..102, 2, 500));
    assert_eq!(driven.read_all(), entries(100..102, 2, 500));
}

/// What was lost: the same node, when its last segment was full as well. It created the new segment twice.
#[test]
fn a_full_segment_is_forgotten_by_a_log_that_begins_anew() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, reserving(2_000)).unwrap();
    driven.store(entries(0..3, 1, 500));
    disk.set_room(Some(0));
    driven.store(entries(3..5, 1, 500));
    assert!(!driven.log.has_room());
    driven.log.purge(2, 99, Acks::default().done());
    driven.turn();
    disk.set_room(None);
    driven.writer.turn(Vec::new());
    assert_eq!(driven.log.failed(), None);
    driven.store(entries(100..102, 2, 500));
    assert_eq!(driven.read_all(), entries(100..102, 2, 500));
}

#[test]
fn what_waits_for_its_flush_is_told() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, reserving(1 << 20)).unwrap();
    assert_eq!(driven.log.unflushed_bytes(), 0);
    driven
        .log
        .append(entries(0..4, 1, 500), Acks::default().done())
        .unwrap();
    let unflushed = driven.log.unflushed_bytes();
    assert!((2_000..2_500).contains(&unflushed), "{unflushed}");
    driven.turn();
    assert_eq!(driven.log.unflushed_bytes(), 0);
}

#[test]
fn closed_segments_give_their_reserve_back() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, reserving(2_000)).unwrap();
    disk.set_room(Some(70_000));
    // Each entry takes a segment of its own, and every open segment reserves up to 20,000 bytes.
    for index in 0..10 {
        driven.store(entries(index..index + 1, 1, 1_500));
    }
    assert!(driven.log.has_room());
    assert_eq!(driven.log.stats().segments, 10);
}

#[test]
fn without_any_reserve_left_the_log_ends_rather_than_lie() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, reserving(1 << 20)).unwrap();
    disk.set_room(Some(0));
    let next = fill(&mut driven, 0);
    let acks = Acks::default();
    driven
        .log
        .append(entries(next..next + 60, 1, 500), acks.done())
        .unwrap();
    driven.turn();
    let called = acks.called();
    assert!(called[0].1.is_err(), "{called:?}");
    let failed = driven.log.failed().unwrap();
    assert!(failed.contains("write /log/00000000000000000000.seg"), "{failed}");
}
