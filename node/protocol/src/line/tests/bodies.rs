//! Bodies among lines.

use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use crate::line::*;

/// What comes out if every line `B<n>` announces a body of n bytes, and every `S<n>` one that nobody wants.
fn take_all(splitter: &mut LineSplitter, chunk: &[u8], out: &mut Vec<Line>) {
    splitter.buffer().put_slice(chunk);
    while let Some(line) = splitter.next_line() {
        if let Line::Text(text) = &line
            && let Ok(text) = std::str::from_utf8(text)
        {
            let bytes = |verb| text.strip_prefix(verb).and_then(|bytes: &str| bytes.parse().ok());
            if let Some(bytes) = bytes("B") {
                splitter.expect_body(usize::try_from(bytes).expect("a small body"));
            } else if let Some(bytes) = bytes("S") {
                splitter.skip_body(bytes);
            }
        }
        out.push(line);
    }
}

fn text(text: &'static str) -> Line {
    Line::Text(Bytes::from_static(text.as_bytes()))
}

fn body(body: &'static [u8]) -> Line {
    Line::Body(Bytes::from_static(body))
}

#[test]
fn a_body_has_any_bytes_and_may_end_with_a_line_end_or_not() {
    let mut out = Vec::new();
    let input = b"B5\na\nb\r\n\nPING\nB3\r\nxyzPING\nB2\nab\r\nPING\nB0\n\nPING\nB0\nPING\nB1\n\r\nPING\n";
    take_all(&mut LineSplitter::new(64), input, &mut out);
    let ping = || text("PING");
    let expected = [
        text("B5"),
        body(b"a\nb\r\n"),
        ping(),
        text("B3"),
        body(b"xyz"),
        ping(),
        text("B2"),
        body(b"ab"),
        ping(),
        text("B0"),
        body(b""),
        ping(),
        text("B0"),
        body(b""),
        ping(),
        text("B1"),
        body(b"\r"),
        ping(),
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_body_that_nobody_wants_takes_no_memory() {
    let mut out = Vec::new();
    let mut splitter = LineSplitter::new(64);
    take_all(&mut splitter, b"S100000\n", &mut out);
    for _ in 0..1_000 {
        take_all(&mut splitter, &[b'\n'; 100], &mut out);
        assert!(splitter.buffer().is_empty());
    }
    take_all(&mut splitter, b"PING\n", &mut out);
    assert_eq!(out, [text("S100000"), text("PING")]);
}

#[test]
fn a_large_body_is_whole() {
    let mut out = Vec::new();
    let mut splitter = LineSplitter::new(64);
    let large: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    take_all(&mut splitter, b"B100000\n", &mut out);
    for piece in large.chunks(999) {
        take_all(&mut splitter, piece, &mut out);
    }
    take_all(&mut splitter, b"\nPING\n", &mut out);
    assert_eq!(out, [text("B100000"), Line::Body(large.into()), text("PING")]);
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_lines_and_bodies(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'B'), Just(b'S'), Just(b'3'), Just(b'x'), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        take_all(&mut LineSplitter::new(12), &bytes, &mut whole);
        let (mut splitter, mut rest) = (LineSplitter::new(12), bytes.as_slice());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            take_all(&mut splitter, piece, &mut pieces);
            rest = after;
        }
        take_all(&mut splitter, rest, &mut pieces);
        prop_assert_eq!(pieces, whole);
    }
}
