//! Short histories for `stateright`'s linearizability tester: an independent judge, which searches, of the first
//! operations on each topic.

use std::collections::BTreeMap;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use crate::{count::Count, world::World};

/// Operations of one topic that are judged; the search grows with them.
const OPERATIONS: usize = 24;

/// Operations without an end can stand anywhere: with more of them the search takes too long.
const OPEN: usize = 6;

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

/// Every operation is a thread of its own, as one client's publishes overlap.
#[derive(Default)]
struct History {
    tester: LinearizabilityTester<usize, Counter>,
    begun: usize,
    open: BTreeMap<Operation, usize>,
    without_end: usize,
    closed: bool,
}

impl Histories {
    pub(super) fn begin(&mut self, topic: &str, operation: Operation) {
        let history = self.0.entry(topic.to_owned()).or_default();
        if history.begun == OPERATIONS {
            history.closed = true;
        }
        if history.closed {
            return;
        }
        let thread = history.begun;
        history.begun += 1;
        drop(history.tester.on_invoke(thread, operation.clone()));
        history.open.insert(operation, thread);
    }

    /// What ends after the history was closed may have seen more than is in it, so its result says nothing here.
    pub(super) fn end(&mut self, topic: &str, operation: &Operation, offset: u64) {
        if let Some(history) = self.0.get_mut(topic)
            && !history.closed
            && let Some(thread) = history.open.remove(operation)
        {
            drop(history.tester.on_return(thread, offset));
        }
    }

    /// A read without an answer saw nothing; its reader may read again.
    pub(super) fn forget(&mut self, topic: &str, operation: &Operation) {
        if let Some(history) = self.0.get_mut(topic)
            && history.open.remove(operation).is_some()
        {
            history.without_end += 1;
        }
    }

    pub(super) fn check(&self, world: &World) {
        for (topic, history) in &self.0 {
            if history.open.len() + history.without_end > OPEN {
                continue;
            }
            world.count(Count::ShortHistory);
            if !history.tester.is_consistent() {
                world.fail(format!(
                    "the first operations on {topic} are not linearizable: {:?}",
                    history.tester
                ));
            }
        }
    }
}
