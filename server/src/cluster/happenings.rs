//! *What happened*, in words: sentences from a node's events and from the gateway's own deeds. Pure.
//!
//! A sentence names the node first and says the consequence where there is one. Only what changes who leads, who
//! lives and what a person may have to do becomes a sentence; the rest is in the trace.

use wiber_app::view::NodeView;
use wiber_protocol::{
    event::{EventKind, TraceEvent},
    status::{Formation, NodeStatus, Role},
};

/// Something the gateway did, or learned about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Started {
        pid: u32,
    },
    StartFailed {
        why: String,
    },
    /// A running process that this gateway did not start.
    Found {
        pid: u32,
        by_gateway: bool,
    },
    /// A process ended; `how` follows "was" where it was `expected`, and a colon where not.
    Ended {
        how: String,
        expected: bool,
    },
    /// A node on another machine can't be reached any more.
    Silent {
        host: String,
    },
}

/// One sentence, before it has a number and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) term: u64,
    pub(super) text: String,
    /// Whether a person should look.
    pub(super) alarm: bool,
}

/// The nodes as they stand when something happens.
pub(super) struct Scene<'a> {
    pub(super) nodes: Vec<&'a NodeView>,
}

impl Scene<'_> {
    pub(super) fn deed(&self, node: usize, deed: &Deed) -> Sentence {
        let id = &self.nodes[node].id;
        let say = |text: String, alarm: bool| Sentence {
            term: self.term(),
            text,
            alarm,
        };
        match deed {
            Deed::Started { pid } => say(format!("{id} was started (process {pid})."), false),
            Deed::StartFailed { why } => say(format!("{id} could not be started: {why}."), true),
            Deed::Found {
                pid,
                by_gateway: true,
            } => say(
                format!("{id} was found running (process {pid}); an earlier gateway had started it."),
                false,
            ),
            Deed::Found {
                pid,
                by_gateway: false,
            } => say(
                format!("{id} was found running (process {pid}), started by hand."),
                false,
            ),
            Deed::Ended { how, expected } => {
                let verb = if *expected {
                    format!("was {how}")
                } else {
                    format!("ended by itself: {how}")
                };
                let (left, no_majority) = self.left_without(node);
                say(
                    format!("{id} {verb}{}. {left}", self.while_leading(node)),
                    !expected || no_majority,
                )
            }
            Deed::Silent { host } => {
                let (left, _) = self.left_without(node);
                say(
                    format!(
                        "{id} no longer answers on {host}{}. {left}",
                        self.while_leading(node)
                    ),
                    true,
                )
            }
        }
    }

    /// The highest term that any node told of.
    fn term(&self) -> u64 {
        self.nodes
            .iter()
            .filter_map(|node| node.status.as_ref())
            .map(|status| status.term)
            .max()
            .unwrap_or(0)
    }

    fn while_leading(&self, node: usize) -> String {
        let led = self.nodes[node]
            .status
            .as_ref()
            .is_some_and(|status| status.role == Role::Leader && status.term == self.term());
        if led {
            format!(" while leading term {}", self.term())
        } else {
            String::new()
        }
    }

    /// How many are alive without this node, and whether that is too few.
    fn left_without(&self, gone: usize) -> (String, bool) {
        let others = self.nodes.iter().enumerate().filter(|(index, _)| *index != gone);
        let alive = others.filter(|(_, node)| node.process.is_running()).count();
        let all = self.nodes.len();
        let majority = all / 2 + 1;
        let text = match alive.cmp(&majority) {
            std::cmp::Ordering::Less => format!("{alive} of {all} alive: no majority."),
            std::cmp::Ordering::Equal => {
                format!("{alive} of {all} alive: no further failure could be borne.")
            }
            std::cmp::Ordering::Greater => format!("{alive} of {all} alive."),
        };
        (text, alive < majority)
    }
}

/// What a new status tells that the one before did not.
pub(super) fn of_status(before: Option<&NodeStatus>, after: &NodeStatus) -> Vec<Sentence> {
    let id = &after.id;
    let mut sentences = Vec::new();
    let mut say = |text: String, alarm: bool| {
        sentences.push(Sentence {
            term: after.term,
            text,
            alarm,
        });
    };
    let same_run = before.filter(|before| before.pid == after.pid);
    if same_run.is_some_and(|before| before.role == Role::Leader) && after.role != Role::Leader {
        say(format!("{id} no longer leads."), false);
    }
    if same_run.is_some_and(|before| before.cluster_id.is_none()) && after.cluster_id.is_some() {
        say(format!("{id} is a member of the cluster."), false);
    }
    let was_waiting = same_run.is_some_and(|before| is_waiting(&before.formation));
    let was_joining = same_run.is_some_and(|before| before.formation == Formation::Joining);
    match &after.formation {
        Formation::Waiting { missing } if is_waiting(&after.formation) && !was_waiting => {
            say(
                format!(
                    "{id} is blank and waits for {} to form a cluster.",
                    missing.join(", ")
                ),
                false,
            );
        }
        Formation::Joining if !was_joining => {
            say(
                format!("{id} is blank and asks the cluster to take it in under a new identity."),
                false,
            );
        }
        Formation::Waiting { .. } | Formation::Joining | Formation::Formed => {}
    }
    for warning in &after.warnings {
        if before.is_none_or(|before| !before.warnings.contains(warning)) {
            say(format!("{id} reports: {warning}"), true);
        }
    }
    sentences
}

/// Whether a blank node misses others.
fn is_waiting(formation: &Formation) -> bool {
    matches!(formation, Formation::Waiting { missing } if !missing.is_empty())
}

/// What a trace event means for a person, if it is one of the few that do. That a node follows is no news: who
/// leads is.
pub(super) fn of_event(event: &TraceEvent) -> Option<Sentence> {
    let id = &event.node;
    let detail = event
        .detail
        .as_deref()
        .map(str::trim)
        .filter(|detail| !detail.is_empty());
    let (text, alarm) = match event.kind {
        EventKind::Role => (
            format!("{id} {}", detail.filter(|detail| !detail.starts_with("follows"))?),
            false,
        ),
        EventKind::Vote => match event.peer.as_deref() {
            Some(peer) if peer != id => (format!("{id} voted for {peer} in term {}", event.term), false),
            _ => return None,
        },
        EventKind::Fault => (format!("{id}: {}", detail?), true),
        _ => return None,
    };
    let stop = if text.ends_with('.') { "" } else { "." };
    Some(Sentence {
        term: event.term,
        text: format!("{text}{stop}"),
        alarm,
    })
}

#[cfg(test)]
mod tests {
    use wiber_app::view::ProcessState;

    use super::*;

    fn node(id: &str, role: Role, process: ProcessState) -> NodeView {
        let status = NodeStatus {
            id: id.into(),
            role,
            term: 7,
            pid: 9,
            ..NodeStatus::default()
        };
        NodeView {
            id: id.into(),
            process,
            status: Some(status),
            ..NodeView::default()
        }
    }

    #[test]
    fn a_killed_leader_is_told_with_its_consequence() {
        let running = || ProcessState::Running {
            pid: 9,
            by_gateway: true,
        };
        let gone = || ProcessState::Exited {
            how: String::new(),
            at_ms: 0,
            expected: true,
        };
        let killed = Deed::Ended {
            how: "killed (SIGKILL, through the gateway)".into(),
            expected: true,
        };
        let n1 = node("n1", Role::Leader, running());
        let n2 = node("n2", Role::Follower, running());
        let n3 = node("n3", Role::Follower, running());
        let told = Scene {
            nodes: vec![&n1, &n2, &n3],
        }
        .deed(0, &killed);
        assert_eq!(
            told.text,
            "n1 was killed (SIGKILL, through the gateway) while leading term 7. 2 of 3 alive: no further failure could be borne."
        );
        assert_eq!((told.term, told.alarm), (7, false));

        let n3 = node("n3", Role::Follower, gone());
        let ended = Deed::Ended {
            how: "exit status 137".into(),
            expected: false,
        };
        let told = Scene {
            nodes: vec![&n1, &n2, &n3],
        }
        .deed(1, &ended);
        assert_eq!(
            told.text,
            "n2 ended by itself: exit status 137. 1 of 3 alive: no majority."
        );
        assert!(told.alarm);
    }

    #[test]
    fn a_blank_node_is_told_to_wait_once_and_to_be_a_member_once() {
        let waits = |missing: &[&str]| {
            let missing = missing.iter().map(|id| (*id).to_owned()).collect();
            NodeStatus {
                id: "n1".into(),
                formation: Formation::Waiting { missing },
                ..NodeStatus::default()
            }
        };
        let told = |before: &NodeStatus, after: &NodeStatus| -> Vec<String> {
            of_status(Some(before), after)
                .into_iter()
                .map(|sentence| sentence.text)
                .collect()
        };
        let two = waits(&["n2", "n3"]);
        assert_eq!(
            told(&waits(&[]), &two),
            ["n1 is blank and waits for n2, n3 to form a cluster."]
        );
        assert!(told(&two, &waits(&["n3"])).is_empty());
        let member = NodeStatus {
            cluster_id: Some(wiber_protocol::ids::ClusterId(7)),
            id: "n1".into(),
            ..NodeStatus::default()
        };
        assert_eq!(told(&two, &member), ["n1 is a member of the cluster."]);
        let restarted = NodeStatus {
            formation: waits(&[]).formation,
            ..member.clone()
        };
        assert!(told(&restarted, &member).is_empty(), "it was one before");
    }

    #[test]
    fn a_warning_is_told_once() {
        let before = NodeStatus {
            id: "n1".into(),
            ..NodeStatus::default()
        };
        let after = NodeStatus {
            warnings: vec!["n4 is in cluster.yaml only".into()],
            ..before.clone()
        };
        let told = of_status(Some(&before), &after);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].text, "n1 reports: n4 is in cluster.yaml only");
        assert_eq!(of_status(Some(&after), &after), []);
    }
}
