//! `wiber sub`: the records of a topic or a pattern as they are committed, until somebody has seen enough.
//!
//! The library goes on at the next record wherever a connection was cut off, so that what is written here has neither a
//! gap nor a repeat. Whoever reads slowly makes it, and the nodes, wait.

mod group;

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use wiber_client::{Consistency, RecordLine, Subscribe, SubscribeStart, Subscription, SubscriptionEvent};
use wiber_protocol::config::NodeSpec;

use self::group::GroupArgs;
use crate::{
    cli,
    end::End,
    format::{Format, FormatOptions},
    nodes::NodesOptions,
    output::{remark, say_bytes},
    topic, when,
};

/// What is gathered before it is written although more is there already.
const MAX_UNWRITTEN_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, Args)]
#[command(
    after_help = concat!(
        "Examples:\n  wiber sub lobby\n  wiber sub 'orders.>' --since 10m -f '%t %o %s\\n'\n  wiber sub orders --group billing --from-start\n\n\
         In a pattern `*` is one part of a name and a last `>` all that follow.\n\n",
        cli::exit_codes!(
            "--count records, or when nobody reads any more",
            "if it cannot be read",
            goes_on
        )
    )
)]
pub(crate) struct SubOptions {
    /// The topic, or a pattern of topics such as `orders.*`
    #[arg(value_parser = topic::pattern)]
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
    /// Begin at this moment: a date (RFC 3339), Unix seconds, or how long ago, such as `10m`
    #[arg(long, value_name = "TIME", group = "from", value_parser = when::since, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Show records by their time of origin (cluster time where they were taken), holding each back for so long at most, such
    /// as `500ms`; what comes later than that is shown at once, as late
    #[arg(long, value_name = "TIME", value_parser = order)]
    order: Option<Duration>,
    /// End after this many records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    group: GroupArgs,
    #[command(flatten)]
    format: FormatOptions,
    #[command(flatten)]
    nodes: NodesOptions,
}

fn order(text: &str) -> Result<Duration, &'static str> {
    let hold = when::length(text)?;
    if (Duration::from_millis(1)..=Duration::from_mins(1)).contains(&hold) {
        Ok(hold)
    } else {
        Err("from 1ms to 60s")
    }
}

impl SubOptions {
    fn check(&self) -> Result<(), String> {
        let of_one_topic = self.offset.is_some() || self.last.is_some();
        match (topic::is_pattern(&self.topic), self.group.is_given()) {
            (true, true) => Err(topic::NO_GROUP_OF_PATTERN.to_owned()),
            (_, true) if self.order.is_some() => Err("--order is not for a --group".to_owned()),
            (true, false) if of_one_topic => Err("--offset and --last are for one topic".to_owned()),
            _ => Ok(()),
        }
    }
}

pub(crate) fn run(options: &SubOptions) -> ExitCode {
    let checked = options.check().and_then(|()| options.format.resolve());
    let (format, nodes) = match (checked, options.nodes.resolve()) {
        (Ok(format), Ok(nodes)) => (format, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(follow(options, format, nodes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn follow(options: &SubOptions, format: Format, nodes: Vec<NodeSpec>) -> anyhow::Result<()> {
    let mut end = End::new().context("cannot wait for signals")?;
    let client = topic::client(nodes);
    let is_pattern = topic::is_pattern(&options.topic);
    let start = match (options.from_start, options.offset, options.last, options.since) {
        (true, ..) => SubscribeStart::Beginning,
        (_, Some(offset), ..) => SubscribeStart::From(offset),
        (_, _, Some(count), _) => {
            let tail = topic::tail(&client, &options.topic, Consistency::Strong);
            match end.unless(tail).await {
                Some(page) => SubscribeStart::From(page?.first_of_last(count)),
                None => return Ok(()),
            }
        }
        (_, _, _, Some(us)) => SubscribeStart::Since(us),
        (false, None, None, None) => SubscribeStart::New,
    };
    if options.group.is_given() {
        let records = Records::new(format, options.count);
        return group::follow(&options.topic, &options.group, start, &client, records, &mut end).await;
    }
    let mut subscribe = Subscribe::new(&options.topic).start(start);
    if let Some(hold) = options.order {
        subscribe = subscribe.order(hold);
    }
    let subscription = client
        .subscribe_to(&subscribe)
        .map_err(|error| anyhow!(topic::in_words(error)))?;
    let format = if is_pattern { format.with_topics() } else { format };
    let mut shown = Shown {
        records: Records::new(format, options.count),
        connection: Connection::default(),
        is_pattern,
        lag_records: 0,
    };
    show(subscription, &mut shown, &mut end).await
}

async fn show(mut subscription: Subscription, shown: &mut Shown, end: &mut End) -> anyhow::Result<()> {
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
            None if !shown.records.write()? => return Ok(()),
            None => match end.unless(subscription.next()).await {
                Some(event) => event,
                None => break,
            },
        };
        if !shown.take(event)? {
            break;
        }
    }
    shown.records.write()?;
    Ok(())
}

/// What has been received and is to be written.
struct Shown {
    records: Records,
    connection: Connection,
    is_pattern: bool,
    /// How far behind it was when that was last told.
    lag_records: u64,
}

impl Shown {
    /// False when this was the last event wanted, or nobody reads any more.
    fn take(&mut self, event: SubscriptionEvent) -> anyhow::Result<bool> {
        match event {
            SubscriptionEvent::Record(record) => return self.records.take(&record),
            SubscriptionEvent::Connected { node, next_offset } => {
                self.connection
                    .is_back(&format!("goes on at offset {next_offset} from {node}"));
            }
            SubscriptionEvent::ConnectedAfter { node, .. } => {
                self.connection.is_back(&format!("goes on from {node}"));
            }
            SubscriptionEvent::Lagging { records } => {
                // Who catches up, as from the start on, need not hear it again and again.
                if std::mem::replace(&mut self.lag_records, records) < records {
                    remark(&format!("{records} records behind what is committed"));
                }
            }
            SubscriptionEvent::Skipped { from, to } => remark(&skipped(self.is_pattern, from, to)),
            SubscriptionEvent::Disconnected { reason } => self.connection.is_lost(&reason),
        }
        Ok(true)
    }
}

/// The reader was told that the connection is lost: once of each node, not at every attempt.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    told_of: BTreeSet<String>,
}

impl Connection {
    pub(crate) fn is_lost(&mut self, reason: &str) {
        if self.is_news(reason) {
            remark(&format!("{reason}; trying the others"));
        }
    }

    /// A reason begins with its node.
    fn is_news(&mut self, reason: &str) -> bool {
        let node = reason.split(": ").next().unwrap_or_default();
        self.told_of.insert(node.to_owned())
    }

    pub(crate) fn is_back(&mut self, goes_on: &str) {
        if !std::mem::take(&mut self.told_of).is_empty() {
            remark(goes_on);
        }
    }
}

/// Records that are written together.
struct Records {
    format: Format,
    unwritten: Vec<u8>,
    /// How many are still to come, if that is limited.
    left: Option<u64>,
}

impl Records {
    fn new(format: Format, count: Option<u64>) -> Self {
        Self {
            format,
            unwritten: Vec::new(),
            left: count,
        }
    }

    /// How many are still to come, if that is limited.
    fn left(&self) -> Option<u64> {
        self.left
    }

    /// False when this was the last one wanted, or nobody reads any more.
    fn take(&mut self, record: &RecordLine) -> anyhow::Result<bool> {
        self.format.write(record, &mut self.unwritten)?;
        self.left = self.left.map(|left| left - 1);
        if self.left == Some(0) {
            return Ok(false);
        }
        if self.unwritten.len() >= MAX_UNWRITTEN_BYTES {
            return self.write();
        }
        Ok(true)
    }

    /// False if nobody reads any more.
    fn write(&mut self) -> anyhow::Result<bool> {
        if self.unwritten.is_empty() {
            return Ok(true);
        }
        let is_read = say_bytes(&self.unwritten)?;
        self.unwritten.clear();
        Ok(is_read)
    }
}

/// What retention took away before it was shown.
fn skipped(is_pattern: bool, from: Option<u64>, to: u64) -> String {
    match from {
        Some(from) if !is_pattern => format!("offsets {from} to {} are no longer kept", to - 1),
        Some(from) => format!("not all records after Lamport time {from} are kept: goes on after {to}"),
        None => "not all records from there on are kept: begins with the oldest".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_connection_is_lost_is_said_once_of_each_node_until_one_is_back() {
        let mut connection = Connection::default();
        let mut news = |reasons: &[&str]| -> Vec<bool> {
            let heard = reasons.iter().map(|reason| connection.is_news(reason));
            let heard = heard.collect();
            connection.is_back("goes on");
            heard
        };
        let first = [
            "n1: the node closed the connection",
            "n1: cannot connect",
            "n2: no leader is known",
        ];
        assert_eq!(news(&first), [true, false, true]);
        assert_eq!(news(&["n2: no leader is known"]), [true]);
        let addresses = ["127.0.0.1:1: cannot connect", "127.0.0.1:2: cannot connect"];
        assert_eq!(news(&addresses), [true, true]);
    }
}
