//! The command line: which commands there are, and how a mistake is told.

use std::{fmt::Display, io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    bench::BenchOptions, clock::ClockOptions, completions::CompletionsOptions, groups::GroupsOptions,
    history::HistoryOptions, publish::PubOptions, reply::ReplyOptions, request::RequestOptions,
    status::StatusOptions, sub::SubOptions, suite::SuiteOptions, topics::TopicsOptions,
};

/// The exit code of a command line that could not be understood.
pub(crate) const REFUSED: u8 = 2;
/// The exit code of a command that Ctrl-C ended, as a shell shows it of one that is killed by it.
pub(crate) const INTERRUPTED: u8 = 130;

/// What the end of a command's help says of its exit codes: of 0 and 1 what they mean here. A command that only Ctrl-C ends
/// takes that for its good end; the others are killed by it, which a shell shows as 130, or end with that.
macro_rules! exit_codes {
    ($good:literal, $bad:literal) => {
        concat!(
            "Exit code: 0 ",
            $good,
            "; 1 ",
            $bad,
            "; 2 if the command line or the configuration is wrong; 130 if Ctrl-C ended it before."
        )
    };
    ($good:literal, $bad:literal, goes_on) => {
        concat!(
            "Exit code: 0 after Ctrl-C, ",
            $good,
            "; 1 ",
            $bad,
            "; 2 if the command line or the configuration is wrong."
        )
    };
}
pub(crate) use exit_codes;

/// Talks to a Wiber cluster.
#[derive(Debug, Parser)]
#[command(
    name = "wiber",
    version,
    after_help = "Exit code: 0 if all is done; 1 if something failed; 2 if the command line or the configuration is wrong; \
                  130 if Ctrl-C ended it before. sub, reply and --watch end well by Ctrl-C, with 0. Each command's --help \
                  says more."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a message, or every line of a file or of stdin
    Pub(PubOptions),
    /// Show the records of a topic or of a pattern of topics as they are committed
    Sub(SubOptions),
    /// Show a topic's newest records, or those from a place on
    History(HistoryOptions),
    /// Show what every node says about itself
    Status(StatusOptions),
    /// List the topics
    Topics(TopicsOptions),
    /// List the consumer groups, end one, or move one
    Groups(GroupsOptions),
    /// Publish a request and show the reply
    Request(RequestOptions),
    /// Answer the requests of a topic
    Reply(ReplyOptions),
    /// Publish as fast as the cluster takes it, and say how fast that was
    Bench(BenchOptions),
    /// Show what every node says about its clock and measures of the others'
    Clock(ClockOptions),
    /// Write what makes a shell complete these commands
    Completions(CompletionsOptions),
    /// Start a private cluster, measure it, and check that it lost nothing (`./dev bench`)
    #[command(hide = true)]
    BenchSuite(SuiteOptions),
}

/// What the command line asks for, or the code to exit with: `--help` and `--version` are answered, a mistake is
/// said in one line.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        _ => refuse(mistake(&error)),
    })
}

/// Says in one line on stderr why nothing was done; gives the code to exit with.
pub(crate) fn refuse(reason: impl Display) -> ExitCode {
    complain(reason);
    ExitCode::from(REFUSED)
}

/// Says in one line on stderr what failed; gives the code to exit with.
pub(crate) fn fail(reason: impl Display) -> ExitCode {
    complain(reason);
    ExitCode::FAILURE
}

/// Says in one line on stderr how far it was when Ctrl-C ended it; gives the code to exit with.
pub(crate) fn interrupted(how_far: impl Display) -> ExitCode {
    complain(format!("interrupted: {how_far}"));
    ExitCode::from(INTERRUPTED)
}

/// Runs a command's work on this thread. The runtime is not waited for afterwards: a name that is being looked up, or a
/// read of a terminal, cannot be hurried.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

fn complain(reason: impl Display) {
    let line = format!("wiber: {}\n", one_line(&reason.to_string()));
    // Without a stderr the exit code is all there is to say.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// clap's first paragraph, which says what is wrong; usage and tips follow it.
fn mistake(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "which command? (see --help)".to_owned();
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    format!("{} (see --help)", first.trim_start_matches("error: "))
}

/// White space and other controls, line ends among them, become single spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_s_help_says_what_its_exit_codes_mean() {
        let check = |mut command: clap::Command| {
            let help = one_line(&command.render_help().to_string());
            let (_, codes) = help.split_once("Exit code: 0 ").expect(&help);
            assert!(codes.contains("; 1 ") && codes.contains("; 2 if "), "{help}");
            assert!(
                codes.contains("; 130 if ") || codes.starts_with("after Ctrl-C, "),
                "{help}"
            );
        };
        let mut commands = vec![Args::command()];
        while let Some(command) = commands.pop() {
            let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set());
            commands.extend(visible.cloned());
            check(command);
        }
    }

    fn bench(words: &[&str]) -> Result<BenchOptions, String> {
        match Args::try_parse_from([&["wiber", "bench"], words].concat()) {
            Ok(Args {
                command: Command::Bench(options),
            }) => Ok(options),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(one_line(&mistake(&error))),
        }
    }

    #[test]
    fn a_bench_without_options_is_256_bytes_256_in_flight_on_one_connection() {
        let options = bench(&[]).unwrap();
        assert_eq!(
            (options.size, options.inflight, options.conns, options.count),
            (256, 256, 1, None)
        );
        assert!(!options.ids && options.nodes.addr.is_empty());
    }

    #[test]
    fn several_addresses_may_be_given_at_once_or_one_by_one() {
        let options = bench(&["--addr", "a:1,b:2", "--addr", "c:3"]).unwrap();
        assert_eq!(options.nodes.addr, ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        let check = |words: &[&str], expected: &str| assert_eq!(bench(words).unwrap_err(), expected);
        check(&["--colour"], "unexpected argument '--colour' found (see --help)");
        check(
            &["--size", "0"],
            "invalid value '0' for '--size <BYTES>': 0 is not in 1..=1048576 (see --help)",
        );
        check(
            &["--conns", "many"],
            "invalid value 'many' for '--conns <N>': invalid digit found in string (see --help)",
        );
        let nothing = Args::try_parse_from(["wiber"]).unwrap_err();
        assert_eq!(mistake(&nothing), "which command? (see --help)");
    }
}
