//! What opening makes of files that are not whole: torn tails are cut, damage is refused with nothing changed.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use support::{Acks, DIR, Driven, STAMP, entries, entry, options};
use wiber_storage::{Disk as _, LogOptions, MemoryDisk, OpenError, Stamp};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Frames of 100 byte entries take this.
const FRAME: usize = 152;
const HEADER: usize = 128;

fn segment(base: u64) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.seg"))
}

fn disk_with(files: &Files) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (path, bytes) in files {
        disk.put(path, bytes.clone());
    }
    disk
}

/// Entries of 100 bytes, each flushed alone, so that every frame proves the one before; and a vote.
fn flushed_one_by_one(count: u64, segment_bytes: u64) -> Files {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(segment_bytes, 0)).unwrap();
    driven
        .log
        .save_vote(Bytes::from_static(b"n1 in 7"), Acks::default().done());
    for index in 0..count {
        driven.store(vec![entry(index, 1, 100, 0)]);
    }
    disk.contents()
}

fn refused(files: &Files) -> OpenError {
    let disk = disk_with(files);
    let Err(error) = Driven::open(&disk, options(1 << 20, 0)) else {
        panic!("opened")
    };
    assert_eq!(disk.contents(), *files, "a refused log is left as it was");
    error
}

fn damaged_file(files: &Files) -> (PathBuf, u64) {
    match refused(files) {
        OpenError::Damaged { file, position, .. } => (file, position),
        other => panic!("{other}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_whole_frames() {
    let files = flushed_one_by_one(5, 1 << 20);
    let whole = &files[&segment(0)];
    for len in HEADER + 3 * FRAME..=whole.len() {
        let mut torn = files.clone();
        torn.insert(segment(0), whole[..len].to_vec());
        let disk = disk_with(&torn);
        let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
        let frames = (len - HEADER) / FRAME;
        assert_eq!(driven.recovered.last, Some((1, frames as u64 - 1)), "{len} bytes");
        assert_eq!(driven.recovered.cut_bytes, ((len - HEADER) % FRAME) as u64);
        assert_eq!(disk.contents()[&segment(0)].len(), HEADER + frames * FRAME);
        assert_eq!(driven.recovered.vote.as_deref(), Some(&b"n1 in 7"[..]));
        driven.store(vec![entry(frames as u64, 2, 33, 0)]);
        assert_eq!(
            Driven::open(&disk, options(1 << 20, 0)).unwrap().recovered.last,
            Some((2, frames as u64))
        );
    }
}

#[test]
fn a_tail_with_any_byte_flipped_in_its_last_frame_is_cut() {
    let files = flushed_one_by_one(3, 1 << 20);
    for at in HEADER + 2 * FRAME..HEADER + 3 * FRAME {
        let mut torn = files.clone();
        torn.get_mut(&segment(0)).unwrap()[at] ^= 0x10;
        let driven = Driven::open(&disk_with(&torn), options(1 << 20, 0)).unwrap();
        assert_eq!(
            (driven.recovered.last, driven.recovered.cut_bytes),
            (Some((1, 1)), FRAME as u64),
            "byte {at}"
        );
    }
}

#[test]
fn any_byte_flipped_below_a_flushed_mark_is_refused() {
    let files = flushed_one_by_one(4, 1 << 20);
    for at in 0..HEADER + 3 * FRAME {
        // The third frame is proven by the fourth.
        let mut flipped = files.clone();
        flipped.get_mut(&segment(0)).unwrap()[at] ^= 0x10;
        let (file, position) = damaged_file(&flipped);
        let frame = at.checked_sub(HEADER).map_or(0, |at| HEADER + at / FRAME * FRAME);
        assert_eq!((file, position), (segment(0), frame as u64), "byte {at}");
    }
}

#[test]
fn blocks_of_one_flush_that_landed_out_of_order_are_a_torn_tail() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    driven.store(entries(0..4, 1, 100));
    // Frames 4 to 9 in one flush: each says that 0 to 3 were durable, none proves another.
    driven.store(entries(4..10, 1, 100));
    let mut files = disk.contents();
    let bytes = files.get_mut(&segment(0)).unwrap();
    bytes[HEADER + 5 * FRAME..HEADER + 7 * FRAME].fill(0);
    let driven = Driven::open(&disk_with(&files), options(1 << 20, 0)).unwrap();
    assert_eq!(
        (driven.recovered.last, driven.recovered.cut_bytes),
        (Some((1, 4)), 5 * FRAME as u64)
    );
    files.get_mut(&segment(0)).unwrap()[HEADER + 3 * FRAME] ^= 1;
    assert_eq!(damaged_file(&files), (segment(0), (HEADER + 3 * FRAME) as u64));
}

#[test]
fn an_entry_that_contains_frames_is_not_taken_for_frames() {
    let inner = flushed_one_by_one(6, 1 << 20)[&segment(0)].clone();
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    driven.store(entries(0..1, 1, 100));
    let carrier = wiber_storage::StoredEntry {
        index: 1,
        term: 1,
        bytes: inner.into(),
    };
    driven.store(vec![carrier]);
    let mut files = disk.contents();
    files.get_mut(&segment(0)).unwrap()[HEADER + FRAME + 8] ^= 1;
    let driven = Driven::open(&disk_with(&files), options(1 << 20, 0)).unwrap();
    assert_eq!(driven.recovered.last, Some((1, 0)));
}

#[test]
fn zeros_after_the_last_frame_are_cut() {
    let mut files = flushed_one_by_one(3, 1 << 20);
    files.get_mut(&segment(0)).unwrap().extend([0; 5000]);
    let driven = Driven::open(&disk_with(&files), options(1 << 20, 0)).unwrap();
    assert_eq!(
        (driven.recovered.last, driven.recovered.cut_bytes),
        (Some((1, 2)), 0)
    );
}

/// Three segments of three entries each.
fn three_segments() -> Files {
    let files = flushed_one_by_one(9, (HEADER + 3 * FRAME) as u64);
    let segments: Vec<_> = files
        .keys()
        .filter(|path| path.extension().is_some())
        .cloned()
        .collect();
    assert_eq!(segments, [segment(0), segment(3), segment(6)]);
    files
}

#[test]
fn a_hole_between_segments_is_damage() {
    let mut files = three_segments();
    files.remove(&segment(3));
    assert_eq!(damaged_file(&files).0, segment(0));
    let mut files = three_segments();
    files.remove(&segment(0));
    assert_eq!(damaged_file(&files).0, segment(3));
    let mut files = three_segments();
    files.get_mut(&segment(3)).unwrap().truncate(HEADER + 2 * FRAME);
    assert_eq!(damaged_file(&files), (segment(3), (HEADER + 2 * FRAME) as u64));
    let mut files = three_segments();
    files
        .get_mut(&segment(3))
        .unwrap()
        .truncate(HEADER + 2 * FRAME + 50);
    assert_eq!(damaged_file(&files), (segment(3), (HEADER + 2 * FRAME) as u64));
    let mut files = three_segments();
    files.retain(|path, _| path.extension().is_none());
    assert_eq!(damaged_file(&files).0, segment(0));
}

#[test]
fn a_bad_header_is_damage_wherever_it_matters() {
    for base in [0, 3, 6] {
        let mut files = three_segments();
        files.get_mut(&segment(base)).unwrap()[40] ^= 1;
        assert_eq!(damaged_file(&files), (segment(base), 0));
    }
}

#[test]
fn a_new_segment_that_was_being_made_goes_quietly() {
    let whole = flushed_one_by_one(3, (HEADER + 3 * FRAME) as u64);
    for torn in [
        vec![],
        vec![0; HEADER],
        vec![0; 60],
        three_segments()[&segment(3)][..100].to_vec(),
    ] {
        let mut files = whole.clone();
        files.insert(segment(3), torn);
        let disk = disk_with(&files);
        let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
        assert_eq!(
            (driven.recovered.last, driven.recovered.cut_bytes),
            (Some((1, 2)), 0)
        );
        assert!(!disk.contents().contains_key(&segment(3)));
        driven.store(vec![entry(3, 1, 10, 0)]);
    }
    // Its name alone says that what it was to follow is durable.
    let mut files = whole.clone();
    files.insert(segment(3), vec![]);
    files
        .get_mut(&segment(0))
        .unwrap()
        .truncate(HEADER + 2 * FRAME + 9);
    assert_eq!(damaged_file(&files), (segment(0), (HEADER + 2 * FRAME) as u64));
}

#[test]
fn a_vote_survives_one_bad_slot_and_not_two() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    for vote in [&b"first"[..], b"second"] {
        driven
            .log
            .save_vote(Bytes::from_static(vote), Acks::default().done());
        driven.turn();
    }
    let files = disk.contents();
    let vote_file = Path::new(DIR).join("vote");
    let mut votes = Vec::new();
    for slot in [0, 4096] {
        let mut torn = files.clone();
        torn.get_mut(&vote_file).unwrap()[slot + 50] ^= 1;
        let disk = disk_with(&torn);
        let driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
        votes.push(driven.recovered.vote.clone().unwrap());
        let again = Driven::open(&disk, options(1 << 20, 0)).unwrap();
        assert_eq!(
            again.recovered.vote, driven.recovered.vote,
            "opening makes the torn slot whole"
        );
    }
    votes.sort();
    assert_eq!(votes, [&b"first"[..], b"second"]);
    let mut torn = files.clone();
    torn.get_mut(&vote_file).unwrap()[50] ^= 1;
    torn.get_mut(&vote_file).unwrap()[4096 + 50] ^= 1;
    assert_eq!(damaged_file(&torn), (vote_file.clone(), 0));
    let mut gone = three_segments();
    gone.remove(&vote_file);
    assert_eq!(damaged_file(&gone), (vote_file, 0));
    let mut gone = files;
    gone.remove(&Path::new(DIR).join("start"));
    assert_eq!(damaged_file(&gone).0, Path::new(DIR).join("start"));
}

#[test]
fn a_log_that_was_made_before_and_is_gone_is_not_made_anew() {
    let must_exist = || LogOptions {
        must_exist: true,
        ..options(1 << 20, 0)
    };
    let header_only = three_segments()[&segment(0)][..HEADER].to_vec();
    let leftovers = [
        Files::new(),
        Files::from([(segment(0), header_only)]),
        Files::from([(Path::new(DIR).join("start.tmp"), vec![1, 2, 3])]),
    ];
    for files in leftovers {
        let disk = disk_with(&files);
        let Err(OpenError::Missing { dir }) = Driven::open(&disk, must_exist()) else {
            panic!("opened or refused for another reason")
        };
        assert_eq!(dir, Path::new(DIR));
        assert_eq!(disk.contents(), files, "a refused log is left as it was");
    }
    let disk = disk_with(&three_segments());
    assert!(Driven::open(&disk, must_exist()).is_ok());
}

#[test]
fn another_clusters_log_is_refused() {
    let files = three_segments();
    let disk = disk_with(&files);
    for stamp in [Stamp { cluster: 1, ..STAMP }, Stamp { group: 4, ..STAMP }] {
        let Err(OpenError::WrongStamp { expected, found, .. }) = Driven::open(
            &disk,
            LogOptions {
                stamp,
                ..options(1 << 20, 0)
            },
        ) else {
            panic!("opened or refused for another reason")
        };
        assert_eq!((expected, found), (stamp.to_string(), STAMP.to_string()));
    }
    assert_eq!(disk.contents(), files);
}

#[test]
fn a_later_version_is_refused_by_name() {
    let mut files = three_segments();
    let header = files.get_mut(&segment(6)).unwrap();
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..124]);
    header[124..128].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(
        refused(&files),
        OpenError::UnknownVersion { found: 2, .. }
    ));
}

#[test]
fn the_commit_hint_never_passes_the_log() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    driven.store(entries(0..3, 1, 100));
    let acks = Acks::default();
    driven.log.append(entries(3..6, 2, 100), acks.done()).unwrap();
    // A majority of others has these already; here they are not durable yet.
    driven.log.save_committed(2, 5);
    driven.turn();
    let mut files = disk.contents();
    assert_eq!(
        Driven::open(&disk, options(1 << 20, 0))
            .unwrap()
            .recovered
            .committed,
        Some((2, 5))
    );
    files.get_mut(&segment(0)).unwrap().truncate(HEADER + 3 * FRAME);
    let cut = Driven::open(&disk_with(&files), options(1 << 20, 0)).unwrap();
    assert_eq!(cut.recovered.committed, Some((1, 2)));
    let hint = Path::new(DIR).join("committed");
    files.get_mut(&hint).unwrap().fill(9);
    let disk = disk_with(&files);
    assert_eq!(
        Driven::open(&disk, options(1 << 20, 0))
            .unwrap()
            .recovered
            .committed,
        None
    );
    files.remove(&hint);
    assert!(Driven::open(&disk_with(&files), options(1 << 20, 0)).is_ok());
}

#[test]
fn leftovers_of_an_interrupted_opening_go() {
    let mut files = three_segments();
    let temp = Path::new(DIR).join("committed.tmp");
    let foreign = Path::new(DIR).join("LOCK");
    files.insert(temp.clone(), vec![1, 2, 3]);
    files.insert(foreign.clone(), vec![1]);
    let disk = disk_with(&files);
    Driven::open(&disk, options(1 << 20, 0)).unwrap();
    assert!(!disk.contents().contains_key(&temp));
    assert!(disk.contents().contains_key(&foreign));
}

#[test]
fn purged_segments_are_void_whatever_they_hold() {
    let disk = disk_with(&three_segments());
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    driven.log.purge(1, 4, Acks::default().done());
    driven.turn();
    let mut files = disk.contents();
    assert!(!files.contains_key(&segment(0)));
    files.insert(segment(0), vec![7; 300]);
    let disk = disk_with(&files);
    let driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    assert_eq!(
        (driven.recovered.purged, driven.recovered.last),
        (Some((1, 4)), Some((1, 8)))
    );
    assert!(!disk.contents().contains_key(&segment(0)));
    // A log that lost entries it had when it was purged is not one that was purged beyond its end.
    files.remove(&segment(0));
    files.remove(&segment(6));
    files.get_mut(&segment(3)).unwrap().truncate(HEADER + FRAME);
    assert_eq!(damaged_file(&files).0, segment(3));
}

#[test]
fn a_tail_that_was_durable_and_committed_is_missed_when_it_is_gone() {
    let disk = MemoryDisk::new();
    let mut driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    driven.store(entries(0..10, 1, 100));
    driven.log.save_committed(1, 7);
    driven.turn();
    drop(driven);
    let segment = Path::new(DIR).join("00000000000000000000.seg");
    let open = disk.open(&segment).unwrap();
    let size = open.size_bytes().unwrap();
    // Entry 9 and 8 were not known to be committed: without them it may have been a torn tail.
    open.set_len(size - 300).unwrap();
    open.sync_all().unwrap();
    let driven = Driven::open(&disk, options(1 << 20, 0)).unwrap();
    assert_eq!(driven.recovered.last, Some((1, 7)));
    drop(driven);
    let open = disk.open(&segment).unwrap();
    let size = open.size_bytes().unwrap();
    open.set_len(size - 100).unwrap();
    open.sync_all().unwrap();
    let Err(OpenError::Damaged { expected, found, .. }) = Driven::open(&disk, options(1 << 20, 0)) else {
        panic!("opened or refused for another reason")
    };
    assert_eq!(expected, "entries below 8, which were durable");
    assert_eq!(found, "the end after entries below 7");
}
