//! Restarts, crashes between, liars, and disks that are slow or fail.

use std::collections::HashSet;

use super::*;
use crate::small_files::OsFiles;

/// A broken clock fails its test after this long, and does not hang it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A disk whose next writes can be held back or made to fail.
#[derive(Clone, Default)]
struct TestDisk(Arc<(Mutex<TestState>, Condvar)>);

#[derive(Default)]
struct TestState {
    stored: Option<Vec<u8>>,
    held: bool,
    failing: bool,
    attempts: u32,
}

impl TestDisk {
    fn set(&self, change: impl FnOnce(&mut TestState)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    /// Writes wait until the guard is dropped, be it by a failed test.
    fn hold(&self) -> Held<'_> {
        self.set(|state| state.held = true);
        Held(self)
    }

    fn wait_for_attempts(&self, attempts: u32) {
        let mut state = self.0.0.lock();
        let missing = |state: &mut TestState| state.attempts < attempts;
        assert!(
            !self.0.1.wait_while_for(&mut state, missing, PATIENCE).timed_out(),
            "no write number {attempts}"
        );
    }

    /// What a crash at this moment leaves on disk.
    fn crashed(&self) -> Self {
        let after = Self::default();
        after.set(|state| state.stored.clone_from(&self.0.0.lock().stored));
        after
    }
}

struct Held<'a>(&'a TestDisk);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(|state| state.held = false);
    }
}

impl SmallFiles for TestDisk {
    fn read(&self, _: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.0.lock().stored.clone())
    }

    fn replace(&self, _: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.0.lock();
        state.attempts += 1;
        self.0.1.notify_all();
        let held = |state: &mut TestState| state.held && !state.failing;
        let stuck = self.0.1.wait_while_for(&mut state, held, PATIENCE).timed_out();
        if state.failing || stuck {
            return Err(io::Error::other("no space left"));
        }
        state.stored = Some(bytes.to_vec());
        Ok(())
    }
}

fn open(disk: &TestDisk) -> Lamport {
    Lamport::open(Path::new("lamport"), disk.clone()).unwrap()
}

#[test]
fn a_receive_is_later_than_its_send_and_than_all_before_it() {
    let clock = open(&TestDisk::default());
    assert_eq!((clock.tick(), clock.tick()), (1, 2));
    assert_eq!(clock.observe(100), 101);
    assert_eq!(clock.observe(50), 102);
    assert_eq!((clock.tick(), clock.now()), (103, 103));
}

#[test]
fn a_restart_goes_on_above_everything_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lamport");
    let mut last = 0;
    for _ in 0..3 {
        let clock = Lamport::open(&path, OsFiles).unwrap();
        let first = clock.tick();
        assert!(first > last, "{first} after {last}");
        last = clock.observe(first + BLOCK * 3);
    }
}

#[test]
fn without_a_thread_whoever_takes_a_value_reserves() {
    let disk = TestDisk::default();
    let clock = Lamport::open_threadless(Path::new("lamport"), disk.clone()).unwrap();
    let value = clock.observe(10 * BLOCK);
    assert_eq!(value, 10 * BLOCK + 1);
    let next = Lamport::open_threadless(Path::new("lamport"), disk.crashed())
        .unwrap()
        .tick();
    assert!(next > value, "{next} after {value}");
    // Without room for another ceiling the clock stands still and says so; it does not hang.
    disk.set(|state| state.failing = true);
    clock.observe(30 * BLOCK);
    assert!(clock.shared.failure.borrow().is_some());
}

#[test]
fn threads_never_share_a_value() {
    let clock = open(&TestDisk::default());
    let values: Vec<u64> = std::thread::scope(|scope| {
        let run = |jump: u64| {
            (0..10_000_u64)
                .map(|i| {
                    if i % 64 == 0 {
                        clock.observe(i * jump)
                    } else {
                        clock.tick()
                    }
                })
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4)
            .map(|jump| scope.spawn(move || run(jump * 1_000)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(values.iter().collect::<HashSet<_>>().len(), values.len());
}

#[test]
fn half_a_block_is_reserved_before_anyone_waits() {
    let disk = TestDisk::default();
    let clock = open(&disk);
    let held = disk.hold();
    clock.observe(BLOCK / 2 + 1);
    disk.wait_for_attempts(2);
    // The write is still under way; the rest of the block is there.
    assert_eq!(clock.observe(BLOCK - 1), BLOCK);
    drop(held);
}

#[test]
fn a_crash_before_the_reservation_is_durable_repeats_no_value() {
    let disk = TestDisk::default();
    let clock = open(&disk);
    std::thread::scope(|scope| {
        let held = disk.hold();
        let leap = scope.spawn(|| clock.observe(BLOCK * 5));
        disk.wait_for_attempts(2);
        assert!(!leap.is_finished(), "handed out above the ceiling on disk");
        assert!(clock.now() <= BLOCK);
        let reborn = open(&disk.crashed());
        assert!(reborn.tick() > clock.now());
        drop(held);
        assert_eq!(leap.join().unwrap(), BLOCK * 5 + 1);
    });
    assert!(open(&disk.crashed()).tick() > BLOCK * 5 + 1);
}

#[test]
fn one_liar_cannot_exhaust_the_clock() {
    let clock = open(&TestDisk::default());
    assert_eq!(clock.observe(u64::MAX), 1);
    assert_eq!(clock.observe(BELIEVED + MAX_LEAP), 2);
    assert_eq!(clock.refused(), 2);
    assert_eq!(clock.observe(BELIEVED), BELIEVED + 1);
    // From there on it is followed, in small leaps, and never beyond what ticks alone could exhaust.
    assert_eq!(clock.observe(BELIEVED + MAX_LEAP), BELIEVED + MAX_LEAP + 1);
    assert!(!clock.believes(MAX_FOLLOWED));
    assert_eq!(clock.refused(), 2);
}

#[tokio::test]
async fn without_a_disk_the_clock_stands_still_and_says_so() {
    let disk = TestDisk::default();
    let clock = open(&disk);
    disk.set(|state| state.failing = true);
    assert_eq!(clock.observe(BLOCK * 2), BLOCK);
    assert_eq!(clock.tick(), BLOCK);
    assert_eq!(clock.failed().await, "no space left");
    assert!(open(&disk.crashed()).tick() > BLOCK);
}

#[test]
fn a_failed_reservation_is_tried_again_while_values_are_left() {
    let disk = TestDisk::default();
    let clock = open(&disk);
    disk.set(|state| state.failing = true);
    clock.observe(BLOCK / 2 + 1);
    disk.wait_for_attempts(2);
    disk.set(|state| state.failing = false);
    disk.wait_for_attempts(3);
    assert_eq!(clock.observe(BLOCK + 5), BLOCK + 6);
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    for text in [
        "",
        "12",
        "12 00000000\n",
        "x 00000000\n",
        &line(12)[..5],
        &format!("{}1", line(12)),
    ] {
        let disk = TestDisk::default();
        disk.set(|state| state.stored = Some(text.as_bytes().to_vec()));
        let error = Lamport::open(Path::new("d/lamport"), disk).unwrap_err();
        assert!(
            error.to_string().starts_with("d/lamport is damaged"),
            "{text:?}: {error}"
        );
        assert!(
            error.to_string().contains("start the node with --rebuild"),
            "{error}"
        );
    }
    assert_eq!(parse(line(12).as_bytes()), Ok(12));
}
