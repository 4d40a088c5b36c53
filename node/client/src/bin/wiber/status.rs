//! `wiber status`: what every node says about itself, a line each, as `etcdctl endpoint status -w table` does.

mod table;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use wiber_protocol::{
    config::NodeSpec,
    status::{NodeStatus, Role},
};

use crate::{
    board::{self, Board, Heard},
    cli,
    format::escaped,
    grid::Style,
    nodes::NodesOptions,
    output::{self, say},
    watch,
};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = cli::exit_codes!("if all nodes answered and there is a leader, or a watch was ended", "if not")
)]
pub(crate) struct StatusOptions {
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
#[derive(Clone, Copy, Debug, Serialize)]
struct NodeRow<'a> {
    id: &'a str,
    #[serde(serialize_with = "as_address")]
    address: &'a NodeSpec,
    #[serde(flatten)]
    answer: Answer<'a>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer<'a> {
    /// Why nothing is known of it, in a few words.
    Error(&'a str),
    Status(&'a NodeStatus),
}

fn address(spec: &NodeSpec) -> String {
    if spec.host.contains(':') {
        format!("[{}]:{}", spec.host, spec.port)
    } else {
        format!("{}:{}", spec.host, spec.port)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde calls")]
fn as_address<S: serde::Serializer>(spec: &&NodeSpec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&address(spec))
}

impl NodeRow<'_> {
    fn status(&self) -> Option<&NodeStatus> {
        match self.answer {
            Answer::Status(status) => Some(status),
            Answer::Error(_) => None,
        }
    }
}

/// In the order of the configuration.
fn rows<'a>(specs: &'a [NodeSpec], heard: &'a [Heard<NodeStatus>]) -> Vec<NodeRow<'a>> {
    let row = |(address, heard): (&'a NodeSpec, &'a Heard<NodeStatus>)| NodeRow {
        id: &heard.id,
        address,
        answer: match &heard.said {
            Ok(status) => Answer::Status(status),
            Err(reason) => Answer::Error(reason),
        },
    };
    specs.iter().zip(heard).map(row).collect()
}

/// Who leads: of two who say so, the one of the later term. A node that was not asked may lead, too.
fn leader<'a>(rows: &'a [NodeRow<'_>]) -> Option<&'a str> {
    let said = || rows.iter().filter_map(NodeRow::status);
    let leading = said()
        .filter(|status| status.role == Role::Leader)
        .max_by_key(|status| status.term);
    leading.map(|status| status.id.as_str()).or_else(|| {
        said()
            .filter_map(|status| status.leader.as_deref())
            .find(|name| rows.iter().all(|row| row.id != *name))
    })
}

fn troubles(rows: &[NodeRow<'_>]) -> Vec<String> {
    let unheard = rows.iter().filter_map(|row| match row.answer {
        Answer::Error(reason) => Some(format!("{}: {reason}", row.id)),
        Answer::Status(_) => None,
    });
    let leaderless = leader(rows).is_none().then(|| "there is no leader".to_owned());
    unheard.chain(leaderless).collect()
}

/// Whole lines.
fn write(rows: &[NodeRow<'_>], json: bool, style: Style) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        leader: Option<&'a str>,
        nodes: &'a [NodeRow<'a>],
    }
    Ok(if json {
        let leader = leader(rows);
        escaped(&serde_json::to_string(&Document { leader, nodes: rows })?) + "\n"
    } else {
        table::table(rows, style)
    })
}

pub(crate) fn run(options: &StatusOptions) -> ExitCode {
    let nodes = match options.nodes.resolve() {
        Ok(nodes) => nodes,
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(show(options, nodes)) {
        Ok(troubles) if troubles.is_empty() => ExitCode::SUCCESS,
        Ok(troubles) => cli::fail(troubles.join("; ")),
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// Gives what is wrong with the nodes; nothing where they were watched, as that changed meanwhile.
async fn show(options: &StatusOptions, specs: Vec<NodeSpec>) -> anyhow::Result<Vec<String>> {
    let style = output::style();
    // An address is no name that a node could be expected to call itself by.
    let mut board = Board::new(specs.clone(), options.nodes.addr.is_empty());
    let text = |heard: &[Heard<NodeStatus>]| write(&rows(&specs, heard), options.json, style);
    if options.watch {
        watch::watch(&mut board, !options.json, text).await?;
        return Ok(Vec::new());
    }
    board.refresh(board::ALL).await;
    say(&text(board.nodes())?)?;
    Ok(troubles(&rows(&specs, board.nodes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(id: &str) -> NodeSpec {
        NodeSpec {
            id: id.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 9101,
        }
    }

    fn heard(id: &str, role: Role, term: u64, leader: Option<&str>) -> Heard<NodeStatus> {
        Heard {
            id: id.to_owned(),
            said: Ok(NodeStatus {
                id: id.to_owned(),
                role,
                term,
                leader: leader.map(str::to_owned),
                ..NodeStatus::default()
            }),
        }
    }

    fn gone(id: &str) -> Heard<NodeStatus> {
        Heard {
            id: id.to_owned(),
            said: Err("connection refused".to_owned()),
        }
    }

    #[track_caller]
    fn check(heard: &[Heard<NodeStatus>], expected_leader: Option<&str>, expected: &[&str]) {
        let specs: Vec<NodeSpec> = heard.iter().map(|heard| spec(&heard.id)).collect();
        let rows = rows(&specs, heard);
        assert_eq!(leader(&rows), expected_leader);
        assert_eq!(troubles(&rows), expected);
    }

    #[test]
    fn a_node_that_is_silent_and_a_leader_that_is_missing_are_troubles() {
        let follower = |id, leader| heard(id, Role::Follower, 2, leader);
        check(
            &[
                heard("n1", Role::Leader, 2, Some("n1")),
                follower("n2", Some("n1")),
            ],
            Some("n1"),
            &[],
        );
        check(
            &[gone("n1"), follower("n2", Some("n1"))],
            None,
            &["n1: connection refused", "there is no leader"],
        );
        check(&[follower("n2", None)], None, &["there is no leader"]);
    }

    #[test]
    fn the_later_of_two_terms_has_the_leader_and_it_may_be_a_node_that_was_not_asked() {
        let old = heard("n1", Role::Leader, 2, Some("n1"));
        let new = heard("n2", Role::Leader, 3, Some("n2"));
        check(&[old, new], Some("n2"), &[]);
        check(&[heard("n2", Role::Follower, 3, Some("n1"))], Some("n1"), &[]);
    }

    #[test]
    fn the_document_has_an_error_or_a_status_for_each_node() {
        let specs = [spec("n1"), spec("n2")];
        let heard = [gone("n1"), heard("n2", Role::Leader, 3, Some("n2"))];
        let text = write(&rows(&specs, &heard), true, Style::default()).unwrap();
        assert!(text.ends_with("}\n") && text.lines().count() == 1);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["leader"], "n2");
        assert_eq!(
            document["nodes"][0],
            serde_json::json!({"id": "n1", "address": "127.0.0.1:9101", "error": "connection refused"})
        );
        let status: NodeStatus = serde_json::from_value(document["nodes"][1]["status"].clone()).unwrap();
        assert_eq!((status.role, status.term), (Role::Leader, 3));
    }
}
