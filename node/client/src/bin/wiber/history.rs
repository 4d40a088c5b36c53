//! `wiber history`: the newest records of a topic, oldest first.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use wiber_client::{Consistency, ReadFrom};
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
    let tail = topic::tail(&client, &options.topic, consistency).await?;
    let end = tail.high_watermark;
    let mut next = topic::first_of_last(&tail, options.count);
    while next <= end {
        let from = ReadFrom::Offset(next);
        let page = topic::page(&client, &options.topic, from, end - next + 1, consistency).await?;
        let Some(last) = page.records.last() else {
            // Another node answered, which has less.
            ensure!(
                options.local,
                "offsets {next} to {end} were there, and now are not"
            );
            break;
        };
        next = last.offset + 1;
        let mut text = String::new();
        for record in &page.records {
            format.write(record, &mut text)?;
        }
        if !say(&text)? {
            break;
        }
    }
    Ok(())
}
