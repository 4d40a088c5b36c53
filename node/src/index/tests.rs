//! The index against a state that never stopped: whatever was saved, cut, lost or damaged, the same records are read
//! and the same decisions follow.

mod errors;
mod full_disk;
mod lost;
mod overtaken;
mod unsynced;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use proptest::prelude::*;
use wiber_protocol::{
    entry::{Cut, Entry, EntryKind},
    ids::GroupId,
    record::{Batch, Record},
    rpc::PublishOutcome,
};
use wiber_storage::{LogOptions, MemoryDisk, NoObserver, StoredEntry, Writer};

use super::*;
use crate::{
    fetch::{Committed, expand},
    state::{Change, Found, Job, PartLimits, State},
};

const STAMP: Stamp = Stamp { cluster: 7, group: 0 };
const LIMITS: PartLimits = PartLimits {
    bytes: 1_500,
    entries: 8,
};
const TOPICS: [&str; 3] = ["a", "b", "rare"];

/// What happens next to a node.
#[derive(Clone, Debug)]
enum Step {
    /// Records as (topic, id, body).
    Publish(Vec<(usize, u8, u8)>),
    /// The leader cuts after so many of the sealed parts.
    Cut(usize),
    /// The keeper does so many jobs.
    Keep(usize),
    Restart,
    PowerLoss(u64),
    /// One byte of one file of the index changes on disk, then the node restarts.
    Damage(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0..20_usize, 0..60_u8, 0..2_u8)
        .prop_map(|(topic, id, body)| (if topic == 19 { 2 } else { topic % 2 }, id, body));
    prop_oneof![
        20 => prop::collection::vec(record, 1..6).prop_map(Step::Publish),
        2 => (0..4_usize).prop_map(Step::Cut),
        6 => (1..4_usize).prop_map(Step::Keep),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::PowerLoss),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, byte)| Step::Damage(file, byte)),
    ]
}

/// One node's disk, log, index and state.
struct Node {
    disk: MemoryDisk,
    log: Log,
    writer: Writer,
    index: Index,
    state: State,
}

impl Node {
    fn open(disk: MemoryDisk) -> Self {
        let options = LogOptions {
            segment_bytes: 4_096,
            hot_tail_bytes: 2_000,
            ..LogOptions::new(STAMP)
        };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (log, writer, _) =
            Log::open_driven(Path::new("/log"), options, shared.clone(), Arc::new(NoObserver))
                .expect("a log");
        let opened = open("/index".into(), shared, STAMP, LIMITS, &log).expect("an index");
        let mut node = Self {
            disk,
            log,
            writer,
            index: opened.index,
            state: opened.state,
        };
        node.replay();
        node
    }

    /// Applies what the log has after the state.
    fn replay(&mut self) {
        let next = self.state.applied.map_or(0, |at| at.index + 1);
        for stored in self.log.read(next, u64::MAX, usize::MAX).expect("it reads") {
            self.apply(&Entry::decode(stored.bytes).expect("a whole entry"));
        }
    }

    fn apply(&mut self, entry: &Entry) {
        let change = Change::decode(entry).expect("a whole entry");
        self.state
            .apply(entry.log_id, entry.bytes().len() as u64, &change);
    }

    /// Appends, flushes, applies.
    fn commit(&mut self, entry: &Entry) {
        let stored = StoredEntry {
            index: entry.log_id.index,
            term: entry.log_id.term,
            bytes: entry.bytes().clone(),
        };
        self.log
            .append(vec![stored], Box::new(|result| result.expect("it is written")))
            .expect("it follows");
        self.writer.take_turn();
        self.apply(entry);
    }

    fn keep(&mut self, jobs: usize) {
        for _ in 0..jobs {
            let Some(job) = self.state.jobs().1.cloned() else {
                return;
            };
            match &job {
                Job::Save(part) => self.index.save(part).expect("it is written"),
                Job::Cut { at, unsaved } => {
                    self.index.cut(*at, unsaved).expect("it is written");
                    self.log.purge(
                        at.term,
                        at.index,
                        Box::new(|result| result.expect("it is purged")),
                    );
                    self.writer.take_turn();
                }
            }
            self.state.job_done(&job);
        }
    }

    /// Takes over what another node has, as the engine does: the state first, then the log from there.
    fn install(&mut self, snapshot: Snapshot) {
        self.index.install(&snapshot).expect("it is written");
        let at = snapshot.checkpoint.applied.expect("a position");
        self.log.purge(
            at.term,
            at.index,
            Box::new(|result| result.expect("it is purged")),
        );
        self.writer.take_turn();
        self.state = State::restore(LIMITS, snapshot, []);
    }

    fn restart(self) -> Self {
        let Self { disk, writer, .. } = self;
        drop(writer);
        Self::open(disk)
    }

    /// Every record that can be read.
    fn records(&self, topic: &str) -> Vec<Committed> {
        let mut records: Vec<Committed> = Vec::new();
        let mut next = self.state.topics.log_start_offset(topic);
        loop {
            let positions = match self.state.find(topic, next, 3) {
                Found::Positions(positions) => positions,
                Found::InFile(share) => {
                    let tables = self.index.tables(share.part).expect("tables");
                    tables.positions(share.runs, share.base_offset, next, 3)
                }
            };
            if positions.is_empty() {
                return records;
            }
            for position in positions {
                let index = position.note.log_index;
                let stored = self.log.read(index, index + 1, 1).expect("it reads").remove(0);
                let entry = Entry::decode(stored.bytes).expect("a whole entry");
                let page = expand(&entry, &position, topic).expect("a whole batch");
                records.extend(page.into_iter().filter(|record| record.offset >= next));
            }
            next = records.last().expect("a position has records").offset + 1;
        }
    }
}

/// What should be there.
#[derive(Default)]
struct Model {
    state: State,
    records: BTreeMap<String, Vec<Committed>>,
    next_index: u64,
}

impl Model {
    fn new() -> Self {
        Self {
            state: State::restore(LIMITS, Snapshot::default(), []),
            ..Self::default()
        }
    }

    fn entry(&mut self, kind: EntryKind, payload: &[u8]) -> Entry {
        let log_id = LogId {
            term: 1,
            index: self.next_index,
        };
        self.next_index += 1;
        Entry::encode(GroupId(0), log_id, kind, (0, false), payload)
    }

    fn publish(&mut self, records: &[(usize, u8, u8)]) -> Entry {
        let records = records.iter().map(|(topic, id, body)| Record {
            topic: TOPICS[*topic].into(),
            id: format!("id{id}"),
            // Some ids are a node's own, which the window need not know.
            client_id: id % 5 != 0,
            node: "n1".into(),
            ts_us: 0,
            corrected_us: 0,
            error_bound_us: 0,
            synchronised: false,
            lamport: u64::from(*id),
            headers: Vec::new(),
            body: vec![b'x'; 20 + usize::from(*body)].into(),
            ..Record::default()
        });
        let batch = Batch {
            // A minute an entry: the window of ten minutes empties now and then.
            clock_ms: self.next_index * 60_000,
            records: records.collect(),
        };
        let entry = self.entry(EntryKind::Records, &batch.encode());
        let change = Change::decode(&entry).expect("it was just made");
        let applied = self
            .state
            .apply(entry.log_id, entry.bytes().len() as u64, &change);
        for (record, outcome) in batch.records.into_iter().zip(applied.outcomes) {
            if let PublishOutcome::Published { offset, lamport } = outcome {
                let committed = Committed {
                    offset,
                    lamport,
                    log_id: entry.log_id,
                    record,
                };
                let topic = committed.record.topic.to_string();
                self.records.entry(topic).or_default().push(committed);
            }
        }
        entry
    }

    fn cut(&mut self, after_parts: usize) -> Option<Entry> {
        let last = self.state.parts().nth(after_parts)?.last;
        let cut = Cut {
            last_index: last.index,
            clock_ms: 0,
        };
        let entry = self.entry(EntryKind::Cut, &cut.encode());
        self.state
            .apply(entry.log_id, entry.bytes().len() as u64, &Change::Cut(cut));
        for records in self.records.values_mut() {
            records.retain(|record| record.log_id > last);
        }
        Some(entry)
    }
}

fn check(node: &Node, model: &Model) {
    assert_eq!(node.state.checkpoint(), model.state.checkpoint());
    let all = |state: &State| state.dedup.newest(usize::MAX).collect::<Vec<_>>();
    assert_eq!(all(&node.state), all(&model.state));
    for topic in TOPICS {
        let expected = model.records.get(topic).cloned().unwrap_or_default();
        assert_eq!(node.records(topic), expected, "{topic}");
        let ends = |state: &State| {
            let found = state.topics.get(topic);
            found.map(|topic| (topic.high_watermark, topic.log_start_offset, topic.bytes))
        };
        assert_eq!(ends(&node.state), ends(&model.state), "{topic}");
    }
}

fn run(steps: Vec<Step>) {
    let mut model = Model::new();
    let mut node = Node::open(MemoryDisk::new());
    for step in steps {
        match step {
            Step::Publish(records) => node.commit(&model.publish(&records)),
            Step::Cut(parts) => {
                if let Some(entry) = model.cut(parts) {
                    node.commit(&entry);
                }
            }
            Step::Keep(jobs) => node.keep(jobs),
            Step::Restart => {
                node = node.restart();
                check(&node, &model);
            }
            Step::PowerLoss(seed) => {
                node.disk.crash(seed);
                node = node.restart();
                check(&node, &model);
            }
            Step::Damage(file, byte) => {
                let contents = node.disk.contents();
                // The state as of a cut can't be made again: another test.
                let parts: Vec<_> = contents
                    .iter()
                    .filter(|(path, _)| path.extension().is_some_and(|suffix| suffix == "part"))
                    .collect();
                if let Some((path, bytes)) = parts.get(file % parts.len().max(1)) {
                    let at = byte % bytes.len();
                    let open = node.disk.open(path).expect("it is there");
                    open.write_at(&[bytes[at] ^ 1], at as u64).expect("it is written");
                    open.sync_all().expect("it is synced");
                    node = node.restart();
                    check(&node, &model);
                }
            }
        }
    }
    check(&node, &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_saves_cuts_crashes_and_damage_changes_what_is_read(
        steps in prop::collection::vec(step(), 1..160)
    ) {
        run(steps);
    }
}

fn grown(parts: usize) -> (Node, Model) {
    let mut model = Model::new();
    let mut node = Node::open(MemoryDisk::new());
    let mut id = 0_u8;
    while model.state.parts().count() < parts {
        id = id.wrapping_add(1);
        let entry = model.publish(&[(0, id, 0), (1, id, 1)]);
        node.commit(&entry);
        node.keep(1);
    }
    node.keep(usize::MAX);
    (node, model)
}

/// Publishes until there are so many parts, and saves none of them.
fn grow_unsaved(node: &mut Node, model: &mut Model, parts: usize) {
    while model.state.parts().count() < parts {
        let id = u8::try_from(model.next_index % 250).expect("it is small");
        node.commit(&model.publish(&[(0, id, 0), (1, id, 1)]));
    }
}

#[test]
fn a_restart_replays_no_more_than_what_was_not_saved() {
    let (node, model) = grown(4);
    let saved = node.state.parts().last().expect("four parts").last;
    let Node { disk, writer, .. } = node;
    drop(writer);
    let shared: Arc<dyn Disk> = Arc::new(disk);
    let options = LogOptions::new(STAMP);
    let (log, _writer, _) =
        Log::open_driven(Path::new("/log"), options, shared.clone(), Arc::new(NoObserver)).expect("a log");
    let opened = open("/index".into(), shared, STAMP, LIMITS, &log).expect("an index");
    assert_eq!(opened.state.applied, Some(saved));
    assert!(opened.dropped.is_empty());
    assert_eq!(opened.state.parts().count(), model.state.parts().count());
}

#[test]
fn an_index_that_is_gone_is_made_again() {
    let (node, model) = grown(3);
    for name in node.disk.list(Path::new("/index")).expect("a folder") {
        node.disk
            .unlink(&Path::new("/index").join(name))
            .expect("it is gone");
    }
    let node = node.restart();
    check(&node, &model);
}

#[test]
fn a_snapshot_brings_everything_but_the_records() {
    let (mut node, mut model) = grown(3);
    let entry = model.cut(1).expect("two parts to cut");
    node.commit(&entry);
    node.keep(usize::MAX);
    let snapshot = node.index.snapshot().expect("it reads").expect("there was a cut");
    assert_eq!(snapshot.checkpoint.applied, model.state.cut);
    assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot.clone()));

    // A follower that has nothing: the snapshot, then the log from there.
    let mut follower = Node::open(MemoryDisk::new());
    let at = snapshot.checkpoint.applied.expect("a position");
    follower.install(snapshot);
    for stored in node
        .log
        .read(at.index + 1, u64::MAX, usize::MAX)
        .expect("it reads")
    {
        follower.commit(&Entry::decode(stored.bytes).expect("a whole entry"));
    }
    check(&follower, &model);
    let follower = follower.restart();
    check(&follower, &model);
}

#[test]
fn a_bad_state_as_of_the_cut_is_refused_when_the_log_before_it_is_gone() {
    let (mut node, mut model) = grown(3);
    let entry = model.cut(1).expect("two parts to cut");
    node.commit(&entry);
    node.keep(usize::MAX);
    let path = Path::new("/index").join(CUT);
    let file = node.disk.open(&path).expect("it is there");
    let mut byte = [0];
    file.read_at(&mut byte, 9).expect("it reads");
    file.write_at(&[byte[0] ^ 1], 9).expect("it is written");
    let shared: Arc<dyn Disk> = Arc::new(node.disk.clone());
    let error = open("/index".into(), shared, STAMP, LIMITS, &node.log)
        .err()
        .expect("it is refused");
    for words in ["/index/cut", "start the node with --rebuild"] {
        assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
    }
}
