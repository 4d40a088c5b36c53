//! One client's answers on their way out, in the order of its commands, with what its subscriptions bring in
//! between.

mod follow;
mod groups;
mod publishes;
mod reads;
mod steps;
mod topics;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, sync::mpsc, task::AbortHandle, time::timeout};
use wiber_protocol::line::Reply;

use self::steps::{MemberStep, ReadStep, SubscribeStep};
pub(super) use self::steps::{PublishStep, Step};

use super::{
    Clients,
    connection::{self, Output},
    subscription::{Cursor, Following, Form, Subscription, TopicCursor},
};
use crate::{group::Group, groups::Membership};

/// Written out when this much has gathered, or when there is nothing more to do at once.
const FLUSH_BYTES: usize = 64 << 10;
/// Room for answers that is kept while there are none.
const KEPT_OUT_BYTES: usize = 4 << 10;
/// Pages of subscriptions waiting to be written; a client that reads slowly holds its own cursors back.
const PENDING_PAGES: usize = 2;
/// A `SUB` or `HISTORY` waits this long for a node that is loading its log.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Topics one connection may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 1_024;
/// How long a read waits for this node to apply what the same connection published through the leader, to however many
/// topics.
const OWN_WRITE_PATIENCE: Duration = Duration::from_secs(1);
/// How long a subscription "from now on" waits for a majority to say what is old.
const FRESH_PATIENCE: Duration = Duration::from_millis(200);
/// How long it then waits for this node to apply that.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(1);
const NOT_LOADED: &str = "this node has not loaded its log yet, or is not in a cluster";
/// Topics whose own writes are remembered for that.
const OWN_WRITE_TOPICS: usize = 64;

/// The client cannot be written to any more.
struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Answers until all is answered and nothing is subscribed, or the client is gone.
pub(super) async fn run(write: Output, steps: mpsc::Receiver<Step>, clients: Arc<Clients>) {
    let (pages, deliveries) = mpsc::channel(PENDING_PAGES);
    let mut responder = Responder {
        write,
        out: Vec::new(),
        clients,
        pages,
        subscriptions: BTreeMap::new(),
        subscribed: 0,
        own_writes: Vec::new(),
    };
    let finished = responder.answer_all(steps, deliveries).await;
    if finished.is_ok() {
        connection::close(responder.write).await;
    }
}

struct Responder {
    write: Output,
    out: Vec<u8>,
    clients: Arc<Clients>,
    pages: mpsc::Sender<Delivery>,
    subscriptions: BTreeMap<(String, Form), Subscribed>,
    /// Numbers the subscriptions of this connection.
    subscribed: u64,
    /// Offsets this connection got through the leader while this node follows: reads wait for them.
    own_writes: Vec<(String, u64)>,
}

/// A running subscription; dropping it ends it.
struct Subscribed {
    number: u64,
    task: AbortHandle,
    /// In which group, if it is one's being a member.
    membership: Option<(String, Membership)>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a subscription has to say.
pub(super) struct Delivery {
    pub key: (String, Form),
    pub number: u64,
    /// Lines to write; `None` when the records could not be read: then the connection ends, so that the client
    /// knows.
    pub page: Option<Vec<u8>>,
    /// The subscription ends with this page.
    pub last: bool,
}

impl Responder {
    async fn answer_all(
        &mut self,
        mut steps: mpsc::Receiver<Step>,
        mut deliveries: mpsc::Receiver<Delivery>,
    ) -> Result<(), Gone> {
        loop {
            let step = tokio::select! {
                biased;
                step = steps.recv() => step,
                Some(delivery) = deliveries.recv() => {
                    self.deliver(&delivery)?;
                    self.flush_if_idle(&steps, &deliveries).await?;
                    continue;
                }
            };
            match step {
                Some(Step::Publish(publish)) => self.publish(publish, &mut deliveries).await?,
                Some(Step::Line(line)) => self.out.extend_from_slice(&line),
                Some(Step::Sub { topic }) => self.sub(topic).await?,
                Some(Step::Subscribe(mut subscribe)) => match subscribe.member.take() {
                    Some(member) => self.join(subscribe, member).await?,
                    None => self.subscribe(subscribe).await?,
                },
                Some(Step::Unsub { pattern }) => self.unsub(&pattern),
                Some(Step::History { topic, count }) => self.history(&topic, count).await?,
                Some(Step::Read(read)) => self.read(read).await?,
                Some(Step::Nack { topic, group, offset }) => self.give_back(&topic, &group, offset).await,
                Some(Step::Groups { pattern }) => self.groups(pattern.as_deref()).await?,
                Some(Step::Topics {
                    pattern,
                    after,
                    limit,
                }) => {
                    self.topics(pattern.as_deref(), after.as_deref(), limit).await?;
                }
                Some(Step::Quit) => {
                    Reply::Bye.write(&mut self.out);
                    return self.flush().await;
                }
                None => return self.flush().await,
            }
            // However many commands come: what is subscribed to has its turn.
            if let Ok(delivery) = deliveries.try_recv() {
                self.deliver(&delivery)?;
            }
            self.flush_if_idle(&steps, &deliveries).await?;
        }
    }

    /// Takes in what a subscription brought, unless another one has taken its place meanwhile.
    fn deliver(&mut self, delivery: &Delivery) -> Result<(), Gone> {
        let is_current = self
            .subscriptions
            .get(&delivery.key)
            .is_some_and(|subscribed| subscribed.number == delivery.number);
        if is_current {
            self.out.extend_from_slice(delivery.page.as_ref().ok_or(Gone)?);
            if delivery.last {
                self.subscriptions.remove(&delivery.key);
            }
        }
        Ok(())
    }

    async fn flush_if_idle(
        &mut self,
        steps: &mpsc::Receiver<Step>,
        deliveries: &mpsc::Receiver<Delivery>,
    ) -> Result<(), Gone> {
        if self.out.len() >= FLUSH_BYTES || (steps.is_empty() && deliveries.is_empty()) {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if !self.out.is_empty() {
            self.write.write_all(&self.out).await?;
            self.out.clear();
            self.out.shrink_to(KEPT_OUT_BYTES);
        }
        Ok(())
    }

    async fn await_caught_up(&mut self, group: &Group) -> Result<(), Gone> {
        if !*group.caught_up.borrow() {
            self.flush().await?;
            group.await_caught_up().await;
        }
        Ok(())
    }

    async fn await_own_writes(&self, group: &Group, topic: &str) {
        if let Some((_, offset)) = self.own_writes.iter().find(|(known, _)| known == topic) {
            // Past that the node is behind, and a local read says what it has.
            drop(timeout(OWN_WRITE_PATIENCE, group.await_offset(topic, *offset)).await);
        }
    }

    /// As [`Self::await_own_writes`], to all of these topics together.
    async fn await_all_own_writes(&self, group: &Group, is_asked_for: impl Fn(&str) -> bool) {
        let all = async {
            for (topic, offset) in self.own_writes.iter().filter(|(topic, _)| is_asked_for(topic)) {
                group.await_offset(topic, *offset).await;
            }
        };
        drop(timeout(OWN_WRITE_PATIENCE, all).await);
    }

    fn group(&mut self) -> Option<Arc<Group>> {
        let group = self.clients.group.get();
        if group.is_none() {
            Reply::Unavailable { reason: NOT_LOADED }.write(&mut self.out);
        }
        group
    }

    /// As [`Self::group`], after a wait: the contract knows no answer for a node that is just starting.
    async fn group_in_time(&mut self) -> Result<Option<Arc<Group>>, Gone> {
        if self.clients.group.get().is_none() {
            self.flush().await?;
            self.clients.group.wait(START_PATIENCE).await;
        }
        Ok(self.group())
    }

    /// `SUB`: from the next record on, in nine-field lines.
    async fn sub(&mut self, topic: String) -> Result<(), Gone> {
        let Some(group) = self.group_in_time().await? else {
            return Ok(());
        };
        let key = (topic, Form::Msg);
        if !self.has_room_for(&key) {
            return Ok(());
        }
        let next = self.first_new(&group, &key.0).await?;
        let reply = Reply::Subscribed {
            topic: &key.0,
            next_offset: None,
        };
        reply.write(&mut self.out);
        if !self.subscriptions.contains_key(&key) {
            let cursor = TopicCursor::new(&group, key.0.clone(), next);
            self.start(group, key, Cursor::Topic(cursor), None);
        }
        Ok(())
    }

    /// `SUBSCRIBE`: from some place on, in `RECORD` lines. Another one on the same topic takes its place.
    async fn subscribe(&mut self, subscribe: SubscribeStep) -> Result<(), Gone> {
        let Some(group) = self.group() else { return Ok(()) };
        let key = (subscribe.pattern, Form::Record);
        if !self.has_room_for(&key) {
            return Ok(());
        }
        self.follow(group, key.0, subscribe.start, subscribe.order).await
    }

    /// `UNSUB`: nothing of it comes any more, in whatever form.
    fn unsub(&mut self, pattern: &str) {
        let before = self.subscriptions.len();
        self.subscriptions
            .retain(|(subscribed, _), _| subscribed != pattern);
        let reply = if self.subscriptions.len() < before {
            Reply::Unsubscribed { pattern }
        } else {
            Reply::NotSubscribed { pattern }
        };
        reply.write(&mut self.out);
    }

    /// The offset of the first record of `topic` that was not committed before this call. Where no majority says
    /// in time what was, it is the first that this node does not have yet.
    async fn first_new(&mut self, group: &Group, topic: &str) -> Result<u64, Gone> {
        self.flush().await?;
        // What is committed while this waits is new, and may be applied before the wait is over.
        let known = group.state.read().topics.next_offset(topic);
        let Ok(Ok(old)) = timeout(FRESH_PATIENCE, group.read_index()).await else {
            // What this connection published before is not "from now on".
            self.await_own_writes(group, topic).await;
            return Ok(group.state.read().topics.next_offset(topic));
        };
        // A node that is further behind than that tells some of the old as new; it loses nothing.
        drop(timeout(CATCH_UP_PATIENCE, group.await_applied(old.index)).await);
        let next = group.first_above(topic, known, old.index).await;
        // What can't be read is told when it is to be delivered.
        Ok(next.unwrap_or(known))
    }

    fn has_room_for(&mut self, key: &(String, Form)) -> bool {
        let has_room = self.subscriptions.len() < MAX_SUBSCRIPTIONS || self.subscriptions.contains_key(key);
        if !has_room {
            let text = format!("too_many_subscriptions a connection has at most {MAX_SUBSCRIPTIONS}");
            Reply::Refused { text: &text }.write(&mut self.out);
        }
        has_room
    }

    fn start(&mut self, group: Arc<Group>, key: (String, Form), cursor: Cursor, order: Option<Duration>) {
        self.subscribed += 1;
        let number = self.subscribed;
        let following = Following {
            group,
            clients: self.clients.clone(),
            key: key.clone(),
            number,
            deliveries: self.pages.clone(),
        };
        let subscription = Subscription {
            following,
            cursor,
            order,
        };
        let task = crate::runtime::spawn(subscription.run()).abort_handle();
        let subscribed = Subscribed {
            number,
            task,
            membership: None,
        };
        self.subscriptions.insert(key, subscribed);
    }
}
