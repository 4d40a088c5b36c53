//! The state of the world in one sentence, and a second one that says what it means. Pure functions; the
//! order of the cases is the order of what a person must know first.

use wiber_protocol::status::Formation;

use super::standing::{Census, Ink, Standing};
use crate::{
    view::NodeView,
    words::{count_word, count_word_capital, list, per_second},
};

/// A few words in one ink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub ink: Ink,
}

/// The headline: clauses set apart by dots, and the gloss below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headline {
    pub clauses: Vec<Vec<Piece>>,
    /// What is being committed: the one clause that changes all the time.
    pub pulse: Option<String>,
    pub gloss: String,
    /// Nothing runs, and starting the cluster is the one thing to do.
    pub invites_start: bool,
}

impl Headline {
    /// The sentence without its moving number, for the window's title and for a screen reader.
    pub fn spoken(&self) -> String {
        let clauses: Vec<String> = self
            .clauses
            .iter()
            .map(|clause| clause.iter().map(|piece| piece.text.as_str()).collect())
            .collect();
        clauses.join(" · ")
    }
}

/// The headline of these nodes.
pub fn headline(nodes: &[NodeView], records_per_s: f64) -> Headline {
    let census = Census::of_nodes(nodes);
    let mut headline = if census.configured.is_empty() {
        unknown()
    } else if census.running.is_empty() {
        nothing_runs(nodes, &census)
    } else if census.alive.is_empty() {
        nobody_speaks(nodes)
    } else if let (Some(leader), true) = (&census.leader, census.has_quorum()) {
        led(leader, nodes, &census, records_per_s)
    } else if census.leader.is_none()
        && let Some(missing) = waits_for(nodes)
    {
        forming(&missing, &census)
    } else if census.has_quorum() {
        electing(nodes, &census)
    } else {
        no_quorum(nodes, &census)
    };
    headline.invites_start = census.running.is_empty() && !census.configured.is_empty();
    headline
}

pub(crate) fn plain(text: impl Into<String>) -> Piece {
    Piece {
        text: text.into(),
        ink: Ink::Plain,
    }
}

pub(crate) fn inked(text: impl Into<String>, ink: Ink) -> Piece {
    Piece {
        text: text.into(),
        ink,
    }
}

fn alive_clause(census: &Census) -> Vec<Piece> {
    vec![plain(format!(
        "{} of {} alive",
        census.alive.len(),
        census.configured.len()
    ))]
}

pub(crate) fn unknown() -> Headline {
    Headline {
        clauses: vec![vec![plain("No nodes are known")]],
        gloss: "The gateway has not said which nodes there are.".into(),
        ..Headline::default()
    }
}

fn nothing_runs(nodes: &[NodeView], census: &Census) -> Headline {
    let ended = nodes.iter().any(|node| Standing::of(node) == Standing::Gone);
    let known = nodes.iter().any(|node| node.status.is_some());
    let all = match census.configured.len() {
        1 => "One node, and it does not run".to_owned(),
        count => format!("{} nodes, none of them running", count_word_capital(count)),
    };
    let clause = if ended {
        vec![inked("Everything is down.", Ink::Alarm), plain(" "), plain(all)]
    } else {
        vec![plain(all)]
    };
    let gloss = if known {
        "What was acknowledged is on their disks. Started again, they find each other and elect a leader."
    } else {
        "Started, they find each other, agree on who leads, and take messages. It takes about a second."
    };
    Headline {
        clauses: vec![clause],
        gloss: gloss.into(),
        ..Headline::default()
    }
}

pub(crate) fn nobody_speaks(nodes: &[NodeView]) -> Headline {
    let of = |standing: Standing| -> Vec<&str> {
        nodes
            .iter()
            .filter(|node| Standing::of(node) == standing)
            .map(|node| node.id.as_str())
            .collect()
    };
    let (starting, silent) = (of(Standing::Starting), of(Standing::Silent));
    if starting.is_empty() {
        let verb = if silent.len() == 1 {
            "runs and is silent"
        } else {
            "run and are silent"
        };
        return Headline {
            clauses: vec![vec![inked("No news.", Ink::Alarm), plain(format!(" {} {verb}", list(&silent)))]],
            gloss: "The processes are there, but their events do not arrive. What is shown is what they said last.".into(),
            ..Headline::default()
        };
    }
    Headline {
        clauses: vec![vec![plain(format!("Starting {}", list(&starting)))]],
        gloss: "They open their logs and look for each other.".into(),
        ..Headline::default()
    }
}

fn led(leader: &str, nodes: &[NodeView], census: &Census, records_per_s: f64) -> Headline {
    let joining: Vec<&str> = nodes
        .iter()
        .filter(|node| matches!(Standing::of(node), Standing::Joining | Standing::Learner))
        .map(|node| node.id.as_str())
        .collect();
    let mut gloss = match census.spare() {
        0 if census.voters == 1 => "It is alone: should it fail, there is nobody to go on.".to_owned(),
        0 => "No further node may fail: with one less there is no majority, and nothing can be committed."
            .to_owned(),
        1 => "Any one node may fail without losing a write.".to_owned(),
        spare => format!("Any {} nodes may fail without losing a write.", count_word(spare)),
    };
    if !joining.is_empty() {
        let clause = if joining.len() == 1 {
            "copies the log and has no vote yet"
        } else {
            "copy the log and have no vote yet"
        };
        gloss = format!("{gloss} {} {clause}.", list(&joining));
    }
    Headline {
        clauses: vec![
            vec![
                inked(leader, Ink::Leader),
                plain(format!(" leads term {}", census.term)),
            ],
            alive_clause(census),
        ],
        pulse: Some(if records_per_s > 0.0 {
            format!("committing {}", per_second(records_per_s))
        } else {
            "nothing to commit".to_owned()
        }),
        gloss,
        ..Headline::default()
    }
}

/// The nodes that blank ones wait for; empty if all are there and the cluster is being formed.
fn waits_for(nodes: &[NodeView]) -> Option<Vec<String>> {
    let mut missing: Option<Vec<String>> = None;
    for node in nodes.iter().filter(|node| node.live) {
        if let Some(Formation::Waiting { missing: theirs }) =
            node.status.as_ref().map(|status| &status.formation)
        {
            let all = missing.get_or_insert_default();
            all.extend(
                theirs
                    .iter()
                    .filter(|id| !all.contains(id))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
    }
    missing
}

fn forming(missing: &[String], census: &Census) -> Headline {
    let first = if missing.is_empty() {
        vec![plain("Forming a cluster")]
    } else {
        vec![plain(format!(
            "Waiting for {} before a cluster forms",
            list(missing)
        ))]
    };
    Headline {
        clauses: vec![first, alive_clause(census)],
        gloss:
            "A cluster forms only when every configured node answers that it is blank, so that two can never \
                be formed from one configuration."
                .into(),
        ..Headline::default()
    }
}

fn candidates(nodes: &[NodeView]) -> Vec<&str> {
    nodes
        .iter()
        .filter(|node| Standing::of(node) == Standing::Candidate)
        .map(|node| node.id.as_str())
        .collect()
}

fn electing(nodes: &[NodeView], census: &Census) -> Headline {
    let candidates = candidates(nodes);
    let clause = if candidates.is_empty() {
        vec![
            inked("No leader.", Ink::Candidate),
            plain(" An election is about to begin"),
        ]
    } else {
        let verb = if candidates.len() == 1 { "asks" } else { "ask" };
        vec![
            inked("No leader.", Ink::Candidate),
            plain(" "),
            inked(list(&candidates), Ink::Candidate),
            plain(format!(" {verb} for votes in term {}", census.term)),
        ]
    };
    Headline {
        clauses: vec![clause, alive_clause(census)],
        gloss: format!(
            "{} votes of {} decide. Publishes wait until there is a leader.",
            count_word_capital(census.majority()),
            count_word(census.voters)
        ),
        ..Headline::default()
    }
}

fn no_quorum(nodes: &[NodeView], census: &Census) -> Headline {
    let candidates = candidates(nodes);
    let alone = census.alive.len() == 1;
    let mut clause = vec![inked("No quorum.", Ink::Alarm), plain(" ")];
    if let Some(leader) = &census.leader {
        clause.extend([
            inked(leader, Ink::Leader),
            plain(format!(" leads term {} over too few", census.term)),
        ]);
    } else if candidates.is_empty() {
        let verb = if alone { "is alone" } else { "are too few" };
        clause.extend([
            inked(list(&census.alive), Ink::Follower),
            plain(format!(" {verb}")),
        ]);
    } else {
        let verb = match (candidates.len(), alone) {
            (_, true) => "asks alone",
            (1, _) => "asks in vain",
            _ => "ask in vain",
        };
        clause.extend([
            inked(list(&candidates), Ink::Candidate),
            plain(format!(" {verb}")),
        ]);
    }
    let needed = census.majority().saturating_sub(census.alive.len());
    let missing = census.missing();
    let remedy = match (needed, missing.len()) {
        (_, 0) => "The rest are starting.".to_owned(),
        (1, 1) => format!("One more is needed: start {}.", missing[0]),
        (1, _) => format!("One more is needed: starting {} is enough.", either(&missing)),
        (needed, _) => format!(
            "{} more are needed, of {}.",
            count_word_capital(needed),
            list(&missing)
        ),
    };
    Headline {
        clauses: vec![clause, alive_clause(census)],
        gloss: format!(
            "{remedy} Until then publishes are refused, and reads come from what {} applied, which may be stale.",
            if alone {
                format!("{} has", census.alive[0])
            } else {
                "those alive have".to_owned()
            }
        ),
        ..Headline::default()
    }
}

fn either(names: &[String]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.join(""),
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::Role;

    use super::*;
    use crate::{
        cluster::fixture::{blank, gone, live},
        view::ProcessState,
    };

    fn three(roles: [Role; 3], term: u64) -> Vec<NodeView> {
        ["n1", "n2", "n3"]
            .into_iter()
            .zip(roles)
            .map(|(id, role)| live(id, role, term))
            .collect()
    }

    #[test]
    fn a_healthy_cluster_says_who_leads_and_what_may_fail() {
        let headline = headline(
            &three([Role::Follower, Role::Leader, Role::Follower], 7),
            12_480.2,
        );
        assert_eq!(headline.spoken(), "n2 leads term 7 · 3 of 3 alive");
        assert_eq!(headline.pulse.as_deref(), Some("committing 12,480/s"));
        assert_eq!(headline.gloss, "Any one node may fail without losing a write.");
        assert_eq!(headline.clauses[0][0].ink, Ink::Leader);
    }

    #[test]
    fn with_one_gone_nothing_more_may_fail() {
        let nodes = [
            live("n1", Role::Leader, 8),
            live("n2", Role::Follower, 8),
            gone("n3", false),
        ];
        let headline = headline(&nodes, 0.0);
        assert_eq!(headline.spoken(), "n1 leads term 8 · 2 of 3 alive");
        assert_eq!(headline.pulse.as_deref(), Some("nothing to commit"));
        assert!(headline.gloss.starts_with("No further node may fail"));
    }

    #[test]
    fn no_quorum_comes_first_and_names_the_remedy() {
        let nodes = [
            live("n1", Role::Candidate, 7),
            gone("n2", false),
            gone("n3", false),
        ];
        let headline = headline(&nodes, 0.0);
        assert_eq!(headline.spoken(), "No quorum. n1 asks alone · 1 of 3 alive");
        assert!(
            headline
                .gloss
                .starts_with("One more is needed: starting n2 or n3 is enough.")
        );
        assert!(
            headline
                .gloss
                .ends_with("what n1 has applied, which may be stale.")
        );
        assert_eq!(headline.clauses[0][0].ink, Ink::Alarm);
    }

    #[test]
    fn a_leader_without_a_majority_is_no_quorum() {
        let nodes = [live("n1", Role::Leader, 7), gone("n2", false), gone("n3", false)];
        assert_eq!(
            headline(&nodes, 0.0).spoken(),
            "No quorum. n1 leads term 7 over too few · 1 of 3 alive"
        );
    }

    #[test]
    fn an_election_names_who_asks() {
        let nodes = [
            live("n1", Role::Candidate, 8),
            live("n2", Role::Follower, 7),
            gone("n3", false),
        ];
        let headline = headline(&nodes, 0.0);
        assert_eq!(
            headline.spoken(),
            "No leader. n1 asks for votes in term 8 · 2 of 3 alive"
        );
        assert_eq!(
            headline.gloss,
            "Two votes of three decide. Publishes wait until there is a leader."
        );
    }

    #[test]
    fn an_empty_cluster_invites_to_start_it() {
        let nodes = [blank("n1"), blank("n2"), blank("n3")];
        let headline = headline(&nodes, 0.0);
        assert_eq!(headline.spoken(), "Three nodes, none of them running");
        assert!(headline.invites_start);
    }

    #[test]
    fn all_dead_is_an_alarm_only_if_nobody_asked_for_it() {
        let killed = [gone("n1", false), gone("n2", true), gone("n3", true)];
        assert!(headline(&killed, 0.0).spoken().starts_with("Everything is down."));
        let stopped = [gone("n1", true), gone("n2", true), gone("n3", true)];
        assert_eq!(
            headline(&stopped, 0.0).spoken(),
            "Three nodes, none of them running"
        );
    }

    #[test]
    fn starting_names_the_nodes() {
        let starting = ["n1", "n2"].map(|id| NodeView {
            process: ProcessState::Starting { pid: 1 },
            ..blank(id)
        });
        assert_eq!(headline(&starting, 0.0).spoken(), "Starting n1 and n2");
    }

    #[test]
    fn forming_says_for_whom_it_waits() {
        let mut nodes = three([Role::Learner; 3], 0);
        for node in &mut nodes[..2] {
            if let Some(status) = &mut node.status {
                status.formation = Formation::Waiting {
                    missing: vec!["n3".into()],
                };
            }
        }
        nodes[2] = blank("n3");
        assert_eq!(
            headline(&nodes, 0.0).spoken(),
            "Waiting for n3 before a cluster forms · 2 of 3 alive"
        );
    }

    #[test]
    fn nothing_known_is_said_too() {
        assert_eq!(headline(&[], 0.0).spoken(), "No nodes are known");
    }
}
