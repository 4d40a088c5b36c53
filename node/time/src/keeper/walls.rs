//! Which wall clocks agree, and which the majority contradicts.

use super::{Keeper, News, Now, TOLERANCE_NS, View};
use crate::{Interval, marzullo::agreement};

impl Keeper {
    /// Which wall clocks agree.
    pub(super) fn compares_walls(&self, now: &Now) -> View {
        let own = Interval::around(0, TOLERANCE_NS);
        let walls: Vec<(Option<usize>, Interval)> = std::iter::once((None, own))
            .chain(self.peers.iter().enumerate().filter_map(|(place, peer)| {
                let offset = peer.is_fresh(now.mono_ns).then(|| peer.wall_offset(now))??;
                Some((Some(place), offset.widened(TOLERANCE_NS)))
            }))
            .collect();
        let voting = walls.iter().filter(|(of, _)| self.votes(*of).is_voter());
        let counted: Vec<Interval> = voting.map(|wall| wall.1).collect();
        let agreement = agreement(&counted).map(|found| found.0).filter(|found| {
            let touches = |of: Option<usize>| {
                let wall = walls.iter().find(|wall| wall.0 == of);
                wall.is_some_and(|wall| wall.1.touches(*found))
            };
            self.is_majority(touches)
        });
        let falsetickers = walls.iter().filter_map(|(of, wall)| {
            let agreed = agreement?;
            let off_ns = wall.middle().saturating_sub(agreed.middle());
            (!wall.touches(agreed)).then_some((*of, off_ns))
        });
        let others = self.peers.iter().filter(|peer| peer.votes.is_voter()).count();
        View {
            voters: others + usize::from(self.is_voter()),
            heard: counted.len(),
            agreement,
            falsetickers: falsetickers.collect(),
        }
    }

    pub(super) fn tells_falsetickers(&mut self, before: &[(Option<usize>, i64)]) {
        let is_in =
            |list: &[(Option<usize>, i64)], of: Option<usize>| list.iter().any(|(place, _)| *place == of);
        for (place, off_ns) in &self.view.falsetickers {
            if !is_in(before, *place) {
                let (name, off_ns) = (self.name_of(*place), *off_ns);
                self.news.push(News::Outvoted { name, off_ns });
            }
        }
        for (place, _) in before {
            if !is_in(&self.view.falsetickers, *place) {
                let is_heard = place.is_none_or(|place| {
                    self.last
                        .is_some_and(|last| self.peers[place].is_fresh(last.mono_ns))
                });
                if is_heard && self.view.agreement.is_some() {
                    let name = self.name_of(*place);
                    self.news.push(News::AgreesAgain { name });
                }
            }
        }
    }
}
