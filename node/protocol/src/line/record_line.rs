//! A record as the line protocol shows it.
//!
//! `MSG` and `HISTORY` lines have nine fields separated by one space, the last running to the end of the line:
//! `<MSG|HISTORY> <topic> <id> <offset> <ts> <corrected_ts> <logical_time> <clock_type> <text>`. A `RECORD` line
//! is JSON and can say everything. Times are Unix seconds with six decimals, written from whole microseconds:
//! a float would not hold them all.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::push_fmt;

/// The only `clock_type` there is: `logical_time` is a Lamport time.
pub const CLOCK_TYPE: &str = "logical";

const RECORD: &str = "RECORD ";

/// A committed record, to be written as a line. All texts but `body` are single words.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub topic: &'a str,
    pub id: &'a str,
    pub offset: u64,
    /// Microseconds since the Unix epoch by the taking node's clock.
    pub ts_us: i64,
    /// Microseconds since the Unix epoch of cluster time.
    pub corrected_us: i64,
    /// How far `corrected_us` may be off, microseconds; `None` where the taking node's clock was not synchronised.
    pub bound_us: Option<u64>,
    pub logical_time: u64,
    /// The node that took the record.
    pub node: &'a str,
    pub log_index: u64,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
    /// Whether the record came by a verb that can carry any bytes. A nine-field line shows its LF, CR and
    /// backslashes escaped; what came as a line is shown as it came.
    pub binary_safe: bool,
}

impl RecordView<'_> {
    /// Appends the record as a `MSG` line, the form a `SUB` delivers.
    pub fn write_msg(&self, out: &mut Vec<u8>) {
        self.write_fields("MSG", out);
    }

    /// Appends the record as a `HISTORY` line.
    pub fn write_history(&self, out: &mut Vec<u8>) {
        self.write_fields("HISTORY", out);
    }

    fn write_fields(&self, kind: &str, out: &mut Vec<u8>) {
        push_fmt(
            out,
            format_args!(
                "{kind} {} {} {} {} {} {} {CLOCK_TYPE} ",
                or_dash(self.topic),
                or_dash(self.id),
                self.offset,
                Seconds(self.ts_us),
                Seconds(self.corrected_us),
                self.logical_time,
            ),
        );
        let text = self.text();
        if self.binary_safe {
            for byte in text.bytes() {
                match byte {
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    byte => out.push(byte),
                }
            }
        } else {
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b'\n');
    }

    /// Appends the record as a `RECORD` line, the form `READ` and `SUBSCRIBE` deliver.
    pub fn write_record(&self, out: &mut Vec<u8>) {
        self.write_record_with(HandedOut::default(), out);
    }

    /// The same, of a record that is handed out in a special way.
    pub fn write_record_with(&self, how: HandedOut<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(RECORD.as_bytes());
        self.write_json_with(how, out);
    }

    /// Appends the record as a JSON document alone, with a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write_json_with(HandedOut::default(), out);
    }

    fn write_json_with(&self, how: HandedOut<'_>, out: &mut Vec<u8>) {
        let json = |text: &str| serde_json::Value::from(text);
        push_fmt(
            out,
            format_args!(
                r#"{{"topic":{},"id":{},"offset":{},"ts":{},"corrected_ts":{},"logical_time":{},"clock_type":"{}","node":{},"log_index":{},"#,
                json(self.topic),
                json(self.id),
                self.offset,
                Seconds(self.ts_us),
                Seconds(self.corrected_us),
                self.logical_time,
                CLOCK_TYPE,
                json(self.node),
                self.log_index,
            ),
        );
        if let Some(bound_us) = self.bound_us {
            let bound = Seconds(i64::try_from(bound_us).unwrap_or(i64::MAX));
            push_fmt(out, format_args!(r#""bound":{bound},"#));
        }
        if !self.headers.is_empty() {
            let mut before = r#""headers":{"#;
            for (key, value) in self.headers {
                push_fmt(out, format_args!("{before}{}:{}", json(key), json(value)));
                before = ",";
            }
            out.extend_from_slice(b"},");
        }
        if let Some((group, deliveries)) = how.group {
            let group = json(group);
            push_fmt(out, format_args!(r#""group":{group},"delivery":{deliveries},"#));
        }
        if how.late {
            out.extend_from_slice(br#""late":true,"#);
        }
        if std::str::from_utf8(self.body).is_err() {
            let data = BASE64.encode(self.body);
            push_fmt(out, format_args!(r#""data":"{data}","#));
        }
        push_fmt(out, format_args!("\"text\":{}}}\n", json(&self.text())));
    }

    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.body)
    }
}

/// What is said of a record beside what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandedOut<'a> {
    /// The group whose member gets it, and how often it was handed out, this time included.
    pub group: Option<(&'a str, u32)>,
    /// It arrived too late for its place in the order of origin.
    pub late: bool,
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Microseconds, displayed as seconds with six decimals.
pub(super) struct Seconds(pub(super) i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let us = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
    }
}

/// A `RECORD` line, read. Keys it does not know are left for later versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLine {
    pub topic: String,
    pub id: String,
    pub offset: u64,
    /// Microseconds since the Unix epoch by the taking node's clock; seconds in JSON.
    #[serde(rename = "ts", with = "seconds")]
    pub ts_us: i64,
    /// Microseconds since the Unix epoch of cluster time; seconds in JSON.
    #[serde(rename = "corrected_ts", with = "seconds")]
    pub corrected_us: i64,
    pub logical_time: u64,
    pub clock_type: String,
    /// The node that took the record.
    pub node: String,
    pub log_index: u64,
    /// How far `corrected_us` may be off, microseconds; seconds in JSON. `None` where the taking node's clock was not
    /// synchronised.
    #[serde(
        rename = "bound",
        default,
        skip_serializing_if = "Option::is_none",
        with = "maybe_seconds"
    )]
    pub bound_us: Option<i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The group whose member got the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How often the group handed it out, this time included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<u32>,
    /// It arrived too late for its place in the order of origin.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// The body in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The body; invalid UTF-8 replaced.
    pub text: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A line that should be a `RECORD` line is not.
#[derive(Debug, thiserror::Error)]
pub enum RecordLineError {
    #[error("not a RECORD line: `{0}`")]
    Kind(String),
    #[error("a RECORD line whose JSON is wrong: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a record whose data is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
}

impl RecordLine {
    /// Reads a whole line, given without its line end.
    pub fn parse(line: &str) -> Result<Self, RecordLineError> {
        match line.strip_prefix(RECORD) {
            Some(json) => Ok(serde_json::from_str(json)?),
            None => Err(RecordLineError::Kind(line.chars().take(80).collect())),
        }
    }

    /// The body's bytes, as they were published.
    ///
    /// # Errors
    /// If `data` is not base64, which no node writes.
    pub fn body(&self) -> Result<Vec<u8>, RecordLineError> {
        match &self.data {
            None => Ok(self.text.as_bytes().to_vec()),
            Some(data) => Ok(BASE64.decode(data)?),
        }
    }

    /// `ts_us` as the JSON documents say it.
    pub fn ts_secs(&self) -> f64 {
        seconds::from_us(self.ts_us)
    }

    /// `corrected_us` as the JSON documents say it.
    pub fn corrected_secs(&self) -> f64 {
        seconds::from_us(self.corrected_us)
    }
}

/// Whole microseconds as a JSON number of seconds: exact from the year 1834 to 2106, as a float has 53 bits.
mod seconds {
    use super::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::cast_precision_loss, reason = "exact for the times said above")]
    pub(super) fn from_us(us: i64) -> f64 {
        us as f64 / 1e6
    }

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the form serde calls; a lint of 64-bit targets only"
    )]
    pub(super) fn serialize<S: Serializer>(us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(from_us(*us))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond the range becomes its nearest end"
    )]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        f64::deserialize(deserializer).map(|secs| (secs * 1e6).round() as i64)
    }
}

/// The same, of a number that may be missing.
mod maybe_seconds {
    use super::{Deserialize as _, Deserializer, Serializer, seconds};

    #[allow(clippy::ref_option, reason = "the form serde calls")]
    pub(super) fn serialize<S: Serializer>(us: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match us {
            Some(us) => seconds::serialize(us, serializer),
            None => serializer.serialize_none(),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond the range becomes its nearest end"
    )]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        let secs = Option::<f64>::deserialize(deserializer)?;
        Ok(secs.map(|secs| (secs * 1e6).round() as i64))
    }
}
