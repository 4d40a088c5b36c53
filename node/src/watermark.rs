//! Wakes whoever waits for the applied state to move: subscribers of a topic, and reads that wait for a
//! position.
//!
//! A waiter holds a `watch` receiver, which remembers only the newest value: however slow the waiter, it costs
//! no memory and delays nobody.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Topics are dropped from the table when a sweep finds nobody waiting; a sweep happens when the table has
/// doubled since the last one, so its size is bounded by twice the topics somebody waits for.
const FIRST_SWEEP: usize = 1024;

/// The applied position of the log, and the newest offset of every topic that somebody watches.
pub struct Watermarks {
    applied: watch::Sender<u64>,
    topics: Mutex<Watched>,
}

struct Watched {
    /// Ordered, so that who waits is woken in the same order in every run of a simulation.
    by_topic: BTreeMap<String, watch::Sender<u64>>,
    sweep_at: usize,
}

impl Default for Watermarks {
    fn default() -> Self {
        let watched = Watched {
            by_topic: BTreeMap::new(),
            sweep_at: FIRST_SWEEP,
        };
        Self {
            applied: watch::Sender::new(0),
            topics: Mutex::new(watched),
        }
    }
}

impl Watermarks {
    /// These topics got records; `newest` tells a topic's newest offset and is asked only for those somebody watches.
    pub fn touch<'a>(&self, topics: impl IntoIterator<Item = &'a str>, newest: impl Fn(&str) -> u64) {
        let watched = self.topics.lock();
        if watched.by_topic.is_empty() {
            return;
        }
        for topic in topics {
            if let Some(sender) = watched.by_topic.get(topic) {
                sender.send_replace(newest(topic));
            }
        }
    }

    /// The entry at `log_index` took effect.
    pub fn advance(&self, log_index: u64) {
        self.applied.send_replace(log_index);
    }

    /// A snapshot replaced the state: every waiter looks again.
    pub fn reset(&self, log_index: u64) {
        for sender in self.topics.lock().by_topic.values() {
            sender.send_modify(|_| {});
        }
        self.applied.send_replace(log_index);
    }

    /// Changes whenever an entry took effect; holds its log index.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Changes whenever the topic got a record. The value may be older than the state: read the state after
    /// subscribing, then wait.
    pub fn topic(&self, name: &str) -> watch::Receiver<u64> {
        let mut watched = self.topics.lock();
        if let Some(sender) = watched.by_topic.get(name) {
            return sender.subscribe();
        }
        if watched.by_topic.len() >= watched.sweep_at {
            watched.by_topic.retain(|_, sender| sender.receiver_count() > 0);
            watched.sweep_at = FIRST_SWEEP.max(watched.by_topic.len() * 2);
        }
        let sender = watch::Sender::new(0);
        let receiver = sender.subscribe();
        watched.by_topic.insert(name.to_owned(), sender);
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_sees_its_topic_move_and_no_other() {
        let marks = Watermarks::default();
        let (mut a, b) = (marks.topic("a"), marks.topic("b"));
        marks.touch(["a", "c"], |_| 7);
        marks.advance(3);
        assert_eq!(*a.borrow_and_update(), 7);
        assert!(!b.has_changed().expect("the sender lives"));
        assert_eq!(*marks.applied().borrow(), 3);
    }

    #[test]
    fn topics_nobody_watches_are_forgotten() {
        let marks = Watermarks::default();
        let kept = marks.topic("kept");
        for n in 0..4 * FIRST_SWEEP {
            marks.topic(&n.to_string());
        }
        assert!(marks.topics.lock().by_topic.len() <= 2 * FIRST_SWEEP);
        marks.touch(["kept"], |_| 1);
        assert_eq!(*kept.borrow(), 1);
    }
}
