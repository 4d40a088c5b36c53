//! The lock file of a node's data folder: who runs on it, if anyone.
//!
//! A node holds `<data-root>/<id>/node.lock` for as long as it lives and writes into it who it is. The text stays
//! behind when the process dies, so it counts only while its process lives and the lock is held.

use std::{
    fs::{File, TryLockError},
    io::Read,
    path::{Path, PathBuf},
};

use wiber_protocol::lock::{LOCK_FILE, LockHolder, MAX_LOCK_BYTES};

use super::handle::is_alive;

/// The lock file of one node.
#[derive(Clone, Debug)]
pub(super) struct LockFile(PathBuf);

impl LockFile {
    pub(super) fn new(data_root: &Path, id: &str) -> Self {
        Self(data_root.join(id).join(LOCK_FILE))
    }

    /// Who runs on this folder now.
    ///
    /// The lock is tried only once the process named in it is known to live: a try holds it for an instant, and
    /// a node that starts in that very instant would find its folder taken.
    pub(super) fn holder(&self) -> Option<LockHolder> {
        let mut file = File::open(&self.0).ok()?;
        let mut text = String::new();
        file.by_ref()
            .take(MAX_LOCK_BYTES)
            .read_to_string(&mut text)
            .ok()?;
        let info: LockHolder = serde_json::from_str(&text).ok()?;
        if !is_alive(info.pid) {
            return None;
        }
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(info)
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::lock::StartedBy;

    use super::*;

    #[test]
    fn a_lock_counts_only_while_held_by_a_living_process() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("n1")).unwrap();
        let lock = LockFile::new(root.path(), "n1");
        assert_eq!(lock.holder(), None, "no file");

        let path = root.path().join("n1/node.lock");
        let text = |pid: u32| {
            format!(r#"{{"pid":{pid},"started_by":"gateway","started_at_us":1,"admin_port":9201}}"#)
        };
        std::fs::write(&path, text(std::process::id())).unwrap();
        assert_eq!(lock.holder(), None, "nobody holds it");

        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let holder = lock.holder().expect("held by this process");
        assert_eq!(
            (holder.pid, holder.started_by),
            (std::process::id(), StartedBy::Gateway)
        );

        std::fs::write(&path, text(0)).unwrap();
        assert_eq!(lock.holder(), None, "no such process");
    }
}
