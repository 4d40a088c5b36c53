//! Checked reading and writing of the small binary forms that entries, records and frames are made of.
//!
//! Integers are little-endian; counts, lengths and refs are LEB128 varints. Reading never panics and never
//! allocates more than the input's own length, whatever the bytes say.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why bytes could not be read. `what` names the field, so that an error message says where to look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{what}: needs {need} bytes, {have} left")]
    Short {
        what: &'static str,
        need: usize,
        have: usize,
    },
    #[error("{what}: {found} is not a value this version knows")]
    Unknown { what: &'static str, found: u64 },
    #[error("{what}: {found} is over the limit of {limit}")]
    TooLarge {
        what: &'static str,
        found: u64,
        limit: u64,
    },
    #[error("{what}: not UTF-8")]
    NotUtf8 { what: &'static str },
    #[error("{what}: checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        what: &'static str,
        expected: u32,
        found: u32,
    },
    #[error("{what}: {left} bytes left over")]
    Trailing { what: &'static str, left: usize },
}

/// Reads fields off the front of `Bytes`; slices share the input's memory.
#[derive(Clone, Debug)]
pub struct Reader {
    buf: Bytes,
}

impl Reader {
    pub fn new(buf: Bytes) -> Self {
        Self { buf }
    }

    pub fn remaining(&self) -> usize {
        self.buf.len()
    }

    /// Fails unless `len` more bytes are there.
    fn need(&self, what: &'static str, len: usize) -> Result<(), DecodeError> {
        let have = self.buf.len();
        if len > have {
            return Err(DecodeError::Short {
                what,
                need: len,
                have,
            });
        }
        Ok(())
    }

    /// The next `len` bytes, shared with the input.
    pub fn take(&mut self, what: &'static str, len: usize) -> Result<Bytes, DecodeError> {
        self.need(what, len)?;
        Ok(self.buf.split_to(len))
    }

    // Numbers are read in place: a shared slice for each byte of a varint would cost more than all else.

    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.need(what, 1)?;
        Ok(self.buf.get_u8())
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.need(what, 2)?;
        Ok(self.buf.get_u16_le())
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.need(what, 4)?;
        Ok(self.buf.get_u32_le())
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.need(what, 8)?;
        Ok(self.buf.get_u64_le())
    }

    pub fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        self.need(what, 16)?;
        Ok(self.buf.get_u128_le())
    }

    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Unknown {
                what,
                found: u64::from(other),
            }),
        }
    }

    /// An unsigned LEB128 number of at most 64 bits.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::TooLarge {
            what,
            found: u64::MAX,
            limit: u64::MAX,
        })
    }

    /// A varint that counts something of which each takes at least one byte, so that no count can ask
    /// for more memory than the input has bytes.
    pub fn count(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let found = self.varint(what)?;
        let limit = self.buf.len() as u64;
        if found > limit {
            return Err(DecodeError::TooLarge { what, found, limit });
        }
        usize::try_from(found).map_err(|_| DecodeError::TooLarge { what, found, limit })
    }

    /// A length-prefixed run of bytes, shared with the input.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let len = self.count(what)?;
        self.take(what, len)
    }

    pub fn string(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let len = self.count(what)?;
        self.need(what, len)?;
        let text = std::str::from_utf8(&self.buf[..len])
            .map(str::to_owned)
            .map_err(|_| DecodeError::NotUtf8 { what })?;
        self.buf.advance(len);
        Ok(text)
    }

    /// All that is left, shared with the input.
    pub fn rest(self) -> Bytes {
        self.buf
    }

    pub fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        match self.buf.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what, left }),
        }
    }
}

/// Writes `value` as unsigned LEB128.
pub fn put_varint(out: &mut BytesMut, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.put_u8(low & 0x7f);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

/// How many bytes [`put_varint`] writes.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes a length-prefixed run of bytes.
pub fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Maps a signed number to an unsigned one so that small magnitudes stay short as varints.
pub fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_reads_back(value: u64) {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            let mut reader = Reader::new(out.freeze());
            prop_assert_eq!(reader.varint("v"), Ok(value));
            prop_assert_eq!(reader.remaining(), 0);
        }

        #[test]
        fn zigzag_is_invertible(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let mut reader = Reader::new(Bytes::from_static(&[0xff; 11]));
        assert!(matches!(reader.varint("v"), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn a_count_never_exceeds_the_bytes_that_are_left() {
        let mut reader = Reader::new(Bytes::from_static(&[0x7f, 0, 0]));
        assert_eq!(
            reader.count("c"),
            Err(DecodeError::TooLarge {
                what: "c",
                found: 127,
                limit: 2
            })
        );
    }
}
