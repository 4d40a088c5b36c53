//! `READ`: bounds, places in time, where to read on, and answers in JSON.

use serde_json::Value;

use crate::{
    one,
    support::{
        conn::Conn,
        rows::{record, row},
    },
};

/// The records of an answer, and the line that ends it.
fn read(conn: &mut Conn, command: &str) -> (Vec<Value>, String) {
    let mut line = conn.ask(command);
    let mut records = Vec::new();
    while line.starts_with("RECORD ") {
        records.push(record(&line));
        line = conn.line();
    }
    (records, line)
}

fn offsets(records: &[Value]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record["offset"].as_u64().expect("an offset"))
        .collect()
}

fn publish(conn: &mut Conn, topic: &str, count: usize) {
    for at in 1..=count {
        conn.ask(&format!("PUB {topic} --id m-{at} text {at}"));
    }
}

#[test]
fn a_read_is_gone_on_with_where_it_says() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, "t", 7);
    let mut next = 1;
    let mut read_offsets = Vec::new();
    for expected in [[1, 2, 3].as_slice(), &[4, 5, 6], &[7], &[]] {
        let (records, end) = read(&mut conn, &format!("READ t --from {next} --limit 3"));
        assert_eq!(offsets(&records), expected);
        let (rest, after) = end.rsplit_once(' ').expect("words");
        assert_eq!(rest, "OK read_end 7 1 strong");
        next = after.parse().expect("an offset");
        read_offsets.extend(offsets(&records));
    }
    assert_eq!(read_offsets, (1..=7).collect::<Vec<u64>>());
    assert_eq!(read(&mut conn, "READ t --last 2").1, "OK read_end 7 1 strong 8");
    assert_eq!(read(&mut conn, "READ t --last 0").1, "OK read_end 7 1 strong 8");
    assert_eq!(
        read(&mut conn, "READ t --from 3 --limit 0").1,
        "OK read_end 7 1 strong 3"
    );
    assert_eq!(read(&mut conn, "READ u").1, "OK read_end 0 1 strong 1");
}

#[test]
fn a_read_gives_no_more_bytes_than_asked_for_but_one_record_at_least() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, "t", 9);
    conn.send("READ t --local\n");
    let line_bytes: Vec<usize> = (1..=9).map(|_| conn.line().len() + 1).collect();
    conn.expect("OK read_end 9 1 local 10");
    let all: usize = line_bytes.iter().sum();
    for bytes in [0, 1, line_bytes[0], all / 2, all - 1, all] {
        let fit = |lines: &mut dyn Iterator<Item = &usize>| {
            let mut left = bytes;
            let fits = lines.take_while(|line| left.checked_sub(**line).map(|rest| left = rest).is_some());
            fits.count().max(1) as u64
        };
        let first = fit(&mut line_bytes.iter());
        let (records, end) = read(&mut conn, &format!("READ t --from 1 --bytes {bytes}"));
        assert_eq!(offsets(&records), (1..=first).collect::<Vec<_>>(), "{bytes}");
        assert_eq!(end, format!("OK read_end 9 1 strong {}", first + 1));
        let newest = fit(&mut line_bytes.iter().rev());
        let (records, end) = read(&mut conn, &format!("READ t --last 9 --bytes {bytes}"));
        assert_eq!(
            offsets(&records),
            (10 - newest..=9).collect::<Vec<_>>(),
            "{bytes}"
        );
        assert_eq!(end, "OK read_end 9 1 strong 10");
    }
}

#[test]
fn a_read_begins_at_a_moment() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, "t", 20);
    let times: Vec<String> = conn
        .history("t", 20)
        .iter()
        .map(|line| row(line).corrected_ts)
        .collect();
    for (at, time) in times.iter().enumerate() {
        // Records that were stamped at the same moment begin together.
        let first = times.iter().position(|other| other >= time).expect("itself");
        let (records, end) = read(&mut conn, &format!("READ t --since {time} --limit 2"));
        assert_eq!(offsets(&records)[0], first as u64 + 1, "since {at}");
        let shown = records.len() as u64;
        assert_eq!(
            end,
            format!("OK read_end 20 1 strong {}", first as u64 + 1 + shown)
        );
    }
    assert_eq!(
        offsets(&read(&mut conn, "READ t --since 0").0),
        (1..=20).collect::<Vec<_>>()
    );
    assert_eq!(
        read(&mut conn, "READ t --since 99999999999").1,
        "OK read_end 20 1 strong 21"
    );
    assert_eq!(read(&mut conn, "READ u --since 0").1, "OK read_end 0 1 strong 1");
}

#[test]
fn a_read_in_json_is_documents_alone() {
    let cluster = one();
    let mut conn = cluster.conn(0);
    publish(&mut conn, "t", 3);
    conn.send("READ t --last 2\n");
    let records = [conn.line(), conn.line()].map(|line| record(&line));
    conn.expect("OK read_end 3 1 strong 4");
    let json = |line: String| serde_json::from_str::<Value>(&line).expect("JSON");
    conn.send("READ t --last 2 --json\n");
    assert_eq!([json(conn.line()), json(conn.line())], records);
    conn.expect(
        r#"{"read_end":{"high_watermark":3,"log_start_offset":1,"consistency":"strong","next_offset":4}}"#,
    );
    conn.send("READ t --from 4 --local --json\n");
    conn.expect(
        r#"{"read_end":{"high_watermark":3,"log_start_offset":1,"consistency":"local","next_offset":4}}"#,
    );
}
