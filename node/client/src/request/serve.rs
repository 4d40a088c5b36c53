//! Who answers the requests of a topic, beside others who do.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use wiber_protocol::line::{LineError, RecordLine};

use super::ReplyError;
use crate::{AckError, Client, GroupOptions, MemberEvent, MemberHandle};

/// Why requests are no longer answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The group cannot be joined like that.
    #[error(transparent)]
    Refused(#[from] LineError),
    /// The group is no more.
    #[error("{0}")]
    Ended(String),
    /// A reply was not published, or that is not known; its request will be handed out again.
    #[error("cannot reply: {0}")]
    Reply(ReplyError),
    /// A request was replied to, and will perhaps be handed out again.
    #[error("cannot acknowledge a request: {0}")]
    Ack(#[from] AckError),
}

impl Client {
    /// Answers a topic's requests as a member of a group: each goes to one member. Answers are made side by side, as many as
    /// [`GroupOptions::max_in_flight`] says; with 1 they are made one after the other. A request is acknowledged when its
    /// reply is stored, so one whose member is lost is answered by another; and one without an answer (`None`) is given back.
    /// Records that are no requests are answered, too, but nobody is told. Runs until there is an error; then the answers
    /// that are not finished are dropped, and their requests will be handed out again.
    ///
    /// ```no_run
    /// # async fn example(client: wiber_client::Client) {
    /// use wiber_client::{GroupOptions, RecordLine};
    ///
    /// let shout = async |request: RecordLine| Some(request.text.to_uppercase());
    /// tokio::spawn(async move { client.serve("shout", "shouters", GroupOptions::new(), shout).await });
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve<B: Into<Bytes>, R: Future<Output = Option<B>>>(
        &self,
        topic: &str,
        group: &str,
        options: GroupOptions,
        mut answer: impl FnMut(RecordLine) -> R,
    ) -> Result<(), ServeError> {
        let mut member = self.join(topic, group, options)?;
        let handle = member.handle();
        let most = options.in_flight();
        let mut answers = FuturesUnordered::new();
        // Those of the answers that are being made.
        let mut offsets = HashSet::new();
        loop {
            let event = tokio::select! {
                biased;
                Some((offset, answered)) = answers.next() => {
                    answered?;
                    offsets.remove(&offset);
                    continue;
                }
                // After a lost connection the node hands out as many again.
                event = member.next(), if answers.len() < most => event,
            };
            match event {
                // Handed out again after a lost connection; its answer will do.
                Some(MemberEvent::Record(request)) if !offsets.insert(request.offset) => {}
                Some(MemberEvent::Record(request)) => {
                    let body = answer((*request).clone());
                    answers.push(self.answer_one(&handle, request, body));
                }
                Some(MemberEvent::Ended { reason }) => return Err(ServeError::Ended(reason)),
                Some(_) => {}
                None => return Err(ServeError::Ended("the group is no more".to_owned())),
            }
        }
    }

    async fn answer_one<B: Into<Bytes>>(
        &self,
        handle: &MemberHandle,
        request: Box<RecordLine>,
        body: impl Future<Output = Option<B>>,
    ) -> (u64, Result<(), ServeError>) {
        (request.offset, self.try_answer(handle, &request, body).await)
    }

    async fn try_answer<B: Into<Bytes>>(
        &self,
        handle: &MemberHandle,
        request: &RecordLine,
        body: impl Future<Output = Option<B>>,
    ) -> Result<(), ServeError> {
        let Some(body) = body.await else {
            handle.nack(request).await;
            return Ok(());
        };
        match self.reply(request, body).await {
            Ok(_) | Err(ReplyError::NoRequest) => {}
            Err(error) => return Err(ServeError::Reply(error)),
        }
        match handle.ack(request).await {
            // Somebody ended or moved the group meanwhile.
            Ok(()) | Err(AckError::NotDelivered { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
