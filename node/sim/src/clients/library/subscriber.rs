//! Follows a topic, a pattern, and a pattern by time of origin, through lost connections and with pauses.

use wiber_client::{Subscribe, SubscribeStart, Subscription, SubscriptionEvent};
use wiber_protocol::pattern::Pattern;

use super::Program;
use crate::{count::Count, host::LAG_RECORDS, oracle::Shown, say};

impl Program {
    async fn next(&self, subscription: &mut Subscription) -> SubscriptionEvent {
        if self.dice.permille(20) {
            tokio::time::sleep(self.dice.pause(10, 1_500)).await;
        }
        let event = subscription.next().await;
        match &event {
            SubscriptionEvent::Record(record) => {
                self.world().count(Count::Subscription);
                self.look_for(&record.topic, record.offset);
            }
            SubscriptionEvent::Lagging { records } if *records <= LAG_RECORDS => {
                self.fail(&format!("lags by {records} records"));
            }
            event => say!(self.world(), self.name, "{event:?}"),
        }
        event
    }

    fn subscribe(&self, subscribe: &Subscribe) -> Subscription {
        self.client
            .subscribe_to(subscribe)
            .unwrap_or_else(|error| panic!("{subscribe:?}: {error}"))
    }

    /// One that goes away may come back at its place.
    fn leaves(&self) -> bool {
        self.dice.permille(5)
    }

    pub(super) async fn follow_topic(self, topic: &str) {
        let mut next = 1;
        loop {
            let mut subscription = self.subscribe(&Subscribe::new(topic).start(SubscribeStart::From(next)));
            while !self.leaves() {
                match self.next(&mut subscription).await {
                    SubscriptionEvent::Record(record) => {
                        if record.offset != next || record.topic != topic {
                            self.fail(&format!("{next} of {topic} belongs where there is {record:?}"));
                        }
                        next += 1;
                        self.oracle().shown(self.world(), Shown::of(*record), &self.name);
                    }
                    SubscriptionEvent::Connected { next_offset, .. } if next_offset == next => {}
                    SubscriptionEvent::Skipped { from: Some(from), to } if from == next && to > next => {
                        next = to;
                        self.oracle().dropped(self.world(), topic, to, &self.name);
                    }
                    SubscriptionEvent::Disconnected { .. } | SubscriptionEvent::Lagging { .. } => {}
                    event => self.fail(&format!("{event:?} before {next} of {topic}")),
                }
            }
        }
    }

    pub(super) async fn follow_pattern(self, pattern: &str) {
        let matcher = Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let mut after = 0;
        loop {
            let mut subscription =
                self.subscribe(&Subscribe::new(pattern).start(SubscribeStart::After(after)));
            while !self.leaves() {
                match self.next(&mut subscription).await {
                    SubscriptionEvent::Record(record) => {
                        let logical_time = record.logical_time;
                        if logical_time <= after || !matcher.matches(&record.topic) {
                            self.fail(&format!("{record:?} after {after} of {pattern}"));
                        }
                        self.oracle()
                            .follows(self.world(), &self.name, &matcher, after, logical_time);
                        after = logical_time;
                        self.oracle().shown(self.world(), Shown::of(*record), &self.name);
                    }
                    SubscriptionEvent::ConnectedAfter { logical_time, .. } if logical_time == after => {}
                    SubscriptionEvent::Skipped { from: Some(from), to } if from == after && to > after => {
                        after = to;
                    }
                    SubscriptionEvent::Disconnected { .. } | SubscriptionEvent::Lagging { .. } => {}
                    event => self.fail(&format!("{event:?} after {after} of {pattern}")),
                }
            }
        }
    }

    pub(super) async fn follow_by_origin(self, pattern: &str) {
        let mut sorted = self.clients.sorted(pattern);
        loop {
            let hold = self.dice.pause(1, 300);
            let start = SubscribeStart::After(sorted.after);
            let mut subscription = self.subscribe(&Subscribe::new(pattern).start(start).order(hold));
            while !self.leaves() {
                match self.next(&mut subscription).await {
                    SubscriptionEvent::Record(record) => {
                        self.world().count(Count::LibraryOrdered);
                        if sorted.take(&self.name, *record).is_none() {
                            return;
                        }
                    }
                    // What was held back at the gap is taken again, where it is kept.
                    SubscriptionEvent::Skipped { to, .. } => {
                        sorted.after = to;
                        break;
                    }
                    _ => {}
                }
            }
            sorted.begin_again();
        }
    }
}
