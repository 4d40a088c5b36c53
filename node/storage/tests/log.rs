//! What a log promises while it runs, and across an orderly restart.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may")]

mod support;

use std::{
    path::Path,
    sync::{Arc, Barrier},
    thread,
};

use bytes::Bytes;
use support::{Acks, Driven, Heard, entries, entry, options, waiting};
use wiber_storage::{Log, MemoryDisk, NoObserver, RealDisk, StoredEntry};

fn indexes(entries: &[StoredEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn what_was_stored_is_there_after_reopening_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made").join("deep");
    let open = || {
        Log::open(
            &dir,
            options(20_000, 1 << 20),
            Arc::new(RealDisk::new()),
            Arc::new(NoObserver),
        )
        .unwrap()
    };
    let (log, recovered) = open();
    assert_eq!(recovered, wiber_storage::Recovered::default());
    assert_eq!(
        (log.last(), log.purged(), log.flushed_index()),
        (None, None, None)
    );
    let stored = entries(0..100, 4, 1000);
    let (done, wait) = waiting();
    log.append(stored.clone(), done).unwrap();
    wait().unwrap();
    let (done, wait) = waiting();
    log.save_vote(Bytes::from_static(b"for n2"), done);
    wait().unwrap();
    log.save_committed(4, 90);
    log.close();
    let (log, recovered) = open();
    assert_eq!(recovered.vote.as_deref(), Some(&b"for n2"[..]));
    assert_eq!(
        (recovered.committed, recovered.last, recovered.cut_bytes),
        (Some((4, 90)), Some((4, 99)), 0)
    );
    assert_eq!((log.last(), log.flushed_index()), (Some((4, 99)), Some(99)));
    assert!(log.stats().segments > 4);
    assert_eq!(log.read(0, 100, usize::MAX).unwrap(), stored);
    let more = entries(100..120, 5, 50);
    let (done, wait) = waiting();
    log.append(more.clone(), done).unwrap();
    wait().unwrap();
    drop(log);
    let (log, recovered) = open();
    assert_eq!(recovered.last, Some((5, 119)));
    assert_eq!(log.read(100, 120, usize::MAX).unwrap(), more);
    assert_eq!(
        (log.term_of(99), log.term_of(100), log.term_of(120)),
        (Some(4), Some(5), None)
    );
}

#[test]
fn one_flush_covers_every_append_that_waits() {
    let disk = MemoryDisk::new();
    let heard = Arc::new(Heard::default());
    let mut driven = Driven::observed(&disk, options(1 << 20, 1 << 20), heard.clone()).unwrap();
    let acks = Acks::default();
    let before = disk.counts();
    for index in 0..500 {
        driven
            .log
            .append(vec![entry(index, 1, 100, 0)], acks.done())
            .unwrap();
    }
    assert_eq!(
        (driven.log.last(), driven.log.flushed_index()),
        (Some((1, 499)), None)
    );
    assert_eq!(acks.called().len(), 0);
    driven.turn();
    assert_eq!(acks.all_ok(), 500);
    assert_eq!(driven.log.flushed_index(), Some(499));
    let after = disk.counts();
    assert_eq!((after.syncs - before.syncs, after.writes - before.writes), (1, 1));
    assert_eq!(*heard.flushes.lock().unwrap(), [(Some(499), 500 * 152)]);
    assert_eq!(driven.log.stats().fsync_count, 1);
}

#[test]
fn appends_from_many_threads_are_flushed_together_and_all_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(
        dir.path(),
        options(1 << 16, 4096),
        Arc::new(RealDisk::new()),
        Arc::new(NoObserver),
    )
    .unwrap();
    let turn = Arc::new(parking_lot::Mutex::new(0));
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (log, turn, barrier) = (log.clone(), Arc::clone(&turn), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                for _ in 0..200 {
                    let (done, wait) = waiting();
                    {
                        let mut next = turn.lock();
                        log.append(vec![entry(*next, 1, 500, 0)], done).unwrap();
                        *next += 1;
                    }
                    wait().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(log.read(0, 800, usize::MAX).unwrap(), entries(0..800, 1, 500));
    assert!(log.stats().segments > 4);
}

#[test]
fn a_refused_append_changes_nothing() {
    let mut driven = Driven::open(&MemoryDisk::new(), options(1 << 20, 1 << 20)).unwrap();
    driven.store(entries(0..3, 1, 10));
    let acks = Acks::default();
    for refused in [
        entries(4..6, 1, 10),
        entries(2..3, 1, 10),
        vec![entry(3, 1, 1, 0), entry(5, 1, 1, 0)],
    ] {
        assert!(driven.log.append(refused, acks.done()).is_err());
    }
    let large = StoredEntry {
        index: 3,
        term: 1,
        bytes: Bytes::from(vec![0; wiber_storage::MAX_ENTRY_BYTES + 1]),
    };
    assert!(driven.log.append(vec![large], acks.done()).is_err());
    driven.log.save_vote(Bytes::from(vec![1; 65]), acks.done());
    driven.turn();
    assert!(acks.called().iter().all(|(_, result)| result.is_err()));
    assert_eq!((acks.called().len(), driven.log.failed()), (5, None));
    driven.store(entries(3..4, 1, 10));
    assert_eq!(indexes(&driven.read_all()), [0, 1, 2, 3]);
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
    let first = driven.log.clone();
    first.truncate_after(Some(4), acks.done());
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

#[test]
fn files_and_the_hot_tail_read_the_same() {
    let disk = MemoryDisk::new();
    let mut hot = Driven::open(&disk, options(300_000, 64 << 20)).unwrap();
    let sizes = [0, 1, 7, 8, 4_000, 70_000, 200, 1_500_000, 90];
    let stored: Vec<_> = (0..90)
        .map(|index| entry(index, index / 20, sizes[index as usize % 9], 0))
        .collect();
    for part in stored.chunks(13) {
        hot.store(part.to_vec());
    }
    let cold = Driven::open(&disk, options(300_000, 0)).unwrap();
    assert!(cold.log.read_hot(0, 90, 100).is_none());
    for (from, to) in [
        (0, 90),
        (3, 4),
        (6, 50),
        (35, 36),
        (44, 90),
        (89, 200),
        (90, 91),
        (5, 5),
    ] {
        for max_bytes in [0, 1, 5_000, 80_000, 2_000_000, usize::MAX] {
            let from_memory = hot.log.read(from, to, max_bytes).unwrap();
            let from_files = cold.log.read(from, to, max_bytes).unwrap();
            assert_eq!(from_memory, from_files, "{from}..{to} of {max_bytes} bytes");
            assert_eq!(
                hot.log.read_hot(from, to, max_bytes).unwrap_or_default(),
                from_memory
            );
            let start = from as usize;
            assert_eq!(from_memory, stored[start..start + from_memory.len()]);
            let bytes: usize = from_memory.iter().map(|entry| entry.bytes.len()).sum();
            assert!(from_memory.len() <= 1 || bytes <= max_bytes);
            assert_eq!(from_memory.is_empty(), from >= to.min(90));
        }
    }
}

#[test]
fn a_read_finds_a_flipped_byte_and_says_where() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    driven.store(entries(0..5, 1, 100));
    disk.flip_byte(
        &Path::new(support::DIR).join("00000000000000000000.seg"),
        128 + 152 * 2 + 60,
    );
    assert_eq!(indexes(&driven.log.read(0, 2, usize::MAX).unwrap()), [0, 1]);
    assert_eq!(indexes(&driven.log.read(3, 5, usize::MAX).unwrap()), [3, 4]);
    let error = driven.log.read(2, 5, usize::MAX).unwrap_err().to_string();
    assert!(
        error.contains("00000000000000000000.seg is damaged at byte 432"),
        "{error}"
    );
}

#[test]
fn readers_during_cuts_and_purges_see_one_history() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(
        dir.path(),
        options(3_000, 1_000),
        Arc::new(RealDisk::new()),
        Arc::new(NoObserver),
    )
    .unwrap();
    let (done, wait) = waiting();
    log.append(entries(0..50, 0, 100), done).unwrap();
    wait().unwrap();
    let reader = {
        let log = log.clone();
        thread::spawn(move || {
            let mut seen_term = 0;
            while log.last().is_some_and(|(term, _)| term < 40) {
                let read = log.read(0, u64::MAX, usize::MAX).unwrap();
                for pair in read.windows(2) {
                    assert_eq!(pair[0].index + 1, pair[1].index);
                    assert!(pair[0].term <= pair[1].term);
                }
                for entry in &read {
                    assert_eq!(*entry, support::entry(entry.index, entry.term, 100, 0));
                }
                let term = read.last().unwrap().term;
                assert!(term >= seen_term, "a cut entry came back");
                seen_term = term;
            }
        })
    };
    for term in 1..=40 {
        log.truncate_after(Some(25 + term), Box::new(|result| result.unwrap()));
        if term % 5 == 0 {
            log.purge(
                log.term_of(term).unwrap(),
                term,
                Box::new(|result| result.unwrap()),
            );
        }
        let (done, wait) = waiting();
        log.append(entries(26 + term..60 + term, term, 100), done)
            .unwrap();
        wait().unwrap();
    }
    reader.join().unwrap();
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_again() {
    let disk = MemoryDisk::new();
    let heard = Arc::new(Heard::default());
    let mut driven = Driven::observed(&disk, options(1 << 20, 1 << 20), heard.clone()).unwrap();
    driven.store(entries(0..2, 1, 10));
    let acks = Acks::default();
    disk.fail_next_sync();
    driven.log.append(entries(2..4, 1, 10), acks.done()).unwrap();
    driven.log.append(entries(4..5, 1, 10), acks.done()).unwrap();
    driven.log.save_vote(Bytes::from_static(b"late"), acks.done());
    driven.turn();
    assert!(driven.log.append(entries(5..6, 1, 10), acks.done()).is_err());
    driven.log.save_vote(Bytes::from_static(b"later"), acks.done());
    driven.log.truncate_after(None, acks.done());
    driven.log.purge(1, 1, acks.done());
    driven.turn();
    let called = acks.called();
    assert_eq!(
        called.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6]
    );
    assert!(called.iter().all(|(_, result)| result.is_err()));
    let failed = driven.log.failed().unwrap();
    assert!(
        failed.contains("fdatasync /log/00000000000000000000.seg") && failed.contains("did not answer"),
        "{failed}"
    );
    assert_eq!(*heard.failures.lock().unwrap(), [failed]);
    assert_eq!(driven.log.flushed_index(), Some(1));
    disk.crash(1);
    let driven = Driven::open(&disk, options(1 << 20, 1 << 20)).unwrap();
    assert_eq!(
        (driven.recovered.last, driven.recovered.vote),
        (Some((1, 1)), None)
    );
}

#[test]
fn a_poisoned_writer_thread_ends_and_refuses() {
    let disk = MemoryDisk::new();
    let heard = Arc::new(Heard::default());
    let (log, _) = Log::open(
        Path::new(support::DIR),
        options(1 << 20, 1 << 20),
        Arc::new(disk.clone()),
        Arc::clone(&heard) as Arc<dyn wiber_storage::Observer>,
    )
    .unwrap();
    disk.fail_next_sync();
    let (done, wait) = waiting();
    log.save_vote(Bytes::from_static(b"v"), done);
    assert!(wait().is_err());
    let (done, wait) = waiting();
    log.save_vote(Bytes::from_static(b"v"), done);
    assert!(wait().unwrap_err().to_string().contains("poisoned"));
    log.close();
    assert_eq!(heard.failures.lock().unwrap().len(), 1);
}

#[test]
fn a_callback_that_panics_poisons_instead_of_hanging() {
    let disk = MemoryDisk::new();
    let (log, _) = Log::open(
        Path::new(support::DIR),
        options(1 << 20, 0),
        Arc::new(disk),
        Arc::new(NoObserver),
    )
    .unwrap();
    log.save_vote(
        Bytes::from_static(b"v"),
        Box::new(|_| panic!("as this test wants")),
    );
    let (done, wait) = waiting();
    log.save_vote(Bytes::from_static(b"w"), done);
    assert!(wait().is_err());
    assert!(log.failed().unwrap().contains("panicked"));
}

#[test]
fn closing_flushes_what_waits_and_refuses_what_comes() {
    let disk = MemoryDisk::new();
    let (log, _) = Log::open(
        Path::new(support::DIR),
        options(1 << 20, 0),
        Arc::new(disk.clone()),
        Arc::new(NoObserver),
    )
    .unwrap();
    let acks = Acks::default();
    log.append(entries(0..10, 1, 10), acks.done()).unwrap();
    log.close();
    log.close();
    assert_eq!(acks.all_ok(), 1);
    assert!(log.append(entries(10..11, 1, 10), acks.done()).is_err());
    assert_eq!((log.last(), log.failed()), (Some((1, 9)), None));
    assert_eq!(log.read(0, 20, usize::MAX).unwrap(), entries(0..10, 1, 10));
    disk.crash(0);
    assert_eq!(
        Driven::open(&disk, options(1 << 20, 0)).unwrap().recovered.last,
        Some((1, 9))
    );
}

#[test]
fn the_last_handle_may_die_in_a_callback() {
    let disk = MemoryDisk::new();
    let (log, _) = Log::open(
        Path::new(support::DIR),
        options(1 << 20, 0),
        Arc::new(disk),
        Arc::new(NoObserver),
    )
    .unwrap();
    let (done, wait) = waiting();
    let held = log.clone();
    log.append(
        entries(0..1, 1, 1),
        Box::new(move |result| {
            drop(held);
            done(result);
        }),
    )
    .unwrap();
    drop(log);
    wait().unwrap();
}
