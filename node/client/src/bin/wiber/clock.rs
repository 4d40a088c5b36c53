//! `wiber clock`: what every node says about its clock and what it measures of the others', as a table.
//!
//! All nodes are asked at once and none is waited for longer than a second, as a table that hangs on the node that
//! is in trouble is of no use. Asking ([`crate::board`]), drawing ([`render`]) and showing ([`crate::watch`]) know nothing
//! of each other.

mod matrix;
mod nodes;
mod render;

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use wiber_protocol::status::{ClockState, ClockStatus};

use crate::{
    board::{self, Account, Board, Heard},
    cli,
    grid::Style,
    nodes::NodesOptions,
    output::{self, say},
    watch,
};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = cli::exit_codes!("if all nodes answered and are synchronised, or a watch was ended", "if not")
)]
pub(crate) struct ClockOptions {
    /// Go on until Ctrl-C: in place on a terminal, else a new table each second
    #[arg(long)]
    watch: bool,
    /// Say it as JSON, one document a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nodes: NodesOptions,
}

/// A node and what came of asking it. Serialised, it is an element of `nodes` in the JSON document.
#[derive(Clone, Debug, Serialize)]
struct NodeClock {
    id: String,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// Why nothing is known of its clock, in a few words.
    Error(String),
    Clock(Box<ClockStatus>),
}

/// The parts of `/status` that are wanted, so that a node of another version can be read, too.
#[derive(Deserialize)]
struct Said {
    id: String,
    clock: Box<ClockStatus>,
}

impl Account for Said {
    fn id(&self) -> &str {
        &self.id
    }
}

impl From<&Heard<Said>> for NodeClock {
    fn from(heard: &Heard<Said>) -> Self {
        Self {
            id: heard.id.clone(),
            answer: match &heard.said {
                Ok(said) => Answer::Clock(said.clock.clone()),
                Err(reason) => Answer::Error(reason.clone()),
            },
        }
    }
}

fn clocks(heard: &[Heard<Said>]) -> Vec<NodeClock> {
    heard.iter().map(NodeClock::from).collect()
}

impl NodeClock {
    /// What keeps this node's time from being relied on.
    fn trouble(&self) -> Option<String> {
        match &self.answer {
            Answer::Error(reason) => Some(format!("{}: {reason}", self.id)),
            Answer::Clock(clock) if clock.state != ClockState::Synchronised => {
                Some(format!("{}: {}", self.id, clock.state.as_str()))
            }
            Answer::Clock(_) => None,
        }
    }
}

/// How the answers are written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Table(Style),
}

impl Form {
    /// Whole lines.
    fn write(self, nodes: &[NodeClock]) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            nodes: &'a [NodeClock],
        }
        Ok(match self {
            Self::Table(style) => render::render(nodes, style),
            Self::Json => serde_json::to_string(&Document { nodes })? + "\n",
        })
    }
}

pub(crate) fn run(options: &ClockOptions) -> ExitCode {
    let nodes = match options.nodes.resolve() {
        Ok(nodes) => nodes,
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    // An address is no name that a node could be expected to call itself by.
    let board = Board::new(nodes, options.nodes.addr.is_empty());
    match cli::block_on(show(options, board)) {
        Ok(troubles) if troubles.is_empty() => ExitCode::SUCCESS,
        Ok(troubles) => cli::fail(troubles.join("; ")),
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// Gives what is wrong with the nodes; nothing where they were watched, as that changed meanwhile.
async fn show(options: &ClockOptions, mut board: Board<Said>) -> anyhow::Result<Vec<String>> {
    let form = if options.json {
        Form::Json
    } else {
        Form::Table(output::style())
    };
    if options.watch {
        watch::watch(&mut board, !options.json, |heard| form.write(&clocks(heard))).await?;
        return Ok(Vec::new());
    }
    board.refresh(board::ALL).await;
    let nodes = clocks(board.nodes());
    say(&form.write(&nodes)?)?;
    Ok(nodes.iter().filter_map(NodeClock::trouble).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, answer: Answer) -> NodeClock {
        NodeClock {
            id: id.to_owned(),
            answer,
        }
    }

    #[test]
    fn a_node_is_in_trouble_until_it_says_that_it_is_synchronised() {
        let clock = |state| {
            Answer::Clock(Box::new(ClockStatus {
                state,
                ..ClockStatus::default()
            }))
        };
        let trouble = |answer| node("n1", answer).trouble();
        assert_eq!(trouble(clock(ClockState::Synchronised)), None);
        assert_eq!(
            trouble(clock(ClockState::Unsynchronised)).unwrap(),
            "n1: unsynchronised"
        );
        assert_eq!(
            trouble(Answer::Error("timed out".to_owned())).unwrap(),
            "n1: timed out"
        );
    }

    #[test]
    fn the_document_has_an_error_or_a_clock_for_each_node() {
        let nodes = [
            node("n1", Answer::Error("connection refused".to_owned())),
            node("n2", Answer::Clock(Box::default())),
        ];
        let text = Form::Json.write(&nodes).unwrap();
        assert!(text.ends_with("}\n") && text.lines().count() == 1);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            document["nodes"][0],
            serde_json::json!({"id": "n1", "error": "connection refused"})
        );
        assert_eq!(document["nodes"][1]["id"], "n2");
        let clock: ClockStatus = serde_json::from_value(document["nodes"][1]["clock"].clone()).unwrap();
        assert_eq!(clock, ClockStatus::default());
    }
}
