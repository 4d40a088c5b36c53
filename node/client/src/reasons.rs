//! Why nothing came of asking the nodes, as one sentence.
//!
//! The node that was asked last is seldom the one that knows what is wrong: without a majority it is often a dead one,
//! while one that lives has said that it knows no leader. So every node is kept in mind with what asking it came to, and
//! what was said stands before who did not answer, and that before who cannot be reached.

use std::{collections::BTreeMap, fmt};

use wiber_protocol::line::Reply;

use crate::link::Failure;

/// What asking one node came to, if not to what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It answered: it lives, and says why not.
    Said(String),
    /// It did not answer in time, though it may have been asked.
    Silent(String),
    /// It was not asked, as it cannot be connected to.
    Unreached(String),
}

impl Reason {
    /// What an answer says of the cluster, in words.
    pub(crate) fn said(line: &str) -> Self {
        Self::Said(match Reply::parse(line) {
            Some(Reply::NotLeader) => "no leader is known".to_owned(),
            Some(Reply::TimeoutWaitingCommit) => "not committed in time".to_owned(),
            Some(Reply::Redirect { host, port }) => format!("cannot reach the leader at {host}:{port}"),
            Some(Reply::Unavailable { reason: text } | Reply::Refused { text }) => text.to_owned(),
            _ => format!("answered `{line}`"),
        })
    }

    pub(crate) fn no_answer_in_time() -> Self {
        Self::Silent("no answer in time".to_owned())
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(reason) => Self::Unreached(reason),
            Failure::Lost(reason) => Self::Silent(reason),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Said(text) | Self::Silent(text) | Self::Unreached(text)) = self;
        f.write_str(text)
    }
}

/// What every node that was asked last came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    /// By position.
    nodes: BTreeMap<usize, Noted>,
}

#[derive(Clone, Debug)]
struct Noted {
    /// Of the last attempt that may have taken effect.
    open: Option<Reason>,
    last: Reason,
}

/// What stands first in the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Why it is not known what was done.
    Open,
    Said,
    Silent,
    Unreached,
}

impl Noted {
    fn rank(&self) -> Rank {
        match (&self.open, &self.last) {
            (Some(_), _) => Rank::Open,
            (None, Reason::Said(_)) => Rank::Said,
            (None, Reason::Silent(_)) => Rank::Silent,
            (None, Reason::Unreached(_)) => Rank::Unreached,
        }
    }

    fn text(&self) -> String {
        match &self.open {
            Some(open) if *open != self.last => format!("{open}, then {}", self.last),
            _ => self.last.to_string(),
        }
    }
}

impl Reasons {
    /// This node did nothing, for this reason.
    pub(crate) fn note(&mut self, node: usize, reason: Reason) {
        let open = self.nodes.remove(&node).and_then(|noted| noted.open);
        self.nodes.insert(node, Noted { open, last: reason });
    }

    /// This node may have done it, and for this reason that is not known.
    pub(crate) fn note_open(&mut self, node: usize, reason: Reason) {
        let open = Some(reason.clone());
        self.nodes.insert(node, Noted { open, last: reason });
    }

    /// Whether any of the nodes can be connected to.
    pub(crate) fn is_any_reached(&self) -> bool {
        self.nodes.values().any(|noted| noted.rank() < Rank::Unreached)
    }

    /// What was is no more: something was done since.
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
    }

    /// The same, but what may have been done counts on: not all of that is settled.
    pub(crate) fn keep_open(&mut self) {
        self.nodes.retain(|_, noted| noted.open.is_some());
    }

    /// Nodes with the same reason are named together. Where any of them told more, those that cannot be reached are only
    /// named; where none did, it is said how each could not be.
    pub(crate) fn in_words<'a>(&self, name: impl Fn(usize) -> &'a str) -> String {
        if self.nodes.is_empty() {
            return "no time was given".to_owned();
        }
        let is_told_more = self.is_any_reached();
        let mut parts: Vec<(Rank, String, Vec<&str>)> = Vec::new();
        for (node, noted) in &self.nodes {
            let rank = noted.rank();
            let text = match rank {
                Rank::Unreached if is_told_more => "cannot be reached".to_owned(),
                _ => noted.text(),
            };
            let same = parts.iter_mut().find(|part| (part.0, &part.1) == (rank, &text));
            match same {
                Some((_, _, names)) => names.push(name(*node)),
                None => parts.push((rank, text, vec![name(*node)])),
            }
        }
        parts.sort_by_key(|part| part.0);
        let parts: Vec<String> = parts
            .into_iter()
            .map(|(_, text, names)| format!("{}: {text}", names.join(", ")))
            .collect();
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Reason {
        Reason::said(line)
    }

    fn lost() -> Reason {
        Reason::Silent("the node closed the connection".to_owned())
    }

    fn unreached(port: u16) -> Reason {
        Reason::Unreached(format!("cannot connect to 127.0.0.1:{port}: connection refused"))
    }

    /// Notes them in this order; nodes are counted from 1.
    fn check(noted: &[(usize, Reason)], expected: &str) {
        let mut reasons = Reasons::default();
        for (node, reason) in noted {
            reasons.note(*node, reason.clone());
        }
        assert_eq!(reasons.in_words(|node| ["", "n1", "n2", "n3"][node]), expected);
    }

    #[test]
    fn what_a_live_node_says_stands_before_who_is_dead_whoever_was_asked_last() {
        check(
            &[
                (1, said("ERR not_leader")),
                (2, unreached(9102)),
                (3, unreached(9103)),
            ],
            "n1: no leader is known; n2, n3: cannot be reached",
        );
        check(
            &[
                (2, unreached(9102)),
                (3, lost()),
                (1, said("ERR unavailable no majority answered")),
            ],
            "n1: no majority answered; n3: the node closed the connection; n2: cannot be reached",
        );
        check(
            &[
                (1, said("ERR not_leader")),
                (3, said("ERR not_leader")),
                (2, said("REDIRECT 127.0.0.1 9103")),
            ],
            "n1, n3: no leader is known; n2: cannot reach the leader at 127.0.0.1:9103",
        );
        check(
            &[
                (1, said("ERR cannot_read a sector")),
                (2, Reason::no_answer_in_time()),
                (3, said("PONG")),
            ],
            "n1: cannot_read a sector; n3: answered `PONG`; n2: no answer in time",
        );
    }

    #[test]
    fn where_no_node_answers_it_is_said_how_each_could_not_be_reached() {
        check(
            &[(1, unreached(9101)), (2, unreached(9102))],
            "n1: cannot connect to 127.0.0.1:9101: connection refused; \
             n2: cannot connect to 127.0.0.1:9102: connection refused",
        );
        check(&[], "no time was given");
    }

    #[test]
    fn a_node_is_told_as_it_was_last_and_what_is_open_before_all() {
        check(
            &[
                (1, said("ERR not_leader")),
                (2, unreached(9102)),
                (1, unreached(9101)),
                (2, lost()),
            ],
            "n2: the node closed the connection; n1: cannot be reached",
        );
        let mut reasons = Reasons::default();
        reasons.note(0, said("ERR not_leader"));
        reasons.note_open(1, Reason::no_answer_in_time());
        reasons.note_open(2, said("ERR timeout_waiting_commit"));
        reasons.note(1, unreached(9102));
        assert_eq!(
            reasons.in_words(|node| ["n1", "n2", "n3"][node]),
            "n2: no answer in time, then cannot connect to 127.0.0.1:9102: connection refused; \
             n3: not committed in time; n1: no leader is known"
        );
        reasons.keep_open();
        assert_eq!(
            reasons.in_words(|node| ["n1", "n2", "n3"][node]),
            "n2: no answer in time, then cannot connect to 127.0.0.1:9102: connection refused; \
             n3: not committed in time"
        );
        reasons.clear();
        assert_eq!(reasons.in_words(|_| ""), "no time was given");
    }
}
