//! `wiber topics`: the topics, and how much comes to them.

use std::process::ExitCode;

use clap::Args;
use wiber_client::TopicLine;
use wiber_protocol::config::NodeSpec;

use crate::{
    cli,
    grid::{Cell, Column},
    listing::Listing,
    nodes::NodesOptions,
    topic, units,
};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = concat!(
        "Examples:\n  wiber topics\n  wiber topics 'orders.>' --json\n\n\
         Rates are what the node that is asked, the leader if it is found, saw of late: a burst is gone from them after\n\
         ten to twenty seconds.\n\n",
        cli::exit_codes!("if a node told its topics", "if not")
    )
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

const TOPICS: Listing<TopicLine> = Listing {
    noun: "topic",
    columns: &[
        Column::text("topic"),
        Column::number("high watermark"),
        Column::number("log start"),
        Column::number("bytes"),
        Column::number("records/s"),
        Column::number("bytes/s"),
    ],
    row,
};

fn row(topic: &TopicLine) -> Vec<Cell> {
    vec![
        Cell::words(&topic.topic),
        Cell::new(topic.high_watermark.to_string()),
        Cell::new(topic.log_start_offset.to_string()),
        Cell::new(topic.bytes.to_string()),
        Cell::new(units::rate(topic.records_per_s)),
        Cell::new(units::rate(topic.bytes_per_s)),
    ]
}

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
    TOPICS.say(&topics, options.json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Style;

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
        let topics = [topic("lobby"), small];
        assert_eq!(TOPICS.table(&topics, Style::default()), expected);
        assert_eq!(TOPICS.table(&[], Style::default()), "no topics\n");
    }
}
