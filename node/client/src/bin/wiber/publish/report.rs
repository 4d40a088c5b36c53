//! What became of the messages: on stdout if that was asked for, and on stderr what went wrong.

use serde::Serialize;
use wiber_client::{PublishError, Published};

use super::Fate;
use crate::{
    format::escaped,
    output::{remark, say},
};

/// More runs of lines that went wrong are counted only.
const MAX_REMARKS: u64 = 20;

pub(super) struct Report {
    form: Form,
    is_single: bool,
    /// Nobody reads stdout any more. What was to be published is published nevertheless.
    unread: bool,
    stored: u64,
    failed: u64,
    unknown: u64,
    /// What went wrong last, and has not been said yet.
    wrong: Option<Run>,
    remarks: u64,
    /// The last line that was sent, where others would have followed.
    stopped_after: Option<u64>,
}

/// Lines one after the other that went wrong in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    error: PublishError,
    first: (u64, String),
    last: (u64, String),
}

impl Run {
    /// True if the line belongs to it.
    fn extend(&mut self, fate: &Fate, error: &PublishError) -> bool {
        let belongs = self.error == *error && self.last.0 + 1 == fate.number;
        if belongs {
            self.last = (fate.number, fate.id.clone());
        }
        belongs
    }

    /// What is known, and what can be done where nothing is.
    fn text(&self) -> String {
        let Self { error, first, last } = self;
        match error {
            PublishError::Unknown(_) if first == last => {
                format!("{error}; publish it again with --id {}", first.1)
            }
            PublishError::Unknown(_) => {
                format!(
                    "{error}; publish each again with its --id, {} to {}",
                    first.1, last.1
                )
            }
            _ => error.to_string(),
        }
    }

    fn lines(&self) -> String {
        match (self.first.0, self.last.0) {
            (first, last) if first == last => format!("line {first}"),
            (first, last) => format!("lines {first} to {last}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Silent,
    Lines,
    Json,
}

/// One message as JSON.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    state: State,
    id: &'a str,
    /// Told unless a follower was asked, or the record was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Published,
    /// Stored before under this id, perhaps by an attempt whose answer was lost.
    Duplicate,
    /// Certainly not stored.
    Failed,
    /// It may be stored, now or later.
    Unknown,
}

impl Report {
    pub(super) fn new(json: bool, lines: bool, is_single: bool) -> Self {
        Self {
            form: match (json, lines) {
                (true, _) => Form::Json,
                (false, true) => Form::Lines,
                (false, false) => Form::Silent,
            },
            is_single,
            unread: false,
            stored: 0,
            failed: 0,
            unknown: 0,
            wrong: None,
            remarks: 0,
            stopped_after: None,
        }
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    pub(super) fn is_good(&self) -> bool {
        self.failed + self.unknown == 0
    }

    pub(super) fn add(&mut self, fate: &Fate) -> anyhow::Result<()> {
        let published = match &fate.result {
            Ok(published) => published,
            Err(error) => return self.wrong(fate, error),
        };
        self.stored += 1;
        match self.form {
            Form::Silent => Ok(()),
            Form::Lines => self.print(&line(published)),
            Form::Json => self.print_json(&Said {
                line: self.line(fate),
                state: if published.duplicate {
                    State::Duplicate
                } else {
                    State::Published
                },
                id: &fate.id,
                offset: published.offset,
                logical_time: published.logical_time,
                error: None,
            }),
        }
    }

    fn wrong(&mut self, fate: &Fate, error: &PublishError) -> anyhow::Result<()> {
        let (state, count) = match error {
            PublishError::Unknown(_) => (State::Unknown, &mut self.unknown),
            _ => (State::Failed, &mut self.failed),
        };
        *count += 1;
        if !self.wrong.as_mut().is_some_and(|run| run.extend(fate, error)) {
            self.say_wrong();
            let at = (fate.number, fate.id.clone());
            self.wrong = Some(Run {
                error: error.clone(),
                first: at.clone(),
                last: at,
            });
        }
        if self.form != Form::Json {
            return Ok(());
        }
        self.print_json(&Said {
            line: self.line(fate),
            state,
            id: &fate.id,
            offset: None,
            logical_time: None,
            error: Some(&error.to_string()),
        })
    }

    /// Says which lines went wrong, as far as that has not been said. What a single message came to is the summary.
    pub(super) fn say_wrong(&mut self) {
        if self.is_single {
            return;
        }
        if let Some(run) = self.wrong.take() {
            self.remarks += 1;
            if self.remarks <= MAX_REMARKS {
                remark(&format!("{}: {}", run.lines(), run.text()));
            }
        }
    }

    /// The cluster takes no more, or it was interrupted: nothing after this line is sent. 0 is before the first.
    pub(super) fn stopped_after(&mut self, number: u64) {
        self.stopped_after = (number > 0).then_some(number);
    }

    /// What the command ends with if not all is good.
    pub(super) fn summary(&self) -> String {
        if let Some(run) = self.wrong.as_ref().filter(|_| self.is_single) {
            return run.text();
        }
        let counted = |count: u64, what: &str| match count {
            0 => None,
            1 => Some(format!("1 line {what}")),
            count => Some(format!("{count} lines {what}")),
        };
        let all = [
            counted(self.failed, "failed"),
            counted(self.unknown, "of unknown fate"),
            Some(format!("{} stored", self.stored)),
            self.stopped_after
                .map(|number| format!("nothing sent after line {number}")),
        ];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn line(&self, fate: &Fate) -> Option<u64> {
        (!self.is_single).then_some(fate.number)
    }

    fn print_json(&mut self, said: &Said<'_>) -> anyhow::Result<()> {
        let json = escaped(&serde_json::to_string(said)?);
        self.print(&json)
    }

    fn print(&mut self, line: &str) -> anyhow::Result<()> {
        if !self.unread {
            self.unread = !say(&format!("{line}\n"))?;
        }
        Ok(())
    }
}

/// `published <id> offset <n> lamport <t>`, or as much of it as was told.
fn line(published: &Published) -> String {
    let verb = if published.duplicate {
        "duplicate"
    } else {
        "published"
    };
    let position = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {value}"));
    let all = [
        Some(format!("{verb} {}", published.id)),
        position("offset", published.offset),
        position("lamport", published.logical_time),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(offset: Option<u64>, logical_time: Option<u64>, duplicate: bool) -> Published {
        Published {
            id: "m-1".to_owned(),
            offset,
            logical_time,
            duplicate,
            line: String::new(),
        }
    }

    fn unknown() -> Result<Published, PublishError> {
        Err(PublishError::Unknown("n1: no answer in time".to_owned()))
    }

    fn fate(number: u64, result: Result<Published, PublishError>) -> Fate {
        Fate {
            number,
            id: format!("m-{number}"),
            result,
        }
    }

    #[test]
    fn a_line_says_what_was_told() {
        let check = |published: Published, expected: &str| assert_eq!(line(&published), expected);
        check(
            published(Some(7), Some(40), false),
            "published m-1 offset 7 lamport 40",
        );
        check(published(None, None, false), "published m-1");
        check(published(None, None, true), "duplicate m-1");
    }

    #[test]
    fn the_summary_tells_failed_from_unknown() {
        let mut report = Report::new(false, false, false);
        let published = published(Some(1), Some(1), false);
        report.add(&fate(1, Ok(published))).unwrap();
        assert!(report.is_good());
        let rejected = PublishError::Rejected("a message is not empty".to_owned());
        report.add(&fate(2, Err(rejected))).unwrap();
        report.add(&fate(3, unknown())).unwrap();
        report.add(&fate(4, unknown())).unwrap();
        assert!(!report.is_good());
        assert_eq!(
            report.summary(),
            "1 line failed, 2 lines of unknown fate, 1 stored"
        );
        report.stopped_after(4);
        assert!(
            report
                .summary()
                .ends_with(", 1 stored, nothing sent after line 4")
        );
        let run = report.wrong.as_ref().expect("not said yet");
        assert_eq!(run.lines(), "lines 3 to 4");
        assert_eq!(
            run.text(),
            "it is not known whether the message was published: n1: no answer in time; \
             publish each again with its --id, m-3 to m-4"
        );
        report.say_wrong();
        assert_eq!((report.wrong, report.remarks), (None, 2));
    }

    #[test]
    fn a_single_message_of_unknown_fate_is_said_with_the_id_to_try_again() {
        let mut report = Report::new(false, true, true);
        report.add(&fate(1, unknown())).unwrap();
        assert_eq!(
            report.summary(),
            "it is not known whether the message was published: n1: no answer in time; publish it again with --id m-1"
        );
    }
}
