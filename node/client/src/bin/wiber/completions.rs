//! `wiber completions`: what makes a shell complete `wiber`'s commands and options.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use crate::{cli, output::say};

#[derive(Clone, Debug, Args)]
#[command(after_help = cli::exit_codes!("if it is written", "if not"))]
pub(crate) struct CompletionsOptions {
    /// For this shell
    shell: ForShell,
}

/// The shells of the systems that Wiber runs on.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ForShell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(options: &CompletionsOptions) -> ExitCode {
    match script(options.shell).and_then(|script| say(&script)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

/// In memory first: `generate` panics where it cannot write, as into a pipe that was closed.
fn script(shell: ForShell) -> anyhow::Result<String> {
    let shell = match shell {
        ForShell::Bash => Shell::Bash,
        ForShell::Zsh => Shell::Zsh,
        ForShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut cli::Args::command(), "wiber", &mut script);
    Ok(String::from_utf8(script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_of_the_commands_and_their_options() {
        for shell in [ForShell::Bash, ForShell::Zsh, ForShell::Fish] {
            let script = script(shell).unwrap();
            for word in [
                "pub",
                "sub",
                "history",
                "status",
                "topics",
                "groups",
                "request",
                "reply",
                "from-start",
            ] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
        }
    }
}
