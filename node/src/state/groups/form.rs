//! Groups as bytes, in a checkpoint.
//!
//! ```text
//! groups = count varint, { topic bytes · group bytes · ack_timeout_ms varint · max_deliveries varint · next_offset varint
//!        · redelivered varint · dead_letters varint · done offsets · { deliveries offsets, count varint each } }*
//! offsets = count varint, { offset - next_offset varint }*
//! ```

use bytes::BytesMut;
use wiber_protocol::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    group_op::GroupSettings,
};

use super::{GroupState, Groups};
use crate::mutant::{self, Mutant};

impl Groups {
    pub(in crate::state) fn put(&self, out: &mut BytesMut) {
        put_varint(out, self.len() as u64);
        for (topic, group, state) in self.iter() {
            put_bytes(out, topic.as_bytes());
            put_bytes(out, group.as_bytes());
            put_state(out, state);
        }
    }

    pub(in crate::state) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut groups = Self::default();
        for _ in 0..reader.count("groups")? {
            let topic = reader.string("group topic")?;
            let group = reader.string("group name")?;
            groups.insert(topic.into(), group.into(), read_state(reader)?);
        }
        Ok(groups)
    }
}

fn put_state(out: &mut BytesMut, state: &GroupState) {
    let left_out = if mutant::is_broken(Mutant::AcksNotInCheckpoint) {
        state.done.len()
    } else {
        0
    };
    for number in [
        state.settings.ack_timeout_ms,
        u64::from(state.settings.max_deliveries),
        state.next_offset,
        state.redelivered,
        state.dead_letters,
        (state.done.len() - left_out) as u64,
    ] {
        put_varint(out, number);
    }
    for offset in state.done.iter().skip(left_out) {
        put_varint(out, offset - state.next_offset);
    }
    put_varint(out, state.deliveries.len() as u64);
    for (offset, count) in &state.deliveries {
        put_varint(out, offset - state.next_offset);
        put_varint(out, u64::from(*count));
    }
}

fn read_state(reader: &mut Reader) -> Result<GroupState, DecodeError> {
    let settings = GroupSettings {
        ack_timeout_ms: reader.varint("group ack timeout")?,
        max_deliveries: read_u32(reader, "group max deliveries")?,
    };
    let next_offset = reader.varint("group offset")?;
    let mut state = GroupState {
        redelivered: reader.varint("group redeliveries")?,
        dead_letters: reader.varint("group dead letters")?,
        ..GroupState::new(next_offset, settings)
    };
    for _ in 0..reader.count("group done offsets")? {
        let offset = next_offset.saturating_add(reader.varint("group done offset")?);
        state.done.insert(offset);
    }
    for _ in 0..reader.count("group deliveries")? {
        let offset = next_offset.saturating_add(reader.varint("group delivered offset")?);
        let count = read_u32(reader, "group delivery count")?;
        state.deliveries.insert(offset, count);
    }
    Ok(state)
}

fn read_u32(reader: &mut Reader, what: &'static str) -> Result<u32, DecodeError> {
    let found = reader.varint(what)?;
    u32::try_from(found).map_err(|_| DecodeError::TooLarge {
        what,
        found,
        limit: u64::from(u32::MAX),
    })
}
