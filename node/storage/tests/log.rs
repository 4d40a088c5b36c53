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
