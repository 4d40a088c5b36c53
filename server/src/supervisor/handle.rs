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
    fd: Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>,
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
            return Ok(rustix::process::pidfd_send_signal(fd.get_ref(), signal)?);
        }
        Ok(kill_process(self.pid, signal)?)
    }

    /// Returns when the process has ended.
    pub(super) async fn ended(&self) {
        #[cfg(target_os = "linux")]
        if let Some(fd) = &self.fd
            && fd.readable().await.is_ok()
        {
            return;
        }
        while test_kill_process(self.pid).is_ok() {
            tokio::time::sleep(POLL).await;
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
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process id of a node")))
}

#[cfg(target_os = "linux")]
fn open_pidfd(pid: Pid) -> io::Result<Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>> {
    use rustix::{
        io::Errno,
        process::{PidfdFlags, pidfd_open},
    };
    use tokio::io::{Interest, unix::AsyncFd};
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => Ok(Some(AsyncFd::with_interest(fd, Interest::READABLE)?)),
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
