//! A member that is not a voter yet keeps asking: the leader that began to take it in may be gone.

use std::{convert::Infallible, sync::Arc, time::Duration};

use openraft::async_runtime::WatchReceiver;

use crate::{forming::Forming, group::Group};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs for as long as the node does.
pub async fn run(group: &Arc<Group>, forming: &Forming) -> anyhow::Result<Infallible> {
    let mut metrics = group.raft.metrics();
    loop {
        let is_voter = metrics
            .borrow_watched()
            .membership_config
            .membership()
            .voter_ids()
            .any(|id| id == group.own.0);
        if is_voter {
            if metrics.changed().await.is_err() {
                // Whoever reads this wants to know why.
                metrics.borrow_watched().running_state.clone()?;
                anyhow::bail!("the engine stopped");
            }
        } else {
            forming.ask_again().await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
