//! Reads that meet the writer halfway. A disk that runs something in the middle of a read makes each meeting happen
//! every time.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use support::{DIR, entries, entry, options};
use wiber_storage::{Disk, DiskFile, Log, MemoryDisk, NoObserver, StoredEntry, Writer};

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Runs the hook, once, before the next read of a file.
struct HookedDisk {
    disk: MemoryDisk,
    hook: Hook,
}

struct HookedFile {
    file: Arc<dyn DiskFile>,
    hook: Hook,
}

impl HookedDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile {
            file,
            hook: Arc::clone(&self.hook),
        })
    }
}

impl Disk for HookedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn now_us(&self) -> u64 {
        self.disk.now_us()
    }
}

impl DiskFile for HookedFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let hook = self.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.file.read_at(buf, position)
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(buf, position)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

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
    let hook = Hook::default();
    let disk = HookedDisk {
        disk: MemoryDisk::new(),
        hook: Arc::clone(&hook),
    };
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
