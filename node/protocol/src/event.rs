//! What a node's `/events` stream says: its status when that changes, and a bounded trace of what happened.
//!
//! The stream is `text/event-stream`. An event named `status` carries a [`crate::status::NodeStatus`], one
//! named `trace` a [`TraceBatch`]. A new subscriber gets one `status` and the trace still in the ring first.

use serde::{Deserialize, Serialize};

/// What kind of happening a [`TraceEvent`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// An RPC message left this node for `peer`.
    Send,
    /// An RPC message of `peer` arrived.
    Receive,
    /// Entries up to `log_index` are in this node's memory log.
    Append,
    /// Entries up to `log_index` are on this node's disk.
    Flush,
    /// This node knows that entries up to `log_index` are committed.
    Commit,
    /// Entries up to `log_index` have taken effect on this node.
    Apply,
    /// This node voted for `peer` in `term`.
    Vote,
    /// This node's role changed; `detail` says to what and why.
    Role,
    /// This node took a record from a client; `detail` is its topic and id.
    Publish,
    /// This node answered the publisher or sent the record to a subscriber.
    Deliver,
    /// Something went wrong or was injected; `detail` says what.
    Fault,
}

/// Which RPC a send or receive belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RpcKind {
    /// Looks for nodes and a formed cluster.
    Probe,
    /// A blank node asks to be taken in.
    Join,
    /// Entries to store.
    Append,
    /// The leader tells that it lives and how far the log is committed.
    Heartbeat,
    Vote,
    PreVote,
    Transfer,
    Snapshot,
    /// Records a follower took, on their way to the leader.
    Forward,
    /// A follower asks the leader for a read index.
    ReadIndex,
}

/// Which half of an RPC a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    Request,
    Response,
}

/// One RPC message: the send on one node and the receive on the other carry the same three values,
/// and no other pair does, so an arrow is drawn from facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RpcMessage {
    pub kind: RpcKind,
    /// Unique among all RPCs of the cluster: 16 hex digits.
    pub id: String,
    pub leg: Leg,
}

/// One happening on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// The name of the node it happened on.
    pub node: String,
    /// Counts this process's events from 1, sampled-out ones included; with `epoch` unique per node.
    pub seq: u64,
    /// Which run of the process: microseconds since the Unix epoch at its start.
    pub epoch: i64,
    pub lamport: u64,
    /// The node's own clock, microseconds since the Unix epoch.
    pub ts_us: i64,
    /// Its estimate of cluster time, microseconds since the Unix epoch.
    pub corrected_us: i64,
    pub kind: EventKind,
    /// The other node of a send, receive or vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<RpcMessage>,
    pub term: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
    /// Records involved, where that means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Some events of one node, in order, and what is missing before them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceBatch {
    pub events: Vec<TraceEvent>,
    /// Whole RPCs left out by sampling since the process started.
    pub rpcs_left_out: u64,
    /// Events this subscriber missed because it read too slowly, since it subscribed.
    pub lagged: u64,
}
