//! Where a `SUBSCRIBE` begins, and its answer.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use wiber_protocol::{
    line::{Reply, SubscribeStart},
    pattern::Pattern,
};

use super::{CATCH_UP_PATIENCE, FRESH_PATIENCE, Gone, Responder};
use crate::{
    fetch::{FetchError, LogPlace},
    group::Group,
    line::subscription::{Cursor, Form, PatternCursor, TopicCursor},
};

/// Why a subscription cannot begin where it was asked to.
pub(super) enum Refusal {
    Fetch(FetchError),
    /// This node does not have what is said to have been delivered.
    Behind {
        logical_time: u64,
    },
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl Responder {
    /// Follows one topic, or all that match a pattern.
    pub(super) async fn follow(
        &mut self,
        group: Arc<Group>,
        pattern: String,
        start: SubscribeStart,
        order: Option<Duration>,
    ) -> Result<(), Gone> {
        match Pattern::new(&pattern) {
            Ok(parts) if !parts.is_literal() => self.follow_pattern(group, parts, start, order).await,
            _ => self.follow_topic(group, pattern, start, order).await,
        }
    }

    async fn follow_topic(
        &mut self,
        group: Arc<Group>,
        topic: String,
        start: SubscribeStart,
        order: Option<Duration>,
    ) -> Result<(), Gone> {
        let next = match self.first_offset(&group, &topic, start).await? {
            Ok(next) => next,
            Err(refusal) => {
                self.refuse_start(&topic, refusal);
                return Ok(());
            }
        };
        let reply = Reply::Subscribed {
            topic: &topic,
            next_offset: Some(next),
        };
        reply.write(&mut self.out);
        let cursor = TopicCursor::new(&group, topic.clone(), next);
        self.start(group, (topic, Form::Record), Cursor::Topic(cursor), order);
        Ok(())
    }

    async fn follow_pattern(
        &mut self,
        group: Arc<Group>,
        pattern: Pattern,
        start: SubscribeStart,
        order: Option<Duration>,
    ) -> Result<(), Gone> {
        self.flush().await?;
        let place = match start {
            SubscribeStart::New => self.newest_place(&group, &pattern).await,
            // A pattern has no offsets; who asks for one is not understood.
            SubscribeStart::Beginning | SubscribeStart::From(_) => group.place_of_start().await,
            SubscribeStart::Since(corrected_us) => group.place_since(&pattern, corrected_us).await,
            SubscribeStart::After(lamport) => group.place_after(&pattern, lamport).await,
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                self.refuse_start(pattern.as_str(), error.into());
                return Ok(());
            }
        };
        let reply = Reply::SubscribedAfter {
            pattern: pattern.as_str(),
            logical_time: place.lamport,
        };
        reply.write(&mut self.out);
        let key = (pattern.as_str().to_owned(), Form::Record);
        let cursor = PatternCursor::new(&group, pattern, place);
        self.start(group, key, Cursor::Pattern(cursor), order);
        Ok(())
    }

    /// The place behind all that was committed before this call. Where no majority says in time what was, it is behind all
    /// that this node has.
    async fn newest_place(&self, group: &Group, pattern: &Pattern) -> Result<LogPlace, FetchError> {
        // What is committed while this waits is new, and may be applied before the wait is over.
        let known = group.state.read().next_index();
        let Ok(Ok(old)) = timeout(FRESH_PATIENCE, group.read_index()).await else {
            // What this connection published before is not "from now on".
            self.await_all_own_writes(group, |topic| pattern.matches(topic))
                .await;
            let next = group.state.read().next_index();
            return group.place_before(next).await;
        };
        // A node that is further behind than that tells some of the old as new; it loses nothing.
        drop(timeout(CATCH_UP_PATIENCE, group.await_applied(old.index)).await);
        let next = group.state.read().next_index().min(old.index + 1);
        group.place_before(next.max(known)).await
    }

    /// Where that is in a topic.
    pub(super) async fn first_offset(
        &mut self,
        group: &Group,
        topic: &str,
        start: SubscribeStart,
    ) -> Result<Result<u64, Refusal>, Gone> {
        let next = match start {
            SubscribeStart::New => self.first_new(group, topic).await?,
            SubscribeStart::Beginning => group.state.read().topics.log_start_offset(topic),
            SubscribeStart::From(from) => from.max(1),
            SubscribeStart::Since(corrected_us) => match group.first_since(topic, corrected_us).await {
                Ok(next) => next,
                Err(error) => return Ok(Err(error.into())),
            },
            SubscribeStart::After(lamport) => {
                self.flush().await?;
                match first_after(group, topic, lamport).await {
                    Ok(next) => next,
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
        };
        let state = group.state.read();
        let log_start = state.topics.log_start_offset(topic);
        if next < log_start {
            let end = state.topics.high_watermark(topic);
            return Ok(Err(FetchError::OutOfRange {
                start: log_start,
                end,
            }
            .into()));
        }
        Ok(Ok(next))
    }

    pub(super) fn refuse_start(&mut self, pattern: &str, refusal: Refusal) {
        match refusal {
            Refusal::Fetch(FetchError::OutOfRange { start, end }) => {
                Reply::OffsetOutOfRange { start, end }.write(&mut self.out);
            }
            Refusal::Fetch(FetchError::Io(error)) => {
                tracing::error!(target: "storage", "cannot find where to begin with {pattern}: {error}");
                let text = format!("cannot_read {error}");
                Reply::Refused { text: &text }.write(&mut self.out);
            }
            Refusal::Behind { logical_time } => {
                let reason = format!("this node has nothing of logical time {logical_time} yet");
                Reply::Unavailable { reason: &reason }.write(&mut self.out);
            }
        }
    }
}

/// The first offset of a later Lamport time. Whoever says a time has seen a record of it: a node that does not have it
/// is behind, and what it lacks up to there must not come again.
async fn first_after(group: &Group, topic: &str, lamport: u64) -> Result<u64, Refusal> {
    let reached = timeout(CATCH_UP_PATIENCE, group.await_lamport(lamport)).await;
    if reached.is_err() {
        return Err(Refusal::Behind {
            logical_time: lamport,
        });
    }
    let next = group.first_after(topic, lamport).await?;
    let (log_start, end) = {
        let state = group.state.read();
        let topics = &state.topics;
        (topics.log_start_offset(topic), topics.high_watermark(topic))
    };
    // What was dropped last may have been later than that, too.
    if next == log_start
        && log_start > 1
        && lamport < group.lamport_of_cut().await.map_err(FetchError::from)?
    {
        return Err(FetchError::OutOfRange {
            start: log_start,
            end,
        }
        .into());
    }
    Ok(next)
}
