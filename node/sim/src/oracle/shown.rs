//! A record as a client was shown it, in either form.

use super::log::Stored;
use wiber_protocol::line::{RecordLine, RecordLineError, RecordView};

/// Where a client was told that a record stands, and everything else it was told of it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub topic: String,
    pub offset: u64,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Record(Box<RecordLine>),
    /// A line of nine fields, whole.
    Fields(String),
}

impl Shown {
    /// A `RECORD` line.
    pub fn record(line: &str) -> Result<Self, RecordLineError> {
        RecordLine::parse(line).map(Self::of)
    }

    /// What a `RECORD` line said.
    pub fn of(record: RecordLine) -> Self {
        Self {
            topic: record.topic.clone(),
            offset: record.offset,
            form: Form::Record(Box::new(record)),
        }
    }

    /// The Lamport time that a `RECORD` line said.
    pub fn logical_time(&self) -> Option<u64> {
        match &self.form {
            Form::Record(record) => Some(record.logical_time),
            Form::Fields(_) => None,
        }
    }

    /// A `RECORD` line for a member of a group, the group, and the how manieth time this is.
    pub fn handed_out(line: &str) -> Result<(Self, String, u32), RecordLineError> {
        let record = RecordLine::parse(line)?;
        Self::handed_out_of(record).ok_or_else(|| RecordLineError::Kind(line.to_owned()))
    }

    /// The same, of what that line said; `None` without a group.
    pub fn handed_out_of(mut record: RecordLine) -> Option<(Self, String, u32)> {
        let (group, delivery) = (record.group.take()?, record.delivery.take()?);
        Some((Self::of(record), group, delivery))
    }

    /// A line of nine fields of this kind; `None` if it is not one.
    pub fn fields(kind: &str, line: &str) -> Option<Self> {
        let mut fields = line.splitn(9, ' ');
        if fields.next()? != kind {
            return None;
        }
        let topic = fields.next()?.to_owned();
        let offset = fields.nth(1)?.parse().ok()?;
        fields.nth(4)?;
        Some(Self {
            topic,
            offset,
            form: Form::Fields(line.to_owned()),
        })
    }

    /// Whether it says what `known` says, to the letter.
    pub(super) fn is_as(&self, stored: &Stored) -> bool {
        let known = &stored.line;
        match &self.form {
            Form::Record(record) => **record == *known,
            Form::Fields(line) => {
                let view = RecordView {
                    topic: &known.topic,
                    id: &known.id,
                    offset: known.offset,
                    ts_us: known.ts_us,
                    corrected_us: known.corrected_us,
                    bound_us: None,
                    logical_time: known.logical_time,
                    node: &known.node,
                    log_index: known.log_index,
                    headers: &[],
                    body: &stored.body,
                    binary_safe: stored.binary_safe,
                };
                let mut expected = Vec::new();
                if line.starts_with("MSG ") {
                    view.write_msg(&mut expected);
                } else {
                    view.write_history(&mut expected);
                }
                expected.strip_suffix(b"\n") == Some(line.as_bytes())
            }
        }
    }
}
