//! What the index's files still lack, and what waits in memory for it.

use std::sync::Arc;

use wiber_protocol::ids::LogId;

use super::{Part, SealedPart, State};

/// What the index's files still lack. Jobs are done in order, off the apply path.
#[derive(Clone, Debug)]
pub enum Job {
    /// Write a sealed part.
    Save(Arc<SealedPart>),
    /// Retention dropped everything up to `at`: keep the state as of there, then let go of the log and the parts below.
    /// There is one at most, the newest, and it stands first, because it makes room.
    Cut {
        at: LogId,
        /// The dropped parts that were in no file, oldest first. They need none any more.
        unsaved: Vec<Arc<SealedPart>>,
    },
}

impl Job {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Save(a), Self::Save(b)) => Arc::ptr_eq(a, b),
            (Self::Cut { at: a, .. }, Self::Cut { at: b, .. }) => a == b,
            _ => false,
        }
    }

    /// The parts that are held in memory for it, oldest first.
    pub fn parts(&self) -> &[Arc<SealedPart>] {
        match self {
            Self::Save(part) => std::slice::from_ref(part),
            Self::Cut { unsaved, .. } => unsaved,
        }
    }
}

impl State {
    /// The jobs that wait, and the first of them.
    pub fn jobs(&self) -> (usize, Option<&Job>) {
        (self.jobs.len(), self.jobs.front())
    }

    /// The parts that are held in memory for want of a file.
    pub fn unsaved(&self) -> impl Iterator<Item = &SealedPart> {
        self.jobs.iter().flat_map(Job::parts).map(|part| &**part)
    }

    /// A job is done. A saved part is read from its file from now on. Nothing happens if a snapshot replaced the state
    /// meanwhile, or a cut the job.
    pub fn job_done(&mut self, job: &Job) {
        let Some(at) = self.jobs.iter().position(|waiting| waiting.is(job)) else {
            return;
        };
        self.jobs.remove(at);
        if let Job::Save(saved) = job {
            let of_it = |part: &&mut Part| part.meta.first_index == saved.meta.first_index;
            if let Some(part) = self.parts.iter_mut().find(of_it) {
                part.unsaved = None;
            }
        }
    }

    /// A job that an earlier life of this node did not finish.
    pub fn resume(&mut self, job: Job) {
        self.jobs.push_front(job);
    }
}
