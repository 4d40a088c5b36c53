//! Reads that meet the writer halfway. A disk that runs something in the middle of a read makes each meeting happen
//! every time.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use support::{DIR, HookedDisk, entries, entry, options};
use wiber_storage::{Log, NoObserver, QUEUE_COMMANDS, StoredEntry, Writer};

fn turn(writer: &mut Writer) {
    while writer.take_turn() {}
}

/// Stores 20 entries in segments of about five, none in memory, does `before`, and reads everything from `from` on while
/// `during` happens in the middle of the first read of a file.
fn read_while(
    from: u64,
    before: impl FnOnce(&Log),
    during: impl FnOnce(&Log, &mut Writer) + Send + 'static,
) -> (Log, Vec<StoredEntry>) {
    let disk = HookedDisk::default();
    let hook = Arc::clone(&disk.before_read);
    let (log, mut writer, _) = Log::open_driven(
        Path::new(DIR),
        options(900, 0),
        Arc::new(disk),
        Arc::new(NoObserver),
    )
    .unwrap();
    log.append(entries(0..20, 1, 100), Box::new(|result| result.unwrap()))
        .unwrap();
    turn(&mut writer);
    before(&log);
    let inside = log.clone();
    *hook.lock().unwrap() = Some(Box::new(move || during(&inside, &mut writer)));
    let read = log.read(from, u64::MAX, usize::MAX).unwrap();
    assert!(hook.lock().unwrap().is_none(), "the read met the writer");
    (log, read)
}

#[test]
fn a_cut_asked_for_before_a_read_and_made_during_it_spoils_nothing() {
    for last in 0..19 {
        let (_, read) = read_while(
            0,
            |log| log.truncate_after(Some(last), Box::new(|result| result.unwrap())),
            |_, writer| turn(writer),
        );
        assert_eq!(read, entries(0..last + 1, 1, 100));
    }
}

#[test]
fn a_cut_during_a_read_shows_what_came_after_it_and_nothing_cut() {
    let newer = |last: u64| {
        (last + 1..19)
            .map(|index| entry(index, 2, 130, 9))
            .collect::<Vec<_>>()
    };
    for last in 0..18 {
        let (_, read) = read_while(
            0,
            |_| {},
            move |log, writer| {
                log.truncate_after(Some(last), Box::new(|result| result.unwrap()));
                log.append(newer(last), Box::new(|result| result.unwrap()))
                    .unwrap();
                turn(writer);
            },
        );
        let expected: Vec<_> = entries(0..last + 1, 1, 100)
            .into_iter()
            .chain(newer(last))
            .collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn a_purge_during_a_read_leaves_the_rest() {
    for index in 0..20 {
        let (_, read) = read_while(
            2,
            |_| {},
            move |log, writer| {
                log.purge(1, index, Box::new(|result| result.unwrap()));
                turn(writer);
            },
        );
        assert_eq!(read, entries((index + 1).max(2)..20, 1, 100));
    }
}

#[test]
fn a_log_emptied_during_a_read_is_read_as_it_is_then() {
    let (log, read) = read_while(
        0,
        |_| {},
        |log, writer| {
            log.purge(3, 99, Box::new(|result| result.unwrap()));
            log.append(entries(100..103, 4, 10), Box::new(|result| result.unwrap()))
                .unwrap();
            turn(writer);
        },
    );
    assert_eq!(read, entries(100..103, 4, 10));
    assert_eq!(log.purged(), Some((3, 99)));
}

#[test]
fn who_finds_the_queue_full_waits_for_the_writer() {
    let disk = HookedDisk::default();
    let before_sync = Arc::clone(&disk.before_sync);
    let (log, _) = Log::open(
        Path::new(DIR),
        options(64 << 20, 0),
        Arc::new(disk),
        Arc::new(NoObserver),
    )
    .unwrap();
    let (entered, wait_entered) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    *before_sync.lock().unwrap() = Some(Box::new(move || {
        entered.send(()).unwrap();
        wait_release.recv_timeout(Duration::from_secs(10)).unwrap();
    }));
    let append = |log: &Log, index| {
        log.append(
            entries(index..index + 1, 1, 1),
            Box::new(|result| result.unwrap()),
        )
    };
    append(&log, 0).unwrap();
    wait_entered.recv_timeout(Duration::from_secs(10)).unwrap();
    let filler = {
        let log = log.clone();
        let end = 2 * QUEUE_COMMANDS as u64;
        thread::spawn(move || (1..end).for_each(|index| append(&log, index).unwrap()))
    };
    let full = Some((1, QUEUE_COMMANDS as u64));
    while log.last() != full {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!((log.last(), filler.is_finished()), (full, false));
    release.send(()).unwrap();
    filler.join().unwrap();
    log.close();
    assert_eq!(log.flushed_index(), Some(2 * QUEUE_COMMANDS as u64 - 1));
}
