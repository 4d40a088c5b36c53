//! Consumer groups: each record to one member, again until it is acknowledged.
//!
//! A group is led by the node that leads the cluster, so a member follows redirects there, and joins again where the
//! leader is whenever it was lost. What a member holds when its connection ends is handed out again, so a record may come
//! twice: what it does with one must bear that, or look at [`RecordLine::delivery`].

mod ack;
mod member;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use wiber_protocol::line::{
    Command, DEFAULT_IN_FLIGHT, LineError, Membership, RecordLine, SubscribeCommand, SubscribeStart,
};

pub use self::ack::{AckError, DEFAULT_ACK_DEADLINE};
use self::member::MemberTask;
use crate::Client;

/// Records given back that wait for the connection; at the bound, [`MemberHandle::nack`] waits.
const MAX_WAITING_NACKS: usize = 64;

/// How to be a member of a group. What is not said stays as the group has it, or gets a default in a new one.
///
/// ```
/// use std::time::Duration;
/// use wiber_client::{GroupOptions, SubscribeStart};
///
/// let options = GroupOptions::new()
///     .start(SubscribeStart::Beginning)
///     .ack_timeout(Duration::from_secs(10))
///     .max_deliveries(3);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupOptions {
    start: SubscribeStart,
    ack_timeout: Option<Duration>,
    max_deliveries: Option<u32>,
    max_in_flight: Option<u32>,
    limit: Option<u64>,
}

impl GroupOptions {
    /// As the group has it; a new group begins with what is published next.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the group begins if it is new; not [`SubscribeStart::After`].
    #[must_use]
    pub fn start(mut self, start: SubscribeStart) -> Self {
        self.start = start;
        self
    }

    /// A record that is not acknowledged for so long is handed out again: 100 ms to a day, 30 s in a new group.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = Some(timeout);
        self
    }

    /// A record that was handed out so often is put aside, on the topic `dead.<topic>.<group>`, instead of once more:
    /// 1 to 1,000,000, 5 in a new group.
    #[must_use]
    pub fn max_deliveries(mut self, deliveries: u32) -> Self {
        self.max_deliveries = Some(deliveries);
        self
    }

    /// How many records this member holds at once: 1 to 1,024, [`DEFAULT_IN_FLIGHT`] if this is not said.
    #[must_use]
    pub fn max_in_flight(mut self, records: u32) -> Self {
        self.max_in_flight = Some(records);
        self
    }

    /// How many records this member is handed in all, at least 1; then it gets no more. Each time that a record is handed out
    /// counts. So who wants only some records has taken none from others.
    #[must_use]
    pub fn limit(mut self, records: u64) -> Self {
        self.limit = Some(records);
        self
    }

    /// The most records that are held at once.
    pub(crate) fn in_flight(&self) -> usize {
        let records = self.max_in_flight.unwrap_or(DEFAULT_IN_FLIGHT);
        usize::try_from(records).unwrap_or(usize::MAX).max(1)
    }

    fn command<'a>(&self, topic: &'a str, group: &'a str) -> Command<'a> {
        Command::Subscribe(SubscribeCommand {
            group: Some(Membership {
                group,
                ack_timeout: self.ack_timeout,
                max_deliveries: self.max_deliveries,
                max_in_flight: self.max_in_flight,
                limit: self.limit,
            }),
            ..SubscribeCommand::new(topic, self.start)
        })
    }
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// `node` leads and hands out from now on.
    Joined {
        /// Its id.
        node: String,
    },
    /// A record to work on, and then to acknowledge. `delivery` says the how manieth time it is handed out.
    Record(Box<RecordLine>),
    /// Retention dropped these offsets before the group had them.
    Skipped {
        /// The first that is gone.
        first: u64,
        /// The last.
        last: u64,
    },
    /// What it held will be handed out again. It is joining again by itself.
    Disconnected {
        /// Why, and which node it was.
        reason: String,
    },
    /// The group was deleted, or cannot be joined. There are no more events.
    Ended {
        /// Which of it.
        reason: String,
    },
}

/// A member of a group; it leaves when this is dropped.
///
/// ```no_run
/// # async fn example(client: &wiber_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use wiber_client::GroupOptions;
///
/// let mut member = client.join("orders", "billing", GroupOptions::new())?;
/// while let Some(record) = member.next_record().await {
///     println!("{} (delivery {:?}): {}", record.offset, record.delivery, record.text);
///     member.ack(&record).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Member {
    events: mpsc::Receiver<MemberEvent>,
    handle: MemberHandle,
    _task: AbortOnDropHandle<()>,
}

impl Member {
    /// The next event; `None` when the group is no more. It may be called in a `select!`: nothing is lost when it is
    /// dropped unfinished.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        self.events.recv().await
    }

    /// The next record, whatever happens in between; `None` when the group is no more.
    pub async fn next_record(&mut self) -> Option<RecordLine> {
        loop {
            if let MemberEvent::Record(record) = self.next().await? {
                return Some(*record);
            }
        }
    }

    /// What acknowledges from another task.
    pub fn handle(&self) -> MemberHandle {
        self.handle.clone()
    }

    /// As [`MemberHandle::ack`].
    ///
    /// # Errors
    /// See [`AckError`].
    pub async fn ack(&self, record: &RecordLine) -> Result<(), AckError> {
        self.handle.ack(record).await
    }

    /// As [`MemberHandle::nack`].
    pub async fn nack(&self, record: &RecordLine) {
        self.handle.nack(record).await;
    }
}

/// Acknowledges for a [`Member`], from any task.
#[derive(Clone, Debug)]
pub struct MemberHandle {
    client: Client,
    topic: String,
    group: String,
    /// Offsets to give back.
    nacks: mpsc::Sender<u64>,
}

impl MemberHandle {
    /// Says that the record is done, to whichever node takes it, for [`DEFAULT_ACK_DEADLINE`] at most. It counts also
    /// when the group has handed the record to another member meanwhile.
    ///
    /// # Errors
    /// See [`AckError`]; where it is not known what became of it, it may be said again.
    pub async fn ack(&self, record: &RecordLine) -> Result<(), AckError> {
        self.client
            .ack(
                &self.topic,
                &self.group,
                record.offset..=record.offset,
                DEFAULT_ACK_DEADLINE,
            )
            .await
    }

    /// Gives the record back, to be handed out again at once. If it is not this member's any more, because it took too
    /// long or its connection was lost, it has been given back already, and nothing happens.
    pub async fn nack(&self, record: &RecordLine) {
        self.nack_offset(record.offset).await;
    }

    /// The same, by the record's offset.
    pub async fn nack_offset(&self, offset: u64) {
        // Without the task there is no connection, and nothing that it holds.
        let _ = self.nacks.send(offset).await;
    }
}

impl Client {
    /// Becomes a member of a topic's group, which is made if it is not there. Connects in the background.
    ///
    /// # Errors
    /// If the protocol cannot say it: a pattern, a name that is none, an option out of its bounds.
    pub fn join(&self, topic: &str, group: &str, options: GroupOptions) -> Result<Member, LineError> {
        options.command(topic, group).write(&mut Vec::new())?;
        // What the node hands out at once, and no more, waits here.
        let (events, receiver) = mpsc::channel(options.in_flight());
        let (nacks, given_back) = mpsc::channel(MAX_WAITING_NACKS);
        let task = MemberTask {
            client: Arc::clone(&self.inner),
            topic: topic.to_owned(),
            group: group.to_owned(),
            options,
            events,
            nacks: given_back,
        };
        Ok(Member {
            events: receiver,
            handle: MemberHandle {
                client: self.clone(),
                topic: topic.to_owned(),
                group: group.to_owned(),
                nacks,
            },
            _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
        })
    }
}
