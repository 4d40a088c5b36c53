//! `wiber`: the command line of a Wiber cluster.
//!
//! One module a command. A command says its result on stdout and what went wrong, in one line, on stderr; the exit
//! code is 0 when all it was asked for was done, 1 when something failed, 2 when it could not be understood, and where an
//! interrupt ends a command before its time, the shell's 130.

mod admin;
mod bench;
mod board;
mod cli;
mod clock;
mod completions;
mod end;
mod format;
mod grid;
mod groups;
mod history;
mod listing;
mod nodes;
mod output;
mod publish;
mod reply;
mod request;
mod screen;
mod status;
mod sub;
mod suite;
mod topic;
mod topics;
mod units;
mod watch;
mod when;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match cli::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match args.command {
        cli::Command::Pub(options) => publish::run(&options),
        cli::Command::Sub(options) => sub::run(&options),
        cli::Command::History(options) => history::run(&options),
        cli::Command::Status(options) => status::run(&options),
        cli::Command::Topics(options) => topics::run(&options),
        cli::Command::Groups(options) => groups::run(&options),
        cli::Command::Request(options) => request::run(&options),
        cli::Command::Reply(options) => reply::run(&options),
        cli::Command::Bench(options) => bench::run(&options),
        cli::Command::Clock(options) => clock::run(&options),
        cli::Command::Completions(options) => completions::run(&options),
        cli::Command::BenchSuite(options) => suite::run(&options),
    }
}
