//! How a record is written: by a template in the manner of kcat's `-f`, as JSON, or the way a person reads it best.

use std::{borrow::Cow, fmt::Write as _, io::Write as _};

use chrono::{DateTime, Local};
use clap::Args;
use wiber_client::RecordLine;

use crate::{
    grid::{FAINT, Style},
    output,
};

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FormatOptions {
    /// Write each record by this template
    #[arg(
        short,
        long,
        value_name = "TEMPLATE",
        conflicts_with = "json",
        long_help = "Write each record by this template: %t topic, %o offset, %k id, %s the message (into a pipe, its bytes as they are), %T time and %C cluster time \
                     (Unix seconds), %B how far cluster time may be off (seconds), %L Lamport time, %n the node that took \
                     it, %h headers, %d how often its group handed it out, %% a percent sign; \\n, \\r, \\t, \\\\. What is \
                     not known is `-`. No line end is added."
    )]
    pub(crate) format: Option<String>,
    /// Write each record as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show the headers, too
    #[arg(long, conflicts_with_all = ["format", "json"])]
    pub(crate) headers: bool,
}

impl FormatOptions {
    /// By this template, if nothing else is asked for.
    pub(crate) fn resolve_or(&self, template: &str) -> Result<Format, String> {
        if self.json || self.headers || self.format.is_some() {
            return self.resolve();
        }
        Self {
            format: Some(template.to_owned()),
            ..self.clone()
        }
        .resolve()
    }

    pub(crate) fn resolve(&self) -> Result<Format, String> {
        let form = match &self.format {
            Some(template) => Form::Template(parse(template)?),
            None if self.json => Form::Json,
            None => Form::Readable(Readable {
                style: output::style(),
                headers: self.headers,
                topics: false,
            }),
        };
        Ok(Format {
            form,
            for_terminal: output::on_terminal(),
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Format {
    form: Form,
    /// Whether texts must not reach the reader as commands.
    for_terminal: bool,
}

#[derive(Clone, Debug)]
enum Form {
    Readable(Readable),
    Template(Vec<Piece>),
    Json,
}

/// What a line for people has beside offset, time and text.
#[derive(Clone, Copy, Debug, Default)]
struct Readable {
    style: Style,
    headers: bool,
    topics: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Topic,
    Offset,
    Id,
    Text,
    /// By the clock of the node that took it.
    Time,
    ClusterTime,
    /// How far that may be off.
    Bound,
    Lamport,
    Node,
    Headers,
    Delivery,
}

impl Field {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            't' => Self::Topic,
            'o' => Self::Offset,
            'k' => Self::Id,
            's' => Self::Text,
            'T' => Self::Time,
            'C' => Self::ClusterTime,
            'L' => Self::Lamport,
            'n' => Self::Node,
            'B' => Self::Bound,
            'h' => Self::Headers,
            'd' => Self::Delivery,
            _ => return None,
        })
    }
}

/// Understands a template. A placeholder or escape that is none is a mistake, not text.
fn parse(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        if !matches!(c, '%' | '\\') {
            literal.push(c);
            continue;
        }
        let next = chars
            .next()
            .ok_or_else(|| format!("the template ends in a single `{c}`"))?;
        match (c, next) {
            ('%', '%') | ('\\', '\\') => literal.push(c),
            ('\\', 'n') => literal.push('\n'),
            ('\\', 'r') => literal.push('\r'),
            ('\\', 't') => literal.push('\t'),
            ('%', letter) if let Some(field) = Field::of(letter) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Field(field));
            }
            _ => return Err(format!("`{c}{next}` means nothing in a template")),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

impl Format {
    /// For records of several topics.
    pub(crate) fn with_topics(mut self) -> Self {
        if let Form::Readable(readable) = &mut self.form {
            readable.topics = true;
        }
        self
    }

    /// Appends the record.
    pub(crate) fn write(&self, record: &RecordLine, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match &self.form {
            Form::Template(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Field(field) => self.write_field(*field, record, out)?,
                    }
                }
            }
            Form::Json => {
                out.extend_from_slice(escaped(&serde_json::to_string(record)?).as_bytes());
                out.push(b'\n');
            }
            Form::Readable(readable) => self.write_readable(*readable, record, out)?,
        }
        Ok(())
    }

    fn write_readable(
        &self,
        readable: Readable,
        record: &RecordLine,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let mut head = format!("{:>6}  {}", record.offset, local_time(record.corrected_us));
        if readable.topics {
            head.push_str("  ");
            head.push_str(&self.words(&record.topic));
        }
        if let Some(delivery @ 2..) = record.delivery {
            // Writing into memory cannot fail.
            let _ = write!(head, "  delivery {delivery}");
        }
        if record.late {
            head.push_str("  late");
        }
        if readable.headers && !record.headers.is_empty() {
            head.push_str("  ");
            head.push_str(&self.words(&headers(record)));
        }
        write!(out, "{}  ", readable.style.paint(&head, FAINT))?;
        if record.data.is_some() {
            // Nobody reads that.
            write!(out, "({} bytes)", record.body()?.len())?;
        } else {
            self.write_body(record, out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    /// The message: into a pipe its bytes, whatever they are.
    fn write_body(&self, record: &RecordLine, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if record.data.is_some() && !self.for_terminal {
            out.extend_from_slice(&record.body()?);
        } else {
            out.extend_from_slice(self.words(&record.text).as_bytes());
        }
        Ok(())
    }

    fn write_field(&self, field: Field, record: &RecordLine, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match field {
            Field::Topic => write!(out, "{}", self.words(&record.topic))?,
            Field::Offset => write!(out, "{}", record.offset)?,
            Field::Id => write!(out, "{}", self.words(&record.id))?,
            Field::Text => self.write_body(record, out)?,
            Field::Time => write!(out, "{:.6}", record.ts_secs())?,
            Field::ClusterTime => write!(out, "{:.6}", record.corrected_secs())?,
            Field::Bound => match record.bound_us {
                Some(us) => write!(out, "{}.{:06}", us / 1_000_000, us % 1_000_000)?,
                None => out.push(b'-'),
            },
            Field::Lamport => write!(out, "{}", record.logical_time)?,
            Field::Node => write!(out, "{}", self.words(&record.node))?,
            Field::Headers if record.headers.is_empty() => out.push(b'-'),
            Field::Headers => write!(out, "{}", self.words(&headers(record)))?,
            Field::Delivery => match record.delivery {
                Some(delivery) => write!(out, "{delivery}")?,
                None => out.push(b'-'),
            },
        }
        Ok(())
    }

    /// Somebody's words: on a terminal without controls, a line end in them being a blank.
    fn words<'a>(&self, words: &'a str) -> Cow<'a, str> {
        if !self.for_terminal {
            return words.into();
        }
        let shown = |c: char| match c {
            '\t' => Some('\t'),
            '\n' => Some(' '),
            c if c.is_control() => None,
            c => Some(c),
        };
        words.chars().filter_map(shown).collect::<String>().into()
    }
}

/// `key=value,key=value`, as kcat shows them.
fn headers(record: &RecordLine) -> String {
    let header = |(key, value): (&String, &String)| format!("{key}={value}");
    record.headers.iter().map(header).collect::<Vec<_>>().join(",")
}

/// The controls that JSON allows in its texts, DEL and those from U+0080 on, are commands to a terminal nevertheless.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            // Writing into memory cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// As the reader's watch would show it; the number itself if no calendar has it.
fn local_time(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(
        || us.to_string(),
        |time| {
            time.with_timezone(&Local)
                .format("%Y-%m-%d %H:%M:%S%.3f")
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests;
