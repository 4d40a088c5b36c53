//! Nine-field lines, taken apart as any client of the contract would.

use serde_json::Value;

/// The document of a `RECORD` line.
#[track_caller]
pub(crate) fn record(line: &str) -> Value {
    let json = line.strip_prefix("RECORD ");
    serde_json::from_str(json.unwrap_or_else(|| panic!("not a record: `{line}`"))).expect("JSON")
}

/// One `MSG` or `HISTORY` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: String,
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) offset: u64,
    pub(crate) ts: String,
    pub(crate) corrected_ts: String,
    pub(crate) logical_time: u64,
    pub(crate) clock_type: String,
    pub(crate) text: String,
}

#[track_caller]
pub(crate) fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.splitn(9, ' ').collect();
    let [
        kind,
        topic,
        id,
        offset,
        ts,
        corrected_ts,
        logical_time,
        clock_type,
        text,
    ] = fields[..]
    else {
        panic!("not nine fields: `{line}`");
    };
    Row {
        kind: kind.to_owned(),
        topic: topic.to_owned(),
        id: id.to_owned(),
        offset: offset.parse().expect("an offset"),
        ts: ts.to_owned(),
        corrected_ts: corrected_ts.to_owned(),
        logical_time: logical_time.parse().expect("a logical time"),
        clock_type: clock_type.to_owned(),
        text: text.to_owned(),
    }
}

#[track_caller]
pub(crate) fn rows(lines: &[String]) -> Vec<Row> {
    lines.iter().map(|line| row(line)).collect()
}

/// Offsets count from 1 without a gap, and logical times rise.
#[track_caller]
pub(crate) fn assert_gapless(rows: &[Row]) {
    for (row, offset) in rows.iter().zip(1..) {
        assert_eq!(row.offset, offset, "{row:?}");
    }
    assert!(
        rows.windows(2)
            .all(|pair| pair[0].logical_time < pair[1].logical_time),
        "logical times must rise"
    );
}

/// The id in `OK <word> <id> …`, if the answer begins so.
pub(crate) fn id_of(answer: &str, word: &str) -> Option<String> {
    let mut fields = answer
        .strip_prefix("OK ")?
        .strip_prefix(word)?
        .strip_prefix(' ')?
        .split(' ');
    fields.next().filter(|id| !id.is_empty()).map(str::to_owned)
}
