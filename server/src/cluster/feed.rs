//! One task per node that reads its `/events` and tells the [`Cluster`] and the [`Supervisor`] what it hears.
//!
//! Connecting is also how a node that nobody told us of is found: the first status on a new stream names the node
//! and its process. Tries are close together while the process is known to run, and a steady poll otherwise.

use std::time::Duration;

use tokio::time::sleep;
use wiber_app::view::ProcessState;
use wiber_protocol::{config::NodeSpec, event::TraceBatch, status::NodeStatus};

use super::{
    Cluster,
    events_client::{EventStream, StreamError},
    sse::SseEvent,
};
use crate::supervisor::Supervisor;

/// Between tries while a process was just started and its admin port is expected any moment.
const TRY_STARTING: Duration = Duration::from_millis(20);
/// Between tries while a process runs.
const TRY_RUNNING: Duration = Duration::from_millis(100);
/// Between tries while nothing is known to run: a node started by hand is found within this.
const TRY_UNKNOWN: Duration = Duration::from_millis(500);

/// Reads every node's events for as long as the gateway runs.
pub(crate) fn spawn_feeds(cluster: &Cluster, supervisor: &Supervisor) {
    for (index, spec) in supervisor.specs().enumerate() {
        let feed = Feed {
            index,
            spec: spec.clone(),
            cluster: cluster.clone(),
            supervisor: supervisor.clone(),
        };
        tokio::spawn(feed.run());
    }
}

struct Feed {
    index: usize,
    spec: NodeSpec,
    cluster: Cluster,
    supervisor: Supervisor,
}

impl Feed {
    async fn run(self) {
        let mut state = self.supervisor.state(self.index);
        loop {
            match EventStream::open(&self.spec.host, self.spec.admin_port()).await {
                Ok(stream) => {
                    if let Err(error) = self.read(stream).await {
                        tracing::debug!(node = self.spec.id, %error, "the event stream ended");
                    }
                    self.cluster.lost(self.index);
                }
                Err(error) => {
                    tracing::trace!(node = self.spec.id, %error, "the admin port does not answer");
                    self.supervisor.silent(self.index);
                }
            }
            let pause = match &*state.borrow_and_update() {
                ProcessState::Starting { .. } => TRY_STARTING,
                ProcessState::Running { .. } => TRY_RUNNING,
                ProcessState::Stopped | ProcessState::Exited { .. } => TRY_UNKNOWN,
            };
            tokio::select! {
                () = sleep(pause) => {}
                // Fails only without a supervisor, and this feed holds one.
                _ = state.changed() => {}
            }
        }
    }

    async fn read(&self, mut stream: EventStream) -> Result<(), StreamError> {
        let mut is_known = false;
        while let Some(events) = stream.next().await? {
            for event in events {
                match event.name.as_str() {
                    "status" => {
                        let Some(status) = self.parse::<NodeStatus>(&event) else {
                            continue;
                        };
                        if !is_known {
                            if !self.is_this_node(&status) {
                                return Ok(());
                            }
                            is_known = true;
                        }
                        self.cluster.status(self.index, status);
                    }
                    "trace" if is_known => {
                        let Some(batch) = self.parse::<TraceBatch>(&event) else {
                            continue;
                        };
                        self.cluster.trace(self.index, batch);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn is_this_node(&self, status: &NodeStatus) -> bool {
        if status.id != self.spec.id {
            tracing::warn!(
                expected = self.spec.id,
                found = status.id,
                port = self.spec.admin_port(),
                "another node answers on this admin port"
            );
            return false;
        }
        self.supervisor.answers(self.index, status.pid)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, event: &SseEvent) -> Option<T> {
        serde_json::from_str(&event.data)
            .inspect_err(|error| tracing::warn!(node = self.spec.id, event = event.name, %error, "an event can't be read"))
            .ok()
    }
}
