//! `wiber sub`: a topic's records as they are committed, until somebody has seen enough.
//!
//! The library goes on at the next offset wherever a connection was cut off, so that what is written here has neither a
//! gap nor a repeat. Whoever reads slowly makes it, and the nodes, wait.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use wiber_client::{Consistency, Subscription, SubscriptionEvent};
use wiber_protocol::config::NodeSpec;

use crate::{
    cli,
    end::End,
    format::{Format, FormatOptions},
    nodes::NodesOptions,
    output::{remark, say},
    topic,
};

/// What is gathered before it is written although more is there already.
const MAX_UNWRITTEN_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 after Ctrl-C, --count records, or when nobody reads any more; 1 if it cannot be read; \
                  2 if the command line or the configuration is wrong."
)]
pub(crate) struct SubOptions {
    /// The topic
    #[arg(value_parser = topic::topic_name)]
    topic: String,
    /// Begin with the oldest record there is
    #[arg(long, group = "from")]
    from_start: bool,
    /// Begin at this offset (1 is the first)
    #[arg(long, value_name = "N", group = "from")]
    offset: Option<u64>,
    /// Begin with the newest N records
    #[arg(long, value_name = "N", group = "from")]
    last: Option<u64>,
    /// End after this many records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    format: FormatOptions,
    #[command(flatten)]
    nodes: NodesOptions,
}

pub(crate) fn run(options: &SubOptions) -> ExitCode {
    let (format, nodes) = match (options.format.resolve(), options.nodes.resolve()) {
        (Ok(format), Ok(nodes)) => (format, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(follow(options, &format, nodes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn follow(options: &SubOptions, format: &Format, nodes: Vec<NodeSpec>) -> anyhow::Result<()> {
    let mut end = End::new().context("cannot wait for signals")?;
    let client = topic::client(nodes);
    let from = match (options.from_start, options.offset, options.last) {
        (true, _, _) => Some(1),
        (_, Some(offset), _) => Some(offset),
        (_, _, Some(count)) => {
            let tail = topic::tail(&client, &options.topic, Consistency::Strong);
            match end.unless(tail).await {
                Some(page) => Some(page?.first_of_last(count)),
                None => return Ok(()),
            }
        }
        (false, None, None) => None,
    };
    let subscription = client
        .subscribe(&options.topic, from)
        .map_err(|error| anyhow!(error))?;
    let mut shown = Shown {
        format,
        unwritten: String::new(),
        left: options.count,
        told_lost: false,
        next_offset: from.map(|from| from.max(1)),
    };
    show(subscription, &mut shown, &mut end).await
}

async fn show(mut subscription: Subscription, shown: &mut Shown<'_>, end: &mut End) -> anyhow::Result<()> {
    loop {
        // What is there already is written together.
        let ready = async {
            tokio::select! {
                biased;
                event = subscription.next() => Some(event),
                () = std::future::ready(()) => None,
            }
        };
        let Some(ready) = end.unless(ready).await else {
            break;
        };
        let event = match ready {
            Some(event) => event,
            None if !shown.write()? => return Ok(()),
            None => match end.unless(subscription.next()).await {
                Some(event) => event,
                None => break,
            },
        };
        if !shown.take(event)? {
            break;
        }
    }
    shown.write()?;
    Ok(())
}

/// What has been received and is to be written.
struct Shown<'a> {
    format: &'a Format,
    unwritten: String,
    /// How many records are still to come, if that is limited.
    left: Option<u64>,
    /// The reader was told that the connection is lost: once, not at every attempt.
    told_lost: bool,
    next_offset: Option<u64>,
}

impl Shown<'_> {
    /// False when this was the last event wanted, or nobody reads any more.
    fn take(&mut self, event: SubscriptionEvent) -> anyhow::Result<bool> {
        match event {
            SubscriptionEvent::Record(record) => {
                self.next_offset = Some(record.offset + 1);
                self.format.write(&record, &mut self.unwritten)?;
                self.left = self.left.map(|left| left - 1);
                if self.left == Some(0) {
                    return Ok(false);
                }
                if self.unwritten.len() >= MAX_UNWRITTEN_BYTES {
                    return self.write();
                }
            }
            SubscriptionEvent::Connected { node, next_offset } => {
                if let Some(expected) = self.next_offset
                    && expected < next_offset
                {
                    remark(&format!(
                        "offsets {expected} to {} are no longer kept",
                        next_offset - 1
                    ));
                }
                self.next_offset = Some(next_offset);
                if std::mem::take(&mut self.told_lost) {
                    remark(&format!("goes on at offset {next_offset} from {node}"));
                }
            }
            SubscriptionEvent::Disconnected { reason } => {
                if !std::mem::replace(&mut self.told_lost, true) {
                    remark(&format!("{reason}; trying the others"));
                }
            }
        }
        Ok(true)
    }

    /// False if nobody reads any more.
    fn write(&mut self) -> anyhow::Result<bool> {
        if self.unwritten.is_empty() {
            return Ok(true);
        }
        let is_read = say(&self.unwritten)?;
        self.unwritten.clear();
        Ok(is_read)
    }
}
