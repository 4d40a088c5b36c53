//! Records as they are committed, without end: no gap and no repeat, whichever node they come from.
//!
//! A subscription is a position: in one topic an offset, in the topics of a pattern a Lamport time, which rises along
//! the log of all topics. Records are accepted only from there on; whenever the connection is lost, or a node breaks that
//! rule, the next connection starts there. A consumer that is slow makes the connection wait, and the node's cursor with
//! it: nothing is dropped and nothing piles up.

mod order;
mod position;
mod task;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use wiber_protocol::{
    line::{Command, LineError, RecordLine, SubscribeCommand, SubscribeStart},
    pattern::Pattern,
};

use self::{order::Order, position::Position, task::SubscriptionTask};
use crate::{Client, Inner};

/// Events that wait for the consumer; at the bound, nothing more is received.
const MAX_WAITING_EVENTS: usize = 64;

/// What to subscribe to, and from where on.
///
/// ```no_run
/// # async fn example(client: &wiber_client::Client) -> Result<(), wiber_client::LineError> {
/// use wiber_client::{Subscribe, SubscribeStart, SubscriptionEvent};
///
/// let orders = Subscribe::new("orders.>").start(SubscribeStart::Beginning);
/// let mut subscription = client.subscribe_to(&orders)?;
/// loop {
///     if let SubscriptionEvent::Record(record) = subscription.next().await {
///         println!("{} {}: {}", record.topic, record.offset, record.text);
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pattern: String,
    start: SubscribeStart,
    order: Option<Duration>,
}

impl Subscribe {
    /// A topic's name or a pattern of names, see [`wiber_protocol::pattern`]; topics that are made later are included.
    /// It begins with what is published next.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self {
            pattern: pattern.into(),
            start: SubscribeStart::New,
            order: None,
        }
    }

    /// Begins there. [`SubscribeStart::From`] is for one topic, not for a pattern.
    #[must_use]
    pub fn start(mut self, start: SubscribeStart) -> Self {
        self.start = start;
        self
    }

    /// Gives records by their time of origin: cluster time where it was taken, Lamport time, node. Each is held back for
    /// `hold` at most, 1 ms to 60 s, until nothing earlier is to come if nothing is later than that. What is later is given at
    /// once, as [`RecordLine::late`]. Records are held here and not in the node, so that no connection is lost with them; of
    /// more than 65,536 of them or 64 MiB the first go before their time.
    #[must_use]
    pub fn order(mut self, hold: Duration) -> Self {
        self.order = Some(hold);
        self
    }

    /// The pattern, if the protocol can say all of this.
    fn pattern(&self) -> Result<Pattern, LineError> {
        let command = SubscribeCommand {
            order: self.order,
            ..SubscribeCommand::new(&self.pattern, self.start)
        };
        Command::Subscribe(command).write(&mut Vec::new())?;
        Pattern::new(&self.pattern).map_err(|_| LineError::Usage("a pattern"))
    }
}

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// `node` delivers the topic's records from `next_offset` on.
    Connected {
        /// Its id.
        node: String,
        /// Of the next record.
        next_offset: u64,
    },
    /// `node` delivers the records of the pattern's topics whose Lamport times are later than `logical_time`.
    ConnectedAfter {
        /// Its id.
        node: String,
        /// Of the last record before.
        logical_time: u64,
    },
    /// The next record.
    Record(Box<RecordLine>),
    /// The consumer is so many records behind what is committed. Nothing is lost: the records come as they are taken.
    Lagging {
        /// How many.
        records: u64,
    },
    /// Retention dropped what came next, so there is a gap. Of a topic, both are offsets; of a pattern, Lamport times.
    Skipped {
        /// The place where it was to go on, if that was a place of this kind.
        from: Option<u64>,
        /// Where it goes on.
        to: u64,
    },
    /// It is trying again by itself; the next event is `Connected` or `ConnectedAfter`, or one more `Disconnected`.
    Disconnected {
        /// Why, and which node it was.
        reason: String,
    },
}

/// A subscription; it ends when this is dropped.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<SubscriptionEvent>,
    _task: AbortOnDropHandle<()>,
}

impl Subscription {
    pub(crate) fn open(client: &Arc<Inner>, subscribe: &Subscribe) -> Result<Self, LineError> {
        let pattern = subscribe.pattern()?;
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let task = SubscriptionTask {
            client: Arc::clone(client),
            position: Position::new(pattern.is_literal(), subscribe.start),
            pattern,
            order: subscribe.order.map(Order::new),
            events,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        Ok(Self {
            events: receiver,
            _task: task,
        })
    }

    /// The next event. It may be called in a `select!`: nothing is lost when it is dropped unfinished.
    pub async fn next(&mut self) -> SubscriptionEvent {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends before this does only when the whole runtime is shutting down.
            None => std::future::pending().await,
        }
    }
}

impl Client {
    /// Subscribes to a topic or a pattern. Connects in the background.
    ///
    /// # Errors
    /// If the protocol cannot say it: a name that is none, a pattern from an offset.
    pub fn subscribe_to(&self, subscribe: &Subscribe) -> Result<Subscription, LineError> {
        Subscription::open(&self.inner, subscribe)
    }

    /// Subscribes to `topic` from an offset on, or from what is published next. Connects in the background.
    ///
    /// # Errors
    /// If `topic` can't be a topic's name.
    pub fn subscribe(&self, topic: &str, from: Option<u64>) -> Result<Subscription, LineError> {
        let start = from.map_or(SubscribeStart::New, SubscribeStart::From);
        self.subscribe_to(&Subscribe::new(topic).start(start))
    }
}
