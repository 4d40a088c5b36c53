//! `wiber pub`: one message from the command line, or a line of a file or of stdin each.
//!
//! Lines keep their order: some hundred at most are on their way together, and the next are read only when these are
//! acknowledged, which also bounds the memory and makes whoever writes into the pipe wait. When the cluster takes nothing
//! for `--timeout`, or at Ctrl-C, reading ends: a line whose fate is unknown is said to be unknown, and none after it is sent.

mod lines;
mod options;
mod progress;
mod report;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use wiber_client::{Message, OrderedPublisher, Publish, PublishError, Published};
use wiber_protocol::config::NodeSpec;

pub(crate) use self::options::{PubOptions, patience};
use self::{
    lines::{Lines, NumberedLine},
    options::{Source, checked},
    progress::Progress,
    report::Report,
};
use crate::{cli, end::Interrupt, topic};

pub(crate) fn run(options: &PubOptions) -> ExitCode {
    let (source, nodes) = match (options.source(), options.nodes.resolve()) {
        (Ok(single), Ok(nodes)) => (single, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    let is_single = source != Source::Lines;
    let mut report = Report::new(options.json, options.verbose || is_single, is_single);
    let published = cli::block_on(async {
        match source {
            Source::Lines => publish_lines(options, nodes, &mut report).await,
            single => publish_one(options, single, nodes, &mut report)
                .await
                .map(|()| Ended::ByItself),
        }
    });
    report.say_wrong();
    match published {
        Ok(Ended::Interrupted) => cli::interrupted(report.summary()),
        Ok(Ended::ByItself) if report.is_good() => ExitCode::SUCCESS,
        Ok(Ended::ByItself) => cli::fail(report.summary()),
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// How publishing ended.
enum Ended {
    /// All was sent, or the cluster took no more.
    ByItself,
    /// Ctrl-C ended it: a line that was on its way then may be stored.
    Interrupted,
}

/// One message, of any bytes and with whatever belongs to it.
async fn publish_one(
    options: &PubOptions,
    source: Source,
    nodes: Vec<NodeSpec>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let id = options
        .id
        .clone()
        .unwrap_or_else(|| format!("{:016x}-1", rand::random::<u64>()));
    let client = topic::client(topic::leader_first(nodes).await);
    let is_plain = options.headers.is_empty() && options.expect.is_none();
    let result = match source {
        // The old verb's nine-field lines show these as they are. It does not tell where a duplicate is, or what a
        // follower took.
        Source::Text(text) if is_plain && text.contains(['\\', '\r']) => {
            let id = Some(id.clone());
            client.publish(&options.topic, &text, id, options.timeout).await
        }
        source => {
            let body = match source {
                Source::Text(text) => text.trim().to_owned().into_bytes(),
                Source::Whole | Source::Lines => options.read_whole().await?,
            };
            let mut message = Publish::new(&options.topic, body)
                .id(&id)
                .deadline(options.timeout);
            for (key, value) in &options.headers {
                message = message.header(key, value);
            }
            if let Some(offset) = options.expect {
                message = message.expect(offset);
            }
            client.send(&message).await
        }
    };
    let number = 1;
    report.add(&Fate { number, id, result })
}

async fn publish_lines(
    options: &PubOptions,
    nodes: Vec<NodeSpec>,
    report: &mut Report,
) -> anyhow::Result<Ended> {
    let mut interrupt = Interrupt::new().context("cannot wait for signals")?;
    // Among lines that are printed it would be in the way.
    let is_quiet = !options.verbose && !options.json;
    let mut progress = Progress::none();
    let mut lines = if let Some(path) = &options.file {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        if is_quiet {
            progress = Progress::new(file.metadata().ok().map(|about| about.len()));
        }
        Lines::read(file)
    } else {
        if is_quiet {
            progress = Progress::new(None);
        }
        Lines::read(std::io::stdin())
    };
    let client = topic::client(topic::leader_first(nodes).await);
    let mut publisher = client
        .publish_in_order(&options.topic)
        .map_err(|error| anyhow!(error))?;
    let made_up = format!("{:016x}", rand::random::<u64>());
    loop {
        let Some(batch) = interrupt.unless(lines.next()).await else {
            report.stopped_after(lines.number());
            break;
        };
        let Some(batch) = batch.context("cannot read the messages")? else {
            break;
        };
        let id = |number: u64| format!("{made_up}-{number}");
        let fates = publish_batch(batch, id, options, &mut publisher, &mut interrupt).await;
        if fates.iter().any(|fate| fate.result.is_err()) {
            // What is said of them begins on a line of its own.
            progress.clear();
        }
        let gave_up_at = fates.last().filter(|_| fates.iter().any(Fate::gave_up));
        let stopped_after = gave_up_at.map(|last| last.number);
        for fate in fates {
            report.add(&fate)?;
        }
        if let Some(number) = stopped_after {
            if !lines.has_no_more() {
                report.stopped_after(number);
            }
            break;
        }
        progress.show(report.stored(), lines.read_bytes());
    }
    progress.clear();
    Ok(if interrupt.has_come() {
        Ended::Interrupted
    } else {
        Ended::ByItself
    })
}

/// What became of one line.
struct Fate {
    number: u64,
    id: String,
    result: Result<Published, PublishError>,
}

impl Fate {
    /// Whether it was the cluster that did not take it, and not the line that could not be taken.
    fn gave_up(&self) -> bool {
        matches!(
            self.result,
            Err(PublishError::Unknown(_) | PublishError::Unavailable(_))
        )
    }
}

async fn publish_batch(
    batch: Vec<NumberedLine>,
    id: impl Fn(u64) -> String,
    options: &PubOptions,
    publisher: &mut OrderedPublisher,
    interrupt: &mut Interrupt,
) -> Vec<Fate> {
    let mut messages = Vec::with_capacity(batch.len());
    let mut lines = Vec::with_capacity(batch.len());
    for NumberedLine { number, text } in batch {
        let id = id(number);
        let checked = text.and_then(|text| checked(&text).map(|()| text));
        lines.push((number, id.clone(), checked.as_ref().err().copied()));
        messages.extend(checked.map(|text| Message {
            id,
            text,
            headers: options.headers.clone(),
        }));
    }
    let results = interrupt
        .unless(publisher.publish(&messages, options.timeout))
        .await;
    let not_heard_of = || vec![Err(PublishError::Unknown("interrupted".to_owned())); messages.len()];
    let mut results = results.unwrap_or_else(not_heard_of).into_iter();
    let fate = |(number, id, refused): (u64, String, Option<&'static str>)| Fate {
        number,
        id,
        result: match refused {
            Some(reason) => Err(PublishError::Rejected(reason.to_owned())),
            None => results.next().expect("a result for each message"),
        },
    };
    lines.into_iter().map(fate).collect()
}
