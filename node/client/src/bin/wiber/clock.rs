//! `wiber clock`: what every node says about its clock and what it measures of the others', as a table.
//!
//! All nodes are asked at once and none is waited for longer than a second, as a table that hangs on the node that
//! is in trouble is of no use. Asking ([`board`]), drawing ([`render`]) and showing ([`watch`]) know nothing of each
//! other.

mod board;
mod grid;
mod matrix;
mod nodes;
mod render;
mod screen;
mod units;
mod watch;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use wiber_protocol::status::{ClockState, ClockStatus};

use self::{board::Board, grid::Style};
use crate::{cli, nodes::NodesOptions};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 if all nodes answered and are synchronised, or a watch was ended; 1 if not; \
                  2 if the command line or the configuration is wrong."
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
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::fail(format!("cannot start: {error}")),
    };
    // An address is no name that a node could be expected to call itself by.
    let board = Board::new(nodes, options.nodes.addr.is_empty());
    let shown = runtime.block_on(show(options, board));
    // A name that is being looked up cannot be hurried.
    runtime.shutdown_background();
    match shown {
        Ok(troubles) if troubles.is_empty() => ExitCode::SUCCESS,
        Ok(troubles) => cli::fail(troubles.join("; ")),
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// Gives what is wrong with the nodes; nothing where they were watched, as that changed meanwhile.
async fn show(options: &ClockOptions, mut board: Board) -> anyhow::Result<Vec<String>> {
    let on_terminal = io::stdout().is_terminal() && !is_set("TERM", |term| term == "dumb");
    let form = if options.json {
        Form::Json
    } else {
        Form::Table(Style {
            coloured: on_terminal && !is_set("NO_COLOR", |value| !value.is_empty()),
        })
    };
    if options.watch {
        watch::watch(&mut board, form, on_terminal).await?;
        return Ok(Vec::new());
    }
    board.refresh(board::ALL).await;
    say(&form.write(board.nodes())?)?;
    Ok(board.nodes().iter().filter_map(NodeClock::trouble).collect())
}

fn is_set(name: &str, counts: impl Fn(&std::ffi::OsStr) -> bool) -> bool {
    std::env::var_os(name).is_some_and(|value| counts(&value))
}

/// Writes all of it at once, so that a redrawn table does not flicker. False if nobody reads any more.
fn say(text: &str) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write"),
    }
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
