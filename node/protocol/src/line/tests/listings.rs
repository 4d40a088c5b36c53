//! `TOPIC` and `GROUP` lines.

use super::answers::written;
use crate::line::*;

#[test]
fn listings_read_back() {
    let topic = TopicLine {
        topic: "a b\"".to_owned(),
        high_watermark: 7,
        records_per_s: 1.5,
        ..TopicLine::default()
    };
    let line = written(|out| topic.write(out));
    assert_eq!(
        TopicLine::parse(line.trim_end())
            .expect("a TOPIC line")
            .expect("JSON"),
        topic
    );
    let group = GroupLine {
        topic: "t".to_owned(),
        group: "g".to_owned(),
        members: Some(2),
        ..GroupLine::default()
    };
    let line = written(|out| group.write(out));
    assert_eq!(
        GroupLine::parse(line.trim_end())
            .expect("a GROUP line")
            .expect("JSON"),
        group
    );
    assert!(TopicLine::parse(&line).is_none() && TopicLine::parse("TOPIC {").expect("a TOPIC line").is_err());
}

#[test]
fn a_rate_has_two_digits_behind_the_point_and_no_noise_of_binary_fractions() {
    let check = |per_s: f64, expected: &str| {
        let topic = TopicLine {
            records_per_s: per_s,
            bytes_per_s: per_s,
            ..TopicLine::default()
        };
        let line = written(|out| topic.write(out));
        let rates = format!("\"records_per_s\":{expected},\"bytes_per_s\":{expected}}}\n");
        assert!(line.ends_with(&rates), "{line}");
    };
    check(1.1 + 2.2, "3.3");
    check(0.1 + 0.2, "0.3");
    check(98_765.432_1, "98765.43");
    check(0.004, "0.0");
    check(0.0, "0.0");
}
