//! What `TOPICS` and `GROUPS` list, a JSON document a line.

use serde::{Deserialize, Serialize, Serializer};

use super::{RecordLineError, push_fmt};

/// One topic: a `TOPIC` line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicLine {
    pub topic: String,
    /// The offset of the newest record; 0 before the first.
    pub high_watermark: u64,
    /// The first offset that can be read.
    pub log_start_offset: u64,
    /// Bytes of the message bodies that can be read.
    pub bytes: u64,
    /// Records that the node asked saw committed, a second, of late.
    #[serde(serialize_with = "to_hundredths")]
    pub records_per_s: f64,
    /// Bytes of their bodies, a second.
    #[serde(serialize_with = "to_hundredths")]
    pub bytes_per_s: f64,
}

/// A rate is no more exact than that, and more digits are what arithmetic on binary fractions leaves behind.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form serde calls; a lint of 64-bit targets only"
)]
fn to_hundredths<S: Serializer>(per_s: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((per_s * 100.0).round() / 100.0)
}

/// One consumer group of one topic: a `GROUP` line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLine {
    pub topic: String,
    pub group: String,
    /// Everything below is done.
    pub next_offset: u64,
    /// Records handed out and not acknowledged, or acknowledged before an earlier one.
    pub outstanding: u64,
    /// Records of the topic that are not done.
    pub lag: u64,
    /// How often a record was handed out again.
    pub redelivered: u64,
    /// Records that were put aside.
    pub dead_letters: u64,
    pub ack_timeout_ms: u64,
    pub max_deliveries: u32,
    /// Who is connected now; `null` where the node asked does not lead.
    pub members: Option<u64>,
}

const TOPIC: &str = "TOPIC ";
const GROUP: &str = "GROUP ";

impl TopicLine {
    pub fn write(&self, out: &mut Vec<u8>) {
        write(TOPIC, self, out);
    }

    /// Reads a whole line, given without its line end; `None` if it is no `TOPIC` line.
    pub fn parse(line: &str) -> Option<Result<Self, RecordLineError>> {
        parse(TOPIC, line)
    }
}

impl GroupLine {
    pub fn write(&self, out: &mut Vec<u8>) {
        write(GROUP, self, out);
    }

    /// Reads a whole line, given without its line end; `None` if it is no `GROUP` line.
    pub fn parse(line: &str) -> Option<Result<Self, RecordLineError>> {
        parse(GROUP, line)
    }
}

fn write(kind: &str, line: &impl Serialize, out: &mut Vec<u8>) {
    let json = serde_json::to_string(line).expect("numbers and texts can be said in JSON");
    push_fmt(out, format_args!("{kind}{json}\n"));
}

fn parse<T: serde::de::DeserializeOwned>(kind: &str, line: &str) -> Option<Result<T, RecordLineError>> {
    let json = line.strip_prefix(kind)?;
    Some(serde_json::from_str(json).map_err(RecordLineError::from))
}
