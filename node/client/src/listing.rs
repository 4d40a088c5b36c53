//! What there is: the topics, and the groups that read them.

use bytes::Bytes;
use wiber_protocol::line::{Command, Consistency, GroupLine, LineError, MAX_LISTED, Reply, TopicLine};

use crate::{Client, ReadError, link::Answer, read::Judged, reasons::Reason};

impl Client {
    /// One page of the topics that match `pattern` (all without one; see [`wiber_protocol::pattern`]), sorted by name:
    /// those behind the name `after`, at most `limit`, which is not 0, and [`MAX_LISTED`] of them. Fewer are the last page.
    /// It is what one node has; rates are its own measurement.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn topics_page(
        &self,
        pattern: Option<&str>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<TopicLine>, ReadError> {
        let command = line(&Command::Topics {
            pattern,
            after,
            limit: limit.min(MAX_LISTED),
        })?;
        let judge = |Answer { topics, reply, .. }| match Reply::parse(&reply) {
            Some(Reply::TopicsEnd { count }) if count == topics.len() as u64 => Ok(Ok(topics)),
            _ => other(reply),
        };
        self.inner.ask_in_turn(&command, Consistency::Local, judge).await
    }

    /// All topics that match `pattern`, sorted by name. A cluster has at most 10,000 of them.
    ///
    /// ```no_run
    /// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::ReadError> {
    /// for topic in client.topics(Some("orders.>")).await? {
    ///     println!("{} {} records/s", topic.topic, topic.records_per_s);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn topics(&self, pattern: Option<&str>) -> Result<Vec<TopicLine>, ReadError> {
        let mut all: Vec<TopicLine> = Vec::new();
        loop {
            let after = all.last().map(|topic| topic.topic.as_str());
            let page = self.topics_page(pattern, after, MAX_LISTED).await?;
            let is_last = (page.len() as u64) < MAX_LISTED;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The groups of the topics that match `pattern` (all without one). Only the leader knows a group's members, so it is
    /// asked if it is found; else it is what another node has, and `members` is `None`. A cluster has at most 1,000 groups.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn groups(&self, pattern: Option<&str>) -> Result<Vec<GroupLine>, ReadError> {
        let command = line(&Command::Groups { pattern })?;
        let mut without_members = None;
        let judge = |Answer { groups, reply, .. }| match Reply::parse(&reply) {
            Some(Reply::GroupsEnd { count }) if count == groups.len() as u64 => {
                if groups.iter().all(|group| group.members.is_some()) {
                    return Ok(Ok(groups));
                }
                without_members = Some(groups);
                Ok(Err(Reason::Said("it does not lead".to_owned())))
            }
            _ => other(reply),
        };
        let asked = self.inner.ask_in_turn(&command, Consistency::Local, judge).await;
        match (asked, without_members) {
            (Err(ReadError::Unavailable(_)), Some(groups)) => Ok(groups),
            (asked, _) => asked,
        }
    }
}

fn line(command: &Command<'_>) -> Result<Bytes, LineError> {
    let mut line = Vec::new();
    command.write(&mut line)?;
    Ok(line.into())
}

/// What an answer means that is no whole list.
fn other<T>(reply: String) -> Judged<T> {
    match Reply::parse(&reply) {
        Some(Reply::Refused { .. }) => Err(ReadError::Rejected(reply)),
        _ => Ok(Err(Reason::said(&reply))),
    }
}
