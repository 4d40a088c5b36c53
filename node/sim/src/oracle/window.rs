//! The dedup window, worked out independently of the nodes: which ids are remembered, and which are too old to tell.

use std::collections::{BTreeMap, VecDeque};

use wiber_node::state::WindowLimits;

use super::{Inner, Oracle};
use crate::{count::Count, world::World};

/// A topic and an id, or what stands before its number.
type Named = (String, String);

#[derive(Default)]
pub(super) struct Window {
    pub(super) limits: WindowLimits,
    clock_ms: u64,
    /// With the clock's time of each, oldest first.
    ids: VecDeque<(Named, u64)>,
    /// The highest forgotten number of each producer.
    forgotten: BTreeMap<Named, u64>,
}

fn named(topic: &str, id: &str) -> Named {
    (topic.to_owned(), id.to_owned())
}

/// The producer of a numbered id, and the number.
fn numbered(id: &str) -> Option<(&str, u64)> {
    let (producer, number) = id.split_once('-')?;
    let is_producer = producer.len() == 16 && u64::from_str_radix(producer, 16).is_ok();
    number
        .parse()
        .ok()
        .filter(|_| is_producer)
        .map(|number| (producer, number))
}

impl Window {
    /// An entry said what the replicated clock shows.
    pub(super) fn advance(&mut self, clock_ms: u64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
        let is_old = |at: u64| at + self.limits.age_ms < self.clock_ms;
        let old = self.ids.iter().take_while(|(_, at)| is_old(*at)).count();
        self.forget(old);
    }

    pub(super) fn remember(&mut self, topic: &str, id: &str) {
        self.ids.push_back((named(topic, id), self.clock_ms));
        self.forget(self.ids.len().saturating_sub(self.limits.ids));
    }

    fn forget(&mut self, count: usize) {
        for ((topic, id), _) in self.ids.drain(..count) {
            if let Some((producer, number)) = numbered(&id) {
                let highest = self.forgotten.entry(named(&topic, producer)).or_default();
                *highest = number.max(*highest);
            }
        }
    }

    pub(super) fn holds(&self, topic: &str, id: &str) -> bool {
        let named = named(topic, id);
        self.ids.iter().any(|(known, _)| *known == named)
    }

    /// Whether nobody can tell any more if it was stored.
    pub(super) fn is_too_old(&self, topic: &str, id: &str) -> bool {
        numbered(id).is_some_and(|(producer, number)| {
            let highest = self.forgotten.get(&named(topic, producer));
            highest.is_some_and(|highest| number <= *highest)
        })
    }
}

impl Oracle {
    /// What the nodes are told to remember.
    pub fn expects_window(&self, limits: WindowLimits) {
        self.0.lock().window.limits = limits;
    }

    /// An id that no other has: `name` says whose it is. In a run whose window forgets it is one that is never stored twice
    /// nevertheless.
    pub fn make_id(&self, name: &str, number: u64) -> String {
        if self.forgets() {
            format!("{:016x}-{number}", u64::from(crc32c::crc32c(name.as_bytes())))
        } else {
            format!("{name}-{number}")
        }
    }

    /// Whether ids are forgotten in this run.
    pub fn forgets(&self) -> bool {
        self.0.lock().window.limits != WindowLimits::DEFAULT
    }

    /// A client was told that this id is too old to tell.
    pub fn expired(&self, world: &World, topic: &str, id: &str, who: &str) {
        let mut inner = self.0.lock();
        let told = (who.to_owned(), topic.to_owned(), id.to_owned());
        inner.open_expired.push(told);
        inner.look_at_expired(world);
    }
}

impl Inner {
    pub(super) fn look_at_expired(&mut self, world: &World) {
        let window = &self.window;
        self.open_expired.retain(|(_, topic, id)| {
            let is_open = !window.is_too_old(topic, id);
            if !is_open {
                world.count(Count::IdExpired);
            }
            is_open
        });
    }

    pub(super) fn settle_expired(&self, world: &World) {
        if let Some((who, topic, id)) = self.open_expired.first() {
            world.fail(format!(
                "{who} was told that {id} in {topic} has expired, and it has not"
            ));
        }
    }
}
