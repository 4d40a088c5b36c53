//! Nothing is left behind, whatever becomes of this process.
//!
//! A shell waits on a pipe from here. Each line it reads is the list of the processes that run now; when the pipe
//! closes (this process ended, or was killed) it kills those and removes the folder.

use std::{
    collections::BTreeSet,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;

const SCRIPT: &str = r#"pids=; while read -r line; do pids=$line; done; [ -z "$pids" ] || kill -9 $pids 2>/dev/null; rm -rf "$0""#;

pub(super) struct Guard {
    shell: Child,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    running: BTreeSet<u32>,
    /// `None` once it is closed.
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Also ends this process when it has not ended by itself within `time_limit`.
    pub(super) fn start(folder: &Path, time_limit: Duration) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start `sh`")?;
        let shared = Arc::new(Mutex::new(Shared {
            running: BTreeSet::new(),
            pipe: shell.stdin.take(),
        }));
        thread::spawn(move || {
            thread::sleep(time_limit);
            eprintln!(
                "wiber: not done after {} minutes: given up",
                time_limit.as_secs() / 60
            );
            // The pipe closes with the process, and the shell does the rest.
            std::process::exit(1);
        });
        Ok(Self { shell, shared })
    }

    /// A process runs that must not outlive this one.
    pub(super) fn watch(&self, pid: u32) -> std::io::Result<()> {
        self.change(|running| running.insert(pid))
    }

    /// The process has ended; its number may belong to somebody else soon.
    pub(super) fn forget(&self, pid: u32) -> std::io::Result<()> {
        self.change(|running| running.remove(&pid))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<u32>) -> bool) -> std::io::Result<()> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shared.running);
        let list: Vec<String> = shared.running.iter().map(u32::to_string).collect();
        match &mut shared.pipe {
            Some(pipe) => pipe.write_all(format!("{}\n", list.join(" ")).as_bytes()),
            None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).pipe = None;
        // It has little to do; should it fail, the folder is what is left.
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn processes_and_folder_are_gone_with_the_guard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::create_dir(&path).unwrap();
        let guard = Guard::start(&path, Duration::from_hours(1)).unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let mut other = Command::new("sleep").arg("600").spawn().unwrap();
        guard.watch(child.id()).unwrap();
        guard.watch(other.id()).unwrap();
        guard.forget(other.id()).unwrap();
        drop(guard);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!path.exists());
        assert!(
            other.try_wait().unwrap().is_none(),
            "a forgotten process is left alone"
        );
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
