//! Who is in the cluster, as the log records it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint},
    ids::RaftId,
};

/// A member's name and where its peers reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The name in `cluster.yaml`, e.g. `n1`.
    pub name: String,
    pub host: String,
    /// The client port; the RPC port is [`crate::config::NodeSpec::rpc_port`] above it.
    pub port: u16,
}

/// One membership configuration. More than one voter set means a change is under way (joint consensus).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    pub voter_sets: Vec<BTreeSet<RaftId>>,
    /// Every member, voters and learners.
    pub members: BTreeMap<RaftId, Member>,
}

impl Membership {
    /// Appends the binary form.
    pub fn put(&self, out: &mut BytesMut) {
        put_varint(out, self.voter_sets.len() as u64);
        for set in &self.voter_sets {
            put_varint(out, set.len() as u64);
            for id in set {
                out.put_u64_le(id.0);
            }
        }
        put_varint(out, self.members.len() as u64);
        for (id, member) in &self.members {
            out.put_u64_le(id.0);
            put_bytes(out, member.name.as_bytes());
            put_bytes(out, member.host.as_bytes());
            out.put_u16_le(member.port);
        }
    }

    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put(&mut out);
        out.freeze()
    }

    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut voter_sets = Vec::new();
        for _ in 0..reader.count("voter sets")? {
            let mut set = BTreeSet::new();
            for _ in 0..reader.count("voters")? {
                set.insert(RaftId(reader.u64("voter")?));
            }
            voter_sets.push(set);
        }
        let mut members = BTreeMap::new();
        for _ in 0..reader.count("members")? {
            let id = RaftId(reader.u64("member id")?);
            let member = Member {
                name: reader.string("member name")?,
                host: reader.string("member host")?,
                port: reader.u16("member port")?,
            };
            members.insert(id, member);
        }
        Ok(Self { voter_sets, members })
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let membership = Self::read(&mut reader)?;
        reader.finish("membership")?;
        Ok(membership)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joint_membership_reads_back() {
        let member = |name: &str| Member {
            name: name.into(),
            host: "127.0.0.1".into(),
            port: 9101,
        };
        let membership = Membership {
            voter_sets: vec![[RaftId(1), RaftId(2)].into(), [RaftId(2), RaftId(3)].into()],
            members: [
                (RaftId(1), member("n1")),
                (RaftId(2), member("n2")),
                (RaftId(3), member("n3")),
            ]
            .into(),
        };
        assert_eq!(Membership::decode(membership.encode()), Ok(membership));
    }
}
