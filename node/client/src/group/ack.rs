//! What changes a group: acknowledgements, its end, its place. Each may be said to any node. An acknowledgement is said
//! again until its fate is known; the others are not, as a second time may undo what was done since the first.

use std::{ops::RangeInclusive, time::Duration};

use tokio::time::Instant;
use wiber_protocol::line::{Command, LineError, Reply};

use crate::{
    Client,
    attempts::{GaveUp, Outcome, Repeat},
    link::Answer,
};

/// How long [`crate::Member::ack`] is tried.
pub const DEFAULT_ACK_DEADLINE: Duration = Duration::from_secs(10);

/// Why a group was not changed as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// The group did not hand that record out, so it cannot be acknowledged.
    #[error("offset {offset} was not handed out by the group")]
    NotDelivered {
        /// Of the record.
        offset: u64,
    },
    /// There is no such group: it was deleted.
    #[error("there is no such group")]
    NoSuchGroup,
    /// The request itself is wrong.
    #[error("{0}")]
    Rejected(String),
    /// It may or may not have been done, now or later. An acknowledgement was tried until the deadline, and it is safe to
    /// say it again; before a seek or a deletion is, look at the group ([`Client::groups`]). Says what each node came to,
    /// those first that may have done it.
    #[error("it is not known whether the group took it: {0}")]
    Unknown(String),
    /// The deadline passed, and it was certainly not done. Says what each node came to: what those that live said of the
    /// cluster before who cannot be reached.
    #[error("no node could take it: {0}")]
    Unavailable(String),
}

impl From<GaveUp> for AckError {
    fn from(why: GaveUp) -> Self {
        match why {
            GaveUp::Unknown(reason) => Self::Unknown(reason),
            GaveUp::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<LineError> for AckError {
    fn from(error: LineError) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl Client {
    /// Says that the records of these offsets are done, to whichever node takes it, until `deadline` from now at the
    /// latest. What is done already stays done.
    ///
    /// # Errors
    /// See [`AckError`].
    pub async fn ack(
        &self,
        topic: &str,
        group: &str,
        offsets: RangeInclusive<u64>,
        deadline: Duration,
    ) -> Result<(), AckError> {
        let command = Command::Ack {
            topic,
            group,
            first: *offsets.start(),
            last: *offsets.end(),
        };
        self.change_group(&command, deadline).await
    }

    /// Ends a group and forgets where it was; its members are told. It is tried until `deadline` from now, but not again
    /// once an attempt may have taken effect: a second one could end a group that was made anew meanwhile.
    ///
    /// # Errors
    /// See [`AckError`]; [`AckError::Unknown`] comes as soon as an attempt's answer is lost.
    pub async fn delete_group(&self, topic: &str, group: &str, deadline: Duration) -> Result<(), AckError> {
        self.change_group(&Command::DeleteGroup { topic, group }, deadline)
            .await
    }

    /// Makes a group go on at an offset: what it holds is forgotten, and what follows is handed out (again). Offsets
    /// that are none are moved to the nearest one. It is tried until `deadline` from now, but not again once an attempt may
    /// have taken effect: a second one would undo what was acknowledged since.
    ///
    /// # Errors
    /// See [`AckError`]; [`AckError::Unknown`] comes as soon as an attempt's answer is lost.
    pub async fn seek_group(
        &self,
        topic: &str,
        group: &str,
        next_offset: u64,
        deadline: Duration,
    ) -> Result<(), AckError> {
        let command = Command::SeekGroup {
            topic,
            group,
            next_offset,
        };
        self.change_group(&command, deadline).await
    }

    async fn change_group(&self, command: &Command<'_>, deadline: Duration) -> Result<(), AckError> {
        let mut line = Vec::new();
        command.write(&mut line)?;
        let repeat = match command {
            Command::Ack { .. } => Repeat::Harmless,
            _ => Repeat::Harmful,
        };
        let judge = |answer: &Answer, _| match Reply::parse(&answer.reply) {
            Some(Reply::Acked { .. } | Reply::GroupDeleted { .. } | Reply::GroupMoved { .. }) => {
                Outcome::Done(Ok(()))
            }
            Some(Reply::NotDelivered { offset }) => Outcome::Done(Err(AckError::NotDelivered { offset })),
            Some(Reply::NoSuchGroup { .. }) => Outcome::Done(Err(AckError::NoSuchGroup)),
            Some(Reply::Refused { .. }) => Outcome::Done(Err(AckError::Rejected(answer.reply.clone()))),
            _ => self.inner.judge_failure(&answer.reply),
        };
        let until = Instant::now() + deadline;
        self.inner.settle_by(&line.into(), repeat, until, judge).await?
    }
}
