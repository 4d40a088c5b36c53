//! What changes a group: acknowledgements, its end, its place. Each may be said to any node, and said again.

use std::{ops::RangeInclusive, time::Duration};

use tokio::time::Instant;
use wiber_protocol::line::{Command, LineError, Reply};

use crate::{
    Client,
    attempts::{GaveUp, Outcome},
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
    /// The deadline passed, and it may or may not have been done, now or later. It is safe to say it again.
    #[error("it is not known whether the group took it: {0}")]
    Unknown(String),
    /// The deadline passed, and it was certainly not done.
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

    /// Ends a group and forgets where it was; its members are told.
    ///
    /// # Errors
    /// See [`AckError`]. When an attempt's answer was lost, the next one finds no such group.
    pub async fn delete_group(&self, topic: &str, group: &str, deadline: Duration) -> Result<(), AckError> {
        self.change_group(&Command::DeleteGroup { topic, group }, deadline)
            .await
    }

    /// Makes a group go on at an offset: what it holds is forgotten, and what follows is handed out (again). Offsets
    /// that are none are moved to the nearest one.
    ///
    /// # Errors
    /// See [`AckError`].
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
        let is_deletion = matches!(command, Command::DeleteGroup { .. });
        let judge = |answer: &Answer, is_open: bool| match Reply::parse(&answer.reply) {
            Some(Reply::Acked { .. } | Reply::GroupDeleted { .. } | Reply::GroupMoved { .. }) => {
                Outcome::Done(Ok(()))
            }
            Some(Reply::NotDelivered { offset }) => Outcome::Done(Err(AckError::NotDelivered { offset })),
            // Most likely it was this call's own first attempt that deleted it; now it is gone either way.
            Some(Reply::NoSuchGroup { .. }) if is_deletion && is_open => Outcome::Done(Ok(())),
            Some(Reply::NoSuchGroup { .. }) => Outcome::Done(Err(AckError::NoSuchGroup)),
            Some(Reply::Refused { .. }) => Outcome::Done(Err(AckError::Rejected(answer.reply.clone()))),
            _ => self.inner.judge_failure(&answer.reply),
        };
        let until = Instant::now() + deadline;
        self.inner.settle_by(&line.into(), until, judge).await?
    }
}
