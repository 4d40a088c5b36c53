//! One message, published once, whatever happens to the nodes meanwhile.
//!
//! Every attempt carries the same id, and the cluster remembers ids, so that sending again is always safe: also with an
//! expectation, as a node looks at the id before it looks at where the topic ends.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wiber_protocol::{
    line::{Command, LineError, PublishCommand, Reply},
    record::MAX_BODY_BYTES,
};

use crate::{
    Client, Inner,
    attempts::{GaveUp, Outcome, Repeat},
    link::Answer,
    reasons::Reason,
};

/// How long a [`Publish`] is tried if nothing else is said.
pub const DEFAULT_PUBLISH_DEADLINE: Duration = Duration::from_secs(10);

/// A message to be published, of any bytes.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::PublishError> {
/// use wiber_client::Publish;
///
/// let picture = Publish::new("pictures", vec![0xff, 0xd8, 0xff])
///     .header("content-type", "image/jpeg")
///     .id("picture-17")
///     .deadline(Duration::from_secs(5));
/// let published = client.send(&picture).await?;
/// println!("stored at offset {:?}", published.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    topic: String,
    body: Bytes,
    id: Option<String>,
    headers: Vec<(String, String)>,
    expect: Option<u64>,
    deadline: Duration,
}

impl Publish {
    /// `body` may have any bytes, none included; at most [`MAX_BODY_BYTES`], or less where the
    /// cluster's configuration says so.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            id: None,
            headers: Vec::new(),
            expect: None,
            deadline: DEFAULT_PUBLISH_DEADLINE,
        }
    }

    /// Publishes it under this id: within the cluster's dedup window, a million ids or ten minutes, it is stored once
    /// however often it is sent. An id of the form `<16 hexadecimal digits>-<number>`, as [`Client::make_id`] makes them, is
    /// safe beyond the window, too: it is refused then, as [`PublishError::IdExpired`], and so is every lower number of the
    /// same digits. So who makes such ids numbers messages upwards, and starts each run with new digits. Without an id the
    /// client makes one up, and it can't be sent again by another call.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a header. A key has 1 to 64 of `A-Z a-z 0-9 . _ -`, and no message has one twice; see
    /// [`wiber_protocol::line::check_headers`] for the bounds.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }

    /// Stores it only if the topic's newest offset is `offset` (0: if there is none yet); else the publish fails with
    /// [`PublishError::OffsetMismatch`].
    #[must_use]
    pub fn expect(mut self, offset: u64) -> Self {
        self.expect = Some(offset);
        self
    }

    /// How long to try: [`DEFAULT_PUBLISH_DEADLINE`] if this is not said.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The whole command: its line and the body.
    fn command(&self, id: &str) -> Result<Bytes, LineError> {
        let line = Command::Publish(PublishCommand {
            topic: &self.topic,
            body_bytes: self.body.len() as u64,
            id: Some(id),
            headers: self.headers.clone(),
            expect: self.expect,
        });
        with_body(&line, &self.body)
    }
}

/// A `PUBLISH` line, its body, and the line end that may follow it: without it a person who looks on sees two commands as
/// one.
pub(crate) fn with_body(line: &Command<'_>, body: &[u8]) -> Result<Bytes, LineError> {
    let mut command = Vec::with_capacity(body.len() + 256);
    line.write(&mut command)?;
    command.extend_from_slice(body);
    command.push(b'\n');
    Ok(command.into())
}

/// The record is committed: durable on a majority, under `id`, exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id it was published under.
    pub id: String,
    /// Of the record. [`Client::publish`] is told it only when the leader itself was asked.
    pub offset: Option<u64>,
    /// Its Lamport time; not told of a duplicate.
    pub logical_time: Option<u64>,
    /// The cluster had the record before the attempt that was answered: it was published under this id earlier,
    /// perhaps by an attempt of this very call whose answer was lost.
    pub duplicate: bool,
    /// The node's answer.
    pub line: String,
}

/// Why a publish gave no [`Published`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The id was published to the topic before, with other content.
    #[error("id_conflict {id}: the id was used for another message")]
    IdConflict {
        /// The id.
        id: String,
    },
    /// The id's number is not above what the cluster has forgotten of its producer. This call stored nothing; whether an
    /// earlier one did under this id, nobody can tell any more.
    #[error("id_expired {id}: it is too old to tell whether the message was stored under it")]
    IdExpired {
        /// The id.
        id: String,
    },
    /// The topic does not end where [`Publish::expect`] said; nothing was published.
    #[error("offset_mismatch: the topic's newest offset is {end}")]
    OffsetMismatch {
        /// The topic's newest offset; 0 if it has no record.
        end: u64,
    },
    /// The body is larger than the cluster takes; nothing was published.
    #[error("too_large: a message has at most {max_bytes} bytes")]
    TooLarge {
        /// The most that is taken.
        max_bytes: u64,
    },
    /// The topic would be a new one, and there are as many as there may be; nothing was published.
    #[error("too_many_topics: there are {max} already")]
    TooManyTopics {
        /// How many there may be.
        max: u64,
    },
    /// The request itself is wrong; nothing was published.
    #[error("{0}")]
    Rejected(String),
    /// The message may or may not be committed, now or later: the deadline passed, or the id expired behind an attempt
    /// of unknown fate. Publishing it again under the same id is safe. Says what each node came to, those first that may
    /// have published it.
    #[error("it is not known whether the message was published: {0}")]
    Unknown(String),
    /// The deadline passed and the message was certainly not published. Says what each node came to: what those that
    /// live said of the cluster, as that it has no leader, before who cannot be reached.
    #[error("no node could take the message: {0}")]
    Unavailable(String),
}

pub(crate) type PublishResult = Result<Published, PublishError>;

impl From<GaveUp> for PublishError {
    fn from(why: GaveUp) -> Self {
        match why {
            GaveUp::Unknown(reason) => Self::Unknown(reason),
            GaveUp::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl Client {
    /// Publishes a message and returns when it is committed, or at its deadline at the latest. Offset and Lamport time
    /// are told whichever node was asked.
    ///
    /// # Errors
    /// See [`PublishError`]; after [`PublishError::Unknown`] the same message may be sent again under its id.
    pub async fn send(&self, publish: &Publish) -> Result<Published, PublishError> {
        let until = Instant::now() + publish.deadline;
        if publish.body.len() > MAX_BODY_BYTES {
            let max_bytes = MAX_BODY_BYTES as u64;
            return Err(PublishError::TooLarge { max_bytes });
        }
        let id = publish.id.clone().unwrap_or_else(|| self.inner.make_id());
        let command = publish.command(&id).map_err(rejected)?;
        self.inner
            .publish_command(&id, publish.expect, &command, until)
            .await
    }

    /// Publishes one line of text (it is trimmed, and must be neither empty nor have an LF in it) and returns when
    /// it is committed, or `deadline` from now at the latest. Without an `id` the client makes one.
    ///
    /// # Errors
    /// As for [`Client::send`].
    pub async fn publish(
        &self,
        topic: &str,
        text: &str,
        id: Option<String>,
        deadline: Duration,
    ) -> Result<Published, PublishError> {
        let until = Instant::now() + deadline;
        let id = id.unwrap_or_else(|| self.inner.make_id());
        let mut line = Vec::new();
        let command = Command::Pub {
            topic,
            id: Some(&id),
            text,
        };
        command.write(&mut line).map_err(rejected)?;
        self.inner.publish_command(&id, None, &line.into(), until).await
    }
}

fn rejected(error: LineError) -> PublishError {
    PublishError::Rejected(error.to_string())
}

impl Inner {
    async fn publish_command(
        &self,
        id: &str,
        expect: Option<u64>,
        command: &Bytes,
        until: Instant,
    ) -> PublishResult {
        let judge = |answer: &Answer, may_be_stored: bool| match self.judge_publish(id, answer) {
            // An attempt that is still on its way may find the topic's end where it is expected, later.
            Outcome::Done(Err(PublishError::OffsetMismatch { end }))
                if may_be_stored && expect.is_some_and(|expect| end < expect) =>
            {
                Outcome::Unknown {
                    reason: Reason::said(&answer.reply),
                }
            }
            // Nothing is on its way any more that could be stored, but it may have been one of this call.
            Outcome::Done(Err(PublishError::IdExpired { .. })) if may_be_stored => {
                Outcome::Done(Err(PublishError::Unknown(answer.reply.clone())))
            }
            outcome => outcome,
        };
        self.settle_by(command, Repeat::Harmless, until, judge).await?
    }

    pub(crate) fn judge_publish(&self, id: &str, answer: &Answer) -> Outcome<PublishResult> {
        let line = &answer.reply;
        let published = |offset, logical_time, duplicate| {
            Outcome::Done(Ok(Published {
                id: id.to_owned(),
                offset,
                logical_time,
                duplicate,
                line: line.clone(),
            }))
        };
        let failed = |error| Outcome::Done(Err(error));
        match Reply::parse(line) {
            Some(Reply::Published {
                id: of,
                offset,
                logical_time,
            }) if of == id => published(offset, logical_time, false),
            Some(Reply::Redirected { id: of }) if of == id => published(None, None, false),
            Some(Reply::Duplicate { id: of, offset }) if of == id => published(offset, None, true),
            Some(Reply::IdConflict { .. }) => failed(PublishError::IdConflict { id: id.to_owned() }),
            Some(Reply::IdExpired { .. }) => failed(PublishError::IdExpired { id: id.to_owned() }),
            Some(Reply::OffsetMismatch { end }) => failed(PublishError::OffsetMismatch { end }),
            Some(Reply::TooManyTopics { max }) => failed(PublishError::TooManyTopics { max }),
            Some(Reply::Refused { text }) => failed(match too_large(text) {
                Some(max_bytes) => PublishError::TooLarge { max_bytes },
                None => PublishError::Rejected(line.clone()),
            }),
            _ => self.judge_failure(line),
        }
    }
}

/// The bound, if that is what was exceeded.
fn too_large(text: &str) -> Option<u64> {
    text.strip_prefix("too_large ")?.parse().ok()
}
