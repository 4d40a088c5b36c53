//! `wiber reply`: answers a topic's requests with what a command makes of them, with one text, or with themselves.
//!
//! It is a member of a group, so that several of it share the requests, and one that is killed leaves its request to
//! another.

use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};
use wiber_client::{AckError, Client, GroupOptions, Member, MemberEvent, RecordLine, ReplyError};
use wiber_protocol::{config::NodeSpec, record::MAX_BODY_BYTES};

use crate::{cli, end::End, nodes::NodesOptions, output::remark, sub::Connection, topic};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = concat!(
        "Examples:\n  wiber reply shout --command 'tr a-z A-Z'\n  wiber reply ping pong\n  wiber reply echo --echo\n\n",
        cli::exit_codes!("which is how it ends", "if it cannot go on", goes_on)
    )
)]
pub(crate) struct ReplyOptions {
    /// The topic whose requests are answered
    #[arg(value_parser = topic::topic_name)]
    topic: String,
    /// The reply to all of them, its words joined by blanks
    #[arg(required_unless_present_any = ["command", "echo"])]
    message: Vec<String>,
    /// Reply with what this shell command writes, one command at a time; it reads the request from its stdin, and the topic and the request's id
    /// are in its environment as `WIBER_TOPIC` and `WIBER_ID`. If it fails, the request is not answered
    #[arg(long, value_name = "COMMAND", conflicts_with = "message")]
    command: Option<String>,
    /// Reply with the request itself
    #[arg(long, conflicts_with_all = ["command", "message"])]
    echo: bool,
    /// The group whose members share the requests
    #[arg(long, default_value = "reply", value_parser = topic::group)]
    group: String,
    #[command(flatten)]
    nodes: NodesOptions,
}

pub(crate) fn run(options: &ReplyOptions) -> ExitCode {
    if topic::is_pattern(&options.topic) {
        return cli::refuse(topic::NO_GROUP_OF_PATTERN);
    }
    let nodes = match options.nodes.resolve() {
        Ok(nodes) => nodes,
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(serve(options, nodes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn serve(options: &ReplyOptions, nodes: Vec<NodeSpec>) -> anyhow::Result<()> {
    let mut end = End::new().context("cannot wait for signals")?;
    let client = topic::client(topic::leader_first(nodes).await);
    // One at a time: the others are free for another member.
    let group = GroupOptions::new().max_in_flight(1);
    let mut member = client
        .join(&options.topic, &options.group, group)
        .map_err(|error| anyhow!(topic::in_words(error)))?;
    let mut connection = Connection::default();
    while let Some(event) = end.unless(member.next()).await {
        match event {
            Some(MemberEvent::Record(request)) => {
                if end
                    .unless(settle(options, &client, &member, &request))
                    .await
                    .is_none()
                {
                    break;
                }
            }
            Some(MemberEvent::Joined { node }) => connection.is_back(&format!("goes on from {node}")),
            Some(MemberEvent::Disconnected { reason }) => connection.is_lost(&reason),
            Some(MemberEvent::Skipped { first, last }) => {
                remark(&format!("offsets {first} to {last} are no longer kept"));
            }
            Some(MemberEvent::Ended { reason }) => bail!(reason),
            None => bail!("the group is no more"),
        }
    }
    Ok(())
}

/// Answers a request and acknowledges it when the reply is stored; else it is given back, to be handed out again. A record
/// that is no request is answered, too, but nobody is told.
async fn settle(options: &ReplyOptions, client: &Client, member: &Member, request: &RecordLine) {
    let settled = async {
        let body = answer(options, request)
            .await
            .map_err(|error| format!("offset {} is not answered: {error:#}", request.offset))?;
        match client.reply(request, body).await {
            Ok(_) | Err(ReplyError::NoRequest) => {}
            Err(error) => return Err(format!("cannot reply: {error}")),
        }
        match member.ack(request).await {
            // Somebody ended or moved the group meanwhile.
            Ok(()) | Err(AckError::NotDelivered { .. }) => Ok(()),
            Err(error) => Err(format!("cannot acknowledge a request: {error}")),
        }
    };
    if let Err(why) = settled.await {
        remark(&why);
        member.nack(request).await;
    }
}

async fn answer(options: &ReplyOptions, request: &RecordLine) -> anyhow::Result<Bytes> {
    if options.echo {
        return Ok(request.body()?.into());
    }
    match &options.command {
        Some(command) => run_command(command, request).await,
        None => Ok(options.message.join(" ").into()),
    }
}

/// What the command writes when it is given the request. It ends with this future.
async fn run_command(command: &str, request: &RecordLine) -> anyhow::Result<Bytes> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("WIBER_TOPIC", &request.topic)
        .env("WIBER_ID", &request.id)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the command")?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let body = request.body()?;
    let write = async move {
        if let Some(mut stdin) = stdin {
            // A command need not read what it is given.
            let _ = stdin.write_all(&body).await;
        }
    };
    let read = async {
        let mut written = Vec::new();
        if let Some(stdout) = stdout {
            // More than a message can have is none, whatever its end is.
            let bound = MAX_BODY_BYTES as u64 + 1;
            stdout.take(bound).read_to_end(&mut written).await?;
        }
        anyhow::Ok(written)
    };
    let ((), written) = tokio::join!(write, read);
    let written = written.context("cannot read what the command writes")?;
    ensure!(
        written.len() <= MAX_BODY_BYTES,
        "the command wrote more than {MAX_BODY_BYTES} bytes"
    );
    let status = child.wait().await.context("the command is lost")?;
    ensure!(status.success(), "the command failed: {status}");
    Ok(written.into())
}
