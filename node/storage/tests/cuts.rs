//! What a log is after its end was cut, its start was purged, or it was emptied.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use support::{Acks, Driven, entries, entry, options};
use wiber_storage::{MemoryDisk, StoredEntry};

fn indexes(entries: &[StoredEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn cut_entries_are_replaced_and_never_read_again() {
    let disk = MemoryDisk::new();
    // No hot tail: everything flushed is read from files.
    let mut driven = Driven::open(&disk, options(2_000, 0)).unwrap();
    driven.store(entries(0..60, 1, 100));
    assert!(driven.log.stats().segments > 3);
    let acks = Acks::default();
    driven.log.truncate_after(Some(24), acks.done());
    assert_eq!(driven.log.last(), Some((1, 24)));
    assert_eq!(indexes(&driven.read_all()), (0..25).collect::<Vec<_>>());
    let newer: Vec<_> = (25..40).map(|index| entry(index, 2, 90, 7)).collect();
    driven.log.append(newer.clone(), acks.done()).unwrap();
    let expected: Vec<_> = entries(0..25, 1, 100).into_iter().chain(newer).collect();
    assert_eq!(driven.read_all(), expected, "before the writer has done anything");
    assert_eq!(driven.log.flushed_index(), Some(24));
    driven.turn();
    assert_eq!(acks.all_ok(), 2);
    assert_eq!(driven.log.flushed_index(), Some(39));
    assert_eq!(driven.read_all(), expected);
    let driven = Driven::open(&disk, options(2_000, 0)).unwrap();
    assert_eq!(driven.recovered.last, Some((2, 39)));
    assert_eq!(driven.read_all(), expected);
}

#[test]
fn a_flush_of_entries_that_were_cut_meanwhile_says_nothing_of_their_successors() {
    let mut driven = Driven::open(&MemoryDisk::new(), options(1 << 20, 0)).unwrap();
    let acks = Acks::default();
    driven.log.append(entries(0..10, 1, 50), acks.done()).unwrap();
    driven.log.truncate_after(Some(4), acks.done());
    let newer: Vec<_> = (5..10).map(|index| entry(index, 2, 50, 1)).collect();
    let expected: Vec<_> = entries(0..5, 1, 50).into_iter().chain(newer.clone()).collect();
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let probe = {
        let (log, seen) = (driven.log.clone(), Arc::clone(&seen));
        move |_| {
            let found = (log.flushed_index(), log.read(0, 10, usize::MAX).unwrap());
            seen.lock().push(found);
        }
    };
    // Called after the first append's flush, when files still hold the cut entries.
    driven.log.save_vote(Bytes::from_static(b"v"), Box::new(probe));
    driven.log.append(newer, acks.done()).unwrap();
    driven.turn();
    assert_eq!(acks.all_ok(), 3);
    assert_eq!(*seen.lock(), [(Some(4), expected.clone())]);
    assert_eq!(driven.read_all(), expected);
}

#[test]
fn cutting_everything_leaves_the_purged_position() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1_000, 1 << 20)).unwrap();
    driven.store(entries(0..30, 3, 100));
    let acks = Acks::default();
    driven.log.truncate_after(Some(99), acks.done());
    assert_eq!(driven.log.last(), Some((3, 29)));
    driven.log.purge(3, 11, acks.done());
    driven.log.truncate_after(None, acks.done());
    assert_eq!(
        (driven.log.last(), driven.log.purged()),
        (Some((3, 11)), Some((3, 11)))
    );
    driven.turn();
    assert_eq!(acks.all_ok(), 3);
    let mut driven = Driven::open(&disk, options(1_000, 1 << 20)).unwrap();
    assert_eq!(
        (driven.recovered.last, driven.recovered.purged),
        (Some((3, 11)), Some((3, 11)))
    );
    assert!(
        driven
            .log
            .append(entries(14..15, 4, 1), Acks::default().done())
            .is_err()
    );
    driven.store(entries(12..15, 4, 100));
    assert_eq!(indexes(&driven.read_all()), [12, 13, 14]);
}

#[test]
fn a_purge_is_durable_and_its_segments_go() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1_000, 300)).unwrap();
    driven.store(entries(0..60, 1, 100));
    let before = driven.log.stats();
    let acks = Acks::default();
    driven.log.purge(1, 40, acks.done());
    assert_eq!(indexes(&driven.read_all()), (41..60).collect::<Vec<_>>());
    driven.log.purge(1, 20, acks.done());
    driven.turn();
    assert_eq!(acks.all_ok(), 2);
    let after = driven.log.stats();
    assert!(
        after.segments < before.segments / 2 && after.bytes < before.bytes / 2,
        "{before:?} {after:?}"
    );
    assert_eq!(
        disk.contents()
            .keys()
            .filter(|path| path.extension().is_some())
            .count(),
        after.segments
    );
    let driven = Driven::open(&disk, options(1_000, 300)).unwrap();
    assert_eq!(
        (driven.recovered.purged, driven.recovered.last),
        (Some((1, 40)), Some((1, 59)))
    );
    assert_eq!(driven.read_all(), entries(41..60, 1, 100));
    assert_eq!((driven.log.term_of(40), driven.log.term_of(39)), (Some(1), None));
}

#[test]
fn a_purge_beyond_the_end_empties_the_log_there() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1_000, 1 << 20)).unwrap();
    driven.store(entries(0..20, 1, 100));
    let acks = Acks::default();
    driven.log.purge(5, 200, acks.done());
    assert_eq!(
        (driven.log.last(), driven.log.flushed_index()),
        (Some((5, 200)), Some(19))
    );
    driven.log.append(entries(201..203, 6, 10), acks.done()).unwrap();
    assert_eq!(indexes(&driven.read_all()), [201, 202]);
    driven.turn();
    assert_eq!(acks.all_ok(), 2);
    assert_eq!(
        (driven.log.flushed_index(), driven.log.stats().segments),
        (Some(202), 1)
    );
    let driven = Driven::open(&disk, options(1_000, 1 << 20)).unwrap();
    assert_eq!(
        (driven.recovered.purged, driven.recovered.last),
        (Some((5, 200)), Some((6, 202)))
    );
    assert_eq!(driven.read_all(), entries(201..203, 6, 10));
}

#[test]
fn a_blank_log_may_begin_anywhere() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1_000, 0)).unwrap();
    driven.store(entries(7..9, 1, 10));
    assert_eq!((driven.log.purged(), driven.log.last()), (None, Some((1, 8))));
    let mut driven = Driven::open(&disk, options(1_000, 0)).unwrap();
    assert_eq!(
        (driven.recovered.purged, driven.recovered.last),
        (None, Some((1, 8)))
    );
    assert_eq!(indexes(&driven.read_all()), [7, 8]);
    let acks = Acks::default();
    driven.log.truncate_after(None, acks.done());
    driven.turn();
    assert_eq!(
        (acks.all_ok(), driven.log.last(), driven.log.flushed_index()),
        (1, None, None)
    );
    driven.store(entries(7..8, 2, 10));
    assert_eq!(driven.log.last(), Some((2, 7)));
}
