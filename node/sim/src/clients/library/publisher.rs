//! Publishes messages, one at a time or several in their order, and believes what it is told of each.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use wiber_client::{Message, OrderedPublisher, PublishError, Published};

use super::Program;
use crate::{
    clients::{TOPICS, publisher::body},
    count::Count,
    oracle::{Headers, Ids, Publish, Told},
    say,
};

/// Messages that are published together.
const TOGETHER: u64 = 12;
/// How often a message of unknown fate is sent again.
const AGAIN: usize = 3;

impl Program {
    pub(super) async fn publish(self) {
        let mut made = 0;
        let topic = self.dice.pick(&TOPICS);
        let mut ordered = self.client.publish_in_order(topic).ok();
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(5, 300)).await;
            match &mut ordered {
                Some(ordered) if self.dice.permille(400) => self.several(topic, ordered, &mut made).await,
                _ => self.one(&mut made).await,
            }
        }
        self.clients.busy.fetch_sub(1, Relaxed);
    }

    fn key(&self, made: &mut u64) -> String {
        *made += 1;
        format!("{}-{made}", self.name)
    }

    /// None, or one.
    fn headers(&self, key: &str) -> Vec<(String, String)> {
        let has_one = self.dice.permille(300);
        has_one
            .then(|| ("of".to_owned(), format!("{key} %")))
            .into_iter()
            .collect()
    }

    async fn one(&self, made: &mut u64) {
        let (key, topic) = (self.key(made), self.dice.pick(&TOPICS));
        let ids = self.dice.pick(&[Ids::FirstWord, Ids::Library]);
        let headers = self.headers(&key);
        let body = body(&self.dice, &key, true);
        let deadline_ms = self.dice.pick(&[200, 2_000, 10_000]);
        let mut publish =
            wiber_client::Publish::new(topic, body.clone()).deadline(Duration::from_millis(deadline_ms));
        for (name, value) in &headers {
            publish = publish.header(name, value);
        }
        if ids == Ids::FirstWord {
            publish = publish.id(&key);
        }
        let expect = self.dice.permille(300).then(|| {
            let known = self.oracle().high_watermark(topic);
            known + self.dice.between(0, 2)
        });
        if let Some(expect) = expect {
            publish = publish.expect(expect);
        }
        self.asks(Publish {
            topic: topic.to_owned(),
            body,
            headers: Headers::These(headers),
            ids,
        });
        let mut may_be_stored = false;
        for _ in 0..AGAIN {
            let sent = self.client.send(&publish).await;
            say!(self.world(), self.name, "{key}: {sent:?}");
            self.clients.cluster.look();
            match sent {
                Err(PublishError::OffsetMismatch { end }) if expect.is_none_or(|expect| expect == end) => {
                    self.fail(&format!("{key} expects {expect:?} and is refused at {end}"));
                }
                Err(PublishError::Unknown(_)) => may_be_stored = true,
                // Only an earlier attempt can have stored it.
                Err(PublishError::OffsetMismatch { .. } | PublishError::Unavailable(_)) if may_be_stored => {
                    return;
                }
                sent => {
                    let wants = matches!(sent, Ok(Published { offset: Some(_), .. }) | Err(_));
                    if !wants {
                        self.fail(&format!("{key} is told no offset"));
                    }
                    return self.judge(&key, sent);
                }
            }
            // The library's id went with the call.
            if ids == Ids::Library {
                return;
            }
        }
    }

    /// Several messages of one topic in their order.
    async fn several(&self, topic: &str, ordered: &mut OrderedPublisher, made: &mut u64) {
        let mut messages = Vec::new();
        for _ in 0..self.dice.between(1, TOGETHER) {
            let key = self.key(made);
            let text = format!("{key} {}", "m".repeat(self.dice.index(100) + 1));
            let headers = self.headers(&key);
            self.asks(Publish {
                topic: topic.to_owned(),
                body: text.clone().into_bytes(),
                headers: Headers::These(headers.clone()),
                ids: Ids::FirstWord,
            });
            messages.push(Message {
                id: key,
                text,
                headers,
            });
        }
        let patience_ms = self.dice.pick(&[300, 3_000, 10_000]);
        let results = ordered
            .publish(&messages, Duration::from_millis(patience_ms))
            .await;
        self.clients.cluster.look();
        let mut stored = Vec::new();
        for (message, result) in messages.into_iter().zip(results) {
            let key = message.id;
            say!(self.world(), self.name, "{key} in order: {result:?}");
            match result {
                Err(PublishError::Unknown(_)) => {}
                result => {
                    let is_stored = result.is_ok();
                    self.judge(&key, result);
                    if is_stored {
                        stored.push(key);
                    }
                }
            }
        }
        self.oracle().in_order(self.world(), &stored);
    }

    /// Takes what was told of a message for what it says.
    fn judge(&self, key: &str, sent: Result<Published, PublishError>) {
        match sent {
            Ok(published) => {
                let told = Told {
                    offset: published.offset,
                    logical_time: published.logical_time,
                };
                self.world().count(Count::LibraryPublished);
                self.oracle().acknowledged(self.world(), key, told, &self.name);
            }
            Err(PublishError::OffsetMismatch { .. } | PublishError::Unavailable(_)) => {
                self.oracle().refused(self.world(), key, &self.name);
            }
            Err(error) => self.fail(&format!("{key}: {error}")),
        }
    }
}
