//! Promises that a simulation can have broken, one at a time, to prove that it would notice (`docs/simulation.md`).
//!
//! Without the feature `mutants` nothing can be switched on and the questions cost nothing.

/// A promise to break. Those that the simulated disk breaks by itself are not in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The leader takes an append for stored as soon as it is sent.
    AckBeforeQuorum,
    /// A publisher's id is taken for one that the node made, which is never looked for.
    DedupOff,
    /// A cut of the log keeps one entry too many.
    TruncateOffByOne,
    /// A snapshot is the state now and not as of the retention cut.
    SnapshotAtLastApplied,
    /// The leader's clock is its wall clock.
    AgeByWallClock,
    /// Cluster time is said to be known ten times better than it is.
    BoundTooSmall,
    /// A group's record is handed out whatever became of it while that was put in the log.
    HandOutUnchecked,
    /// A checkpoint leaves out what a group did before an earlier record.
    AcksNotInCheckpoint,
    /// A checkpoint knows nothing of ids that the window has forgotten.
    ForgottenNotInCheckpoint,
}

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static BROKEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Breaks a promise in all nodes of this thread, or none.
    pub fn break_promise(mutant: Option<Mutant>) {
        BROKEN.set(mutant);
    }

    pub fn is_broken(mutant: Mutant) -> bool {
        BROKEN.get() == Some(mutant)
    }
}

#[cfg(not(feature = "mutants"))]
mod switch {
    use super::Mutant;

    pub const fn is_broken(_: Mutant) -> bool {
        false
    }
}

pub use switch::*;
