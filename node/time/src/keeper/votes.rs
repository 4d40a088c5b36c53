//! Whose clocks make a majority: the same nodes that decide in Raft, in every one of its voter sets.

use super::{Bound, Keeper};

/// Which voter sets a node belongs to. There are two while members change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes(u8);

/// The most voter sets that are told apart.
const MOST_SETS: usize = 8;

impl Votes {
    /// One flag for each voter set.
    pub fn of(is_in: impl IntoIterator<Item = bool>) -> Self {
        let flags = is_in.into_iter().take(MOST_SETS).enumerate();
        Self(flags.fold(0, |votes, (set, is_in)| votes | (u8::from(is_in) << set)))
    }

    pub fn is_voter(self) -> bool {
        self.0 != 0
    }

    fn is_in(self, set: usize) -> bool {
        self.0 >> set & 1 == 1
    }
}

/// A vote in the one set there is, or none.
impl From<bool> for Votes {
    fn from(is_voter: bool) -> Self {
        Self::of([is_voter])
    }
}

/// A steady course of a node ([`None`] is this one): how far it is away at most, and until when it is promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) of: Option<usize>,
    pub(super) reach_ns: i64,
    pub(super) ends_ns: i64,
}

impl Keeper {
    pub(super) fn votes(&self, of: Option<usize>) -> Votes {
        of.map_or(self.votes, |place| self.peers[place].votes)
    }

    pub(super) fn is_voter(&self) -> bool {
        self.votes.is_voter()
    }

    /// The size of each voter set.
    fn set_sizes(&self) -> impl Iterator<Item = (usize, usize)> {
        let size = |set: usize| self.everybody().filter(|of| self.votes(*of).is_in(set)).count();
        (0..MOST_SETS)
            .map(move |set| (set, size(set)))
            .filter(|(_, size)| *size > 0)
    }

    fn everybody(&self) -> impl Iterator<Item = Option<usize>> {
        std::iter::once(None).chain((0..self.peers.len()).map(Some))
    }

    /// Whether those for which `holds` are a majority of every voter set. Without a voter there is none.
    pub(super) fn is_majority(&self, holds: impl Fn(Option<usize>) -> bool) -> bool {
        let mut sets = self.set_sizes().peekable();
        sets.peek().is_some()
            && sets.all(|(set, size)| {
                let of_set = self.everybody().filter(|of| self.votes(*of).is_in(set));
                of_set.filter(|of| holds(*of)).count() > size / 2
            })
    }

    /// The distance within which a majority of every voter set lies, and until when that many are promised.
    pub(super) fn majority_within(&self, mut all: Vec<Away>) -> Option<Bound> {
        all.sort_unstable_by_key(|away| away.reach_ns);
        let mut worst = Bound {
            ns: 0,
            until_ns: i64::MAX,
            ends_ns: i64::MAX,
        };
        let mut sets = self.set_sizes().peekable();
        sets.peek()?;
        for (set, size) in sets {
            let of_set = all.iter().filter(|away| self.votes(away.of).is_in(set));
            let ns = of_set.clone().nth(size / 2)?.reach_ns;
            let mut ends: Vec<i64> = of_set
                .filter(|away| away.reach_ns <= ns)
                .map(|away| away.ends_ns)
                .collect();
            ends.sort_unstable_by_key(|ends_ns| std::cmp::Reverse(*ends_ns));
            worst.ns = worst.ns.max(ns);
            worst.ends_ns = worst.ends_ns.min(*ends.get(size / 2)?);
        }
        Some(worst)
    }
}
