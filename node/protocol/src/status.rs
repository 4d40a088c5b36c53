//! The document a node shows about itself: `GET /status` on its admin port, and each `status` event.
//!
//! Every number comes from the node's own state at `at_us`. Where a value can be unknown it is an `Option`
//! and the document says `null`; zero always means zero.

mod clock;

use serde::{Deserialize, Serialize};

pub use self::clock::{
    ClockFault, ClockPeer, ClockState, ClockStatus, Falseticker, InjectedFault, MAX_DRIFT_PPM, MAX_SKEW_MS,
    OffsetRange, ProbeState,
};

use crate::ids::{ClusterId, RaftId};

/// What a node is to the cluster's log right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes publishes, makes entries and decides what is committed.
    Leader,
    /// Copies the leader's log and votes.
    Follower,
    /// Has lost its leader and asks to be the next one.
    Candidate,
    /// Copies the log but has no vote (yet): blank, joining, or removed.
    #[default]
    Learner,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
        }
    }
}

/// Where a node stands on the way from an empty folder to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", from = "FlatFormation")]
pub enum Formation {
    /// Blank, and waiting for these configured nodes to answer before a cluster may form.
    Waiting { missing: Vec<String> },
    /// Found a formed cluster and asks to be taken in under a new identity.
    Joining,
    /// A member (or on the way out: see the membership).
    #[default]
    Formed,
}

/// [`Formation`] as it is read: all possible fields at once. Serde would else keep a copy of the value to find
/// its tag first, and the page's wasm would carry the code for it.
#[derive(Deserialize)]
struct FlatFormation {
    state: FormationTag,
    #[serde(default)]
    missing: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormationTag {
    Waiting,
    Joining,
    Formed,
}

impl From<FlatFormation> for Formation {
    fn from(flat: FlatFormation) -> Self {
        match flat.state {
            FormationTag::Waiting => Self::Waiting {
                missing: flat.missing,
            },
            FormationTag::Joining => Self::Joining,
            FormationTag::Formed => Self::Formed,
        }
    }
}

/// One node as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node's name in `cluster.yaml`.
    pub id: String,
    /// The identity of its data folder.
    pub raft_id: RaftId,
    /// `null` until a cluster has formed.
    pub cluster_id: Option<ClusterId>,
    pub formation: Formation,
    pub pid: u32,
    /// When this document was made, microseconds since the Unix epoch by the node's own clock.
    pub at_us: i64,
    pub uptime_ms: u64,
    pub role: Role,
    pub term: u64,
    /// The name of the leader it follows (itself when it leads), if it knows one.
    pub leader: Option<String>,
    /// Since a majority last answered this leader, milliseconds; `null` unless it leads. A leader that was cut off
    /// does not know it at once; this grows.
    #[serde(default)]
    pub quorum_ack_ms: Option<u64>,
    /// Whom it voted for in `term`.
    pub voted_for: Option<String>,
    /// The first index still in the log; 0 until retention cuts. Entry 0 is the founding membership.
    pub first_log_index: u64,
    /// This and the positions below are log indexes; 0 before a cluster has formed.
    pub last_log_index: u64,
    pub flushed_index: u64,
    pub commit_index: u64,
    pub applied_index: u64,
    /// The newest entries, oldest first, at most [`TAIL_ENTRIES`].
    pub tail: Vec<EntryMark>,
    pub peers: Vec<PeerStatus>,
    /// At most [`STATUS_TOPICS`], the most recently written first.
    pub topics: Vec<TopicStatus>,
    /// How many topics there are in all.
    pub topic_count: u64,
    /// At most [`STATUS_GROUPS`], those that lag most first. The dashboard's page does not read them.
    #[serde(default)]
    #[cfg_attr(target_arch = "wasm32", serde(skip_deserializing))]
    pub groups: Vec<GroupStatus>,
    /// How many consumer groups there are in all.
    #[serde(default)]
    #[cfg_attr(target_arch = "wasm32", serde(skip_deserializing))]
    pub group_count: u64,
    /// Records accepted since the log began (duplicates not counted).
    pub record_count: u64,
    pub clock: ClockStatus,
    pub storage: StorageStatus,
    /// Differences between `cluster.yaml` and the committed membership, one sentence each.
    pub warnings: Vec<String>,
}

/// The most entries in [`NodeStatus::tail`].
pub const TAIL_ENTRIES: usize = 64;
/// The most topics in [`NodeStatus::topics`].
pub const STATUS_TOPICS: usize = 64;
/// The most groups in [`NodeStatus::groups`].
pub const STATUS_GROUPS: usize = 64;

/// One entry of the log's tail, for the log figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMark {
    pub index: u64,
    pub term: u64,
    /// Records in the entry; 0 for blank and membership entries.
    pub records: u32,
    pub bytes: u32,
}

/// A peer as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub id: String,
    pub raft_id: RaftId,
    /// Whether it has a vote.
    pub voter: bool,
    /// Whether this node's connection to it is open.
    pub connected: bool,
    /// The last index known to be on the peer's disk; `null` unless this node leads and the peer has answered it.
    pub match_index: Option<u64>,
    /// Since the peer last acknowledged an append or heartbeat; `null` unless this node leads.
    pub last_ack_ms: Option<u64>,
    /// Median round trip of recent heartbeats and votes, milliseconds.
    pub rtt_ms: Option<f64>,
    /// How unlikely it is that the peer lives and is silent for so long by chance, as a negative power of ten (phi, by the
    /// clock probes); `null` until there were enough of them.
    pub suspicion: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicStatus {
    pub name: String,
    /// The offset of the newest record.
    pub high_watermark: u64,
    /// The first offset that can still be read.
    pub log_start_offset: u64,
    /// Bytes of message bodies.
    pub bytes: u64,
}

/// A consumer group of a topic as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub topic: String,
    pub group: String,
    /// Everything below is done.
    pub next_offset: u64,
    /// Records of the topic that are not done.
    pub lag: u64,
    /// Records handed out and not acknowledged, or acknowledged before an earlier one.
    pub outstanding: u64,
    /// How often a record was handed out again.
    pub redelivered: u64,
    /// Records that were put aside.
    pub dead_letters: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StorageStatus {
    pub segments: u64,
    pub bytes: u64,
    /// Of the last 1,024 flushes, microseconds; `null` before the first.
    pub fsync_p50_us: Option<u64>,
    pub fsync_p99_us: Option<u64>,
    pub fsync_max_us: Option<u64>,
    pub fsync_count: u64,
}
