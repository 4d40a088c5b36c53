//! A leader whose disk is full is no use to publishers: another node may have room.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{HANDOVER_PATIENCE, hand_over::hand_over};
use crate::{
    group::{Group, Leader},
    rpc::names::Names,
};

/// Between two attempts to give leadership away. If all disks are full, it goes round this slowly.
const PAUSE: Duration = Duration::from_secs(5);

/// Hands leadership over whenever this node leads without room. Runs until the log's writer is gone.
pub(super) async fn run(group: Arc<Group>, names: Arc<Names>, mut room: watch::Receiver<bool>) {
    while room.wait_for(|has_room| !has_room).await.is_ok() {
        if matches!(group.leader(), Leader::Own { .. })
            && tokio::time::timeout(HANDOVER_PATIENCE, hand_over(&group, &names))
                .await
                .is_err()
        {
            tracing::warn!(target: "raft", "the disk is full, and nobody took leadership over");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
