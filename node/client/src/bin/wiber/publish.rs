//! `wiber pub`: one message from the command line, or a line of a file or of stdin each.
//!
//! Lines keep their order: some hundred at most are on their way together, and the next are read only when these are
//! acknowledged, which also bounds the memory and makes whoever writes into the pipe wait. When the cluster takes nothing
//! for `--timeout`, reading ends: a line whose fate is unknown is said to be unknown, and none after it is sent.

mod lines;
mod progress;
mod report;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use wiber_client::{Message, OrderedPublisher, PublishError, Published};
use wiber_protocol::{
    config::NodeSpec,
    line::{check_id, check_message},
};

use self::{
    lines::{Lines, NumberedLine},
    progress::Progress,
    report::Report,
};
use crate::{cli, nodes::NodesOptions, topic};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 if every message is stored; 1 if one failed or its fate is unknown; 2 if the command line \
                  or the configuration is wrong."
)]
pub(crate) struct PubOptions {
    /// The topic
    #[arg(value_parser = topic::topic_name)]
    topic: String,
    /// The message, its words joined by blanks; without one, or for `-`, stdin is read: one message a line
    message: Vec<String>,
    /// Publish the lines of this file
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
    /// The message's id: sent again under it, the same message is stored once [default: made up]
    #[arg(long, conflicts_with = "file", requires = "message", value_parser = message_id)]
    id: Option<String>,
    /// How long to try while no message is acknowledged, such as `10s` or `500ms`
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = patience)]
    timeout: Duration,
    /// Say every message that was stored
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    /// Say what became of every message as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nodes: NodesOptions,
}

impl PubOptions {
    /// The message, if it is on the command line.
    fn single(&self) -> Result<Option<String>, String> {
        let text = match &self.message[..] {
            [] => return Ok(None),
            [dash] if dash == "-" && self.id.is_none() => return Ok(None),
            words => words.join(" "),
        };
        checked(&text)?;
        Ok(Some(text))
    }
}

/// Why a text can be no message, in words.
fn checked(text: &str) -> Result<(), &'static str> {
    match check_message(text) {
        Ok(()) => Ok(()),
        Err(_) if text.trim().is_empty() => Err("a message is not empty"),
        Err(_) if text.trim().contains('\n') => Err("a message is one line"),
        Err(_) => Err("a message has at most 1048576 bytes"),
    }
}

fn message_id(text: &str) -> Result<String, &'static str> {
    match check_id(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => Err("an id has 1 to 256 bytes and no white space or control characters"),
    }
}

/// A time in seconds, or in milliseconds where that is said.
fn patience(text: &str) -> Result<Duration, &'static str> {
    let (number, unit_secs) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e-3),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    let secs = number
        .parse::<f64>()
        .map_err(|_| "no time such as 10s or 500ms")?
        * unit_secs;
    if (1e-3..=86_400.0).contains(&secs) {
        Ok(Duration::from_secs_f64(secs))
    } else {
        Err("from 1ms to 86400s")
    }
}

pub(crate) fn run(options: &PubOptions) -> ExitCode {
    let (single, nodes) = match (options.single(), options.nodes.resolve()) {
        (Ok(single), Ok(nodes)) => (single, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    let mut report = Report::new(
        options.json,
        options.verbose || single.is_some(),
        single.is_some(),
    );
    let published = cli::block_on(publish(options, single, nodes, &mut report));
    report.say_wrong();
    match published {
        Ok(()) if report.is_good() => ExitCode::SUCCESS,
        Ok(()) => cli::fail(report.summary()),
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn publish(
    options: &PubOptions,
    single: Option<String>,
    nodes: Vec<NodeSpec>,
    report: &mut Report,
) -> anyhow::Result<()> {
    // Among lines that are printed it would be in the way.
    let is_quiet = !options.verbose && !options.json;
    let mut progress = Progress::none();
    let mut lines = match (single, &options.file) {
        (Some(text), _) => Lines::single(text),
        (None, Some(path)) => {
            let file =
                std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            if is_quiet {
                progress = Progress::new(file.metadata().ok().map(|about| about.len()));
            }
            Lines::read(file)
        }
        (None, None) => {
            if is_quiet {
                progress = Progress::new(None);
            }
            Lines::read(std::io::stdin())
        }
    };
    let client = topic::client(topic::leader_first(nodes).await);
    let mut publisher = client
        .publish_in_order(&options.topic)
        .map_err(|error| anyhow!(error))?;
    let made_up = format!("{:016x}", rand::random::<u64>());
    while let Some(batch) = lines.next().await.context("cannot read the messages")? {
        let id = |number: u64| {
            options
                .id
                .clone()
                .unwrap_or_else(|| format!("{made_up}-{number}"))
        };
        let fates = publish_batch(batch, id, &mut publisher, options.timeout).await;
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
            report.stopped_after(number);
            break;
        }
        progress.show(report.stored(), lines.read_bytes());
    }
    progress.clear();
    Ok(())
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
    publisher: &mut OrderedPublisher,
    timeout: Duration,
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
            ..Message::default()
        }));
    }
    let mut results = publisher.publish(&messages, timeout).await.into_iter();
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        options: PubOptions,
    }

    fn options(words: &[&str]) -> Result<PubOptions, String> {
        let parsed = Only::try_parse_from([&["pub"], words].concat());
        parsed.map(|only| only.options).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_one_message_and_a_dash_or_nothing_is_stdin() {
        let single = |words: &[&str]| options(words).unwrap().single();
        assert_eq!(
            single(&["t", "hello", "there"]),
            Ok(Some("hello there".to_owned()))
        );
        assert_eq!(single(&["t", "--", "--file"]), Ok(Some("--file".to_owned())));
        assert_eq!(single(&["t"]), Ok(None));
        assert_eq!(single(&["t", "-"]), Ok(None));
        assert_eq!(single(&["t", " "]), Err("a message is not empty".to_owned()));
        assert_eq!(single(&["t", "a\nb"]), Err("a message is one line".to_owned()));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for words in [
            &["t", "--id", "m-1"][..],
            &["t", "--id", "two words", "hi"],
            &["t", "--file", "f", "hi"],
            &["two words", "hi"],
            &["t", "hi", "-v", "--json"],
            &["t", "hi", "--timeout", "soon"],
            &["t", "hi", "--timeout", "0"],
            &[],
        ] {
            assert!(options(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_timeout_has_a_unit_or_is_seconds() {
        let check = |text, expected_ms| assert_eq!(patience(text), Ok(Duration::from_millis(expected_ms)));
        check("10s", 10_000);
        check("10", 10_000);
        check("0.5", 500);
        check("250ms", 250);
        for wrong in ["", "s", "-1", "NaN", "inf", "1h"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }
}
