//! What a node says to a publish, read without allocating.

/// A publish that is on the disks of a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack<'a> {
    pub(crate) id: &'a [u8],
    /// Told by the leader alone.
    pub(crate) offset: Option<u64>,
}

/// Whoever wants to know what was acknowledged.
pub(crate) trait Observer {
    /// The message with this number (counted from 0 over the whole load) is acknowledged.
    fn acknowledged(&mut self, number: u64, ack: &Ack<'_>);

    /// Whether more is to be published; asked now and then.
    fn goes_on(&self) -> bool {
        true
    }
}

/// Understands the answer to a publish, given without its line end. `None` is a failure: these ids are new, so even
/// `OK duplicate` would be wrong.
pub(super) fn parse(line: &[u8]) -> Option<Ack<'_>> {
    if let Some(rest) = line.strip_prefix(b"OK published ") {
        let mut fields = rest.split(|byte| *byte == b' ');
        let id = fields.next().filter(|id| !id.is_empty())?;
        let offset = fields.next().and_then(number);
        return Some(Ack { id, offset });
    }
    let id = line.strip_prefix(b"OK REDIRECTED ")?;
    (!id.is_empty()).then_some(Ack { id, offset: None })
}

/// A decimal number.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_and_nothing_else_count() {
        let check = |line: &str, id: &str, offset| {
            let expected = Ack {
                id: id.as_bytes(),
                offset,
            };
            assert_eq!(parse(line.as_bytes()), Some(expected), "{line}");
        };
        check("OK published n1-a-1 17 99", "n1-a-1", Some(17));
        check("OK published n1-a-1", "n1-a-1", None);
        check("OK REDIRECTED n2-b-2", "n2-b-2", None);
        for failure in [
            "OK duplicate x",
            "ERR timeout_waiting_commit",
            "ERR not_leader",
            "REDIRECT host 1",
            "OK published ",
            "OK REDIRECTED ",
            "PONG",
            "",
        ] {
            assert_eq!(parse(failure.as_bytes()), None, "{failure}");
        }
    }

    #[test]
    fn numbers_are_decimal_and_fit_64_bits() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "18446744073709551616", "-1", "1a"] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
