//! Starting a `wiber-node` process.
//!
//! The node gets its own process group and no pipe to the gateway, so a Ctrl-C in the gateway's terminal and a
//! crash of the gateway both leave it running. What it says on standard error goes to a file: when a start fails
//! that is where the reason stands.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

/// The most of `start.err` that is read for its last line.
const MAX_ERROR_BYTES: u64 = 4096;

/// What every node is started with.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    /// The `wiber-node` executable.
    pub(crate) binary: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) data_root: PathBuf,
    /// Whether the nodes let their clocks be made false.
    pub(crate) allow_faults: bool,
}

impl Launcher {
    /// The node's executable: the one asked for, else the one beside the gateway's own, else whatever PATH has.
    pub(crate) fn find_binary(wanted: Option<PathBuf>) -> PathBuf {
        let beside = || {
            let own = std::env::current_exe().ok()?;
            Some(own.with_file_name("wiber-node")).filter(|path| path.is_file())
        };
        wanted
            .or_else(beside)
            .unwrap_or_else(|| PathBuf::from("wiber-node"))
    }

    /// Starts a node. An error is a sentence for people.
    pub(super) fn spawn(&self, id: &str) -> Result<Child, String> {
        let errors = self.error_file(id);
        let stderr = create_with_parents(&errors)
            .map_err(|error| format!("cannot write {}: {error}", errors.display()))?;
        Command::new(&self.binary)
            .args(["--id", id])
            .arg("--config")
            .arg(&self.config)
            .arg("--data-root")
            .arg(&self.data_root)
            .args(["--started-by", "gateway"])
            .args(self.allow_faults.then_some("--allow-faults"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.binary.display()))
    }

    /// The last line that the node's newest run wrote to standard error.
    pub(super) fn last_error(&self, id: &str) -> Option<String> {
        let mut file = File::open(self.error_file(id)).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_ERROR_BYTES)))
            .ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_ERROR_BYTES).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .map(str::to_owned)
    }

    fn error_file(&self, id: &str) -> PathBuf {
        self.data_root.join(id).join("logs").join("start.err")
    }
}

fn create_with_parents(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::create(path)
}
