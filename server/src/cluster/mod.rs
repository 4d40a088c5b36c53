//! The one picture of the cluster: what nodes say and what the gateway did, folded into a [`ClusterView`].
//!
//! Feeds and the supervisor call in; what changed goes to the browsers, a role, a process state or a lost
//! connection at once, positions in their turn ([`pace`]). The gateway applies each change to its own view by the
//! same code as the browser, and a subscriber gets a snapshot and exactly the changes after it.

mod clock_news;
mod events_client;
mod feed;
mod fold;
mod happenings;
mod pace;
mod rate;
mod sse;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::{Instant, sleep_until},
};
use wiber_app::view::{ClusterView, LiveFrame, ProcessState};
use wiber_protocol::{config::ClusterConfig, event::TraceBatch, ids::ClusterId, status::NodeStatus};

use self::fold::Fold;
pub(crate) use self::{feed::spawn_feeds, happenings::Deed};

/// Changes kept for browsers that read slowly; one that is further behind gets a new snapshot.
const KEPT_CHANGES: usize = 128;

/// The gateway's clock, milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The picture. Clones share it.
#[derive(Clone)]
pub(crate) struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    fold: Mutex<Fold>,
    /// Each change, as the JSON text of its frame.
    changes: broadcast::Sender<Arc<str>>,
    /// The clusters that live nodes belong to, as of the last status.
    cluster_ids: watch::Sender<BTreeSet<ClusterId>>,
    /// Something waits to be sent.
    wake: Notify,
}

impl Cluster {
    pub(crate) fn new(config: &ClusterConfig) -> Self {
        let inner = Inner {
            fold: Mutex::new(Fold::new(&config.nodes, now_ms())),
            changes: broadcast::channel(KEPT_CHANGES).0,
            cluster_ids: watch::Sender::default(),
            wake: Notify::new(),
        };
        let cluster = Self {
            inner: Arc::new(inner),
        };
        tokio::spawn(cluster.clone().publish_in_time());
        cluster
    }

    /// The picture now.
    pub(crate) fn view(&self) -> ClusterView {
        let mut view = self.inner.fold.lock().view().clone();
        view.at_ms = now_ms();
        view
    }

    /// Whether any node's process runs.
    pub(crate) fn any_runs(&self) -> bool {
        self.inner.fold.lock().any_runs()
    }

    /// A snapshot as the JSON of its frame, and every change after it.
    pub(crate) fn subscribe(&self) -> (String, broadcast::Receiver<Arc<str>>) {
        let (view, changes) = {
            let fold = self.inner.fold.lock();
            (fold.view().clone(), self.inner.changes.subscribe())
        };
        (to_json(&LiveFrame::Snapshot { view }), changes)
    }

    /// A node's status arrived on a live stream.
    pub(crate) fn status(&self, node: usize, status: NodeStatus) {
        self.fold(|fold| {
            fold.status(node, status, now_ms(), Instant::now());
            let now = fold.cluster_ids();
            self.inner.cluster_ids.send_if_modified(|ids| {
                let is_news = *ids != now;
                *ids = now;
                is_news
            });
        });
    }

    /// Resolves when the nodes belong to another cluster than when this was called: their data was made anew, and
    /// no offset of before means anything any more. Nodes that are away, or blank, say nothing.
    pub(crate) fn made_anew(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ids = self.inner.cluster_ids.subscribe();
        let mut before = ids.borrow_and_update().clone();
        async move {
            loop {
                if ids.changed().await.is_err() {
                    return std::future::pending().await;
                }
                let now = ids.borrow_and_update();
                if before.is_empty() {
                    before.clone_from(&now);
                } else if !now.is_empty() && now.is_disjoint(&before) {
                    return;
                }
            }
        }
    }

    pub(crate) fn trace(&self, node: usize, batch: TraceBatch) {
        self.fold(|fold| fold.trace(node, batch));
    }

    /// A node's event stream ended.
    pub(crate) fn lost(&self, node: usize) {
        self.fold(|fold| fold.lost(node));
    }

    pub(crate) fn process(&self, node: usize, state: ProcessState) {
        self.fold(|fold| fold.process(node, state));
    }

    /// Something the gateway did to a node or learned about its process.
    pub(crate) fn deed(&self, node: usize, deed: &Deed) {
        tracing::info!("{}", self.fold(|fold| fold.deed(node, deed, now_ms())));
    }

    /// Takes something in. What is urgent goes out before this returns, so whoever asks next sees it.
    fn fold<T>(&self, change: impl FnOnce(&mut Fold) -> T) -> T {
        let mut fold = self.inner.fold.lock();
        let result = change(&mut fold);
        if fold.is_urgent() {
            self.publish(&mut fold);
        } else {
            self.inner.wake.notify_one();
        }
        result
    }

    async fn publish_in_time(self) {
        loop {
            let due = self.inner.fold.lock().due(Instant::now());
            tokio::select! {
                () = self.inner.wake.notified() => {}
                () = sleep_until(due) => self.publish(&mut self.inner.fold.lock()),
            }
        }
    }

    /// Sends what is due. Under the lock, so that a snapshot and the changes after it never overlap.
    fn publish(&self, fold: &mut Fold) {
        let Some((seq, at_ms, change)) = fold.take_due(Instant::now(), now_ms()) else {
            return;
        };
        if self.inner.changes.receiver_count() > 0 {
            let frame: Arc<str> = to_json(&LiveFrame::Change { seq, at_ms, change }).into();
            // Fails only when the last receiver went away just now.
            let _ = self.inner.changes.send(frame);
        }
    }
}

fn to_json(frame: &LiveFrame) -> String {
    serde_json::to_string(frame).expect("a frame has string keys only and no failing serializer")
}
