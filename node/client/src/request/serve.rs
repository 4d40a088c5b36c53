//! Who answers the requests of a topic, beside others who do.

use bytes::Bytes;
use wiber_protocol::line::{LineError, RecordLine};

use super::ReplyError;
use crate::{AckError, Client, GroupOptions, MemberEvent};

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
    /// Answers a topic's requests, one after the other, as a member of a group: each goes to one member. A request is
    /// acknowledged when its reply is stored, so one whose member is lost is answered by another; and one without an answer
    /// (`None`) is given back. Records that are no requests are answered, too, but nobody is told. Runs until there is an
    /// error.
    ///
    /// ```no_run
    /// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::ServeError> {
    /// use wiber_client::GroupOptions;
    ///
    /// let shout = async |request: &wiber_client::RecordLine| Some(request.text.to_uppercase());
    /// client.serve("shout", "shouters", GroupOptions::new(), shout).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve<B: Into<Bytes>>(
        &self,
        topic: &str,
        group: &str,
        options: GroupOptions,
        mut answer: impl AsyncFnMut(&RecordLine) -> Option<B>,
    ) -> Result<(), ServeError> {
        let mut member = self.join(topic, group, options)?;
        loop {
            let request = match member.next().await {
                Some(MemberEvent::Record(record)) => record,
                Some(MemberEvent::Ended { reason }) => return Err(ServeError::Ended(reason)),
                Some(_) => continue,
                None => return Err(ServeError::Ended("the group is no more".to_owned())),
            };
            let Some(body) = answer(&request).await else {
                member.nack(&request).await;
                continue;
            };
            match self.reply(&request, body).await {
                Ok(_) | Err(ReplyError::NoRequest) => {}
                Err(error) => return Err(ServeError::Reply(error)),
            }
            match member.ack(&request).await {
                // Somebody ended or moved the group meanwhile.
                Ok(()) | Err(AckError::NotDelivered { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
