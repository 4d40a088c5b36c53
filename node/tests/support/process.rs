//! A child process that does not outlive the test, even if the test process itself is killed.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};

use super::{PATIENCE, wait_for};

pub(crate) struct Process {
    child: Child,
    /// A shell that waits on a pipe from here. When the pipe closes without a word, it kills the child.
    guard: Child,
}

impl Process {
    /// Starts the command in a process group of its own.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn().expect("a process");
        let guard = Command::new("sh")
            .args(["-c", "read -r over || kill -9 \"$0\"", &child.id().to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        Self { child, guard }
    }

    /// How many files and sockets the process has open.
    #[cfg(target_os = "linux")]
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("a running process")
            .count()
    }

    /// What it holds in memory.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a size in kB") * 1024
    }

    /// After `STOP` it stands still when this returns: until then its threads may go on for a moment.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a running process");
        if signal == Signal::STOP {
            waitpid(Some(pid), WaitOptions::UNTRACED).expect("a child that stops");
        }
    }

    /// `kill -9`, without waiting for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a running process");
    }

    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for the process's own end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the process ends", PATIENCE, || self.exit_status())
    }

    fn dismiss_guard(&mut self) -> io::Result<()> {
        self.guard
            .stdin
            .take()
            .map_or(Ok(()), |mut pipe| pipe.write_all(b"over\n"))?;
        self.guard.wait().map(|_| ())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit_status().is_none() {
            // The whole group, should a node ever have children.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
        let _ = self.dismiss_guard();
    }
}
