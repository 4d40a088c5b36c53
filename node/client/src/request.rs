//! Requests and their replies, as messages: a convention of headers, not a verb.
//!
//! A request is a message with two headers: the topic that wants the reply, and an id that the reply repeats. A client
//! that asks gets its replies on an inbox. There are 256 of them for all clients, `_inbox.00` to `_inbox.ff`, so that they
//! never use up the topics that a cluster may have; who shares one tells replies apart by their ids.

mod inbox;
mod serve;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use wiber_protocol::line::{HEADER_CORRELATION_ID, HEADER_REPLY_TO, RecordLine};

pub(crate) use self::inbox::Inbox;
pub use self::serve::ServeError;
use crate::{Client, Publish, PublishError, Published};

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request was certainly not published.
    #[error(transparent)]
    NotPublished(PublishError),
    /// It was published, or may have been, and no reply came in time.
    #[error("no reply came in time")]
    NoReply,
    /// No node could be subscribed to for the reply, so that the request was not published.
    #[error("no node delivers replies: {0}")]
    NoInbox(String),
}

/// Why a record was not replied to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It does not say where to, or under which id.
    #[error("a record without reply-to and correlation-id is no request")]
    NoRequest,
    /// The reply was not published, or that is not known.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Client {
    /// Publishes `body` to `topic` as a request and gives the first reply to it. Within `timeout` whoever serves the topic
    /// must have replied; a leader that changes meanwhile only takes time.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::RequestError> {
    /// let reply = client.request("prices", "apples", Duration::from_secs(5)).await?;
    /// println!("apples cost {}", reply.text);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        &self,
        topic: &str,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<RecordLine, RequestError> {
        let until = Instant::now() + timeout;
        // Before the request is published: the reply may be faster than a subscription.
        let inbox = self.inbox.open(&self.inner, until).await?;
        let id = self.inner.make_id();
        let mut waiting = inbox.wait_for(&id);
        let publish = Publish::new(topic, body)
            .id(&id)
            .header(HEADER_REPLY_TO, &inbox.topic)
            .header(HEADER_CORRELATION_ID, &id)
            .deadline(until.saturating_duration_since(Instant::now()));
        tokio::select! {
            biased;
            // It can be there before the acknowledgement is.
            reply = waiting.reply() => return Ok(reply),
            published = self.send(&publish) => match published {
                Ok(_) | Err(PublishError::Unknown(_)) => {}
                Err(error) => return Err(RequestError::NotPublished(error)),
            },
        }
        timeout_at(until, waiting.reply())
            .await
            .map_err(|_| RequestError::NoReply)
    }

    /// Replies to a request.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub async fn reply(&self, request: &RecordLine, body: impl Into<Bytes>) -> Result<Published, ReplyError> {
        let header = |key: &str| request.headers.get(key).ok_or(ReplyError::NoRequest);
        let reply = Publish::new(header(HEADER_REPLY_TO)?, body)
            .header(HEADER_CORRELATION_ID, header(HEADER_CORRELATION_ID)?);
        Ok(self.send(&reply).await?)
    }
}
