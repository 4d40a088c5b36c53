//! `wiber topics`: the topics, and how much comes to them.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use wiber_client::TopicLine;
use wiber_protocol::config::NodeSpec;

use crate::{
    cli,
    format::escaped,
    grid::{Cell, Column, Style, grid},
    nodes::NodesOptions,
    output::{self, say},
    topic, units,
};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  wiber topics\n  wiber topics 'orders.>' --json\n\n\
                  Rates are what the node that is asked, the leader if it is found, saw in the last ten seconds.\n\n\
                  Exit code: 0 if a node told its topics; 1 if not; 2 if the command line or the configuration is wrong."
)]
pub(crate) struct TopicsOptions {
    /// Only the topics that match this name or pattern, such as `orders.*`
    #[arg(value_parser = topic::pattern)]
    pattern: Option<String>,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nodes: NodesOptions,
}

// A number is aligned only if another column follows it.
const COLUMNS: [Column; 7] = [
    Column::text("topic"),
    Column::number("high watermark"),
    Column::number("log start"),
    Column::number("bytes"),
    Column::number("records/s"),
    Column::number("bytes/s"),
    Column::text(""),
];

pub(crate) fn run(options: &TopicsOptions) -> ExitCode {
    let nodes = match options.nodes.resolve() {
        Ok(nodes) => nodes,
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(show(options, nodes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn show(options: &TopicsOptions, nodes: Vec<NodeSpec>) -> anyhow::Result<()> {
    let client = topic::client(topic::leader_first(nodes).await);
    let topics = client.topics(options.pattern.as_deref()).await?;
    let text = if options.json {
        document(&topics)?
    } else {
        table(&topics, output::style())
    };
    say(&text).map(|_| ())
}

fn document(topics: &[TopicLine]) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        topic_count: usize,
        topics: &'a [TopicLine],
    }
    let topic_count = topics.len();
    Ok(escaped(&serde_json::to_string(&Document { topic_count, topics })?) + "\n")
}

fn table(topics: &[TopicLine], style: Style) -> String {
    if topics.is_empty() {
        return "no topics\n".to_owned();
    }
    let row = |topic: &TopicLine| {
        vec![
            Cell::words(&topic.topic),
            Cell::new(topic.high_watermark.to_string()),
            Cell::new(topic.log_start_offset.to_string()),
            Cell::new(topic.bytes.to_string()),
            Cell::new(units::rate(topic.records_per_s)),
            Cell::new(units::rate(topic.bytes_per_s)),
            Cell::default(),
        ]
    };
    let rows: Vec<Vec<Cell>> = topics.iter().map(row).collect();
    grid(&COLUMNS, &rows, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicLine {
        TopicLine {
            topic: name.to_owned(),
            high_watermark: 10_000,
            log_start_offset: 1,
            bytes: 98_894,
            records_per_s: 12.34,
            bytes_per_s: 120.7,
        }
    }

    #[test]
    fn topics_are_a_table() {
        let small = TopicLine {
            bytes: 5,
            records_per_s: 0.0,
            bytes_per_s: 0.0,
            ..topic("dm:ada:bo")
        };
        let expected = "\
topic      high watermark  log start  bytes  records/s  bytes/s
lobby               10000          1  98894       12.3      121
dm:ada:bo           10000          1      5          0        0
";
        assert_eq!(table(&[topic("lobby"), small], Style::default()), expected);
        assert_eq!(table(&[], Style::default()), "no topics\n");
    }

    #[test]
    fn the_document_has_every_topic_and_their_number() {
        let text = document(&[topic("lobby")]).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["topic_count"], 1);
        assert_eq!(document["topics"][0]["high_watermark"], 10_000);
    }
}
