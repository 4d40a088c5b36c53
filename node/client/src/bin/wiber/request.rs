//! `wiber request`: a message that somebody answers, and the answer.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use wiber_client::RecordLine;
use wiber_protocol::config::NodeSpec;

use crate::{cli, format::FormatOptions, nodes::NodesOptions, output::say_bytes, publish::patience, topic};

/// Of the reply, what matters.
const TEXT: &str = "%s\\n";

#[derive(Clone, Debug, Args)]
#[command(
    after_help = concat!(
        "Examples:\n  wiber request prices apples\n  wiber request prices apples --timeout 500ms --json\n\n\
         Somebody has to answer: see wiber reply.\n\n",
        cli::exit_codes!("if a reply came", "if none came in time")
    )
)]
pub(crate) struct RequestOptions {
    /// The topic of those who answer
    #[arg(value_parser = topic::topic_name)]
    topic: String,
    /// The request, its words joined by blanks
    #[arg(required = true)]
    message: Vec<String>,
    /// How long to wait for the reply, such as `10s` or `500ms`
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = patience)]
    timeout: Duration,
    #[command(flatten)]
    format: FormatOptions,
    #[command(flatten)]
    nodes: NodesOptions,
}

pub(crate) fn run(options: &RequestOptions) -> ExitCode {
    let (format, nodes) = match (options.format.resolve_or(TEXT), options.nodes.resolve()) {
        (Ok(format), Ok(nodes)) => (format, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    let asked = cli::block_on(async {
        let reply = ask(options, nodes).await?;
        let mut text = Vec::new();
        format.write(&reply, &mut text)?;
        say_bytes(&text)
    });
    match asked {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn ask(options: &RequestOptions, nodes: Vec<NodeSpec>) -> anyhow::Result<RecordLine> {
    let client = topic::client(topic::leader_first(nodes).await);
    let body = options.message.join(" ");
    Ok(client.request(&options.topic, body, options.timeout).await?)
}
