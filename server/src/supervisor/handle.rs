//! A hold on a process by its id.
//!
//! A process id alone is a bad hold: it can end and be given to another process between a look and a signal. On
//! Linux a pidfd names one process for good, can be signalled without that race, and becomes readable the moment
//! the process ends, child or not (`pidfd_open(2)`). Elsewhere, and on kernels without it, the id is polled.

use std::{io, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How often a process without a pidfd is looked at.
const POLL: Duration = Duration::from_millis(50);

/// One process, until it ends.
#[derive(Debug)]
pub(super) struct Handle {
    pid: Pid,
    #[cfg(target_os = "linux")]
    fd: Option<std::os::fd::OwnedFd>,
}

impl Handle {
    /// Takes hold of a process; an error means that there is none, or none that this user may signal.
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        let pid = to_pid(pid)?;
        #[cfg(target_os = "linux")]
        let fd = open_pidfd(pid)?;
        test_kill_process(pid)?;
        Ok(Self {
            pid,
            #[cfg(target_os = "linux")]
            fd,
        })
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(fd) = &self.fd {
            return Ok(rustix::process::pidfd_send_signal(fd, signal)?);
        }
        Ok(kill_process(self.pid, signal)?)
    }

    /// Blocks until the process has ended, child or not.
    pub(super) fn wait(&self) {
        #[cfg(target_os = "linux")]
        if let Some(fd) = &self.fd
            && wait_readable(fd).is_ok()
        {
            return;
        }
        while test_kill_process(self.pid).is_ok() {
            std::thread::sleep(POLL);
        }
    }
}

/// Whether there is a process of that id which this user may signal.
pub(super) fn is_alive(pid: u32) -> bool {
    to_pid(pid).is_ok_and(|pid| test_kill_process(pid).is_ok())
}

/// Ids 0 and 1 are never a node's: 0 means a process group, 1 is the system's first process.
fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{pid} is no process id of a node"),
            )
        })
}

#[cfg(target_os = "linux")]
fn open_pidfd(pid: Pid) -> io::Result<Option<std::os::fd::OwnedFd>> {
    use rustix::{
        io::Errno,
        process::{PidfdFlags, pidfd_open},
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        // Not in this kernel, or not allowed in this container.
        Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn wait_readable(fd: &std::os::fd::OwnedFd) -> rustix::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(fd, PollFlags::IN)], None))?;
    Ok(())
}
