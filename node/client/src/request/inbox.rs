//! Where a client's replies arrive: one subscription, made with the first request and kept with the client.
//!
//! A client may outlive the cluster's data. In a cluster that was made anew the inbox's place lies beyond its topic's end,
//! and a node would wait there for the topic to grow, while replies go by. So after each lost connection a majority is asked
//! where the topic ends; if that is before the place, all of the topic is new, and is taken from its beginning.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{OnceCell, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use wiber_protocol::line::{HEADER_CORRELATION_ID, RecordLine, SubscribeStart};

use super::RequestError;
use crate::{
    Inner,
    read::{Read, ReadFrom},
    subscribe::{Subscribe, Subscription, SubscriptionEvent},
};

/// One client's inbox, opened or not. It belongs to the client's handles and not to what its tasks share: those would keep
/// each other alive.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    open: OnceCell<Open>,
}

/// An inbox that is subscribed to.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) topic: String,
    waiting: Waiting,
    /// `Ok` once its place in the log is known: what is published from then on is not missed.
    ready: watch::Receiver<Result<(), String>>,
    _task: AbortOnDropHandle<()>,
}

/// Who waits for which correlation id. An entry lives as long as its request's future, so callers bound it.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<RecordLine>>>>;

impl Inbox {
    /// The inbox, ready.
    pub(super) async fn open(&self, client: &Arc<Inner>, until: Instant) -> Result<&Open, RequestError> {
        let open = self.open.get_or_init(async || Open::new(client)).await;
        let mut ready = open.ready.clone();
        let is_ready = timeout_at(until, ready.wait_for(Result::is_ok))
            .await
            .is_ok_and(|waited| waited.is_ok());
        if is_ready {
            return Ok(open);
        }
        let reason = open.ready.borrow().clone().err().unwrap_or_default();
        Err(RequestError::NoInbox(reason))
    }
}

impl Open {
    fn new(client: &Arc<Inner>) -> Self {
        let topic = format!("_inbox.{:02x}", client.producer & 0xff);
        let waiting = Waiting::default();
        let (tell_ready, ready) = watch::channel(Err("no answer in time".to_owned()));
        let task = Dispatch {
            client: Arc::clone(client),
            topic: topic.clone(),
            waiting: Arc::clone(&waiting),
            ready: tell_ready,
        };
        Self {
            topic,
            waiting,
            ready,
            _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
        }
    }

    /// From now on a reply with this correlation id is somebody's.
    pub(super) fn wait_for(&self, id: &str) -> WaitingFor {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(id.to_owned(), sender);
        WaitingFor {
            id: id.to_owned(),
            waiting: Arc::clone(&self.waiting),
            receiver,
        }
    }
}

/// Nobody panics while holding it, and a map is whole at any time.
fn lock(
    waiting: &Mutex<HashMap<String, oneshot::Sender<RecordLine>>>,
) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<RecordLine>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands every reply to who waits for it. What nobody waits for belongs to another client, or came too late.
struct Dispatch {
    client: Arc<Inner>,
    topic: String,
    waiting: Waiting,
    ready: watch::Sender<Result<(), String>>,
}

impl Dispatch {
    async fn run(self) {
        let mut subscription = self.subscribe(SubscribeStart::New);
        // How each node was lost, until one is there.
        let mut lost = BTreeMap::new();
        // Where it goes on, as long as that may be beyond the topic's end.
        let mut doubted = None;
        loop {
            let event = tokio::select! {
                biased;
                event = subscription.next() => event,
                is_gone = self.ends_before(doubted.unwrap_or(0)), if doubted.is_some() => {
                    doubted = None;
                    if is_gone {
                        subscription = self.subscribe(SubscribeStart::Beginning);
                    }
                    continue;
                }
            };
            match event {
                SubscriptionEvent::Connected { next_offset, .. } => {
                    let is_first = self.ready.borrow().is_err();
                    doubted = (!is_first).then_some(next_offset);
                    self.ready.send_modify(|ready| *ready = Ok(()));
                }
                SubscriptionEvent::Record(record) => {
                    doubted = None;
                    let id = record.headers.get(HEADER_CORRELATION_ID);
                    let asked = id.and_then(|id| lock(&self.waiting).remove(id));
                    if let Some(asked) = asked {
                        let _ = asked.send(*record);
                    }
                }
                // Once it has a place, it goes on there by itself.
                SubscriptionEvent::Disconnected { reason } => {
                    doubted = None;
                    if self.ready.borrow().is_err() {
                        let node = reason.split(':').next().unwrap_or_default().to_owned();
                        lost.insert(node, reason);
                        let reasons: Vec<&str> = lost.values().map(String::as_str).collect();
                        self.ready.send_modify(|ready| *ready = Err(reasons.join("; ")));
                    }
                }
                SubscriptionEvent::ConnectedAfter { .. }
                | SubscriptionEvent::Lagging { .. }
                | SubscriptionEvent::Skipped { .. } => {}
            }
        }
    }

    fn subscribe(&self, start: SubscribeStart) -> Subscription {
        Subscription::open(&self.client, &Subscribe::new(&self.topic).start(start))
            .expect("an inbox's name is one that a topic can have")
    }

    /// Whether the topic has not even the offset before this one. Asks until a majority says it.
    async fn ends_before(&self, next_offset: u64) -> bool {
        let last = Read::new(&self.topic, ReadFrom::Last).limit(1);
        let mut backoff = self.client.backoff();
        loop {
            if let Ok(page) = self.client.read_page(&last).await {
                return page.high_watermark.saturating_add(1) < next_offset;
            }
            sleep(backoff.next()).await;
        }
    }
}

/// A request that waits for its reply.
pub(super) struct WaitingFor {
    id: String,
    waiting: Waiting,
    receiver: oneshot::Receiver<RecordLine>,
}

impl WaitingFor {
    /// The first reply. It may be dropped unfinished and called again, until it has given one.
    pub(super) async fn reply(&mut self) -> RecordLine {
        match (&mut self.receiver).await {
            Ok(reply) => reply,
            // Its sender is in the map for as long as this lives.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for WaitingFor {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.id);
    }
}
