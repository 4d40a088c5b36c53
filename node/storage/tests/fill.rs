//! Zeros ahead of small flushes: most flushes then find the file as large as they need it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::path::{Path, PathBuf};

use support::{DIR, Driven, entries, options};
use wiber_storage::{LogOptions, MemoryDisk};

const RESERVE_BYTES: u64 = 100_000;
const FILL_BYTES: u64 = 10_000;

fn filling() -> LogOptions {
    LogOptions {
        reserve_bytes: RESERVE_BYTES,
        fill_bytes: FILL_BYTES,
        ..options(1 << 20, 0)
    }
}

fn first_segment() -> PathBuf {
    Path::new(DIR).join("00000000000000000000.seg")
}

fn len(disk: &MemoryDisk) -> usize {
    disk.contents()[&first_segment()].len()
}

#[test]
fn most_small_flushes_leave_the_size_as_it_is() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, filling()).unwrap();
    let mut sizes = Vec::new();
    for index in 0..100 {
        driven.store(entries(index..index + 1, 1, 400));
        sizes.push(len(&disk));
    }
    sizes.dedup();
    assert!((3..=6).contains(&sizes.len()), "{sizes:?}");
    assert_eq!(driven.read_all().len(), 100);
    drop(driven);

    // What only kept room is no torn tail, and the log goes on where it ended.
    let mut driven = Driven::open(&disk, filling()).unwrap();
    assert_eq!(
        (driven.recovered.last, driven.recovered.cut_bytes),
        (Some((1, 99)), 0)
    );
    driven.store(entries(100..101, 1, 400));
    assert_eq!(driven.read_all().len(), 101);
}

#[test]
fn a_large_flush_fills_nothing() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, filling()).unwrap();
    let before = len(&disk);
    driven.store(entries(0..50, 1, 1_000));
    assert!(len(&disk) < before + 50 * 1_100);
}

#[test]
fn nothing_is_filled_beyond_the_reserve_of_a_full_disk() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, filling()).unwrap();
    disk.set_room(Some(250_000));
    let mut next = 0;
    // Until it is told, and then what was promised.
    while driven.log.has_room() {
        driven.store(entries(next..next + 10, 1, 500));
        next += 10;
    }
    driven.store(entries(next..next + 170, 1, 500));
    assert_eq!(driven.log.failed(), None);
    assert_eq!(driven.read_all().len() as u64, next + 170);
}

#[test]
fn a_closed_segment_is_no_longer_than_its_frames() {
    let disk = MemoryDisk::new();
    let options = LogOptions {
        segment_bytes: 5_000,
        ..filling()
    };
    let mut driven = Driven::open(&disk, options).unwrap();
    for index in 0..40 {
        driven.store(entries(index..index + 1, 1, 400));
    }
    assert!(driven.log.stats().segments > 2);
    assert!(len(&disk) <= 5_000, "{}", len(&disk));
}
