//! The node's identity as the running process shares it: the Raft id from the start, the cluster once there
//! is one.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use wiber_protocol::{
    ids::{ClusterId, RaftId},
    rpc::FormedCluster,
};

use crate::{
    identity::{Identity, IdentityError},
    small_files::SmallFiles,
};

/// Handles on one identity; a change is on disk before anybody sees it.
#[derive(Clone)]
pub struct SharedIdentity(Arc<Inner>);

struct Inner {
    raft_id: RaftId,
    formed: OnceLock<FormedCluster>,
    stored: Mutex<Identity>,
    path: PathBuf,
    files: Arc<dyn SmallFiles>,
}

impl SharedIdentity {
    pub fn new(identity: Identity, path: PathBuf, files: Arc<dyn SmallFiles>) -> Self {
        let formed = OnceLock::new();
        if let (Some(cluster_id), Some(founding)) = (identity.cluster_id, &identity.founding) {
            let (founding, awaited) = (founding.clone(), identity.awaited.clone());
            // A new lock is empty.
            drop(formed.set(FormedCluster {
                cluster_id,
                founding,
                awaited,
            }));
        }
        Self(Arc::new(Inner {
            raft_id: identity.raft_id,
            formed,
            stored: Mutex::new(identity),
            path,
            files,
        }))
    }

    /// What every frame carries: the cluster, if any, and the own id.
    pub fn ids(&self) -> (Option<ClusterId>, RaftId) {
        (
            self.0.formed.get().map(|formed| formed.cluster_id),
            self.0.raft_id,
        )
    }

    pub fn raft_id(&self) -> RaftId {
        self.0.raft_id
    }

    pub fn formed(&self) -> Option<&FormedCluster> {
        self.0.formed.get()
    }

    /// Whether the folder is known to hold a log of its cluster.
    pub fn log_started(&self) -> bool {
        self.0.stored.lock().log_started
    }

    /// Becomes a member of `formed`; blocks until that is on disk. The first cluster wins: a folder never
    /// changes its cluster.
    pub fn adopt(&self, formed: FormedCluster) -> Result<(), IdentityError> {
        let mut stored = self.0.stored.lock();
        if stored.cluster_id.is_some() {
            return Ok(());
        }
        let next = Identity {
            cluster_id: Some(formed.cluster_id),
            founding: Some(formed.founding.clone()),
            awaited: formed.awaited.clone(),
            ..stored.clone()
        };
        next.store(&self.0.path, &*self.0.files)?;
        *stored = next;
        // Set only here, under the lock and once.
        drop(self.0.formed.set(formed));
        Ok(())
    }

    /// The log exists now; blocks until that is on disk.
    pub fn note_log_started(&self) -> Result<(), IdentityError> {
        let mut stored = self.0.stored.lock();
        if stored.log_started {
            return Ok(());
        }
        let next = Identity {
            log_started: true,
            ..stored.clone()
        };
        next.store(&self.0.path, &*self.0.files)?;
        *stored = next;
        Ok(())
    }
}
