//! The datagrams with which nodes measure each other's clocks, on the UDP side of `port + 200`.
//!
//! ```text
//! both    = "WBTP" · version u8 (1) · kind u8 (0 request, 1 answer) · flags u16 · cluster u128 · name u32 · nonce u64
//! request = both, zeros up to the size of an answer
//! answer  = both · machine u64 · run u64 · received i64 · sent i64 · wall ahead i64 · reading u32 · rate i32
//!         · cluster time ahead i64 · injected i64
//! ```
//! Integers are little-endian, times nanoseconds. A request is as large as its answer, so that a forged sender gains
//! nothing; the nonce is random and proves that an answer is one. `name` is the CRC-32C of the node's name.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    codec::{DecodeError, Reader},
    ids::ClusterId,
};

const MAGIC: &[u8; 4] = b"WBTP";
const VERSION: u8 = 1;
const REQUEST: u8 = 0;
const ANSWER: u8 = 1;
const HEAD_BYTES: usize = 36;
/// Every datagram has this size.
pub const PROBE_BYTES: usize = HEAD_BYTES + 64;

const FLAG_STEADY: u16 = 1;
const FLAG_SYNCHRONISED: u16 = 2;
const FLAG_MAY_FOUND: u16 = 4;
const FLAG_INJECTED: u16 = 8;
const FLAG_COURSE: u16 = 16;
const FLAGS: u16 = 31;

/// No honest clock is further from its zero than this: 126 years.
const MAX_TIME_NS: i64 = 4_000_000_000_000_000_000;
/// No honest course runs faster or slower.
const MAX_RATE_PPB: i32 = 10_000_000;

/// Who sends a datagram, and which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeHead {
    /// `None` before the sender belongs to a cluster.
    pub cluster: Option<ClusterId>,
    /// [`name_crc`] of the sender.
    pub name: u32,
    pub nonce: u64,
}

/// A node's cluster time, as it will go on for at least [`crate::probe::LEASE_MS`] after it said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedCourse {
    /// Cluster time minus the monotonic clock when the answer was sent.
    pub ahead_ns: i64,
    /// How much faster than the monotonic clock it runs, parts in 10⁹.
    pub rate_ppb: i32,
    /// Whether the promise holds. Without it cluster time may be set at any moment.
    pub is_steady: bool,
}

/// What a node says of its clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAnswer {
    /// Which machine's clock it reads; 0 if it does not know. Nodes of one machine read the same.
    pub machine: u64,
    /// Random for each run of the process and each change of its clocks' rate: its monotonic clock begins anew.
    pub run: u64,
    /// The monotonic clock when the request arrived, and when this was sent.
    pub received_ns: i64,
    pub sent_ns: i64,
    /// The machine's wall clock minus the monotonic one, and how exactly the two were read together.
    pub wall_ahead_ns: i64,
    pub reading_ns: u32,
    pub course: Option<AnnouncedCourse>,
    pub is_synchronised: bool,
    /// It hears a majority of clocks that agree, and has no cluster time yet.
    pub may_found: bool,
    /// What was added to its wall clock on purpose. For show: nothing is estimated from it.
    pub injected_ns: Option<i64>,
}

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Request(ProbeHead),
    Answer(ProbeHead, ClockAnswer),
}

/// For so long a node keeps to the course that it announced.
pub const LEASE_MS: i64 = 1_500;

/// A node's name as the datagrams have it.
pub fn name_crc(name: &str) -> u32 {
    crc32c::crc32c(name.as_bytes())
}

impl Probe {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(PROBE_BYTES);
        let (head, kind, flags) = match self {
            Self::Request(head) => (head, REQUEST, 0),
            Self::Answer(head, answer) => (head, ANSWER, flags(answer)),
        };
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_u16_le(flags);
        out.put_u128_le(head.cluster.map_or(0, |id| id.0));
        out.put_u32_le(head.name);
        out.put_u64_le(head.nonce);
        if let Self::Answer(_, answer) = self {
            out.put_u64_le(answer.machine);
            out.put_u64_le(answer.run);
            out.put_i64_le(answer.received_ns);
            out.put_i64_le(answer.sent_ns);
            out.put_i64_le(answer.wall_ahead_ns);
            out.put_u32_le(answer.reading_ns);
            out.put_i32_le(answer.course.map_or(0, |course| course.rate_ppb));
            out.put_i64_le(answer.course.map_or(0, |course| course.ahead_ns));
            out.put_i64_le(answer.injected_ns.unwrap_or(0));
        }
        out.resize(PROBE_BYTES, 0);
        out.freeze()
    }

    /// Reads a datagram; refuses sizes and times that no node sends.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() != PROBE_BYTES {
            let (what, found, limit) = ("probe size", bytes.len() as u64, PROBE_BYTES as u64);
            return Err(DecodeError::TooLarge { what, found, limit });
        }
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let magic = reader.take("probe magic", MAGIC.len())?;
        if &magic[..] != MAGIC {
            let found = u64::from((&magic[..]).get_u32_le());
            return Err(DecodeError::Unknown {
                what: "probe magic",
                found,
            });
        }
        known("probe version", reader.u8("probe version")?, VERSION)?;
        let kind = reader.u8("probe kind")?;
        let flags = reader.u16("probe flags")?;
        if flags & !FLAGS != 0 {
            let found = u64::from(flags);
            return Err(DecodeError::Unknown {
                what: "probe flags",
                found,
            });
        }
        let cluster = reader.u128("probe cluster")?;
        let head = ProbeHead {
            cluster: (cluster != 0).then_some(ClusterId(cluster)),
            name: reader.u32("probe name")?,
            nonce: reader.u64("probe nonce")?,
        };
        if kind == REQUEST {
            return Ok(Self::Request(head));
        }
        known("probe kind", kind, ANSWER)?;
        Ok(Self::Answer(head, read_answer(&mut reader, flags)?))
    }
}

fn flags(answer: &ClockAnswer) -> u16 {
    let set = |flag: u16, holds: bool| if holds { flag } else { 0 };
    set(FLAG_STEADY, answer.course.is_some_and(|course| course.is_steady))
        | set(FLAG_SYNCHRONISED, answer.is_synchronised)
        | set(FLAG_MAY_FOUND, answer.may_found)
        | set(FLAG_INJECTED, answer.injected_ns.is_some())
        | set(FLAG_COURSE, answer.course.is_some())
}

fn read_answer(reader: &mut Reader, flags: u16) -> Result<ClockAnswer, DecodeError> {
    let has = |flag: u16| flags & flag != 0;
    let machine = reader.u64("probe machine")?;
    let run = reader.u64("probe run")?;
    let received_ns = time(reader, "probe received")?;
    let sent_ns = time(reader, "probe sent")?;
    let wall_ahead_ns = time(reader, "probe wall clock")?;
    let reading_ns = reader.u32("probe reading")?;
    let rate_ppb = reader.u32("probe rate")?.cast_signed();
    if rate_ppb.unsigned_abs() > MAX_RATE_PPB.unsigned_abs() {
        return Err(DecodeError::TooLarge {
            what: "probe rate",
            found: u64::from(rate_ppb.unsigned_abs()),
            limit: u64::from(MAX_RATE_PPB.unsigned_abs()),
        });
    }
    let ahead_ns = time(reader, "probe cluster time")?;
    let injected_ns = time(reader, "probe injected")?;
    Ok(ClockAnswer {
        machine,
        run,
        received_ns,
        sent_ns,
        wall_ahead_ns,
        reading_ns,
        course: has(FLAG_COURSE).then_some(AnnouncedCourse {
            ahead_ns,
            rate_ppb,
            is_steady: has(FLAG_STEADY),
        }),
        is_synchronised: has(FLAG_SYNCHRONISED),
        may_found: has(FLAG_MAY_FOUND),
        injected_ns: has(FLAG_INJECTED).then_some(injected_ns),
    })
}

/// A time that can be added to and taken from others without an overflow.
fn time(reader: &mut Reader, what: &'static str) -> Result<i64, DecodeError> {
    let found = reader.u64(what)?.cast_signed();
    if found.unsigned_abs() > MAX_TIME_NS.unsigned_abs() {
        return Err(DecodeError::TooLarge {
            what,
            found: found.unsigned_abs(),
            limit: MAX_TIME_NS.unsigned_abs(),
        });
    }
    Ok(found)
}

fn known(what: &'static str, found: u8, expected: u8) -> Result<(), DecodeError> {
    if found == expected {
        return Ok(());
    }
    let found = u64::from(found);
    Err(DecodeError::Unknown { what, found })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> impl Strategy<Value = ProbeHead> {
        (any::<u128>(), any::<u32>(), any::<u64>()).prop_map(|(cluster, name, nonce)| ProbeHead {
            cluster: (cluster != 0).then_some(ClusterId(cluster)),
            name,
            nonce,
        })
    }

    fn answer() -> impl Strategy<Value = ClockAnswer> {
        let time = || -MAX_TIME_NS..=MAX_TIME_NS;
        (
            (any::<u64>(), any::<u64>(), any::<u32>()),
            (time(), time(), time(), time()),
            (
                -MAX_RATE_PPB..=MAX_RATE_PPB,
                any::<bool>(),
                any::<bool>(),
                any::<bool>(),
            ),
            proptest::option::of(time()),
        )
            .prop_map(
                |((machine, run, reading_ns), times, flags, injected_ns)| ClockAnswer {
                    machine,
                    run,
                    received_ns: times.0,
                    sent_ns: times.1,
                    wall_ahead_ns: times.2,
                    reading_ns,
                    course: flags.1.then_some(AnnouncedCourse {
                        ahead_ns: times.3,
                        rate_ppb: flags.0,
                        is_steady: flags.2,
                    }),
                    is_synchronised: flags.2,
                    may_found: flags.3,
                    injected_ns,
                },
            )
    }

    proptest! {
        #[test]
        fn a_datagram_reads_back(head in head(), answer in answer()) {
            for probe in [Probe::Request(head), Probe::Answer(head, answer)] {
                let bytes = probe.encode();
                prop_assert_eq!(bytes.len(), PROBE_BYTES);
                prop_assert_eq!(Probe::decode(&bytes), Ok(probe));
            }
        }

        #[test]
        fn rubbish_is_refused_and_never_panics(
            mut bytes in proptest::collection::vec(any::<u8>(), PROBE_BYTES),
            len in 0..PROBE_BYTES,
        ) {
            prop_assert!(Probe::decode(&bytes[..len]).is_err());
            let _ = Probe::decode(&bytes);
            bytes[..6].copy_from_slice(b"WBTP\x01\x01");
            bytes[6..8].copy_from_slice(&31_u16.to_le_bytes());
            if let Ok(Probe::Answer(_, answer)) = Probe::decode(&bytes) {
                prop_assert!(answer.sent_ns.checked_add(answer.wall_ahead_ns).is_some());
            }
        }
    }

    #[test]
    fn a_peer_that_says_an_impossible_time_is_refused() {
        let mut bytes = vec![0; PROBE_BYTES];
        bytes[..6].copy_from_slice(b"WBTP\x01\x01");
        assert!(Probe::decode(&bytes).is_ok());
        bytes[HEAD_BYTES + 16..HEAD_BYTES + 24].copy_from_slice(&i64::MAX.to_le_bytes());
        let error = Probe::decode(&bytes).unwrap_err().to_string();
        assert!(
            error.starts_with("probe received: 9223372036854775807 is over"),
            "{error}"
        );
    }
}
