//! The promise that everything stands on, against a disk that keeps any part of what was not synced: after a power cut at
//! any moment, also in the middle of recovery, the log holds what some prefix of the commands made of it, and
//! that prefix has everything that was acknowledged.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may")]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use support::{Acks, Driven, entry, options};
use wiber_storage::{LogOptions, MemoryDisk, OpenError, StoredEntry};

/// What the outside can see of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    vote: Option<Bytes>,
    purged: Option<(u64, u64)>,
    entries: Vec<StoredEntry>,
}

impl View {
    fn end(&self) -> Option<u64> {
        self.entries
            .last()
            .map(|entry| entry.index + 1)
            .or(self.purged.map(|(_, index)| index + 1))
    }

    fn apply(&mut self, command: &Command) {
        match command {
            Command::Append(entries) => self.entries.extend(entries.iter().cloned()),
            Command::Vote(vote) => self.vote = Some(vote.clone()),
            Command::Cut(last) => self
                .entries
                .retain(|entry| last.is_some_and(|last| entry.index <= last)),
            Command::Purge(term, index) => {
                if self.purged.is_none_or(|(_, purged)| purged < *index) {
                    self.purged = Some((*term, *index));
                    self.entries.retain(|entry| entry.index > *index);
                }
            }
        }
    }

    /// Whether `self` may be found after a crash in the middle of `command`, which found `before`.
    fn is_between(&self, before: &View, command: &Command) -> bool {
        let mut after = before.clone();
        after.apply(command);
        if *self == *before || *self == after {
            return true;
        }
        let (short, long) = match command {
            Command::Append(_) => (before, &after),
            Command::Cut(_) => (&after, before),
            Command::Vote(_) | Command::Purge(..) => return false,
        };
        (&self.vote, self.purged) == (&short.vote, short.purged)
            && self.entries.len() >= short.entries.len()
            && long.entries.starts_with(&self.entries)
    }
}

#[derive(Clone, Debug)]
enum Command {
    Append(Vec<StoredEntry>),
    Vote(Bytes),
    Cut(Option<u64>),
    Purge(u64, u64),
}

/// What a test does next; positions are relative, so that every step makes sense wherever the log is.
#[derive(Clone, Debug)]
enum Step {
    Append { count: u64, len: usize, new_term: bool },
    Vote,
    Cut { back: u64 },
    CutAll,
    PurgeHalf,
    PurgeBeyond { by: u64 },
    Committed,
    Turn,
}

#[derive(Clone, Debug)]
struct Life {
    steps: Vec<Step>,
    power_after: u64,
    crash_seed: u64,
    /// Power cuts during the recoveries that follow.
    recovery_power_after: Vec<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6_u64, 0..300_usize, any::<bool>())
            .prop_map(|(count, len, new_term)| Step::Append { count, len, new_term }),
        2 => Just(Step::Vote),
        2 => (0..12_u64).prop_map(|back| Step::Cut { back }),
        1 => Just(Step::CutAll),
        1 => Just(Step::PurgeHalf),
        1 => (0..5_u64).prop_map(|by| Step::PurgeBeyond { by }),
        1 => Just(Step::Committed),
        6 => Just(Step::Turn),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let steps = proptest::collection::vec(step(), 1..30);
    let recoveries = proptest::collection::vec(0..25_u64, 0..3);
    (steps, 0..120_u64, any::<u64>(), recoveries).prop_map(
        |(steps, power_after, crash_seed, recovery_power_after)| Life {
            steps,
            power_after,
            crash_seed,
            recovery_power_after,
        },
    )
}

/// Drives one log through its lives and knows what it may be.
struct Model {
    disk: MemoryDisk,
    hot_tail_bytes: usize,
    fill_bytes: u64,
    view: View,
    /// No log that was ever empty may start below this.
    floor: u64,
    term: u64,
    salt: u64,
    /// Entries below were said to be committed: nobody cuts them.
    committed_end: u64,
}

impl Model {
    fn open(&self) -> Result<Driven, OpenError> {
        let options = LogOptions {
            fill_bytes: self.fill_bytes,
            ..options(900, self.hot_tail_bytes)
        };
        Driven::open(&self.disk, options)
    }

    fn command(&mut self, step: &Step) -> Option<Command> {
        let end = self.view.end().unwrap_or(self.floor);
        Some(match step {
            Step::Append { count, len, new_term } => {
                self.term += u64::from(*new_term);
                self.salt += 1;
                let len = |index: u64| (*len as u64 * index % 301) as usize;
                let made = (end..end + count).map(|index| entry(index, self.term, len(index), self.salt));
                Command::Append(made.collect())
            }
            Step::Vote => {
                self.salt += 1;
                Command::Vote(Bytes::from(format!("vote {}", self.salt)))
            }
            Step::Cut { back } if end.saturating_sub(*back) >= self.committed_end => {
                Command::Cut(end.checked_sub(1 + back))
            }
            Step::CutAll if self.committed_end == 0 => Command::Cut(None),
            Step::PurgeHalf => {
                let middle = self.view.entries.get(self.view.entries.len() / 2)?;
                Command::Purge(middle.term, middle.index)
            }
            Step::PurgeBeyond { by } => Command::Purge(self.term, end + by),
            Step::Cut { .. } | Step::CutAll | Step::Committed | Step::Turn => return None,
        })
    }

    /// Runs one life to its crash; returns the commands given and how many were acknowledged.
    fn live(&mut self, driven: &mut Driven, life: &Life) -> (Vec<Command>, usize) {
        let acks = Acks::default();
        let mut given = Vec::new();
        self.disk.cut_power_after(life.power_after);
        for step in &life.steps {
            if driven.log.failed().is_some() {
                break;
            }
            match step {
                Step::Turn => driven.turn(),
                Step::Committed => {
                    if let Some(last) = self.view.end().and_then(|end| end.checked_sub(1)) {
                        driven.log.save_committed(1, last);
                        self.committed_end = last + 1;
                    }
                }
                _ => {}
            }
            let Some(command) = self.command(step) else {
                continue;
            };
            match command.clone() {
                Command::Append(entries) => driven.log.append(entries, acks.done()).unwrap(),
                Command::Vote(vote) => driven.log.save_vote(vote, acks.done()),
                Command::Cut(last) => driven.log.truncate_after(last, acks.done()),
                Command::Purge(term, index) => driven.log.purge(term, index, acks.done()),
            }
            self.view.apply(&command);
            given.push(command);
            if let Ok(read) = driven.log.read(0, u64::MAX, usize::MAX) {
                assert_eq!(read, self.view.entries, "what was given can be read at once");
            }
            self.check_positions(driven);
        }
        let called = acks.called();
        let acknowledged = called.iter().take_while(|(_, result)| result.is_ok()).count();
        for (at, (number, result)) in called.iter().enumerate() {
            assert_eq!(
                (*number, result.is_ok()),
                (at as u64, at < acknowledged),
                "callbacks come in order"
            );
        }
        (given, acknowledged)
    }

    fn check_positions(&self, driven: &Driven) {
        let last = self
            .view
            .entries
            .last()
            .map(|entry| (entry.term, entry.index))
            .or(self.view.purged);
        assert_eq!((driven.log.last(), driven.log.purged()), (last, self.view.purged));
        for entry in &self.view.entries {
            assert_eq!(driven.log.term_of(entry.index), Some(entry.term));
        }
    }

    fn recover(&mut self, life: &Life) -> Driven {
        self.disk.crash(life.crash_seed);
        for (number, power_after) in life.recovery_power_after.iter().enumerate() {
            self.disk.cut_power_after(*power_after);
            match self.open() {
                Ok(_) | Err(OpenError::Io { .. }) => {}
                Err(other) => panic!("a crash is no damage: {other}"),
            }
            self.disk.crash(life.crash_seed.wrapping_add(1 + number as u64));
        }
        match self.open() {
            Ok(driven) => driven,
            Err(error) => panic!("a crash is no damage: {error}"),
        }
    }
}

fn run(lives: &[Life], hot_tail_bytes: usize, fill_bytes: u64) {
    let mut model = Model {
        disk: MemoryDisk::new(),
        hot_tail_bytes,
        fill_bytes,
        view: View::default(),
        floor: 0,
        term: 1,
        salt: 0,
        committed_end: 0,
    };
    let mut driven = model.open().unwrap();
    for life in lives {
        let mut before = model.view.clone();
        let (given, acknowledged) = model.live(&mut driven, life);
        driven = model.recover(life);
        let end = driven.recovered.last.map_or(0, |(_, index)| index + 1);
        model.committed_end = model.committed_end.min(end);
        let found = View {
            vote: driven.recovered.vote.clone(),
            purged: driven.recovered.purged,
            entries: driven.read_all(),
        };
        let (kept, open) = given.split_at(acknowledged);
        for command in kept {
            before.apply(command);
        }
        let mut possible = found == before;
        for command in open {
            possible |= found.is_between(&before, command);
            before.apply(command);
        }
        assert!(
            possible,
            "found {found:#?}\nafter {acknowledged} acknowledged of {given:#?}"
        );
        model.view = found;
        model.check_positions(&driven);
        let recovered = &driven.recovered;
        let below = recovered
            .committed
            .is_none_or(|(_, index)| recovered.last.is_some_and(|(_, last)| index <= last));
        assert!(below, "{recovered:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_power_cut_takes_the_log_is_a_prefix_with_everything_acknowledged(
        lives in proptest::collection::vec(life(), 1..6),
        hot_tail_bytes in prop_oneof![Just(0_usize), Just(2_000)],
        fill_bytes in prop_oneof![Just(0_u64), Just(150), Just(2_000)],
    ) {
        run(&lives, hot_tail_bytes, fill_bytes);
    }
}

/// The first opening is interrupted at every one of its steps.
#[test]
fn a_first_opening_may_be_interrupted_anywhere() {
    for power_after in 0..40 {
        for seed in 0..20 {
            let disk = MemoryDisk::new();
            disk.cut_power_after(power_after);
            let opened = Driven::open(&disk, options(900, 0)).is_ok();
            disk.crash(seed);
            let mut driven = Driven::open(&disk, options(900, 0)).unwrap();
            assert_eq!(driven.recovered, wiber_storage::Recovered::default());
            driven.store(support::entries(0..3, 1, 10));
            if opened {
                break;
            }
        }
    }
}
