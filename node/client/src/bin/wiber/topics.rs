//! `wiber topics`: the topics as the leader has them.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use wiber_protocol::{
    config::NodeSpec,
    status::{NodeStatus, Role, STATUS_TOPICS, TopicStatus},
};

use crate::{
    board::{self, Board},
    cli,
    format::escaped,
    grid::{Cell, Column, FAINT, Style, grid},
    nodes::NodesOptions,
    output::{self, say},
};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 if the leader told its topics; 1 if not; 2 if the command line or the configuration is \
                  wrong."
)]
pub(crate) struct TopicsOptions {
    /// Say it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nodes: NodesOptions,
}

// A number is aligned only if another column follows it.
const COLUMNS: [Column; 5] = [
    Column::text("topic"),
    Column::number("high watermark"),
    Column::number("log start"),
    Column::number("bytes"),
    Column::text(""),
];

pub(crate) fn run(options: &TopicsOptions) -> ExitCode {
    let nodes = match options.nodes.resolve() {
        Ok(nodes) => nodes,
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(show(options.json, nodes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn show(json: bool, nodes: Vec<NodeSpec>) -> anyhow::Result<()> {
    let mut board = Board::<NodeStatus>::new(nodes, false);
    board.refresh(board::ALL).await;
    let leader = board
        .nodes()
        .iter()
        .filter_map(|heard| heard.said.as_ref().ok())
        .filter(|status| status.role == Role::Leader)
        .max_by_key(|status| status.term)
        .context("none of the nodes asked leads")?;
    let text = if json {
        document(&leader.topics, leader.topic_count)?
    } else {
        table(&leader.topics, leader.topic_count, output::style())
    };
    say(&text).map(|_| ())
}

fn document(topics: &[TopicStatus], topic_count: u64) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        /// Of all topics, listed or not.
        topic_count: u64,
        topics: &'a [TopicStatus],
    }
    Ok(escaped(&serde_json::to_string(&Document { topic_count, topics })?) + "\n")
}

fn table(topics: &[TopicStatus], topic_count: u64, style: Style) -> String {
    if topics.is_empty() {
        return "no topics\n".to_owned();
    }
    let row = |topic: &TopicStatus| {
        vec![
            Cell::words(&topic.name),
            Cell::new(topic.high_watermark.to_string()),
            Cell::new(topic.log_start_offset.to_string()),
            Cell::new(topic.bytes.to_string()),
            Cell::default(),
        ]
    };
    let rows: Vec<Vec<Cell>> = topics.iter().map(row).collect();
    let mut text = grid(&COLUMNS, &rows, style);
    let hidden = topic_count.saturating_sub(topics.len() as u64);
    if hidden > 0 {
        let more = format!("and {hidden} more: a node lists the {STATUS_TOPICS} most recently written");
        text += &style.paint(&more, FAINT);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicStatus {
        TopicStatus {
            name: name.to_owned(),
            high_watermark: 10_000,
            log_start_offset: 1,
            bytes: 98_894,
        }
    }

    #[test]
    fn topics_are_a_table_that_says_when_there_are_more() {
        let small = TopicStatus {
            bytes: 5,
            ..topic("dm:ada:bo")
        };
        let topics = [topic("lobby"), small];
        let head = "\
topic      high watermark  log start  bytes
lobby               10000          1  98894
dm:ada:bo           10000          1      5
";
        assert_eq!(table(&topics, 2, Style::default()), head);
        let more = format!("{head}and 7 more: a node lists the 64 most recently written\n");
        assert_eq!(table(&topics, 9, Style::default()), more);
        assert_eq!(table(&[], 0, Style::default()), "no topics\n");
    }

    #[test]
    fn the_document_counts_those_that_are_not_listed() {
        let text = document(&[topic("lobby")], 65).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["topic_count"], 65);
        assert_eq!(document["topics"][0]["high_watermark"], 10_000);
    }
}
