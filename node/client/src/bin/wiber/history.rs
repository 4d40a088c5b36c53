//! `wiber history`: the newest records of a topic, oldest first.

use std::process::ExitCode;

use clap::Args;
use wiber_client::{Consistency, Read, ReadFrom};
use wiber_protocol::config::NodeSpec;

use crate::{
    cli,
    format::{Format, FormatOptions},
    nodes::NodesOptions,
    output::say,
    topic,
};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 if it was read, also when there is nothing; 1 if not; 2 if the command line or the \
                  configuration is wrong."
)]
pub(crate) struct HistoryOptions {
    /// The topic
    #[arg(value_parser = topic::topic_name)]
    topic: String,
    /// How many records
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 10)]
    count: u64,
    /// Take what a node has, though it may be behind; needs no majority
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    format: FormatOptions,
    #[command(flatten)]
    nodes: NodesOptions,
}

pub(crate) fn run(options: &HistoryOptions) -> ExitCode {
    let (format, nodes) = match (options.format.resolve(), options.nodes.resolve()) {
        (Ok(format), Ok(nodes)) => (format, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(show(options, &format, nodes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// Page by page, so that any number fits into memory.
async fn show(options: &HistoryOptions, format: &Format, nodes: Vec<NodeSpec>) -> anyhow::Result<()> {
    let consistency = if options.local {
        Consistency::Local
    } else {
        Consistency::Strong
    };
    let client = topic::client(nodes);
    let read = Read::new(&options.topic, ReadFrom::Last)
        .limit(options.count)
        .consistency(consistency);
    let mut pages = client.read_all(read);
    while let Some(records) = pages.next_page().await? {
        let mut text = String::new();
        for record in &records {
            format.write(record, &mut text)?;
        }
        if !say(&text)? {
            break;
        }
    }
    Ok(())
}
