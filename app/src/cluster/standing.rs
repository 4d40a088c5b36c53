//! How a node stands, and how many stand: the few facts that headline, rows and controls all speak of.
//! Pure functions of the picture.

use wiber_protocol::status::{Formation, Role};

use crate::view::{ClusterView, NodeView, ProcessState};

/// An ink, each with one meaning everywhere. The name is a CSS class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Quiet,
    Leader,
    Follower,
    Candidate,
    Committed,
    Alarm,
}

impl Ink {
    pub fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Quiet => "qq",
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Committed => "committed",
            Self::Alarm => "alarm",
        }
    }
}

/// How one node stands, from its process and from what it says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Leader,
    Follower,
    Candidate,
    /// Copies the log without a vote.
    Learner,
    /// Blank, and waiting for others before a cluster may form.
    Waiting,
    /// Blank, and asking a formed cluster to be taken in.
    Joining,
    /// The process runs and has said nothing yet.
    Starting,
    /// The process runs and its events have stopped.
    Silent,
    /// It does not run, and nobody expects it to.
    Stopped,
    /// It ended by itself.
    Gone,
}

impl Standing {
    pub fn of(node: &NodeView) -> Self {
        match (&node.status, node.live) {
            (Some(status), true) => match (&status.formation, status.role) {
                (Formation::Waiting { .. }, _) => Self::Waiting,
                (Formation::Joining, _) => Self::Joining,
                (Formation::Formed, Role::Leader) => Self::Leader,
                (Formation::Formed, Role::Follower) => Self::Follower,
                (Formation::Formed, Role::Candidate) => Self::Candidate,
                (Formation::Formed, Role::Learner) => Self::Learner,
            },
            _ => match node.process {
                ProcessState::Starting { .. } => Self::Starting,
                ProcessState::Running { .. } => Self::Silent,
                ProcessState::Stopped | ProcessState::Exited { expected: true, .. } => Self::Stopped,
                ProcessState::Exited { expected: false, .. } => Self::Gone,
            },
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Waiting => "waiting",
            Self::Joining => "joining",
            Self::Starting => "starting",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }

    pub fn ink(self) -> Ink {
        match self {
            Self::Leader => Ink::Leader,
            Self::Follower | Self::Learner | Self::Joining => Ink::Follower,
            Self::Candidate => Ink::Candidate,
            Self::Waiting | Self::Starting => Ink::Plain,
            Self::Stopped => Ink::Quiet,
            Self::Silent | Self::Gone => Ink::Alarm,
        }
    }
}

/// Who is there, and how many it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The nodes of the configuration, in its order.
    pub configured: Vec<String>,
    /// How many have a vote: as the leader says, or else as many as are configured.
    pub voters: usize,
    /// Those whose events arrive.
    pub alive: Vec<String>,
    /// Those with a process, whether or not it speaks yet.
    pub running: Vec<String>,
    pub leader: Option<String>,
    /// The highest term any live node is in.
    pub term: u64,
}

impl Census {
    pub fn of(view: &ClusterView) -> Self {
        Self::of_nodes(&view.nodes)
    }

    pub fn of_nodes(nodes: &[NodeView]) -> Self {
        let names = |keep: fn(&NodeView) -> bool| -> Vec<String> {
            nodes
                .iter()
                .filter(|node| keep(node))
                .map(|node| node.id.clone())
                .collect()
        };
        let live = || {
            nodes
                .iter()
                .filter(|node| node.live)
                .filter_map(|node| node.status.as_ref())
        };
        let leader = live()
            .filter(|status| status.role == Role::Leader)
            .max_by_key(|status| status.term);
        Self {
            configured: names(|_| true),
            voters: leader.map_or(nodes.len(), |leader| {
                1 + leader.peers.iter().filter(|peer| peer.voter).count()
            }),
            alive: names(|node| node.live),
            running: names(|node| node.live || node.process.is_running()),
            leader: leader.map(|leader| leader.id.clone()),
            term: live().map(|status| status.term).max().unwrap_or(0),
        }
    }

    /// The configured nodes that do not run.
    pub fn missing(&self) -> Vec<String> {
        self.configured
            .iter()
            .filter(|id| !self.running.contains(id))
            .cloned()
            .collect()
    }

    pub fn majority(&self) -> usize {
        self.voters / 2 + 1
    }

    pub fn has_quorum(&self) -> bool {
        self.voters > 0 && self.alive.len() >= self.majority()
    }

    /// How many more nodes may fail before nothing can be committed.
    pub fn spare(&self) -> usize {
        self.alive.len().saturating_sub(self.majority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{cluster, gone, live};

    #[test]
    fn a_node_stands_as_it_says_while_it_speaks_and_as_its_process_does_after() {
        assert_eq!(Standing::of(&live("n1", Role::Leader, 7)), Standing::Leader);
        assert_eq!(Standing::of(&gone("n1", true)), Standing::Stopped);
        assert_eq!(Standing::of(&gone("n1", false)), Standing::Gone);
        let mut silent = live("n1", Role::Leader, 7);
        silent.live = false;
        assert_eq!(Standing::of(&silent), Standing::Silent);
    }

    #[test]
    fn a_blank_node_is_never_shown_with_a_role() {
        let mut blank = live("n1", Role::Learner, 0);
        if let Some(status) = &mut blank.status {
            status.formation = Formation::Waiting {
                missing: vec!["n3".into()],
            };
        }
        assert_eq!(Standing::of(&blank), Standing::Waiting);
    }

    #[test]
    fn the_majority_is_of_the_voters_and_not_of_those_alive() {
        let census = Census::of(&cluster(&[
            live("n1", Role::Follower, 7),
            live("n2", Role::Leader, 7),
            gone("n3", false),
        ]));
        assert_eq!(
            (census.majority(), census.has_quorum(), census.spare()),
            (2, true, 0)
        );
        assert_eq!(census.missing(), ["n3"]);

        let alone = Census::of(&cluster(&[
            live("n1", Role::Candidate, 8),
            gone("n2", false),
            gone("n3", false),
        ]));
        assert!(!alone.has_quorum());
    }

    #[test]
    fn of_two_that_claim_to_lead_the_higher_term_leads() {
        let census = Census::of(&cluster(&[
            live("n1", Role::Leader, 6),
            live("n2", Role::Leader, 7),
            gone("n3", true),
        ]));
        assert_eq!(census.leader.as_deref(), Some("n2"));
        assert_eq!(census.term, 7);
    }

    #[test]
    fn nothing_configured_is_no_quorum() {
        assert!(!Census::default().has_quorum());
    }
}
