//! `wiber history`: the newest records of a topic, or those from a place on; oldest first.

use std::{ops::RangeInclusive, process::ExitCode};

use clap::Args;
use wiber_client::{Consistency, Read, ReadError, ReadFrom};
use wiber_protocol::config::NodeSpec;

use crate::{
    cli,
    format::{Format, FormatOptions},
    nodes::NodesOptions,
    output::{remark, say_bytes},
    topic, when,
};

/// The newest so many, if nothing else is said.
const DEFAULT_RECORDS: u64 = 10;

#[derive(Clone, Debug, Args)]
#[command(
    after_help = concat!(
        "Examples:\n  wiber history lobby -n 100\n  wiber history orders --since 10m --json\n  wiber history orders --offset 5000 -n 20\n\n",
        cli::exit_codes!("if it was read, also when there is nothing", "if not")
    )
)]
pub(crate) struct HistoryOptions {
    /// The topic: one, for patterns are for `wiber sub`
    #[arg(value_parser = topic::topic_name)]
    topic: String,
    /// How many records: the newest, or the first from where it begins [default: 10, or all from where it begins]
    #[arg(short = 'n', long = "last", value_name = "N")]
    count: Option<u64>,
    /// Begin at this moment: a date (RFC 3339), Unix seconds, or how long ago, such as `10m`
    #[arg(long, value_name = "TIME", group = "from", value_parser = when::since, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Begin at this offset (1 is the first)
    #[arg(long, value_name = "N", group = "from")]
    offset: Option<u64>,
    /// Take what a node has, though it may be behind; needs no majority
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    format: FormatOptions,
    #[command(flatten)]
    nodes: NodesOptions,
}

/// What came of it.
enum Shown {
    /// All that there is.
    Records,
    /// There is no such topic, and what was asked for is a pattern of topics: a mistake, in all likelihood, though a topic
    /// may have such a name.
    NoTopicButPattern,
}

pub(crate) fn run(options: &HistoryOptions) -> ExitCode {
    let (format, nodes) = match (options.format.resolve(), options.nodes.resolve()) {
        (Ok(format), Ok(nodes)) => (format, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    match cli::block_on(show(options, &format, nodes)) {
        Ok(Shown::Records) => ExitCode::SUCCESS,
        Ok(Shown::NoTopicButPattern) => cli::refuse(format!(
            "`{}` is a pattern, and a history is of one topic: wiber sub '{0}' --from-start shows all that match",
            options.topic
        )),
        Err(error) => match error.downcast_ref() {
            Some(ReadError::Unavailable(_)) if !options.local => {
                cli::fail(format!("{error:#} (with --local one node is enough)"))
            }
            _ => cli::fail(format!("{error:#}")),
        },
    }
}

/// What retention dropped of what was asked for, as far as that can be known where the first record shown is this one.
/// Who did not say how many gets the newest that are kept.
fn dropped(options: &HistoryOptions, first: u64, kept: &RangeInclusive<u64>) -> Option<String> {
    let (start, end) = (*kept.start(), *kept.end());
    let wanted = match (options.since, options.offset, options.count) {
        (Some(_), ..) if first == start && start > 1 => {
            return Some(format!(
                "offsets 1 to {} are no longer kept, and some of them may have been from then on, too",
                start - 1
            ));
        }
        (Some(_), ..) | (None, None, None) => return None,
        (None, Some(offset), _) => offset.max(1),
        (None, None, Some(count)) => end.saturating_add(1).saturating_sub(count).max(1),
    };
    (wanted < first).then(|| format!("offsets {wanted} to {} are no longer kept", first - 1))
}

/// Page by page, so that any number fits into memory.
async fn show(options: &HistoryOptions, format: &Format, nodes: Vec<NodeSpec>) -> anyhow::Result<Shown> {
    let consistency = if options.local {
        Consistency::Local
    } else {
        Consistency::Strong
    };
    let client = topic::client(nodes);
    let (from, all) = match (options.since, options.offset) {
        (Some(us), _) => (ReadFrom::Since(us), u64::MAX),
        (None, Some(offset)) => (ReadFrom::Offset(offset), u64::MAX),
        (None, None) => (ReadFrom::Last, DEFAULT_RECORDS),
    };
    let read = Read::new(&options.topic, from)
        .limit(options.count.unwrap_or(all))
        .consistency(consistency);
    let mut pages = client.read_all(read);
    let mut is_first = true;
    while let Some(records) = pages.next_page().await? {
        if let (true, Some(first), Some(kept)) = (is_first, records.first(), pages.kept())
            && let Some(dropped) = dropped(options, first.offset, &kept)
        {
            remark(&dropped);
        }
        is_first = false;
        let mut text = Vec::new();
        for record in &records {
            format.write(record, &mut text)?;
        }
        if !say_bytes(&text)? {
            break;
        }
    }
    match pages.kept().map(RangeInclusive::into_inner) {
        Some((1, 0)) if topic::is_pattern(&options.topic) => return Ok(Shown::NoTopicButPattern),
        Some((start, end)) if start > end && end > 0 => remark(&format!(
            "offsets 1 to {end} are no longer kept: {} goes on at {start}",
            options.topic
        )),
        _ => {}
    }
    Ok(Shown::Records)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        history: HistoryOptions,
    }

    #[test]
    fn what_was_asked_for_and_is_no_longer_kept_is_told_and_nothing_else() {
        let check = |words: &[&str], first, expected: Option<&str>| {
            let words = [&["history", "t"], words].concat();
            let options = Only::try_parse_from(&words).unwrap().history;
            let told = dropped(&options, first, &(6..=20));
            assert_eq!(told.as_deref(), expected, "{words:?}");
        };
        check(&[], 11, None);
        check(&["-n", "15"], 6, None);
        check(&["-n", "16"], 6, Some("offsets 5 to 5 are no longer kept"));
        check(&["-n", "1000"], 6, Some("offsets 1 to 5 are no longer kept"));
        check(&["--offset", "3"], 6, Some("offsets 3 to 5 are no longer kept"));
        check(&["--offset", "7", "-n", "1000"], 7, None);
        check(&["--since", "1h"], 7, None);
        check(
            &["--since", "1h"],
            6,
            Some("offsets 1 to 5 are no longer kept, and some of them may have been from then on, too"),
        );
    }
}
