//! Was the bound honest? Where the truth is known (nodes on one machine read one clock, and what was injected is
//! known), each estimate is held against it. The last ones that this page saw are kept, a bounded number a pair.
//! Pure; the page feeds it.

use std::{collections::VecDeque, fmt::Write};

use wiber_protocol::status::ClockPeer;

use crate::view::NodeView;

/// Estimates kept for each pair of nodes.
pub const SAMPLES: usize = 60;
/// An error of this many bounds, or more, is drawn at the edge of the strip.
pub const STRIP_REACH: f64 = 1.6;
/// The rows in which dots are scattered, so that equal ones do not hide each other.
const LANES: u64 = 5;

/// An estimate less the truth, in bounds: between −1 and 1 the bound was honest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub error: f64,
    /// Which answer of the peer it rests on; counts up.
    pub answer: u64,
}

impl Sample {
    pub fn is_inside(self) -> bool {
        self.error.abs() <= 1.0
    }

    /// The estimate that a node tells of now, if the truth is known.
    pub fn of(peer: &ClockPeer) -> Option<Self> {
        let (estimate_ms, bound_ms, truth_ms) = (peer.offset_ms?, peer.error_bound_ms?, peer.truth_ms?);
        let error_ms = estimate_ms - truth_ms;
        let error = if bound_ms > 0.0 {
            error_ms / bound_ms
        } else if error_ms == 0.0 {
            0.0
        } else {
            error_ms.signum() * f64::INFINITY
        };
        Some(Self {
            error,
            answer: peer.answered,
        })
    }
}

/// One node's estimates of another's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub of: String,
    pub by: String,
    /// Oldest first, at most [`SAMPLES`].
    pub samples: VecDeque<Sample>,
}

/// The estimates this page has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Honesty {
    pairs: Vec<Pair>,
}

impl Honesty {
    /// Takes in what is told now; an answer that is known already is not taken twice. Says whether there was
    /// anything new.
    pub fn take(&mut self, nodes: &[NodeView]) -> bool {
        let mut news = false;
        for node in nodes.iter().filter(|node| node.live) {
            for peer in node.status.iter().flat_map(|status| &status.clock.peers) {
                if let Some(sample) = Sample::of(peer) {
                    news |= self.take_one(&node.id, &peer.id, sample);
                }
            }
        }
        news
    }

    fn take_one(&mut self, by: &str, of: &str, sample: Sample) -> bool {
        let place = self.pairs.iter().position(|pair| pair.by == by && pair.of == of);
        let pair = match place {
            Some(place) => &mut self.pairs[place],
            None => {
                self.pairs.push(Pair {
                    of: of.into(),
                    by: by.into(),
                    samples: VecDeque::new(),
                });
                self.pairs.last_mut().expect("it was pushed just now")
            }
        };
        match pair.samples.back() {
            Some(last) if last.answer == sample.answer => return false,
            // The node has begun anew.
            Some(last) if last.answer > sample.answer => pair.samples.clear(),
            _ => {}
        }
        if pair.samples.len() == SAMPLES {
            pair.samples.pop_front();
        }
        pair.samples.push_back(sample);
        true
    }

    pub fn samples(&self, by: &str, of: &str) -> impl Iterator<Item = Sample> {
        self.pairs
            .iter()
            .find(|pair| pair.by == by && pair.of == of)
            .into_iter()
            .flat_map(|pair| pair.samples.iter().copied())
    }
}

/// The place of an error on the strip, in percent.
pub fn strip_x(error: f64) -> f64 {
    50.0 + 50.0 * (error / STRIP_REACH).clamp(-1.0, 1.0)
}

/// The dots of those inside the bound, or of those outside, in a box of 100 by 100. A dot stays where it is.
pub fn dots(samples: impl Iterator<Item = Sample>, inside: bool) -> String {
    let mut path = String::new();
    for sample in samples.filter(|sample| sample.is_inside() == inside) {
        #[expect(clippy::cast_precision_loss, reason = "one of a handful of lanes")]
        let y = 20.0 + 60.0 * (sample.answer * 2 % LANES) as f64 / (LANES - 1) as f64;
        // Writing to a string does not fail.
        let _ = write!(path, "M{:.1} {y:.0}h0", strip_x(sample.error));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::clocks_agree;

    fn answered(nodes: &mut [NodeView], answered: u64) {
        for node in nodes {
            for peer in node.status.iter_mut().flat_map(|status| &mut status.clock.peers) {
                peer.answered = answered;
            }
        }
    }

    #[test]
    fn an_answer_is_taken_once_and_the_oldest_go_at_the_bound() {
        let (mut honesty, mut nodes) = (Honesty::default(), clocks_agree());
        assert!(honesty.take(&nodes));
        assert!(!honesty.take(&nodes), "nothing new");
        for count in 600..700 {
            answered(&mut nodes, count);
            honesty.take(&nodes);
        }
        let kept: Vec<u64> = honesty.samples("n1", "n2").map(|sample| sample.answer).collect();
        assert_eq!((kept.len(), kept[0], kept[SAMPLES - 1]), (SAMPLES, 640, 699));
    }

    #[test]
    fn a_node_that_began_anew_is_not_held_against_its_past() {
        let (mut honesty, mut nodes) = (Honesty::default(), clocks_agree());
        honesty.take(&nodes);
        answered(&mut nodes, 3);
        honesty.take(&nodes);
        assert_eq!(honesty.samples("n1", "n2").count(), 1);
    }

    #[test]
    fn an_estimate_is_measured_in_its_own_bound() {
        let peer = |offset_ms, error_bound_ms| ClockPeer {
            offset_ms: Some(offset_ms),
            error_bound_ms: Some(error_bound_ms),
            truth_ms: Some(5.0),
            ..ClockPeer::default()
        };
        let told = |peer: &ClockPeer| Sample::of(peer).expect("the truth is known");
        assert!((told(&peer(5.1, 0.2)).error - 0.5).abs() < 1e-9);
        assert!(told(&peer(5.2, 0.201)).is_inside());
        assert!(!told(&peer(4.7, 0.2)).is_inside());
        assert!(told(&peer(5.0, 0.0)).is_inside(), "right, and sure of it");
        assert_eq!(Sample::of(&ClockPeer::default()), None);
    }

    #[test]
    fn dots_keep_their_place_and_tell_honest_from_not() {
        let samples = [(0.0, 1), (1.2, 2), (9.0, 3)].map(|(error, answer)| Sample { error, answer });
        assert_eq!(dots(samples.into_iter(), true), "M50.0 50h0");
        assert_eq!(dots(samples.into_iter(), false), "M87.5 80h0M100.0 35h0");
    }
}
