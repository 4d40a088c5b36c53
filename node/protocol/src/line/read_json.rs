//! How a `READ --json` ends: the last of its documents.

use serde::{Deserialize, Serialize};

use super::{Consistency, Reply, push_fmt};

/// The last line of the answer, a JSON document as its records are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadJson {
    /// As [`Reply::ReadEnd`].
    ReadEnd {
        high_watermark: u64,
        log_start_offset: u64,
        consistency: Consistency,
        next_offset: u64,
    },
    /// What stands behind `ERR ` in the answer of old.
    Error(String),
}

impl ReadJson {
    /// An error that `reply` would say.
    pub fn error(reply: &Reply<'_>) -> Self {
        let mut line = Vec::new();
        reply.write(&mut line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        Self::Error(text.strip_prefix("ERR ").unwrap_or(text).to_owned())
    }

    /// Appends the line.
    ///
    /// # Panics
    /// Never: numbers and texts can be said in JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let json = serde_json::to_string(self).expect("numbers and texts can be said in JSON");
        push_fmt(out, format_args!("{json}\n"));
    }

    /// Reads a whole line, given without its line end; `None` if it is a record.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_and_an_error_are_documents_and_read_back() {
        let end = ReadJson::ReadEnd {
            high_watermark: 5,
            log_start_offset: 2,
            consistency: Consistency::Strong,
            next_offset: 6,
        };
        let error = ReadJson::error(&Reply::OffsetOutOfRange { start: 3, end: 9 });
        for (json, text) in [
            (
                end,
                r#"{"read_end":{"high_watermark":5,"log_start_offset":2,"consistency":"strong","next_offset":6}}"#,
            ),
            (error, r#"{"error":"offset_out_of_range 3 9"}"#),
        ] {
            let mut line = Vec::new();
            json.write(&mut line);
            assert_eq!(line, format!("{text}\n").as_bytes());
            assert_eq!(ReadJson::parse(text), Some(json));
        }
        assert_eq!(ReadJson::parse(r#"{"topic":"t","offset":1}"#), None);
    }
}
