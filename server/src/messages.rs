//! Messages through the cluster's own client: publish, history, and what follows an offset.

use std::time::Duration;

use async_stream::stream;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{sleep, timeout};
use wiber_app::{
    api::HISTORY_LIMIT,
    service::{HistoryPage, MessageView, PublishReport, PublishRequest, ServiceError},
};
use wiber_client::{
    Client, Consistency, GroupOptions, LineError, Member, PublishError, ReadError, ReadFrom, ReadPage,
    RecordLine, Subscribe, Subscription, SubscriptionEvent,
};

use crate::cluster::Cluster;

/// How long a publish or a change of a group is tried; a failover takes less.
pub(crate) const CHANGE_WITHIN: Duration = Duration::from_secs(5);
/// How long a read index round is waited for before one node's own state has to do.
const STRONG_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to find a topic's end while no node answers.
const RETRY: Duration = Duration::from_millis(500);
/// The records before its end that a follower gets which names no offset.
const FOLLOWED_PAST: u64 = 50;

/// What a follower of a topic hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Followed {
    /// Messages come, the first with this offset.
    Connected {
        next_offset: u64,
    },
    Message(Box<MessageView>),
    /// No node delivers now; the next one goes on where this one ended.
    Disconnected {
        detail: String,
    },
}

/// Why a message was not published, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotPublished {
    /// Nothing was stored.
    Refused(ServiceError),
    /// It may be stored, now or later. Sent again under its id it stays one message.
    Unknown { id: String, detail: String },
}

impl From<ServiceError> for NotPublished {
    fn from(error: ServiceError) -> Self {
        Self::Refused(error)
    }
}

impl From<NotPublished> for ServiceError {
    fn from(why: NotPublished) -> Self {
        match why {
            NotPublished::Refused(error) => error,
            NotPublished::Unknown { detail, .. } => Self::Unavailable(detail),
        }
    }
}

/// The cluster's messages. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Messages {
    client: Client,
    cluster: Cluster,
}

impl Messages {
    pub(crate) fn new(client: Client, cluster: Cluster) -> Self {
        Self { client, cluster }
    }

    pub(crate) async fn publish(
        &self,
        convo: &str,
        request: PublishRequest,
    ) -> Result<PublishReport, NotPublished> {
        let text = stored_text(&request)?;
        self.needs_a_node()?;
        let wanted_id = request.message_id.filter(|id| !id.is_empty());
        let is_new_id = wanted_id.is_none();
        // Made here and not in the library: it has to be told if the message's fate is unknown.
        let id = wanted_id.unwrap_or_else(|| self.client.make_id());
        let published = self
            .client
            .publish(convo, &text, Some(id.clone()), CHANGE_WITHIN)
            .await;
        let published = published.map_err(|error| publish_error(error, id))?;
        let known_before = published.duplicate && !is_new_id;
        let verb = if known_before { "duplicate" } else { "published" };
        let mut status = format!("OK {verb} {}", published.id);
        for position in [published.offset, published.logical_time].into_iter().flatten() {
            status.push(' ');
            status.push_str(&position.to_string());
        }
        Ok(PublishReport {
            status,
            message_id: published.id,
        })
    }

    /// The last `count` records, after a read index round if a majority answers, else as one node has them.
    pub(crate) async fn history(&self, convo: &str, count: usize) -> Result<HistoryPage, ServiceError> {
        let page = self.last(convo, count.min(HISTORY_LIMIT) as u64).await?;
        let consistency = page.consistency;
        let messages = page
            .records
            .into_iter()
            .map(|record| message_view("HISTORY", record))
            .collect();
        Ok(HistoryPage {
            messages,
            consistency,
        })
    }

    /// Everything committed to a conversation from now on. Connects in the background; ends when the cluster's data
    /// is made anew.
    pub(crate) fn follow_new(
        &self,
        convo: &str,
    ) -> Result<impl Stream<Item = Followed> + use<>, ServiceError> {
        let events = self
            .subscribe(&Subscribe::new(convo))
            .map_err(|error| invalid(&error.to_string()))?;
        Ok(events.filter_map(async |event| followed(event)))
    }

    /// Everything from an offset on, or from a page before the end; ends when the cluster's data is made anew, so that
    /// the follower comes again and is told where that one's end is.
    pub(crate) fn follow(
        &self,
        convo: String,
        from: Option<u64>,
    ) -> Result<impl Stream<Item = Followed> + use<>, ServiceError> {
        wiber_protocol::line::check_topic(&convo).map_err(|error| invalid(&error.to_string()))?;
        let messages = self.clone();
        let made_anew = self.cluster.made_anew();
        Ok(stream! {
            tokio::pin!(made_anew);
            let start = loop {
                match messages.last(&convo, 1).await {
                    Ok(page) => break first_offset(&page, from),
                    Err(error) => yield Followed::Disconnected { detail: error.detail().to_owned() },
                }
                sleep(RETRY).await;
            };
            let Ok(mut subscription) = messages.client.subscribe(&convo, Some(start)) else { return };
            while let Some(event) = next_of(&mut subscription, made_anew.as_mut()).await {
                if let Some(followed) = followed(event) {
                    yield followed;
                }
            }
        })
    }

    /// What a subscription tells. Ends when the cluster's data is made anew: then what was followed is no more.
    pub(crate) fn subscribe(
        &self,
        subscribe: &Subscribe,
    ) -> Result<impl Stream<Item = SubscriptionEvent> + use<>, LineError> {
        let mut subscription = self.client.subscribe_to(subscribe)?;
        let made_anew = self.cluster.made_anew();
        Ok(stream! {
            tokio::pin!(made_anew);
            while let Some(event) = next_of(&mut subscription, made_anew.as_mut()).await {
                yield event;
            }
        })
    }

    /// A new member of a group, and what ends when the cluster's data is made anew, as then the group is no more.
    pub(crate) fn join(
        &self,
        topic: &str,
        group: &str,
        options: GroupOptions,
    ) -> Result<(Member, impl Future<Output = ()> + Send + use<>), LineError> {
        let member = self.client.join(topic, group, options)?;
        Ok((member, self.cluster.made_anew()))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The client, if there is a node for it to ask.
    pub(crate) fn reach(&self) -> Result<&Client, ServiceError> {
        self.needs_a_node().map(|()| &self.client)
    }

    async fn last(&self, convo: &str, count: u64) -> Result<ReadPage, ServiceError> {
        self.needs_a_node()?;
        let read = |consistency| self.client.read(convo, ReadFrom::Last, count, consistency);
        match timeout(STRONG_WITHIN, read(Consistency::Strong)).await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(ReadError::Rejected(why))) => return Err(invalid(&why)),
            Ok(Err(ReadError::Unavailable(_) | ReadError::OffsetOutOfRange { .. })) | Err(_) => {}
        }
        read(Consistency::Local).await.map_err(|error| match error {
            ReadError::Rejected(why) => invalid(&why),
            ReadError::Unavailable(_) | ReadError::OffsetOutOfRange { .. } => {
                ServiceError::Unavailable(error.to_string())
            }
        })
    }

    /// Says at once what a wait for an answer would only find out.
    fn needs_a_node(&self) -> Result<(), ServiceError> {
        if self.cluster.any_runs() {
            return Ok(());
        }
        Err(ServiceError::Unavailable(
            "No node of the cluster is running.".to_owned(),
        ))
    }
}

/// Where to start: as asked, but not beyond the end. Behind a cluster that was made anew, what a follower
/// remembers of the old one is no place in this one.
fn first_offset(page: &ReadPage, from: Option<u64>) -> u64 {
    let end = page.high_watermark + 1;
    match from {
        None => end.saturating_sub(FOLLOWED_PAST).max(page.log_start_offset),
        Some(from) if page.consistency == Consistency::Strong => from.clamp(1, end),
        Some(from) => from.max(1),
    }
}

/// The next event of a subscription, until its topic is one of the past.
async fn next_of(
    subscription: &mut Subscription,
    made_anew: impl Future<Output = ()>,
) -> Option<SubscriptionEvent> {
    tokio::select! {
        biased;
        () = made_anew => None,
        event = subscription.next() => Some(event),
    }
}

/// What a follower needs to know of it. That it lags changes nothing for it, and a gap shows in the next `Connected`.
fn followed(event: SubscriptionEvent) -> Option<Followed> {
    Some(match event {
        SubscriptionEvent::Connected { next_offset, .. } => Followed::Connected { next_offset },
        SubscriptionEvent::Record(record) => Followed::Message(Box::new(message_view("MSG", *record))),
        SubscriptionEvent::Disconnected { reason } => Followed::Disconnected { detail: reason },
        SubscriptionEvent::ConnectedAfter { .. }
        | SubscriptionEvent::Lagging { .. }
        | SubscriptionEvent::Skipped { .. } => return None,
    })
}

/// `<sender>: <message>`, or the message alone.
fn stored_text(request: &PublishRequest) -> Result<String, ServiceError> {
    let message = request.message.trim();
    if message.is_empty() {
        return Err(ServiceError::Invalid("The message is empty.".to_owned()));
    }
    let sender = request
        .sender
        .as_deref()
        .map(str::trim)
        .filter(|sender| !sender.is_empty());
    let text = sender.map_or_else(|| message.to_owned(), |sender| format!("{sender}: {message}"));
    if text.contains('\n') {
        return Err(ServiceError::Invalid(
            "A message is one line: it can't have a line end in it.".to_owned(),
        ));
    }
    Ok(text)
}

fn publish_error(error: PublishError, id: String) -> NotPublished {
    NotPublished::Refused(match error {
        PublishError::IdConflict { id } => {
            ServiceError::IdConflict(format!("The id {id} was used for another message."))
        }
        PublishError::Rejected(why) => invalid(&why),
        PublishError::TooLarge { .. } | PublishError::OffsetMismatch { .. } => invalid(&error.to_string()),
        PublishError::IdExpired { .. } => ServiceError::IdConflict(format!("{error}.")),
        PublishError::TooManyTopics { .. } | PublishError::Unavailable(_) => {
            ServiceError::Unavailable(format!("Not published: {error}."))
        }
        PublishError::Unknown(_) => {
            let detail = format!("Unknown: {error}. Sent again under the id {id} it stays one message.");
            return NotPublished::Unknown { id, detail };
        }
    })
}

/// A node's `ERR usage: …` for people.
fn invalid(why: &str) -> ServiceError {
    ServiceError::Invalid(why.strip_prefix("ERR usage: ").unwrap_or(why).to_owned())
}

fn message_view(kind: &str, record: RecordLine) -> MessageView {
    let timestamp = record.ts_secs();
    MessageView {
        kind: kind.to_owned(),
        offset: record.offset,
        timestamp,
        corrected_ts: record.corrected_secs(),
        logical_time: record.logical_time,
        display: format!("[{timestamp:.3}] {}", record.text),
        topic: record.topic,
        message_id: record.id,
        clock_type: record.clock_type,
        text: record.text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(high_watermark: u64, consistency: Consistency) -> ReadPage {
        ReadPage {
            records: Vec::new(),
            high_watermark,
            log_start_offset: 1,
            consistency,
            next_offset: high_watermark + 1,
        }
    }

    #[test]
    fn a_follower_starts_where_it_asked_but_not_beyond_a_certain_end() {
        let (strong, local) = (Consistency::Strong, Consistency::Local);
        assert_eq!(first_offset(&page(0, strong), None), 1);
        assert_eq!(first_offset(&page(70, strong), None), 21);
        assert_eq!(first_offset(&page(70, strong), Some(0)), 1);
        assert_eq!(first_offset(&page(70, strong), Some(71)), 71);
        assert_eq!(first_offset(&page(3, strong), Some(71)), 4, "a cluster made anew");
        assert_eq!(
            first_offset(&page(3, local), Some(71)),
            71,
            "perhaps only a node that is behind"
        );
    }

    #[test]
    fn a_follower_of_the_newest_starts_at_the_first_record_that_is_kept() {
        let cut = ReadPage {
            log_start_offset: 60,
            ..page(70, Consistency::Strong)
        };
        assert_eq!(first_offset(&cut, None), 60);
        assert_eq!(
            first_offset(&cut, Some(5)),
            5,
            "who asks for more is told what is kept"
        );
    }

    #[test]
    fn the_sender_stands_before_the_text() {
        let text = |message: &str, sender: Option<&str>| {
            let request = PublishRequest {
                message: message.into(),
                sender: sender.map(Into::into),
                message_id: None,
            };
            stored_text(&request).map_err(|error| error.http_status())
        };
        assert_eq!(text(" hi  there ", Some("ann")), Ok("ann: hi  there".into()));
        assert_eq!(text("hi", None), Ok("hi".into()));
        assert_eq!(text("hi", Some(" ")), Ok("hi".into()));
        assert_eq!(text(" \n", Some("ann")), Err(422));
        assert_eq!(text("a\nPUB x y", None), Err(422));
    }

    #[test]
    fn a_record_is_shown_as_the_contract_has_it() {
        let record = RecordLine {
            topic: "dm:a:b".into(),
            id: "m1".into(),
            offset: 3,
            ts_us: 1_729_459_200_123_456,
            corrected_us: 1_729_459_200_123_460,
            logical_time: 17,
            clock_type: "logical".into(),
            node: "n1".into(),
            log_index: 9,
            text: "a: hi".into(),
            ..RecordLine::default()
        };
        let json = serde_json::to_string(&message_view("HISTORY", record)).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"HISTORY","topic":"dm:a:b","message_id":"m1","offset":3,"timestamp":1729459200.123456,"corrected_ts":1729459200.12346,"logical_time":17,"clock_type":"logical","text":"a: hi","display":"[1729459200.123] a: hi"}"#
        );
    }
}
