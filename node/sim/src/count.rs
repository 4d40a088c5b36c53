//! What happened how often. A run in which a fault never struck, or an oracle never looked, proves nothing about it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($name:ident $text:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($name,)* }

        impl Count {
            pub const ALL: &[Count] = &[$(Count::$name,)*];

            pub fn text(self) -> &'static str {
                match self { $(Count::$name => $text,)* }
            }
        }
    };
}

counts! {
    Operations "operations",
    FrameDropped "fault: frame dropped",
    FrameDelayed "fault: frame delayed",
    FrameReordered "fault: frame reordered",
    FrameDuplicated "fault: frame duplicated",
    DatagramLost "fault: datagram lost",
    ConnectionReset "fault: connection reset",
    PartitionSymmetric "fault: partition, symmetric",
    PartitionOneWay "fault: partition, one way",
    PartitionBridge "fault: partition, bridge",
    CrashAnywhere "fault: crash at any moment",
    CrashAtAwait "fault: crash at an await",
    CrashAtDiskStep "fault: crash at a disk step",
    PowerLossOne "fault: power loss of one node",
    PowerLossAtDiskStep "fault: power loss at a disk step",
    PowerLossAll "fault: power loss of all nodes",
    SlowDisk "fault: slow disk",
    FullDisk "fault: full disk",
    FullDiskAlone "fault: full disk in a healthy cluster",
    Firewall "fault: firewall before a healthy leader",
    FailedSync "fault: failed sync of a file",
    FailedDirSync "fault: failed sync of a folder",
    FailedWrite "fault: failed write",
    Pause "fault: pause",
    ClockJump "fault: clock jump",
    Restart "fault: orderly restart",
    Wipe "fault: folder wiped, rejoin",
    Rebuild "fault: folder set aside, --rebuild",
    Damaged "fault: synced byte changed",
    FormedWithout "fault: formed without a node, which joins later",
    Purged "fault: log purged under load",
    Snapshot "fault: snapshot sent",
    ClientGone "fault: client gone before its answer",
    ClientCut "fault: connection of a client library cut",
    ClientRetry "fault: client retry",
    GroupForgotten "fault: record of a group not acknowledged",
    GroupVanished "fault: member of a group gone",
    GroupJoined "member of a group let in",
    GroupEnded "member of a group told that its leader leads no longer",
    GroupMoved "group moved",
    GroupDeleted "group deleted under its members",
    GroupNacked "record of a group given back",
    GroupSkipped "member of a group told what retention dropped",
    LogEntry "oracle: log entry compared",
    LogMatching "oracle: log matching",
    LeaderOfTerm "oracle: one leader per term",
    RecordKnown "oracle: no phantom, none twice",
    AckKept "oracle: acknowledged record found",
    LamportRises "oracle: Lamport time and offset as the log says",
    RealTime "oracle: order agrees with real time",
    ConnectionOrder "oracle: order of one connection",
    Duplicate "oracle: duplicate recognised",
    Conflict "oracle: conflict refused",
    OffsetMismatch "oracle: a wrong expectation refused",
    Expected "oracle: a right expectation stored, in its place",
    Headers "oracle: headers kept",
    OddBody "oracle: body of any bytes kept",
    RefusedForGood "oracle: told that it is not stored, and it never is",
    Dropped "oracle: told that it is no longer kept, and it is not",
    StrongRead "oracle: strong read is linearizable",
    ShortHistory "oracle: short history linearizable (stateright)",
    LocalRead "oracle: local read is a prefix",
    History "oracle: HISTORY is the last of the topic",
    OutOfRange "oracle: below the log's start, and told so",
    Delivered "oracle: subscriber without gap or going back",
    Matched "oracle: pattern in the order of the log, without gap or going back",
    PatternOutOfRange "oracle: below the log's start with a pattern, and told so",
    Ordered "oracle: by time of origin, in order and nothing missing",
    Late "oracle: too late for its place, and told so",
    Lag "oracle: a subscriber told that it is behind, and it is",
    Unsubscribed "oracle: nothing after UNSUB",
    PagedRead "oracle: read on where it says, in no more bytes than asked for",
    JsonRead "oracle: read in JSON",
    Followed "oracle: SUB from now on, without gap or going back",
    HandedOut "oracle: hand-out counted in the log before",
    HandedOutAgain "oracle: the same, not the first of its record",
    GroupAckKept "oracle: acknowledged in a group, and done",
    GroupState "oracle: group as the log says",
    DeadLetter "oracle: dead letter of what was handed out often enough",
    GroupsDone "oracle: every record of a group done at the end",
    Comparable "oracle: cluster times comparable within their bounds",
    TruthInBound "oracle: clock measurements hold the truth",
    LeaderSuspected "a silent leader suspected before an election timeout",
    ReceivedLater "oracle: Lamport times of receives are later than their sends",
    Outvoted "oracle: a wrong clock outvoted",
    ClocksAgain "oracle: clocks synchronised again",
    CutByAge "oracle: what is dropped is too old by the true time",
    CutByBytes "oracle: what is dropped is too much",
    EndedByDisk "oracle: a failed disk ends the node, and it says which file",
    DamageRefused "oracle: damage refused, by name, and nothing changed",
    Recovered "oracle: restart recovers",
    Progress "oracle: progress with a majority",
    LeadsOn "oracle: a healthy leader that cannot be dialled leads on",
    GoesOnWithRoom "oracle: full disks refuse, hand over, serve reads, and go on",
    LibraryPublished "library: published, as told",
    LibraryAcked "library: acknowledged in a group",
    LibraryOrdered "library: by time of origin",
    Subscription "library: subscription without gap or going back",
    ReadThrough "library: read to its end, page by page",
    Replied "library: request replied to",
    NoReply "library: request without a reply in time",
    SameStart "oracle: same log start everywhere",
    Converged "oracle: same log and records everywhere",
}

/// One number for each [`Count`].
#[derive(Debug)]
pub struct Counters(Vec<AtomicU64>);

impl Default for Counters {
    fn default() -> Self {
        Self(Count::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counters {
    pub fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    pub fn add_many(&self, count: Count, many: u64) {
        self.0[count as usize].fetch_add(many, Relaxed);
    }

    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Relaxed)
    }

    pub fn merge(&self, other: &Self) {
        for count in Count::ALL {
            self.add_many(*count, other.get(*count));
        }
    }

    /// Everything that never happened.
    pub fn zeros(&self) -> Vec<&'static str> {
        let zero = Count::ALL.iter().filter(|count| self.get(**count) == 0);
        zero.map(|count| count.text()).collect()
    }
}
