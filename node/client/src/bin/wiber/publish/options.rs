//! What can be said to `wiber pub`, and what of it is published.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use wiber_protocol::{
    line::{check_headers, check_id, check_message},
    record::MAX_BODY_BYTES,
};

use crate::{cli, nodes::NodesOptions, topic, when};

#[derive(Clone, Debug, Args)]
#[command(
    after_help = concat!(
        "Examples:\n  wiber pub lobby hello there\n  seq 1000 | wiber pub numbers\n  \
         wiber pub pictures --whole --file cat.jpg --header content-type=image/jpeg\n  \
         wiber pub balance 'add 5' --expect 41\n\n",
        cli::exit_codes!("if every message is stored", "if one failed or its fate is unknown")
    )
)]
pub(crate) struct PubOptions {
    /// The topic
    #[arg(value_parser = topic::topic_name)]
    pub(super) topic: String,
    /// The message, its words joined by blanks; without one, or for `-`, stdin is read: one message a line, UTF-8 text without
    /// the white space at its ends and not empty (see --whole for anything else)
    message: Vec<String>,
    /// Publish the lines of this file
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    pub(super) file: Option<PathBuf>,
    /// Publish all of the file, or of stdin, as one message, whatever its bytes are
    #[arg(short, long, conflicts_with = "message")]
    whole: bool,
    /// The message's id: sent again under it, the same message is stored once [default: made up]
    #[arg(long, value_parser = message_id)]
    pub(super) id: Option<String>,
    /// Give every message this header; may be said several times
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = header)]
    pub(super) headers: Vec<(String, String)>,
    /// Store the message only if the topic's newest offset is N (0: if it has none)
    #[arg(long, value_name = "N")]
    pub(super) expect: Option<u64>,
    /// How long to try while no message is acknowledged, such as `10s` or `500ms`
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = patience)]
    pub(super) timeout: Duration,
    /// Say every message that was stored
    #[arg(short, long, conflicts_with = "json")]
    pub(super) verbose: bool,
    /// Say what became of every message as JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) nodes: NodesOptions,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The words of the command line.
    Text(String),
    /// A file or stdin, as one message.
    Whole,
    /// Every line of a file or of stdin.
    Lines,
}

impl PubOptions {
    pub(super) fn source(&self) -> Result<Source, String> {
        check_headers(&self.headers).map_err(topic::in_words)?;
        let source = match &self.message[..] {
            [] if self.whole => Source::Whole,
            [] => Source::Lines,
            [dash] if dash == "-" => Source::Lines,
            words => {
                let text = words.join(" ");
                checked(&text)?;
                Source::Text(text)
            }
        };
        if source == Source::Lines && (self.id.is_some() || self.expect.is_some()) {
            return Err("--id and --expect are for one message: its words, or --whole".to_owned());
        }
        Ok(source)
    }

    /// All of the file or of stdin; a little more than a message may have at most, as then it is none anyway.
    pub(super) async fn read_whole(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.file.clone();
        let read = move || {
            let read = |source: &mut dyn Read| {
                let mut bytes = Vec::new();
                let bound = MAX_BODY_BYTES as u64 + 1;
                source.take(bound).read_to_end(&mut bytes).map(|_| bytes)
            };
            match &path {
                Some(path) => File::open(path)
                    .and_then(|mut file| read(&mut file))
                    .with_context(|| format!("cannot read {}", path.display())),
                None => read(&mut io::stdin()).context("cannot read stdin"),
            }
        };
        // A terminal cannot be waited for otherwise.
        tokio::task::spawn_blocking(read).await?
    }
}

/// Why a text can be no message, in words.
pub(super) fn checked(text: &str) -> Result<(), &'static str> {
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

/// A header as it is said to a command.
fn header(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a header is KEY=VALUE")?;
    let header = (key.to_owned(), value.to_owned());
    match check_headers(std::slice::from_ref(&header)) {
        Ok(()) => Ok(header),
        Err(_) => Err("a key has 1 to 64 of A-Z a-z 0-9 . _ -, key and value at most 8192 bytes".to_owned()),
    }
}

/// How long to try.
pub(crate) fn patience(text: &str) -> Result<Duration, &'static str> {
    let length = when::length(text)?;
    if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&length) {
        Ok(length)
    } else {
        Err("from 1ms to 86400s")
    }
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

    fn source(words: &[&str]) -> Result<Source, String> {
        options(words)?.source()
    }

    #[test]
    fn words_are_one_message_and_a_dash_or_nothing_is_stdin() {
        let text = |text: &str| Ok(Source::Text(text.to_owned()));
        assert_eq!(source(&["t", "hello", "there"]), text("hello there"));
        assert_eq!(source(&["t", "--", "--file"]), text("--file"));
        assert_eq!(source(&["t"]), Ok(Source::Lines));
        assert_eq!(source(&["t", "-"]), Ok(Source::Lines));
        assert_eq!(source(&["t", "--whole", "--id", "m"]), Ok(Source::Whole));
        assert_eq!(source(&["t", " "]), Err("a message is not empty".to_owned()));
        assert_eq!(source(&["t", "a\nb"]), Err("a message is one line".to_owned()));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for words in [
            &["t", "--id", "m-1"][..],
            &["t", "--id", "m-1", "-"],
            &["t", "--expect", "5"],
            &["t", "--id", "two words", "hi"],
            &["t", "--file", "f", "hi"],
            &["t", "--whole", "hi"],
            &["t", "hi", "--header", "a=1", "--header", "a=2"],
            &["t", "hi", "--header", "a b=1"],
            &["t", "hi", "--header", "a"],
            &["two words", "hi"],
            &["t", "hi", "-v", "--json"],
            &["t", "hi", "--timeout", "soon"],
            &["t", "hi", "--timeout", "0"],
            &[],
        ] {
            assert!(source(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_timeout_has_a_unit_or_is_seconds() {
        let check = |text, expected_ms| assert_eq!(patience(text), Ok(Duration::from_millis(expected_ms)));
        check("10s", 10_000);
        check("10", 10_000);
        check("0.5", 500);
        check("250ms", 250);
        check("2m", 120_000);
        for wrong in ["", "s", "-1", "NaN", "inf", "1y", "25h"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }
}
