//! What a control will do, said before it is done: "leaves 1 of 3: no quorum". Pure functions.

use std::cmp::Ordering;

use super::standing::{Census, Standing};
use crate::{
    service::NodeAction,
    view::NodeView,
    words::{count_word, list},
};

/// The controls a node offers as it stands; those of a running one, or *start*.
pub fn offered(node: &NodeView) -> &'static [NodeAction] {
    if node.live || node.process.is_running() {
        &[NodeAction::Stop, NodeAction::Restart, NodeAction::Kill]
    } else {
        &[NodeAction::Start]
    }
}

/// The word on a control.
pub fn word(action: NodeAction) -> &'static str {
    match action {
        NodeAction::Start => "start",
        NodeAction::Stop => "stop",
        NodeAction::Kill => "kill",
        NodeAction::Restart => "restart",
    }
}

/// The word while it is being done.
pub fn doing(action: NodeAction) -> &'static str {
    match action {
        NodeAction::Start => "starting",
        NodeAction::Stop => "stopping",
        NodeAction::Kill => "killing",
        NodeAction::Restart => "restarting",
    }
}

/// What the action on this node comes to, in one sentence or two.
pub fn consequence(action: NodeAction, node: &NodeView, census: &Census) -> String {
    let id = &node.id;
    match action {
        NodeAction::Start => after_start(id, census),
        NodeAction::Stop => {
            let hands_over =
                Standing::of(node) == Standing::Leader && left_without(id, census) >= census.majority();
            let leadership = if hands_over { ", hands leadership over" } else { "" };
            format!(
                "SIGTERM: {id} flushes{leadership} and ends. {}",
                leaves(id, census)
            )
        }
        NodeAction::Kill => {
            let election =
                if Standing::of(node) == Standing::Leader && left_without(id, census) >= census.majority() {
                    " The others elect a new leader."
                } else {
                    ""
                };
            format!("SIGKILL: {id} ends at once. {}{election}", leaves(id, census))
        }
        NodeAction::Restart => format!("Ends {id} and starts it again; it replays its log and catches up."),
    }
}

/// What starting the missing nodes comes to.
pub fn consequence_of_start_all(census: &Census) -> String {
    let missing = census.missing();
    if missing.is_empty() {
        return match census.configured.len() {
            1 => "The one node is running.".to_owned(),
            count => format!("All {} nodes are running.", count_word(count)),
        };
    }
    format!("Starts {}.", list(&missing))
}

/// What stopping every node comes to.
pub fn consequence_of_stop_all(census: &Census) -> String {
    format!(
        "SIGTERM: {} flush and end. Nothing acknowledged is lost.",
        list(&census.running)
    )
}

fn left_without(id: &str, census: &Census) -> usize {
    census.alive.iter().filter(|alive| *alive != id).count()
}

fn leaves(id: &str, census: &Census) -> String {
    let (left, size) = (left_without(id, census), census.configured.len());
    match left.cmp(&census.majority()) {
        Ordering::Less => format!("Leaves {left} of {size}: no quorum."),
        Ordering::Equal => format!("Leaves {left} of {size}; no further one may fail."),
        Ordering::Greater => format!("Leaves {left} of {size}."),
    }
}

fn after_start(id: &str, census: &Census) -> String {
    let (with, size) = (left_without(id, census) + 1, census.configured.len());
    if census.has_quorum() {
        format!("Starts {id}. It catches up: {with} of {size}.")
    } else if with >= census.majority() {
        format!("Starts {id}. That is {with} of {size}: a majority.")
    } else {
        format!(
            "Starts {id}. That is {with} of {size}; {} make a majority.",
            census.majority()
        )
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::Role;

    use super::*;
    use crate::cluster::fixture::{cluster, gone, live};

    fn told(action: NodeAction, nodes: &[NodeView], id: &str) -> String {
        let view = cluster(nodes);
        let node = view.node(id).cloned().unwrap_or_default();
        consequence(action, &node, &Census::of(&view))
    }

    #[test]
    fn killing_the_leader_of_three_is_borne_once() {
        let nodes = [
            live("n1", Role::Follower, 7),
            live("n2", Role::Leader, 7),
            live("n3", Role::Follower, 7),
        ];
        assert_eq!(
            told(NodeAction::Kill, &nodes, "n2"),
            "SIGKILL: n2 ends at once. Leaves 2 of 3; no further one may fail. The others elect a new leader."
        );
        let nodes = [
            live("n1", Role::Follower, 7),
            live("n2", Role::Leader, 7),
            gone("n3", true),
        ];
        assert_eq!(
            told(NodeAction::Kill, &nodes, "n2"),
            "SIGKILL: n2 ends at once. Leaves 1 of 3: no quorum."
        );
    }

    #[test]
    fn a_leader_hands_over_only_where_somebody_can_take_it() {
        let nodes = [
            live("n1", Role::Follower, 7),
            live("n2", Role::Leader, 7),
            gone("n3", true),
        ];
        assert!(!told(NodeAction::Stop, &nodes, "n2").contains("hands leadership over"));
        let nodes = [
            live("n1", Role::Follower, 7),
            live("n2", Role::Leader, 7),
            live("n3", Role::Follower, 7),
        ];
        assert!(told(NodeAction::Stop, &nodes, "n2").contains("hands leadership over"));
    }

    #[test]
    fn starting_says_whether_it_is_enough() {
        let alone = [live("n1", Role::Candidate, 7), gone("n2", true), gone("n3", true)];
        assert_eq!(
            told(NodeAction::Start, &alone, "n2"),
            "Starts n2. That is 2 of 3: a majority."
        );
        let none = [gone("n1", true), gone("n2", true), gone("n3", true)];
        assert_eq!(
            told(NodeAction::Start, &none, "n2"),
            "Starts n2. That is 1 of 3; 2 make a majority."
        );
    }

    #[test]
    fn a_running_node_is_not_offered_a_start() {
        assert_eq!(offered(&gone("n1", true)), [NodeAction::Start]);
        assert!(!offered(&live("n1", Role::Follower, 1)).contains(&NodeAction::Start));
    }
}
