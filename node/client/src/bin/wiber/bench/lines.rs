//! The lines a load publishes, prepared: a line is copied and its sequence number written over, nothing more.

/// Digits of the number in each line.
const DIGITS: usize = 12;
/// What messages are filled up with: like text, hard to compress, and the same in each run.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// Makes lines of one length.
pub(super) struct Lines {
    line: Vec<u8>,
    /// Where numbers stand in the line: in the id, if it has one, and in the text, if it is long enough.
    numbers: Vec<usize>,
}

impl Lines {
    /// Lines for messages of `size_bytes`; `own_ids` is what the ids begin with.
    pub(super) fn new(topic: &str, size_bytes: usize, own_ids: Option<&str>) -> Self {
        let mut line = format!("PUB {topic} ").into_bytes();
        let mut numbers = Vec::new();
        if let Some(prefix) = own_ids {
            line.extend_from_slice(format!("--id {prefix}-").as_bytes());
            numbers.push(line.len());
            line.extend_from_slice(&[b'0'; DIGITS]);
            line.push(b' ');
        }
        if size_bytes >= DIGITS {
            numbers.push(line.len());
        }
        line.extend(text(size_bytes));
        line.push(b'\n');
        Self { line, numbers }
    }

    /// Appends the lines of `count` messages, numbered from `first`.
    pub(super) fn append(&self, out: &mut Vec<u8>, first: u64, count: usize) {
        for number in (first..).take(count) {
            let start = out.len();
            out.extend_from_slice(&self.line);
            for at in &self.numbers {
                put_number(&mut out[start + at..start + at + DIGITS], number);
            }
        }
    }
}

fn put_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

/// The number that a message's text begins with, if it is long enough to have one.
pub(crate) fn number_of(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text.get(..DIGITS)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

fn text(size_bytes: usize) -> impl Iterator<Item = u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    (0..size_bytes).map(move |_| {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        LETTERS[(state >> 58) as usize]
    })
}

#[cfg(test)]
mod tests {
    use wiber_protocol::line::Command;

    use super::*;

    #[test]
    fn lines_are_publishes_of_the_size_asked_for() {
        for (size, ids) in [
            (1, None),
            (11, Some("p")),
            (12, None),
            (256, Some("p")),
            (16_384, None),
        ] {
            let lines = Lines::new("t", size, ids);
            let mut out = Vec::new();
            lines.append(&mut out, 0xabc, 2);
            assert_eq!(out.len(), 2 * lines.line.len());
            for (line, number) in out.chunks(lines.line.len()).zip(0xabc..) {
                let line = line.strip_suffix(b"\n").unwrap();
                let Ok(Command::Pub { topic, id, text }) = Command::parse(line) else {
                    panic!("no publish");
                };
                assert_eq!((topic, text.len()), ("t", size));
                assert_eq!(
                    id.map(str::to_owned),
                    ids.map(|prefix| format!("{prefix}-{number:012x}"))
                );
                assert_eq!(number_of(text.as_bytes()), (size >= DIGITS).then_some(number));
            }
        }
    }
}
