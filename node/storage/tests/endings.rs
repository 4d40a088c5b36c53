//! How a log ends: poisoned by the disk, by a callback, closed, or with its last handle.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use support::{Acks, Driven, Heard, entries, entry, options, waiting};
use wiber_storage::{DiskOp, Log, MemoryDisk, NoObserver};

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_again() {
    let disk = MemoryDisk::new();
    let heard = Arc::new(Heard::default());
    let mut driven = Driven::observed(&disk, options(1 << 20, 1 << 20), heard.clone()).unwrap();
    driven.store(entries(0..2, 1, 10));
    let acks = Acks::default();
    disk.fail_next(DiskOp::Sync);
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

/// What was lost: every entry of the new segment, acknowledged after the restart, because its header was in the cache
/// alone, where the failed sync had left it clean.
#[test]
fn a_segment_whose_first_sync_failed_is_whole_after_a_restart_and_a_power_cut() {
    for seed in 0..20 {
        let disk = MemoryDisk::new();
        let mut driven = Driven::open(&disk, options(1_000, 0)).unwrap();
        driven.store(entries(0..5, 1, 100));
        let refused = Acks::default();
        driven.log.append(entries(5..8, 1, 100), refused.done()).unwrap();
        disk.fail_next(DiskOp::Sync);
        driven.turn();
        assert!(refused.called()[0].1.is_err());
        drop(driven);
        disk.end_process();
        let mut driven = Driven::open(&disk, options(1_000, 0)).unwrap();
        let next = driven.recovered.last.unwrap().1 + 1;
        driven.store(vec![entry(next, 2, 100, 0)]);
        drop(driven);
        disk.crash(seed);
        let driven = Driven::open(&disk, options(1_000, 0)).unwrap();
        assert_eq!(driven.recovered.last, Some((2, next)));
    }
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
    disk.fail_next(DiskOp::Sync);
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

#[test]
fn a_probe_flushes_changes_nothing_and_notices_a_dead_disk() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 1 << 20)).unwrap();
    driven.store(entries(0..2, 1, 10));
    let before = disk.counts().syncs;
    let acks = Acks::default();
    driven.log.probe(acks.done());
    driven.turn();
    assert!(acks.called()[0].1.is_ok());
    assert_eq!(disk.counts().syncs, before + 1);
    disk.fail_next(DiskOp::Sync);
    driven.log.probe(acks.done());
    driven.turn();
    assert!(acks.called()[1].1.is_err());
    disk.crash(1);
    let driven = Driven::open(&disk, options(1 << 20, 1 << 20)).unwrap();
    assert_eq!(
        (driven.recovered.last, driven.recovered.purged),
        (Some((1, 1)), None)
    );
}
