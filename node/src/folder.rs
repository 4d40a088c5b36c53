//! The data folder `<data-root>/<id>/`, owned by one process at a time.
//!
//! ```text
//! node.lock       held while the node runs; says who holds it
//! identity.json   who the folder is to the cluster
//! lamport         the ceiling of the logical clock
//! log/            the replicated log
//! index/          sealed parts of the index over it, and the state as of the retention cut
//! logs/           what the node prints
//! ```
//! Ownership is the operating system's lock on `node.lock`: it ends with the process, whatever ends that, so
//! a file left by a crash stands in nobody's way. The file's text only says whom to talk about, and is
//! written after the lock is held; a refused start changes nothing.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use wiber_protocol::lock::{LOCK_FILE, LockHolder, MAX_LOCK_BYTES, StartedBy};

use crate::small_files::{at, sync_folder};

/// What to do when a file is damaged that nothing else can be made from.
pub(crate) const REBUILD: &str =
    "start the node with --rebuild to set its data aside and take it from the others";

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder {} is in use by {}", path.display(), held_by(holder.as_ref()))]
    InUse {
        path: PathBuf,
        holder: Option<LockHolder>,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn held_by(holder: Option<&LockHolder>) -> String {
    match holder {
        Some(holder) => format!("another node, process {}", holder.pid),
        None => "another process".to_owned(),
    }
}

/// A data folder that this process owns until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where it is missing and takes its lock. `id` must be a node id (config checks that
    /// it can name a folder).
    pub fn open(
        data_root: &Path,
        id: &str,
        started_by: StartedBy,
        admin_port: u16,
        now_us: i64,
    ) -> Result<Self, FolderError> {
        let path = data_root.join(id);
        fs::create_dir_all(&path).map_err(|e| at(&path, "cannot make", &e))?;
        let holder = LockHolder {
            pid: std::process::id(),
            started_by,
            started_at_us: now_us,
            admin_port,
        };
        let lock = take_lock(&path, &holder)?;
        let logs = path.join("logs");
        fs::create_dir_all(&logs).map_err(|e| at(&logs, "cannot make", &e))?;
        // A folder that vanished with a power loss would come back as a new member.
        sync_folder(&path)?;
        sync_folder(data_root)?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The replicated log's segments.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The index over the log, which can be made again from it.
    pub fn index_dir(&self) -> PathBuf {
        self.path.join("index")
    }

    /// What the node prints, and the dashboard's terminals show.
    pub fn console_path(&self) -> PathBuf {
        self.path.join("logs").join("console.log")
    }

    pub fn identity_path(&self) -> PathBuf {
        self.path.join("identity.json")
    }

    pub fn lamport_path(&self) -> PathBuf {
        self.path.join("lamport")
    }
}

/// Gives a node's folder another name, with all that is in it, and returns that. `None` if there is no folder. Refused
/// while a node runs in it.
pub fn set_aside(data_root: &Path, id: &str, now_us: i64) -> Result<Option<PathBuf>, FolderError> {
    let path = data_root.join(id);
    if !path.is_dir() {
        return Ok(None);
    }
    let holder = LockHolder {
        pid: std::process::id(),
        started_by: StartedBy::Hand,
        started_at_us: now_us,
        admin_port: 0,
    };
    let _lock = take_lock(&path, &holder)?;
    let aside = data_root.join(format!("{id}.set-aside-{}", now_us / 1_000_000));
    if aside.exists() {
        let exists = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(at(&aside, "cannot set the data aside as", &exists).into());
    }
    fs::rename(&path, &aside).map_err(|e| at(&path, "cannot set aside", &e))?;
    sync_folder(data_root)?;
    Ok(Some(aside))
}

fn take_lock(folder: &Path, holder: &LockHolder) -> Result<File, FolderError> {
    let path = folder.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| at(&path, "cannot open", &e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(FolderError::InUse {
                path: folder.to_owned(),
                holder: read_holder(&mut file),
            });
        }
        Err(TryLockError::Error(e)) => return Err(at(&path, "cannot lock", &e).into()),
    }
    let write = |file: &mut File| {
        let mut text = serde_json::to_vec(holder)?;
        text.push(b'\n');
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&text)
    };
    write(&mut file).map_err(|e| at(&path, "cannot write", &e))?;
    Ok(file)
}

/// `None` while the holder has not written its line yet.
fn read_holder(file: &mut File) -> Option<LockHolder> {
    let mut text = Vec::new();
    file.take(MAX_LOCK_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &Path) -> Result<DataFolder, FolderError> {
        DataFolder::open(root, "n1", StartedBy::Hand, 9201, 17)
    }

    #[test]
    fn a_fresh_folder_has_its_parts_and_says_who_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = open(&root.path().join("deep/data")).unwrap();
        assert!(folder.console_path().parent().unwrap().is_dir());
        let text = fs::read_to_string(folder.path().join("node.lock")).unwrap();
        let expected = format!(
            "{{\"pid\":{},\"started_by\":\"hand\",\"started_at_us\":17,\"admin_port\":9201}}\n",
            std::process::id()
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_folder_is_set_aside_whole_and_only_when_nobody_uses_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(set_aside(root.path(), "n1", 5_000_000).unwrap(), None);
        let folder = open(root.path()).unwrap();
        fs::write(folder.path().join("some"), "data").unwrap();
        assert!(set_aside(root.path(), "n1", 5_000_000).is_err());
        drop(folder);
        let aside = set_aside(root.path(), "n1", 5_000_000).unwrap().unwrap();
        assert_eq!(aside, root.path().join("n1.set-aside-5"));
        assert_eq!(fs::read_to_string(aside.join("some")).unwrap(), "data");
        assert!(!root.path().join("n1").exists());
    }

    #[test]
    fn a_folder_in_use_is_refused_by_pid_and_left_untouched() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path()).unwrap();
        let lock = first.path().join("node.lock");
        let before = fs::read(&lock).unwrap();
        let refused = DataFolder::open(root.path(), "n1", StartedBy::Gateway, 1, 99).unwrap_err();
        let pid = std::process::id();
        assert!(
            refused.to_string().ends_with(&format!("process {pid}")),
            "{refused}"
        );
        assert_eq!(fs::read(&lock).unwrap(), before);
    }

    #[test]
    fn a_lock_file_left_by_a_crash_is_taken_over() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("n1")).unwrap();
        fs::write(root.path().join("n1/node.lock"), "x".repeat(5_000)).unwrap();
        let folder = open(root.path()).unwrap();
        let text = fs::read_to_string(folder.path().join("node.lock")).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(serde_json::from_str::<LockHolder>(&text).is_ok());
    }

    #[test]
    fn the_folder_is_free_again_after_its_owner() {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path()).unwrap());
        open(root.path()).unwrap();
    }
}
