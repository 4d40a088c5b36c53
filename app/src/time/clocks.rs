//! What the nodes say of their clocks, put together: who agrees, who is outvoted, and where each clock stands
//! against cluster time. Pure.
//!
//! Each node speaks for itself where it can. For what it can't say (it is not synchronised, or gone), and for who
//! is outvoted, one node is asked: the *teller*, the leader unless its own clock is in doubt. So the picture is
//! never a mixture of two nodes' opinions.

use wiber_protocol::status::{
    ClockPeer, ClockState, ClockStatus, Falseticker, OffsetRange, ProbeState, Role,
};

use crate::{cluster::standing::Standing, view::NodeView};

/// What the offsets of a [`Clock`] are counted from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Against {
    /// No live node has measured anything.
    #[default]
    Nothing,
    ClusterTime,
    /// There is no cluster time: this node's own clock stands in for it.
    ClockOf(String),
}

/// How a clock stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Agreement {
    /// It is one of the majority that agrees.
    Agrees,
    /// The majority contradicts it.
    Outvoted,
    /// Its node runs, and nobody knows yet whether it agrees.
    #[default]
    Unsynchronised,
    /// Its node does not speak.
    Away,
}

impl Agreement {
    pub fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Outvoted => "outvoted",
            Self::Unsynchronised => "not synchronised",
            Self::Away => "away",
        }
    }
}

/// An offset and the half-width of the interval around it that holds the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    pub offset_ms: f64,
    pub bound_ms: f64,
}

impl Claim {
    fn of(offset_ms: Option<f64>, bound_ms: Option<f64>) -> Option<Self> {
        Some(Self {
            offset_ms: offset_ms?,
            bound_ms: bound_ms?,
        })
    }

    pub fn from_ms(self) -> f64 {
        self.offset_ms - self.bound_ms
    }

    pub fn to_ms(self) -> f64 {
        self.offset_ms + self.bound_ms
    }

    /// How far from zero it reaches.
    pub fn reach_ms(self) -> f64 {
        self.offset_ms.abs() + self.bound_ms
    }
}

/// One node's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    pub id: String,
    pub agreement: Agreement,
    pub claim: Option<Claim>,
    /// Whether the claim is the teller's measurement, not the node's own word.
    pub is_hearsay: bool,
    /// Where the claim should be, as far as what was injected tells.
    pub truth_ms: Option<f64>,
    /// Why it is outvoted, or not synchronised; one sentence of a node's.
    pub reason: Option<String>,
}

/// All clocks, as one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clocks {
    /// In the order of the configuration.
    pub clocks: Vec<Clock>,
    pub against: Against,
    pub teller: Option<String>,
    /// Clocks whose nodes run and which a majority contradicts.
    pub outvoted: Vec<Falseticker>,
    /// Where the majority of agreeing clocks lies.
    pub agreement: Option<OffsetRange>,
    /// How far from the truth a clock may be and still agree.
    pub tolerance_ms: f64,
    /// How many clocks the teller hears, its own among them.
    pub heard: usize,
}

impl Clocks {
    pub fn of(nodes: &[NodeView]) -> Self {
        let Some((teller, told)) = teller(nodes) else {
            let clocks = nodes.iter().map(|node| clock_of(node, None)).collect();
            return Self {
                clocks,
                ..Self::default()
            };
        };
        let base_ms = told.offset_ms.filter(|_| told.state == ClockState::Synchronised);
        let view = Told {
            teller: &teller.id,
            clock: told,
            base_ms,
        };
        Self {
            clocks: nodes.iter().map(|node| clock_of(node, Some(&view))).collect(),
            against: match base_ms {
                Some(_) => Against::ClusterTime,
                None => Against::ClockOf(teller.id.clone()),
            },
            teller: Some(teller.id.clone()),
            outvoted: outvoted(nodes, told),
            agreement: told.agreement.map(|range| {
                let base_ms = base_ms.unwrap_or(0.0);
                OffsetRange {
                    from_ms: range.from_ms + base_ms,
                    to_ms: range.to_ms + base_ms,
                }
            }),
            tolerance_ms: told.tolerance_ms,
            heard: 1 + heard(told),
        }
    }

    /// The names of the clocks that stand so.
    pub fn names(&self, agreement: Agreement) -> Vec<&str> {
        self.clocks
            .iter()
            .filter(|clock| clock.agreement == agreement)
            .map(|clock| clock.id.as_str())
            .collect()
    }

    pub fn clock(&self, id: &str) -> Option<&Clock> {
        self.clocks.iter().find(|clock| clock.id == id)
    }

    pub fn is_outvoted(&self, id: &str) -> bool {
        self.outvoted.iter().any(|false_one| false_one.id == id)
    }

    pub fn majority(&self) -> usize {
        self.clocks.len() / 2 + 1
    }
}

/// The teller's words.
struct Told<'a> {
    teller: &'a str,
    clock: &'a ClockStatus,
    /// The teller's clock against cluster time, where there is one.
    base_ms: Option<f64>,
}

/// The node that speaks for all: a synchronised one before another, one that does not doubt its own clock, one
/// that hears more than half, the leader; then the first.
fn teller(nodes: &[NodeView]) -> Option<(&NodeView, &ClockStatus)> {
    let rank = |node: &NodeView, clock: &ClockStatus| {
        (
            clock.state == ClockState::Synchronised,
            !clock.falsetickers.iter().any(|false_one| false_one.id == node.id),
            (1 + heard(clock)).min(nodes.len() / 2 + 1),
            node.live_role() == Some(Role::Leader),
        )
    };
    nodes
        .iter()
        .rev()
        .filter(|node| node.live)
        .filter_map(|node| Some((node, &node.status.as_ref()?.clock)))
        .max_by_key(|(node, clock)| rank(node, clock))
}

fn heard(clock: &ClockStatus) -> usize {
    let answers = |peer: &&ClockPeer| matches!(peer.state, ProbeState::Good | ProbeState::False);
    clock.peers.iter().filter(answers).count()
}

/// Those that the teller names, if their nodes run: of one that is gone there is nothing more to say.
fn outvoted(nodes: &[NodeView], told: &ClockStatus) -> Vec<Falseticker> {
    let runs = |id: &str| nodes.iter().any(|node| node.id == id && node.live);
    told.falsetickers
        .iter()
        .filter(|false_one| runs(&false_one.id))
        .cloned()
        .collect()
}

fn clock_of(node: &NodeView, told: Option<&Told<'_>>) -> Clock {
    let own = node.status.as_ref().map(|status| &status.clock);
    let live = own.filter(|_| node.live);
    let is_teller = told.is_some_and(|told| told.teller == node.id);
    let measured = told.and_then(|told| told.clock.peers.iter().find(|peer| peer.id == node.id));
    let false_one = told.and_then(|told| told.clock.falsetickers.iter().find(|one| one.id == node.id));
    let base_ms = told.and_then(|told| told.base_ms);
    // Its own word counts only where all speak of the same: cluster time.
    let by_itself = live
        .filter(|own| own.state == ClockState::Synchronised && base_ms.is_some())
        .and_then(|own| Claim::of(own.offset_ms, own.error_bound_ms));
    let by_teller = if is_teller && base_ms.is_none() {
        Claim::of(Some(0.0), Some(0.0))
    } else {
        measured.and_then(|peer| {
            let offset_ms = peer.offset_ms? + base_ms.unwrap_or(0.0);
            Claim::of(Some(offset_ms), peer.error_bound_ms)
        })
    };
    let agreement = match live {
        None => Agreement::Away,
        Some(_) if false_one.is_some() => Agreement::Outvoted,
        Some(own) if own.state == ClockState::Synchronised => Agreement::Agrees,
        Some(_) if base_ms.is_some() && measured.is_some_and(|peer| peer.state == ProbeState::Good) => {
            Agreement::Agrees
        }
        Some(_) => Agreement::Unsynchronised,
    };
    let reason = match agreement {
        Agreement::Outvoted => false_one.map(|one| one.reason.clone()),
        Agreement::Unsynchronised => live.and_then(|own| own.reason.clone()),
        Agreement::Agrees | Agreement::Away => None,
    };
    Clock {
        id: node.id.clone(),
        agreement,
        is_hearsay: by_itself.is_none() && by_teller.is_some() && !is_teller,
        claim: by_itself.or(by_teller),
        truth_ms: live
            .filter(|own| injected(own).is_some())
            .and(measured)
            .and_then(|peer| peer.truth_ms)
            .map(|truth_ms| truth_ms + base_ms.unwrap_or(0.0)),
        reason: reason.filter(|reason| !reason.is_empty()),
    }
}

/// What was really added to a clock.
pub fn injected(clock: &ClockStatus) -> Option<wiber_protocol::status::InjectedFault> {
    clock.injected.filter(|fault| {
        [fault.skew_ms, fault.drift_ppm, fault.offset_ms]
            .iter()
            .any(|part| *part != 0.0)
    })
}

/// Which of these nodes' names one has to be told about: how a clock stands, in the words of the cluster page.
pub fn standing_word(node: &NodeView, agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Away => Standing::of(node).word(),
        other => other.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{blank, clocks_agree, gone, live, one_outvoted, unsynchronised};

    #[test]
    fn nodes_that_agree_speak_for_themselves() {
        let clocks = Clocks::of(&clocks_agree());
        assert_eq!(clocks.against, Against::ClusterTime);
        assert_eq!(clocks.teller.as_deref(), Some("n2"), "the leader");
        assert_eq!(clocks.names(Agreement::Agrees), ["n1", "n2", "n3"]);
        assert!(clocks.clocks.iter().all(|clock| !clock.is_hearsay));
        assert!(clocks.outvoted.is_empty());
        assert!(clocks.agreement.is_some());
    }

    #[test]
    fn an_outvoted_clock_has_its_reason_and_its_truth() {
        let clocks = Clocks::of(&one_outvoted());
        assert_eq!(clocks.names(Agreement::Outvoted), ["n3"]);
        let n3 = clocks.clock("n3").expect("it is configured");
        assert!(n3.reason.as_deref().is_some_and(|reason| !reason.is_empty()));
        let (claim, truth_ms) = (n3.claim.expect("measured"), n3.truth_ms.expect("injected"));
        assert!(
            claim.from_ms() <= truth_ms && truth_ms <= claim.to_ms(),
            "{claim:?} {truth_ms}"
        );
    }

    #[test]
    fn a_leader_that_is_outvoted_is_not_asked() {
        let mut nodes = one_outvoted();
        nodes.rotate_left(2);
        for (node, role) in nodes
            .iter_mut()
            .zip([Role::Leader, Role::Follower, Role::Follower])
        {
            if let Some(status) = &mut node.status {
                status.role = role;
            }
        }
        let clocks = Clocks::of(&nodes);
        assert_eq!(clocks.teller.as_deref(), Some("n1"));
        assert_eq!(clocks.names(Agreement::Outvoted), ["n3"]);
    }

    #[test]
    fn without_cluster_time_one_nodes_clock_stands_in() {
        let clocks = Clocks::of(&unsynchronised());
        assert_eq!(clocks.against, Against::ClockOf("n1".into()));
        assert_eq!(clocks.heard, 1);
        let own = clocks.clock("n1").and_then(|clock| clock.claim);
        assert_eq!(
            own,
            Some(Claim {
                offset_ms: 0.0,
                bound_ms: 0.0
            })
        );
    }

    #[test]
    fn a_node_that_is_gone_is_away_whatever_was_said_of_it() {
        let mut nodes = one_outvoted();
        nodes[2].live = false;
        let clocks = Clocks::of(&nodes);
        assert_eq!(clocks.names(Agreement::Away), ["n3"]);
        assert!(clocks.outvoted.is_empty());
    }

    #[test]
    fn what_was_never_measured_is_not_claimed() {
        let clocks = Clocks::of(&[blank("n1"), gone("n2", false)]);
        assert_eq!((clocks.against, clocks.teller), (Against::Nothing, None));
        assert!(clocks.clocks.iter().all(|clock| clock.claim.is_none()));
        let older = Clocks::of(&[live("n1", Role::Leader, 1)]);
        assert_eq!(older.heard, 1);
        assert_eq!(older.names(Agreement::Unsynchronised), ["n1"]);
    }
}
