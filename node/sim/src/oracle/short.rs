//! Short histories for `stateright`'s linearizability tester: an independent judge, which searches, of stretches of
//! operations on each topic.
//!
//! A stretch begins with the records that the log is known to hold by then, and with every publish that is under way and
//! not among them; so whatever takes effect later is in it.

use std::collections::BTreeMap;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use crate::{count::Count, world::World};

/// Operations of one stretch; the search grows with them.
const OPERATIONS: usize = 24;

/// Between two stretches so many are passed over, as the search takes most of the time.
const PASSED_OVER: usize = 176;

/// Operations without an end can stand anywhere: with more of them the search takes too long.
const OPEN: usize = 3;

/// Something a client does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Publish(String),
    /// A strong read by this reader.
    Read(usize),
}

/// A topic, as far as its offsets tell: a publish adds one, a read sees them all.
#[derive(Clone, Debug, Default)]
struct Counter(u64);

impl SequentialSpec for Counter {
    type Op = Operation;
    type Ret = u64;

    fn invoke(&mut self, op: &Operation) -> u64 {
        if matches!(op, Operation::Publish(_)) {
            self.0 += 1;
        }
        self.0
    }
}

#[derive(Default)]
pub(super) struct Histories(BTreeMap<String, History>);

/// One topic's stretch. Every operation is a thread of its own, as one client's publishes overlap.
#[derive(Default)]
struct History {
    tester: LinearizabilityTester<usize, Counter>,
    begun: usize,
    /// Under way, by thread where they are part of the stretch.
    open: BTreeMap<Operation, Option<usize>>,
    /// Never to end.
    without_end: usize,
}

impl History {
    fn invoke(&mut self, operation: &Operation) -> usize {
        let thread = self.begun;
        drop(self.tester.on_invoke(thread, operation.clone()));
        thread
    }
}

impl Histories {
    pub(super) fn begin(&mut self, topic: &str, operation: Operation) {
        let history = self.0.entry(topic.to_owned()).or_default();
        let thread = (history.begun < OPERATIONS).then(|| history.invoke(&operation));
        history.begun += 1;
        history.open.insert(operation, thread);
    }

    /// What ends after the last operation of a stretch has begun may have seen more than is in it, so its result says
    /// nothing there.
    pub(super) fn end(&mut self, topic: &str, operation: &Operation, offset: u64) {
        if let Some(history) = self.0.get_mut(topic)
            && let Some(Some(thread)) = history.open.remove(operation)
        {
            if history.begun <= OPERATIONS {
                drop(history.tester.on_return(thread, offset));
            } else {
                history.without_end += 1;
            }
        }
    }

    /// A read without an answer saw nothing; its reader may read again.
    pub(super) fn forget(&mut self, topic: &str, operation: &Operation) {
        if let Some(history) = self.0.get_mut(topic)
            && let Some(Some(_)) = history.open.remove(operation)
        {
            history.without_end += 1;
        }
    }

    /// Judges every stretch that is over, and begins the next one. `known` is how many records of a topic the log is known
    /// to hold, `None` where that cannot be told just now; `held` says whether an operation's record is among them.
    pub(super) fn judge(
        &mut self,
        world: &World,
        held: impl Fn(&Operation) -> bool,
        known: impl Fn(&str) -> Option<u64>,
    ) {
        for (topic, history) in &mut self.0 {
            if history.begun < OPERATIONS + PASSED_OVER {
                continue;
            }
            let Some(known) = known(topic) else { continue };
            // A read under way may have seen what was before, and changes nothing.
            let may_come = |open: &&Operation| matches!(open, Operation::Publish(_)) && !held(open);
            let open: Vec<Operation> = history.open.keys().filter(may_come).cloned().collect();
            if open.len() > OPEN {
                continue;
            }
            check(world, topic, history);
            *history = History {
                tester: LinearizabilityTester::new(Counter(known)),
                ..History::default()
            };
            for operation in open {
                let thread = history.invoke(&operation);
                history.begun += 1;
                history.open.insert(operation, Some(thread));
            }
        }
    }

    pub(super) fn check(&self, world: &World) {
        for (topic, history) in &self.0 {
            check(world, topic, history);
        }
    }
}

fn check(world: &World, topic: &str, history: &History) {
    let open = history.open.values().filter(|thread| thread.is_some()).count();
    if open + history.without_end > OPEN {
        return;
    }
    world.count(Count::ShortHistory);
    if !history.tester.is_consistent() {
        world.fail(format!(
            "operations on {topic} are not linearizable: {:?}",
            history.tester
        ));
    }
}
