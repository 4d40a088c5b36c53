//! What the taking node writes on a record: its name, its clock, its Lamport time, and an id if the publisher
//! brought none.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use wiber_protocol::{group_op::GroupOp, record::Record};

use crate::{
    lamport::Lamport,
    mutant::{self, Mutant},
    time::{ClusterClock, Moment},
};

/// Stamps records on their way in.
pub struct Stamper {
    node: Arc<str>,
    clock: Arc<ClusterClock>,
    lamport: Arc<Lamport>,
    /// The node's name, and a number that is random for each run of the process, so that ids never repeat across
    /// restarts.
    id_prefix: String,
    made: AtomicU64,
}

impl Stamper {
    pub fn new(node: String, clock: Arc<ClusterClock>, lamport: Arc<Lamport>, run: u64) -> Self {
        let id_prefix = format!("{node}-{:012x}-", run & 0xffff_ffff_ffff);
        Self {
            node: node.into(),
            clock,
            lamport,
            id_prefix,
            made: AtomicU64::new(0),
        }
    }

    /// Now, for records that arrived together.
    pub fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// A message as it is logged.
    pub fn record(&self, moment: &Moment, topic: Arc<str>, id: Option<&str>, body: Bytes) -> Record {
        Record {
            id: id.map_or_else(|| self.make_id(), str::to_owned),
            client_id: id.is_some() && !mutant::is_broken(Mutant::DedupOff),
            body,
            ..self.stamped(moment, topic)
        }
    }

    /// A change of a group as it is logged.
    pub fn group_op(&self, moment: &Moment, topic: Arc<str>, op: GroupOp) -> Record {
        Record {
            group_op: Some(op),
            ..self.stamped(moment, topic)
        }
    }

    fn stamped(&self, moment: &Moment, topic: Arc<str>) -> Record {
        Record {
            topic,
            node: self.node.clone(),
            ts_us: moment.ts_us,
            corrected_us: moment.corrected_us,
            error_bound_us: moment.error_bound_us,
            synchronised: moment.synchronised,
            lamport: self.lamport.tick(),
            ..Record::default()
        }
    }

    fn make_id(&self) -> String {
        let count = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}{count}", self.id_prefix)
    }
}
