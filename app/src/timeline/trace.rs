//! The trace read as what it is: lanes of events, and arrows between them. Pure.
//!
//! Events arrive node by node, each node's in its own order, and some not at all (sampled out, or never sent by
//! a node that was killed). An arrow is drawn only from facts: exactly one send and exactly one receive that
//! carry the same RPC message and name each other. Whatever does not pair stays alone and is shown so.
//!
//! Causality follows from the lanes and the arrows, never from comparing numbers: an event may have caused
//! another if a path of lane steps and arrows leads from it there (Lamport 1978, *happened before*). A node's
//! next run follows its last one on the same lane, because its disk carries over.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
    str::FromStr,
};

use wiber_protocol::event::{EventKind, Leg, RpcKind, TraceEvent};

/// The name of one event, the same on every page: which node, which run of its process, which event of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub node: String,
    pub epoch: i64,
    pub seq: u64,
}

impl EventId {
    pub fn of(event: &TraceEvent) -> Self {
        Self {
            node: event.node.clone(),
            epoch: event.epoch,
            seq: event.seq,
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.node, self.epoch, self.seq)
    }
}

/// The text names no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let mut parts = text.rsplitn(3, '.');
        let mut part = || parts.next().ok_or(NoEventId);
        let seq = part()?.parse().map_err(|_| NoEventId)?;
        let epoch = part()?.parse().map_err(|_| NoEventId)?;
        Ok(Self {
            node: part()?.to_owned(),
            epoch,
            seq,
        })
    }
}

/// A send and the receive of the same RPC message, as places in [`Trace::events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    pub send: usize,
    pub receive: usize,
}

/// How one event stands to a chosen one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// It is the chosen one.
    Chosen,
    /// It may have caused the chosen one.
    Past,
    /// It may depend on the chosen one.
    Future,
    /// Neither can have influenced the other.
    Concurrent,
}

/// All known events, read.
pub struct Trace<'a> {
    /// By Lamport time, then node: no event stands before one that may have caused it.
    pub events: Vec<&'a TraceEvent>,
    pub arrows: Vec<Arrow>,
    /// Sends without a receive and receives without a send.
    pub alone: Vec<usize>,
    /// Per event, the one before and the one after it on its lane.
    before: Vec<Option<usize>>,
    after: Vec<Option<usize>>,
    /// Per event, the other end of its arrow.
    across: Vec<Option<usize>>,
}

/// What belongs to one RPC message.
#[derive(Default)]
struct Ends {
    sends: Vec<usize>,
    receives: Vec<usize>,
}

impl<'a> Trace<'a> {
    pub fn read(events: impl IntoIterator<Item = &'a TraceEvent>) -> Self {
        let mut known = HashSet::new();
        let mut events: Vec<&TraceEvent> = events
            .into_iter()
            .filter(|event| known.insert((event.node.as_str(), event.epoch, event.seq)))
            .collect();
        events
            .sort_by(|a, b| (a.lamport, &a.node, a.epoch, a.seq).cmp(&(b.lamport, &b.node, b.epoch, b.seq)));
        let (arrows, alone) = pair(&events);
        let (before, after) = lanes(&events);
        let mut across = vec![None; events.len()];
        for arrow in &arrows {
            across[arrow.send] = Some(arrow.receive);
            across[arrow.receive] = Some(arrow.send);
        }
        Self {
            events,
            arrows,
            alone,
            before,
            after,
            across,
        }
    }

    pub fn find(&self, id: &EventId) -> Option<usize> {
        self.events
            .iter()
            .position(|event| event.seq == id.seq && event.epoch == id.epoch && event.node == id.node)
    }

    /// How every event stands to the chosen one.
    pub fn cone(&self, chosen: usize) -> Vec<Relation> {
        let mut relations = vec![Relation::Concurrent; self.events.len()];
        for (relation, step, crossed) in [
            (Relation::Past, &self.before, EventKind::Receive),
            (Relation::Future, &self.after, EventKind::Send),
        ] {
            let mut reached = vec![chosen];
            let mut seen = vec![false; self.events.len()];
            while let Some(place) = reached.pop() {
                if std::mem::replace(&mut seen[place], true) {
                    continue;
                }
                relations[place] = relation;
                reached.extend(step[place]);
                if self.events[place].kind == crossed {
                    reached.extend(self.across[place]);
                }
            }
        }
        relations[chosen] = Relation::Chosen;
        relations
    }

    /// A node's events in its own order.
    pub fn lane<'t>(&'t self, node: &str) -> impl Iterator<Item = usize> + 't {
        let first = (0..self.events.len())
            .find(|place| self.before[*place].is_none() && self.events[*place].node == node);
        std::iter::successors(first, |place| self.after[*place])
    }
}

fn pair(events: &[&TraceEvent]) -> (Vec<Arrow>, Vec<usize>) {
    let mut messages: HashMap<(RpcKind, Leg, &str), Ends> = HashMap::new();
    let mut alone = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let is_send = match event.kind {
            EventKind::Send => true,
            EventKind::Receive => false,
            _ => continue,
        };
        let Some(rpc) = &event.rpc else {
            alone.push(place);
            continue;
        };
        let ends = messages.entry((rpc.kind, rpc.leg, rpc.id.as_str())).or_default();
        if is_send {
            ends.sends.push(place);
        } else {
            ends.receives.push(place);
        }
    }
    let mut arrows = Vec::new();
    for ends in messages.into_values() {
        match (ends.sends.as_slice(), ends.receives.as_slice()) {
            (&[send], &[receive]) if name_each_other(events[send], events[receive]) => {
                arrows.push(Arrow { send, receive });
            }
            (sends, receives) => alone.extend(sends.iter().chain(receives)),
        }
    }
    arrows.sort_unstable_by_key(|arrow| (arrow.send, arrow.receive));
    alone.sort_unstable();
    (arrows, alone)
}

fn name_each_other(send: &TraceEvent, receive: &TraceEvent) -> bool {
    send.node != receive.node
        && send.peer.as_deref() == Some(receive.node.as_str())
        && receive.peer.as_deref() == Some(send.node.as_str())
}

type Neighbours = Vec<Option<usize>>;

fn lanes(events: &[&TraceEvent]) -> (Neighbours, Neighbours) {
    let mut lanes: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        match lanes.entry(event.node.as_str()) {
            Entry::Occupied(lane) => lane.into_mut().push(place),
            Entry::Vacant(lane) => _ = lane.insert(vec![place]),
        }
    }
    let (mut before, mut after) = (vec![None; events.len()], vec![None; events.len()]);
    for lane in lanes.values_mut() {
        // Not by `seq` alone: it is given when an event is written down, the Lamport time when it happens.
        lane.sort_unstable_by_key(|place| {
            let event = events[*place];
            (event.epoch, event.lamport, event.seq)
        });
        for pair in lane.windows(2) {
            before[pair[1]] = Some(pair[0]);
            after[pair[0]] = Some(pair[1]);
        }
    }
    (before, after)
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
