//! Node-to-node frames: what travels on `port + 1000`, each in one length-delimited frame.
//!
//! ```text
//! frame  = version u8 (1) · flags u8 · kind u8 · group u32 · cluster u128 · from u64 · target u64
//!        · rpc_id u64 · lamport u64 · body (by kind)
//! flags  = bit 0: a response; bit 1: this RPC is traced
//! ```
//! A connection carries requests one way and their responses the other. Responses of one kind come in the
//! order of their requests, but kinds may overtake one another: `rpc_id` pairs them. Cluster and target are
//! checked before the body is looked at, so that a frame meant for another cluster, or for a node's former
//! self, changes nothing; only probes and joins go between strangers (cluster 0, target 0).

mod body;
mod fields;
#[cfg(test)]
mod tests;
mod wire;

use bytes::{BufMut, Bytes, BytesMut};

pub use body::{
    AppendReply, AppendRequest, FormedCluster, ForwardReply, ForwardRequest, JoinReply, JoinRequest,
    ProbeReply, ProbeRequest, PublishOutcome, ReadIndexReply, Request, Response, SnapshotChunk,
    TransferReply, TransferRequest, VoteReply, VoteRequest,
};

use crate::{
    codec::{DecodeError, Reader},
    event::{Leg, RpcKind},
    ids::{ClusterId, GroupId, RaftId},
};

const VERSION: u8 = 1;
const FLAG_RESPONSE: u8 = 1;
const FLAG_TRACED: u8 = 2;
/// The largest frame a node sends or accepts. An append is cut off at 1 MiB of entries, so only a single
/// entry of the largest size comes near.
pub const MAX_FRAME_BYTES: usize = 32 << 20;

/// What every frame carries before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub group: GroupId,
    /// The sender's cluster; `None` while it is blank.
    pub cluster: Option<ClusterId>,
    pub from: RaftId,
    /// The identity the frame is for; `None` where the sender cannot know it yet.
    pub target: Option<RaftId>,
    /// Chosen by the requester, unique in the cluster; the response repeats it.
    pub rpc_id: u64,
    /// The sender's Lamport time at this send.
    pub lamport: u64,
    /// Whether both ends put this RPC in their trace; the requester decides.
    pub traced: bool,
}

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Request(Request),
    Response(Response),
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub header: Header,
    pub body: Body,
}

impl Frame {
    pub fn encode(&self) -> Bytes {
        let (kind, response, size) = match &self.body {
            Body::Request(request) => (request.tag(), 0, request.size_hint()),
            Body::Response(response) => (response.tag(), FLAG_RESPONSE, 256),
        };
        let header = &self.header;
        let mut out = BytesMut::with_capacity(size + 64);
        out.put_u8(VERSION);
        out.put_u8(response | if header.traced { FLAG_TRACED } else { 0 });
        out.put_u8(kind);
        out.put_u32_le(header.group.0);
        out.put_u128_le(header.cluster.map_or(0, |id| id.0));
        out.put_u64_le(header.from.0);
        out.put_u64_le(header.target.map_or(0, |id| id.0));
        out.put_u64_le(header.rpc_id);
        out.put_u64_le(header.lamport);
        match &self.body {
            Body::Request(request) => request.put(&mut out),
            Body::Response(response) => response.put(&mut out),
        }
        out.freeze()
    }

    /// Reads a whole frame; entries and message bodies share its memory.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("frame version")?;
        if version != VERSION {
            return Err(DecodeError::Unknown {
                what: "frame version",
                found: u64::from(version),
            });
        }
        let flags = reader.u8("frame flags")?;
        if flags & !(FLAG_RESPONSE | FLAG_TRACED) != 0 {
            return Err(DecodeError::Unknown {
                what: "frame flags",
                found: u64::from(flags),
            });
        }
        let kind = reader.u8("frame kind")?;
        let group = GroupId(reader.u32("frame group")?);
        let cluster = Some(ClusterId(reader.u128("frame cluster")?)).filter(|id| id.0 != 0);
        let from = RaftId(reader.u64("frame sender")?);
        let target = Some(RaftId(reader.u64("frame target")?)).filter(|id| id.0 != 0);
        let rpc_id = reader.u64("frame rpc id")?;
        let lamport = reader.u64("frame lamport")?;
        let body = if flags & FLAG_RESPONSE == 0 {
            Body::Request(Request::read(kind, &mut reader)?)
        } else {
            Body::Response(Response::read(kind, &mut reader)?)
        };
        reader.finish("frame")?;
        let traced = flags & FLAG_TRACED != 0;
        Ok(Self {
            header: Header {
                group,
                cluster,
                from,
                target,
                rpc_id,
                lamport,
                traced,
            },
            body,
        })
    }

    /// Which RPC the frame belongs to, as the trace names it; `None` for a refusal, which answers any kind.
    pub fn kind(&self) -> Option<RpcKind> {
        match &self.body {
            Body::Request(request) => Some(request.kind()),
            Body::Response(response) => response.kind(),
        }
    }

    pub fn leg(&self) -> Leg {
        match self.body {
            Body::Request(_) => Leg::Request,
            Body::Response(_) => Leg::Response,
        }
    }
}
