//! What must hold, whatever happens. The oracle builds its own picture of the one log out of what the nodes hold as
//! committed, works out by itself which records that log means, and compares everything that nodes and clients say.
//!
//! Linearizability needs no search here: records have distinct offsets in one order, so a history of publishes and
//! strong reads of a topic is linearizable exactly if every pair of operations, one of which ended before the other
//! began, agrees with the offsets. [`short`] lets `stateright` come to the same verdict on short histories.

mod clocks;
mod groups;
mod log;
mod matching;
mod short;
mod shown;
mod window;

use std::collections::BTreeMap;

use parking_lot::Mutex;
use wiber_protocol::{
    config::Retention,
    ids::{RaftId, Vote},
    line::{HEADER_CORRELATION_ID, HEADER_REPLY_TO},
    record::Record,
};

use self::{
    groups::Book,
    log::{CommittedLog, Stored},
    short::Histories,
    window::Window,
};
pub use self::{
    groups::HandOut,
    log::{Cursor, read_all},
    short::Operation,
    shown::Shown,
};
use crate::{count::Count, world::World};

/// A publish that some client asked for. Retries are the same publish.
#[derive(Clone, Debug)]
pub struct Publish {
    pub topic: String,
    /// Starts with a word that no other publish has; it is the record's id where the client chose one.
    pub body: Vec<u8>,
    pub headers: Headers,
    pub ids: Ids,
}

/// Who makes the record's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The client: it is the first word of the body. Or a node, and then it is published once.
    FirstWord,
    /// The client library, which may publish it again under that id.
    Library,
}

/// The headers a record is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Headers {
    These(Vec<(String, String)>),
    /// A request's, made by the client library: where the reply is to go, and the record's own id.
    OfRequest,
}

impl Headers {
    pub const NONE: Self = Self::These(Vec::new());

    fn are_of(&self, record: &Record) -> bool {
        match self {
            Self::These(headers) => record.headers == *headers,
            Self::OfRequest => match record.headers.as_slice() {
                [(reply_to, inbox), (correlation_id, id)] => {
                    reply_to == HEADER_REPLY_TO
                        && inbox.starts_with("_inbox.")
                        && correlation_id == HEADER_CORRELATION_ID
                        && *id == record.id
                }
                _ => false,
            },
        }
    }
}

/// What an acknowledgement said beside the id, as far as it did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub offset: Option<u64>,
    pub logical_time: Option<u64>,
}

/// One run's oracle.
#[derive(Default)]
pub struct Oracle(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    log: CommittedLog,
    /// By the first word of their text.
    publishes: BTreeMap<String, Known>,
    /// The highest offset of each topic that was acknowledged or seen by a strong read.
    floors: BTreeMap<String, u64>,
    leaders: BTreeMap<u64, RaftId>,
    /// Records that clients were shown and that no node was seen to have committed yet.
    unproven: Vec<(String, Shown)>,
    /// What clients were told is no longer kept, though no node was seen to have dropped it: who, topic and offset.
    open_drops: Vec<(String, String, u64)>,
    /// What subscribers to patterns were shown, and can't be judged yet.
    open_steps: Vec<matching::Step>,
    /// Acknowledged publishes that no node was seen to have committed yet: key and who acknowledged it.
    unlocated: Vec<(String, String)>,
    histories: Histories,
    book: Book,
    window: Window,
    /// What clients were told is too old to tell, though no node was seen to have forgotten it: who, topic and id.
    open_expired: Vec<(String, String, String)>,
    retention: Retention,
}

#[derive(Debug)]
struct Known {
    publish: Publish,
    /// The topic's floor when the client first asked.
    floor: u64,
    /// When that was, in simulated time.
    asked_us: u64,
    offset: Option<u64>,
    /// Of the record, once it is there.
    id: String,
    acknowledged: bool,
    /// A client was told that it is not stored and never will be.
    refused: bool,
}

impl Known {
    fn key(&self) -> &str {
        key_of(&self.publish.body)
    }
}

impl Oracle {
    /// A frame said that `vote` is a leader's.
    pub fn leads(&self, world: &World, who: &str, vote: Vote, from: RaftId) {
        if vote.voted_for != from {
            return world.fail(format!(
                "{who} leads in term {} with a vote for {}",
                vote.term, vote.voted_for
            ));
        }
        let leader = *self.0.lock().leaders.entry(vote.term).or_insert_with(|| {
            world.count(Count::LeaderOfTerm);
            from
        });
        if leader != from {
            world.fail(format!(
                "term {} has two leaders: {leader} and {from} ({who})",
                vote.term
            ));
        }
    }

    /// What the nodes are told to keep.
    pub fn expects_retention(&self, retention: Retention) {
        self.0.lock().retention = retention;
    }

    /// A client is about to publish for the first time.
    pub fn asks(&self, world: &World, publish: Publish) {
        let mut inner = self.0.lock();
        let floor = inner.floors.get(&publish.topic).copied().unwrap_or(0);
        let known = Known {
            floor,
            asked_us: world.now_us(),
            offset: None,
            id: String::new(),
            acknowledged: false,
            refused: false,
            publish,
        };
        let key = known.key().to_owned();
        inner
            .histories
            .begin(&known.publish.topic, Operation::Publish(key.clone()));
        inner.publishes.insert(key, known);
    }

    /// A client was told that its publish is committed, and where if `told`.
    pub fn acknowledged(&self, world: &World, key: &str, told: Told, who: &str) {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        let Some(known) = inner.publishes.get_mut(key) else {
            return world.fail(format!("{who} acknowledged {key}, which nobody asked for"));
        };
        known.acknowledged = true;
        let topic = known.publish.topic.clone();
        if let Some(record) = known.offset.and_then(|at| inner.log.record(&topic, at))
            && (told.offset.is_some_and(|offset| offset != record.offset)
                || told.logical_time.is_some_and(|time| time != record.logical_time))
        {
            return world.fail(format!(
                "{who} says {key} has {told:?}; the log says {} and {}",
                record.offset, record.logical_time
            ));
        }
        if let Some(offset) = known.offset {
            world.count(Count::AckKept);
            inner
                .histories
                .end(&topic, &Operation::Publish(key.to_owned()), offset);
            raise(&mut inner.floors, &topic, offset);
        } else {
            // The node that knows is out of reach just now. Until it is seen, nothing may be built on the place.
            inner.unlocated.push((key.to_owned(), who.to_owned()));
        }
    }

    /// A client was told that its publish is not stored, and never will be.
    pub fn refused(&self, world: &World, key: &str, who: &str) {
        let mut inner = self.0.lock();
        world.count(Count::RefusedForGood);
        if let Some(known) = inner.publishes.get_mut(key) {
            known.refused = true;
            if known.offset.is_some() {
                world.fail(format!("{who} was told that {key} is not stored, and it is"));
            }
        }
    }

    /// A client was told that a topic's records before `start` are no longer kept.
    pub fn dropped(&self, world: &World, topic: &str, start: u64, who: &str) {
        let mut inner = self.0.lock();
        if inner.log.is_dropped(topic, start - 1) {
            world.count(Count::Dropped);
        } else {
            let open = (who.to_owned(), topic.to_owned(), start - 1);
            inner.open_drops.push(open);
        }
    }

    /// These were published in this order: on one connection and acknowledged at the first try, or by the library's publisher
    /// in order.
    pub fn in_order(&self, world: &World, keys: &[String]) {
        let inner = self.0.lock();
        let offsets: Option<Vec<u64>> = keys.iter().map(|key| inner.publishes.get(key)?.offset).collect();
        let Some(offsets) = offsets else { return };
        world.count(Count::ConnectionOrder);
        if !offsets.is_sorted() {
            world.fail(format!(
                "published in order as {keys:?}, committed at {offsets:?}"
            ));
        }
    }

    /// A strong read begins; what it must show at least is to be handed back to [`Self::strong_read`].
    pub fn strong_read_begins(&self, topic: &str, reader: usize) -> u64 {
        let mut inner = self.0.lock();
        inner.histories.begin(topic, Operation::Read(reader));
        inner.floors.get(topic).copied().unwrap_or(0)
    }

    /// A strong read was answered with the topic's last offset.
    pub fn strong_read(
        &self,
        world: &World,
        topic: &str,
        reader: usize,
        floor: u64,
        high_watermark: u64,
        who: &str,
    ) {
        world.count(Count::StrongRead);
        if high_watermark < floor {
            return world.fail(format!(
                "a strong read of {topic} through {who} ends at {high_watermark}; {floor} was acknowledged before it began"
            ));
        }
        let mut inner = self.0.lock();
        inner
            .histories
            .end(topic, &Operation::Read(reader), high_watermark);
        raise(&mut inner.floors, topic, high_watermark);
    }

    /// A strong read got no answer.
    pub fn strong_read_failed(&self, topic: &str, reader: usize) {
        self.0.lock().histories.forget(topic, &Operation::Read(reader));
    }

    /// A client was shown a record.
    pub fn shown(&self, world: &World, record: Shown, who: &str) {
        let mut inner = self.0.lock();
        match inner.log.stored(&record.topic, record.offset) {
            Some(known) => compare(world, known, &record, who),
            None => inner.unproven.push((who.to_owned(), record)),
        }
    }

    /// Looks again at what could not be judged when it happened.
    pub fn look_again(&self, world: &World) {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        inner.judge_open_steps(world);
        inner.look_at_expired(world);
        inner.look_at_hand_outs(world);
        inner.unproven.retain(
            |(who, record)| match inner.log.stored(&record.topic, record.offset) {
                Some(known) => {
                    compare(world, known, record, who);
                    false
                }
                None => true,
            },
        );
        inner.open_drops.retain(|(_, topic, offset)| {
            let is_open = !inner.log.is_dropped(topic, *offset);
            if !is_open {
                world.count(Count::Dropped);
            }
            is_open
        });
        let (publishes, floors, histories) = (&inner.publishes, &mut inner.floors, &mut inner.histories);
        inner.unlocated.retain(|(key, _)| {
            let Some(known) = publishes.get(key) else {
                return false;
            };
            let Some(offset) = known.offset else { return true };
            world.count(Count::AckKept);
            histories.end(&known.publish.topic, &Operation::Publish(key.clone()), offset);
            raise(floors, &known.publish.topic, offset);
            false
        });
        let (log, unlocated) = (&inner.log, &inner.unlocated);
        let held = |operation: &Operation| match operation {
            Operation::Publish(key) => publishes.get(key).is_some_and(|known| known.offset.is_some()),
            Operation::Read(_) => false,
        };
        // What was acknowledged and not seen yet is over, and not counted.
        let known = |topic: &str| {
            let topic_of = |key: &String| publishes.get(key).map(|known| &known.publish.topic);
            let is_missed = unlocated
                .iter()
                .any(|(key, _)| topic_of(key).is_some_and(|of| of == topic));
            (!is_missed).then(|| log.high_watermark(topic))
        };
        histories.judge(world, held, known);
    }

    /// Everything is healed and every node was looked at: nothing may be left open.
    pub fn settle(&self, world: &World) {
        self.look_again(world);
        let inner = self.0.lock();
        if let Some((who, record)) = inner.unproven.first() {
            world.fail(format!(
                "{who} showed offset {} of {}, and no node has it",
                record.offset, record.topic
            ));
        }
        if let Some((who, topic, offset)) = inner.open_drops.first() {
            world.fail(format!(
                "{who} was told that offset {offset} of {topic} is dropped, and it is kept"
            ));
        }
        let lost = |known: &&Known| known.acknowledged && known.offset.is_none();
        if let Some(known) = inner.publishes.values().find(lost) {
            world.fail(format!(
                "acknowledged and lost: {} in {}",
                known.key(),
                known.publish.topic
            ));
        }
        inner.histories.check(world);
        inner.settle_groups(world);
        inner.settle_expired(world);
    }

    /// How many entries are known to be committed.
    pub fn committed(&self) -> u64 {
        self.0.lock().log.len()
    }

    /// All topics that have records.
    pub fn topics(&self) -> Vec<String> {
        self.0.lock().log.topics()
    }

    /// The highest offset of a topic that was acknowledged or seen by a strong read.
    pub fn floor(&self, topic: &str) -> u64 {
        self.0.lock().floors.get(topic).copied().unwrap_or(0)
    }

    /// The last offset of a topic.
    pub fn high_watermark(&self, topic: &str) -> u64 {
        self.0.lock().log.high_watermark(topic)
    }
}

fn raise(floors: &mut BTreeMap<String, u64>, topic: &str, offset: u64) {
    let floor = floors.entry(topic.to_owned()).or_default();
    *floor = offset.max(*floor);
}

fn compare(world: &World, known: &Stored, shown: &Shown, who: &str) {
    world.count(Count::LamportRises);
    if !shown.is_as(known) {
        world.fail(format!("{who} shows {shown:?}, the log says {:?}", known.line));
    }
}

/// What tells a publish from all others.
pub fn key_of(body: &[u8]) -> &str {
    let word = body.split(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(word).unwrap_or_default()
}
