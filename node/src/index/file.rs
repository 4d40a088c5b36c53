//! The file of one sealed part.
//!
//! ```text
//!   0  magic            8 bytes "WIBERPRT"
//!   8  version u32      1
//!  12  group u32        with cluster: the log's stamp
//!  16  cluster u128
//!  32  first_index u64
//!  40  last_index u64
//!  48  last_term u64
//!  56  bytes u64        of the entries
//!  64  clock_ms u64
//!  72  lengths 4 × u32  checkpoint, topics, ids, tables, in bytes
//!  88  counts 3 × u32   entries, rejected, runs: the rows of the tables
//! 100  crc32c 4 × u32   checkpoint, topics, ids, tables
//! 116  zeros, reserved
//! 124  crc32c u32       of bytes 0..124
//! 128  checkpoint, topics, ids, tables
//! ```
//!
//! Integers are little-endian. Each section has its own checksum, so that a reader takes only what it needs: topics at
//! every start, checkpoint and ids of the newest parts, tables when somebody reads there.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_protocol::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    ids::LogId,
};
use wiber_storage::{DiskFile, Stamp};

use super::Damage;
use crate::state::{Checkpoint, PartMeta, PartTopic, Remembered, RunRange, SealedPart, Tables};

const MAGIC: &[u8; 8] = b"WIBERPRT";
/// A part of another version is made again from the log: its ids have other keys, and its checkpoint another form.
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 128;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub meta: PartMeta,
    lengths: [u32; 4],
    counts: [u32; 3],
    checksums: [u32; 4],
}

#[derive(Clone, Copy)]
enum Section {
    Checkpoint = 0,
    Topics = 1,
    Ids = 2,
    Tables = 3,
}

impl Section {
    const NAMES: [&'static str; 4] = ["checkpoint", "topics", "ids", "tables"];
}

/// A part's whole file.
pub(super) fn encode(part: &SealedPart, stamp: Stamp) -> Bytes {
    let checkpoint = part.after.encode();
    let mut topics = BytesMut::new();
    put_varint(&mut topics, part.topics.len() as u64);
    for topic in &part.topics {
        put_bytes(&mut topics, topic.name.as_bytes());
        put_varint(&mut topics, topic.base_offset);
        put_varint(&mut topics, topic.bytes);
        put_varint(&mut topics, u64::from(topic.runs.first));
        put_varint(&mut topics, u64::from(topic.runs.count));
    }
    let mut ids = BytesMut::with_capacity(part.ids.len() * Remembered::BYTES);
    for id in &part.ids {
        id.put(&mut ids);
    }
    let tables = part.tables.bytes();
    let (entries, rejected, runs) = part.tables.counts();
    let sections: [&[u8]; 4] = [&checkpoint, &topics, &ids, tables];
    let size: usize = sections.iter().map(|section| section.len()).sum();
    let mut out = BytesMut::with_capacity(HEADER_BYTES + size);
    out.put_slice(MAGIC);
    out.put_u32_le(VERSION);
    out.put_u32_le(stamp.group);
    out.put_u128_le(stamp.cluster);
    let meta = &part.meta;
    for word in [
        meta.first_index,
        meta.last.index,
        meta.last.term,
        meta.bytes,
        meta.clock_ms,
    ] {
        out.put_u64_le(word);
    }
    for section in sections {
        out.put_u32_le(length(section.len()));
    }
    for count in [entries, rejected, runs] {
        out.put_u32_le(length(count));
    }
    for section in sections {
        out.put_u32_le(crc32c::crc32c(section));
    }
    out.put_bytes(0, HEADER_BYTES - 4 - out.len());
    out.put_u32_le(crc32c::crc32c(&out));
    for section in sections {
        out.put_slice(section);
    }
    out.freeze()
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a part's sections are far below 4 GiB")
}

/// Reads the header of `file` and checks that it is whole and of this log.
pub(super) fn read_header(file: &dyn DiskFile, stamp: Stamp) -> Result<Header, Damage> {
    let mut bytes = vec![0; HEADER_BYTES];
    file.read_at(&mut bytes, 0)?;
    let mut header = Bytes::from(bytes);
    let expected = (&header[HEADER_BYTES - 4..]).get_u32_le();
    let found = crc32c::crc32c(&header[..HEADER_BYTES - 4]);
    let magic = header.split_to(8);
    if &*magic != MAGIC || expected != found {
        return Err(checksum("header", expected, found));
    }
    let version = header.get_u32_le();
    if version != VERSION {
        return Err(Damage::Bad(DecodeError::Unknown {
            what: "part version",
            found: u64::from(version),
        }));
    }
    let (group, cluster) = (header.get_u32_le(), header.get_u128_le());
    if (Stamp { cluster, group }) != stamp {
        return Err(Damage::Foreign);
    }
    let meta = PartMeta {
        first_index: header.get_u64_le(),
        last: {
            let index = header.get_u64_le();
            let term = header.get_u64_le();
            LogId { term, index }
        },
        bytes: header.get_u64_le(),
        clock_ms: header.get_u64_le(),
    };
    Ok(Header {
        meta,
        lengths: std::array::from_fn(|_| header.get_u32_le()),
        counts: std::array::from_fn(|_| header.get_u32_le()),
        checksums: std::array::from_fn(|_| header.get_u32_le()),
    })
}

impl Header {
    pub(super) fn checkpoint(&self, file: &dyn DiskFile) -> Result<Checkpoint, Damage> {
        Ok(Checkpoint::decode(self.section(file, Section::Checkpoint)?)?)
    }

    pub(super) fn topics(&self, file: &dyn DiskFile) -> Result<Vec<PartTopic>, Damage> {
        let mut reader = Reader::new(self.section(file, Section::Topics)?);
        let mut topics = Vec::new();
        for _ in 0..reader.count("part topics")? {
            topics.push(PartTopic {
                name: reader.string("topic name")?.into(),
                base_offset: reader.varint("topic base offset")?,
                bytes: reader.varint("topic bytes")?,
                runs: RunRange {
                    first: read_u32(&mut reader, "first run")?,
                    count: read_u32(&mut reader, "run count")?,
                },
            });
        }
        reader.finish("part topics")?;
        Ok(topics)
    }

    pub(super) fn ids(&self, file: &dyn DiskFile) -> Result<Vec<Remembered>, Damage> {
        let mut reader = Reader::new(self.section(file, Section::Ids)?);
        let mut ids = Vec::with_capacity(reader.remaining() / Remembered::BYTES);
        while reader.remaining() > 0 {
            ids.push(Remembered::read(&mut reader)?);
        }
        Ok(ids)
    }

    pub(super) fn tables(&self, file: &dyn DiskFile) -> Result<Tables, Damage> {
        let bytes = self.section(file, Section::Tables)?;
        let [entries, rejected, runs] = self.counts.map(|count| count as usize);
        Ok(Tables::new(
            self.meta.first_index,
            (entries, rejected, runs),
            bytes,
        )?)
    }

    fn section(&self, file: &dyn DiskFile, section: Section) -> Result<Bytes, Damage> {
        let at = section as usize;
        let before: u64 = self.lengths[..at].iter().map(|len| u64::from(*len)).sum();
        let position = HEADER_BYTES as u64 + before;
        let len = u64::from(self.lengths[at]);
        // The header is whole, so the length is what was written; the file may still have been cut short.
        if position + len > file.size_bytes()? {
            return Err(Damage::Bad(DecodeError::Short {
                what: Section::NAMES[at],
                need: self.lengths[at] as usize,
                have: 0,
            }));
        }
        let mut bytes = vec![0; self.lengths[at] as usize];
        file.read_at(&mut bytes, position)?;
        let found = crc32c::crc32c(&bytes);
        if found != self.checksums[at] {
            return Err(checksum(Section::NAMES[at], self.checksums[at], found));
        }
        Ok(bytes.into())
    }
}

fn read_u32(reader: &mut Reader, what: &'static str) -> Result<u32, DecodeError> {
    let found = reader.varint(what)?;
    u32::try_from(found).map_err(|_| DecodeError::TooLarge {
        what,
        found,
        limit: u64::from(u32::MAX),
    })
}

fn checksum(what: &'static str, expected: u32, found: u32) -> Damage {
    Damage::Bad(DecodeError::Checksum {
        what,
        expected,
        found,
    })
}
