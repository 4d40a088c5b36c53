//! What holds for any line and any pieces of it.

use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::{
    answers::{view, written},
    parse,
};
use crate::line::*;

fn lines(splitter: &mut LineSplitter, chunk: &[u8], out: &mut Vec<Line>) {
    splitter.buffer().put_slice(chunk);
    out.extend(std::iter::from_fn(|| splitter.next_line()));
}

#[test]
fn lines_end_with_lf_or_crlf_and_have_a_bound() {
    let mut out = Vec::new();
    let mut splitter = LineSplitter::new(4);
    lines(
        &mut splitter,
        b"PING\nab\r\n\n\r\nabc\r\nabcd\r\nabcde\nab\rc\nlast",
        &mut out,
    );
    let text = |text: &'static str| Line::Text(Bytes::from_static(text.as_bytes()));
    let too_long = Line::TooLong;
    let expected = [
        text("PING"),
        text("ab"),
        text(""),
        text(""),
        text("abc"),
        too_long.clone(),
        too_long,
        text("ab\rc"),
    ];
    assert_eq!(out, expected);
}

#[test]
fn an_endless_line_is_told_once_and_takes_no_memory() {
    let mut out = Vec::new();
    let mut splitter = LineSplitter::new(64);
    for _ in 0..1000 {
        lines(&mut splitter, &[b'x'; 100], &mut out);
        assert!(splitter.buffer().len() <= 64);
    }
    lines(&mut splitter, b"end\nPING\n", &mut out);
    assert_eq!(out, [Line::TooLong, Line::Text(Bytes::from_static(b"PING"))]);
}

/// Words that are near to commands, so that parsing gets past the verb.
fn near_command() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("PUB"),
        Just("SUB"),
        Just("HISTORY"),
        Just("READ"),
        Just("SUBSCRIBE"),
        Just("PUBLISH"),
        Just("UNSUB"),
        Just("ACK"),
        Just("NACK"),
        Just("TOPICS"),
        Just("GROUPS"),
        Just("GROUP"),
        Just("--header"),
        Just("k=v%20w"),
        Just("k=%"),
        Just("--expect"),
        Just("--since"),
        Just("--start"),
        Just("--after"),
        Just("--order"),
        Just("--group"),
        Just("--ack-timeout"),
        Just("--max-in-flight"),
        Just("--limit"),
        Just("--bytes"),
        Just("--json"),
        Just("--through"),
        Just("--delete"),
        Just("--seek"),
        Just("t.*"),
        Just("t.>"),
        Just(">.t"),
        Just("7.5"),
        Just("100"),
        Just("QUIT"),
        Just("ping"),
        Just("--id"),
        Just("--last"),
        Just("--from"),
        Just("--limit"),
        Just("--local"),
        Just("t"),
        Just("m-1"),
        Just("7"),
        Just("-1"),
        Just("\u{a0}"),
        Just("\r"),
        Just("é"),
        Just("\u{0}"),
    ];
    let spaced = (word, prop_oneof![Just(" "), Just("  "), Just("\t"), Just("")]);
    proptest::collection::vec(spaced, 0..8).prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, space)| [word, space])
            .collect()
    })
}

proptest! {
    #[test]
    fn no_line_makes_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Command::parse(&line);
        let _ = looks_like_http(&line);
        let text = String::from_utf8_lossy(&line);
        let _ = Reply::parse(&text);
        let _ = RecordLine::parse(&text);
    }

    #[test]
    fn a_command_that_was_read_is_written_and_read_as_the_same(line in near_command()) {
        if let Ok(command) = parse(&line) {
            let mut out = Vec::new();
            command.write(&mut out).expect("what a line said can be said in a line");
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert_eq!(Command::parse(&out), Ok(command));
        }
    }

    #[test]
    fn what_can_be_written_is_read_back(topic in ".{0,8}", id in proptest::option::of(".{0,8}"), text in ".{0,12}") {
        let command = Command::Pub { topic: &topic, id: id.as_deref(), text: text.trim() };
        let mut out = Vec::new();
        if command.write(&mut out).is_ok() {
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(Command::parse(&out), Ok(command));
        }
    }

    #[test]
    fn a_record_line_reads_back(
        words in ("[^\\s]{1,8}", "[^\\s]{1,8}"),
        numbers: (u64, u64, u64),
        times in (-4_000_000_000_000_000_i64..4_000_000_000_000_000, -4_000_000_000_000_000_i64..4_000_000_000_000_000),
        text in ".{0,20}",
    ) {
        let view = RecordView {
            topic: &words.0,
            id: &words.1,
            offset: numbers.0,
            logical_time: numbers.1,
            log_index: numbers.2,
            ts_us: times.0,
            corrected_us: times.1,
            ..view(text.as_bytes(), true)
        };
        let line = written(|out| view.write_record(out));
        let record = RecordLine::parse(line.trim_end_matches('\n')).expect("reads back");
        prop_assert_eq!((&record.topic, &record.id, &record.text), (&words.0, &words.1, &text));
        prop_assert_eq!((record.offset, record.logical_time, record.log_index), numbers);
        prop_assert_eq!((record.ts_us, record.corrected_us), times);
        let json = serde_json::to_string(&record).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<RecordLine>(&json).expect("reads back"), record);
    }

    #[test]
    fn any_pieces_give_the_same_lines(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x'), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        lines(&mut LineSplitter::new(12), &bytes, &mut whole);
        let (mut splitter, mut rest) = (LineSplitter::new(12), bytes.as_slice());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            lines(&mut splitter, piece, &mut pieces);
            rest = after;
        }
        lines(&mut splitter, rest, &mut pieces);
        prop_assert_eq!(pieces, whole);
    }
}
