//! Where the private clusters live: a folder of this process on a real disk, the nodes' executable, and free ports.

use std::{
    fs, io,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use wiber_protocol::config::NodeSpec;

pub(super) const NODES: u16 = 3;
/// Below the ports that systems give to outgoing connections; the ports derived from these are free of the defaults
/// and of those of the tests.
const FIRST_PORTS: std::ops::Range<u16> = 7300..7390;

pub(super) struct Home {
    folder: PathBuf,
    node_binary: PathBuf,
}

impl Home {
    /// Refuses a folder in memory: nothing there is ever durable, and flushing it takes no time.
    pub(super) fn prepare(dir: &Path, node_binary: Option<&Path>) -> anyhow::Result<Self> {
        let node_binary = match node_binary {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()?.with_file_name("wiber-node"),
        };
        ensure!(
            node_binary.is_file(),
            "{} is missing: build it with `cargo build --release -p wiber-node`",
            node_binary.display()
        );
        let folder = dir.join(format!("wiber-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        if let Some(kind) = memory_only(&folder)? {
            fs::remove_dir(&folder)?;
            bail!(
                "{} is on a {kind}, which is memory: a flush costs nothing there and says nothing; \
                 choose a folder on a disk with --dir or WIBER_BENCH_DIR",
                dir.display()
            );
        }
        Ok(Self { folder, node_binary })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn node_binary(&self) -> &Path {
        &self.node_binary
    }
}

/// The name of the file system, if it keeps files in memory alone.
#[cfg(target_os = "linux")]
fn memory_only(folder: &Path) -> io::Result<Option<&'static str>> {
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    const RAMFS: rustix::fs::FsWord = 0x8584_58f6;
    Ok(match rustix::fs::statfs(folder)?.f_type {
        TMPFS => Some("tmpfs"),
        RAMFS => Some("ramfs"),
        _ => None,
    })
}

/// Elsewhere memory is mounted only on purpose.
#[cfg(not(target_os = "linux"))]
fn memory_only(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Nodes `n1` to `n3` on ports that nobody listens on.
pub(super) fn free_nodes() -> anyhow::Result<Vec<NodeSpec>> {
    let nodes = |first: u16| -> Vec<NodeSpec> {
        let node = |at: u16| NodeSpec {
            id: format!("n{}", at + 1),
            host: "127.0.0.1".to_owned(),
            port: first + at,
        };
        (0..NODES).map(node).collect()
    };
    let free = |node: &NodeSpec| {
        [node.port, node.admin_port(), node.time_port(), node.rpc_port()]
            .into_iter()
            .all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
            && UdpSocket::bind(("127.0.0.1", node.time_port())).is_ok()
    };
    FIRST_PORTS
        .step_by(usize::from(NODES))
        .map(nodes)
        .find(|nodes| nodes.iter().all(free))
        .context("no free ports for three nodes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_in_memory_is_refused() {
        let shm = Path::new("/dev/shm");
        if !shm.is_dir() || memory_only(shm).unwrap().is_none() {
            return;
        }
        let binary = std::env::current_exe().unwrap();
        let error = Home::prepare(shm, Some(&binary)).err().unwrap().to_string();
        assert!(
            error.starts_with("/dev/shm is on a tmpfs, which is memory"),
            "{error}"
        );
    }
}
