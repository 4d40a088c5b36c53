//! Was the bound honest? Where the truth is known (nodes on one machine read one clock, and what was injected is
//! known), each estimate is held against it. The last ones that this page saw are kept, a bounded number a pair.
//! Pure; the page feeds it.

use std::{collections::VecDeque, fmt::Write};

use wiber_protocol::status::ClockPeer;

use crate::{view::NodeView, words::grouped};

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    pub by: String,
    pub of: String,
    /// By the node's own count.
    pub checked: u64,
    pub inside: u64,
    /// What this page has seen, oldest first, at most [`SAMPLES`].
    pub samples: VecDeque<Sample>,
}

impl Pair {
    pub fn name(&self) -> String {
        format!("{} of {}", self.by, self.of)
    }
}

/// All pairs whose truth is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Honesty {
    pub pairs: Vec<Pair>,
}

impl Honesty {
    /// What is told now, with what was seen `before`; an answer that is known already is not taken twice.
    pub fn of(nodes: &[NodeView], before: Option<&Self>) -> Self {
        let mut pairs = Vec::new();
        for node in nodes {
            for peer in node.status.iter().flat_map(|status| &status.clock.peers) {
                if peer.truth_checked == 0 {
                    continue;
                }
                let seen = before.and_then(|before| before.pair(&node.id, &peer.id));
                let mut samples = seen.map(|pair| pair.samples.clone()).unwrap_or_default();
                if let Some(sample) = Sample::of(peer).filter(|_| node.live) {
                    take(&mut samples, sample);
                }
                pairs.push(Pair {
                    by: node.id.clone(),
                    of: peer.id.clone(),
                    checked: peer.truth_checked,
                    inside: peer.truth_inside,
                    samples,
                });
            }
        }
        Self { pairs }
    }

    pub fn pair(&self, by: &str, of: &str) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.by == by && pair.of == of)
    }

    /// All pairs in a sentence.
    pub fn verdict(&self) -> String {
        let checked: u64 = self.pairs.iter().map(|pair| pair.checked).sum();
        let inside: u64 = self.pairs.iter().map(|pair| pair.inside).sum();
        match (checked, checked.saturating_sub(inside)) {
            (0, _) => "The truth is known only of nodes that share one machine, and so one clock.".to_owned(),
            (_, 0) => format!(
                "Yes: in all {} estimates the truth lay within the bound.",
                grouped(checked)
            ),
            (_, outside) => format!(
                "Not always: in {} of {} estimates the truth lay outside the bound.",
                grouped(outside),
                grouped(checked)
            ),
        }
    }
}

fn take(samples: &mut VecDeque<Sample>, sample: Sample) {
    match samples.back() {
        Some(last) if last.answer == sample.answer => return,
        // The node has begun anew.
        Some(last) if last.answer > sample.answer => samples.clear(),
        _ => {}
    }
    if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(sample);
}

/// The place of an error on the strip, in percent.
pub fn strip_x(error: f64) -> f64 {
    50.0 + 50.0 * (error / STRIP_REACH).clamp(-1.0, 1.0)
}

/// The dots of those inside the bound, or of those outside, in a box of 100 by 100. A dot stays where it is.
pub fn dots(samples: &VecDeque<Sample>, inside: bool) -> String {
    let mut path = String::new();
    for sample in samples.iter().filter(|sample| sample.is_inside() == inside) {
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
    use crate::cluster::fixture::{clocks_agree, unsynchronised};

    fn answered(nodes: &mut [NodeView], answered: u64) {
        for node in nodes {
            for peer in node.status.iter_mut().flat_map(|status| &mut status.clock.peers) {
                peer.answered = answered;
            }
        }
    }

    fn seen(honesty: &Honesty) -> Vec<u64> {
        let pair = honesty.pair("n1", "n2").expect("its truth is known");
        pair.samples.iter().map(|sample| sample.answer).collect()
    }

    #[test]
    fn an_answer_is_taken_once_and_the_oldest_go_at_the_bound() {
        let mut nodes = clocks_agree();
        let mut honesty = Honesty::of(&nodes, None);
        assert_eq!(Honesty::of(&nodes, Some(&honesty)), honesty, "nothing new");
        for count in 600..700 {
            answered(&mut nodes, count);
            honesty = Honesty::of(&nodes, Some(&honesty));
        }
        let kept = seen(&honesty);
        assert_eq!((kept.len(), kept[0], kept[SAMPLES - 1]), (SAMPLES, 640, 699));
    }

    #[test]
    fn a_node_that_began_anew_is_not_held_against_its_past() {
        let mut nodes = clocks_agree();
        let before = Honesty::of(&nodes, None);
        answered(&mut nodes, 3);
        assert_eq!(seen(&Honesty::of(&nodes, Some(&before))), [3]);
    }

    #[test]
    fn the_verdict_counts_every_estimate() {
        let mut nodes = clocks_agree();
        let verdict = |nodes: &[NodeView]| Honesty::of(nodes, None).verdict();
        assert_eq!(
            verdict(&nodes),
            "Yes: in all 3,588 estimates the truth lay within the bound."
        );
        if let Some(status) = &mut nodes[0].status {
            status.clock.peers[0].truth_inside -= 2;
        }
        assert!(verdict(&nodes).starts_with("Not always: in 2 of 3,588"));
        assert!(verdict(&unsynchronised()).starts_with("The truth is known only"));
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
        assert_eq!(dots(&samples.into(), true), "M50.0 50h0");
        assert_eq!(dots(&samples.into(), false), "M87.5 80h0M100.0 35h0");
    }
}
