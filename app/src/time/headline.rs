//! What is known of time, in one sentence, and a second one that says what it means. Pure; the order of the cases
//! is the order of what a person must know first.

use super::clocks::{Against, Agreement, Clocks};
use crate::{
    cluster::{
        headline::{Headline, Piece, inked, nobody_speaks, plain, unknown},
        standing::{Census, Ink},
    },
    view::NodeView,
    words::{NBSP, ahead_of_or_behind, count_word, count_word_capital, list, within},
};

/// The headline of these clocks.
pub fn headline(nodes: &[NodeView], clocks: &Clocks) -> Headline {
    let census = Census::of_nodes(nodes);
    if census.configured.is_empty() {
        unknown()
    } else if census.running.is_empty() {
        nothing_runs(&census)
    } else if census.alive.is_empty() {
        nobody_speaks(nodes)
    } else if clocks.against != Against::ClusterTime && has_just_started(nodes) {
        measuring(clocks)
    } else if clocks.against != Against::ClusterTime {
        unsynchronised(clocks)
    } else if clocks.outvoted.is_empty() {
        agreed(nodes, clocks)
    } else {
        outvoted(nodes, clocks)
    }
}

/// A node that has run for less than this is not expected to know cluster time.
const STARTING_MS: u64 = 5_000;

fn has_just_started(nodes: &[NodeView]) -> bool {
    nodes
        .iter()
        .filter(|node| node.live)
        .filter_map(|node| node.status.as_ref())
        .any(|status| status.uptime_ms < STARTING_MS)
}

/// The largest bound that a synchronised node states: what holds for whichever of them one asks.
pub fn largest_bound_ms(nodes: &[NodeView]) -> Option<f64> {
    nodes
        .iter()
        .filter(|node| node.live)
        .filter_map(|node| node.status.as_ref()?.clock.error_bound_ms)
        .reduce(f64::max)
}

fn nothing_runs(census: &Census) -> Headline {
    let clause = match census.configured.len() {
        1 => "One clock, and its node does not run".to_owned(),
        count => format!(
            "{} clocks, and none of their nodes runs",
            count_word_capital(count)
        ),
    };
    Headline {
        clauses: vec![vec![plain(clause)]],
        gloss: "Nodes compare their clocks for as long as they run. Start the cluster, and within a second they know how far apart they are.".into(),
        ..Headline::default()
    }
}

fn known_to(nodes: &[NodeView]) -> Vec<Piece> {
    let bound = largest_bound_ms(nodes).map_or_else(|| "±".to_owned() + "?", within);
    vec![plain(format!("Cluster time is known to {bound}"))]
}

fn agreed(nodes: &[NodeView], clocks: &Clocks) -> Headline {
    let (agreeing, all) = (clocks.names(Agreement::Agrees).len(), clocks.clocks.len());
    let verb = if agreeing == 1 && all == 1 {
        "clock agrees"
    } else {
        "clocks agree"
    };
    let mut clauses = vec![
        known_to(nodes),
        vec![plain(format!("{agreeing} of {all} {verb}"))],
    ];
    let waiting = clocks.names(Agreement::Unsynchronised);
    if !waiting.is_empty() {
        clauses.push(vec![plain(format!(
            "{} not synchronised yet",
            with_verb(&waiting, "is", "are")
        ))]);
    }
    let away = clocks.names(Agreement::Away);
    let mut gloss = if all == 1 {
        "There is no other clock: cluster time is this machine’s.".to_owned()
    } else {
        "Consensus never asks what time it is. Only corrected_ts does, and it follows the clocks that agree."
            .to_owned()
    };
    if !away.is_empty() {
        let spare = agreeing.saturating_sub(clocks.majority());
        let warning = if spare == 0 {
            " One clock less, and there is no majority to follow."
        } else {
            ""
        };
        gloss = format!("{} away. {gloss}{warning}", with_verb(&away, "is", "are"));
    }
    Headline {
        clauses,
        gloss,
        ..Headline::default()
    }
}

fn outvoted(nodes: &[NodeView], clocks: &Clocks) -> Headline {
    let names: Vec<&str> = clocks.outvoted.iter().map(|one| one.id.as_str()).collect();
    let agreeing = clocks.names(Agreement::Agrees).len();
    let clause = if let [one] = &clocks.outvoted[..] {
        // The measurement itself, where there is one; the nearest allowed time is a little nearer.
        let off_ms = clocks
            .clock(&one.id)
            .and_then(|clock| clock.claim)
            .map_or(one.off_ms, |claim| claim.offset_ms);
        vec![
            inked(format!("{}’s clock is outvoted:", one.id), Ink::Alarm),
            plain(format!(
                " {} the {} that agree",
                ahead_of_or_behind(off_ms),
                count_word(agreeing)
            )),
        ]
    } else {
        vec![
            inked(format!("The clocks of {} are outvoted", list(&names)), Ink::Alarm),
            plain(format!(" by the {} that agree", count_word(agreeing))),
        ]
    };
    let reasons: Vec<&str> = names
        .iter()
        .filter_map(|id| clocks.clock(id)?.reason.as_deref())
        .collect();
    Headline {
        clauses: vec![clause, known_to(nodes)],
        gloss: format!(
            "{} corrected_ts follows the clocks that agree, on {} as well.",
            stopped(&reasons.join(" ")),
            list(&names)
        )
        .trim_start()
        .to_owned(),
        ..Headline::default()
    }
}

fn measuring(clocks: &Clocks) -> Headline {
    let teller = clocks.teller.as_deref().unwrap_or_default();
    Headline {
        clauses: vec![vec![plain(format!(
            "Measuring: {teller} hears {} of {} clocks so far",
            clocks.heard,
            clocks.clocks.len()
        ))]],
        gloss: "Nodes that have just started ask each other for the time; a few answers are enough.".into(),
        ..Headline::default()
    }
}

fn unsynchronised(clocks: &Clocks) -> Headline {
    let (heard, all) = (clocks.heard, clocks.clocks.len());
    let teller = clocks.teller.as_deref().unwrap_or_default();
    let rest = if heard >= clocks.majority() && heard > 1 {
        format!(" {teller} hears {heard} of {all} clocks, and no majority of them agrees")
    } else {
        format!(" {teller} hears {heard} of {all} clocks")
    };
    let reason = clocks
        .clock(teller)
        .and_then(|clock| clock.reason.as_deref())
        .unwrap_or_default();
    Headline {
        clauses: vec![vec![inked("Unsynchronised:", Ink::Alarm), plain(rest)]],
        gloss: format!(
            "{} Until a majority of clocks agrees, nothing bounds the error of corrected_ts. Order and safety do not depend on it.",
            stopped(reason)
        )
        .trim_start()
        .to_owned(),
        ..Headline::default()
    }
}

fn with_verb(names: &[&str], one: &str, many: &str) -> String {
    format!(
        "{}{NBSP}{}",
        list(names),
        if names.len() == 1 { one } else { many }
    )
}

/// A node's sentence, with its full stop and its capital.
fn stopped(sentence: &str) -> String {
    let sentence = sentence.trim();
    if sentence.is_empty() {
        return String::new();
    }
    let stop = if sentence.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{sentence}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{blank, clocks_agree, gone, one_outvoted, unsynchronised};

    fn told(nodes: &[NodeView]) -> (String, String) {
        let headline = headline(nodes, &Clocks::of(nodes));
        (headline.spoken().replace(NBSP, " "), headline.gloss)
    }

    #[test]
    fn clocks_that_agree_are_told_with_the_largest_bound() {
        assert_eq!(
            told(&clocks_agree()).0,
            "Cluster time is known to ± 14 µs · 3 of 3 clocks agree"
        );
    }

    #[test]
    fn an_outvoted_clock_is_named_with_its_distance_and_its_reason() {
        let (clause, gloss) = told(&one_outvoted());
        assert_eq!(
            clause,
            "n3’s clock is outvoted: 5.000 s ahead of the two that agree · Cluster time is known to ± 14 µs"
        );
        assert!(gloss.contains("n3 is 5.000 s ahead of"), "{gloss}");
    }

    #[test]
    fn nodes_that_have_just_started_are_no_alarm() {
        let mut nodes = unsynchronised();
        if let Some(status) = &mut nodes[0].status {
            status.uptime_ms = 900;
        }
        assert_eq!(told(&nodes).0, "Measuring: n1 hears 1 of 3 clocks so far");
    }

    #[test]
    fn a_lone_node_says_how_few_it_hears() {
        let (clause, gloss) = told(&unsynchronised());
        assert_eq!(clause, "Unsynchronised: n1 hears 1 of 3 clocks");
        assert!(gloss.starts_with("Too few clocks answer."), "{gloss}");
    }

    #[test]
    fn a_clock_that_is_away_is_named_and_what_it_means() {
        let mut nodes = clocks_agree();
        nodes[2].live = false;
        let (clause, gloss) = told(&nodes);
        assert_eq!(clause, "Cluster time is known to ± 13 µs · 2 of 3 clocks agree");
        assert!(
            gloss.starts_with("n3\u{a0}is away.") && gloss.ends_with("no majority to follow."),
            "{gloss}"
        );
    }

    #[test]
    fn where_nothing_runs_nothing_is_claimed() {
        assert_eq!(told(&[]).0, "No nodes are known");
        assert_eq!(
            told(&[blank("n1"), blank("n2"), gone("n3", true)]).0,
            "Three clocks, and none of their nodes runs"
        );
        let mut silent = gone("n1", true);
        silent.process = crate::view::ProcessState::Running {
            pid: 7,
            by_gateway: true,
        };
        assert!(told(&[silent]).0.starts_with("No news."));
    }
}
