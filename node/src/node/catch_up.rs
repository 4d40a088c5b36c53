//! A process that has just started knows less than it once did: what is committed beyond its last hint it learns from a
//! leader. Until then local reads would miss records that were acknowledged before the start, so they wait.

use std::{sync::Arc, time::Duration};

use crate::group::Group;

/// Without a majority nobody can tell what is committed; then what is here is shown as it is.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// Ends when this node has applied all that was committed at its start, or after [`PATIENCE`].
pub(super) async fn run(group: Arc<Group>) {
    let level = async {
        while group.await_read_index().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(PATIENCE, level).await.is_err() {
        tracing::info!(target: "raft", "no majority says what is committed; local reads show what is here");
    }
    group.rates.begin();
    group.caught_up.send_replace(true);
}
