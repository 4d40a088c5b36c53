//! A running node process: signals to it, and the news of its end.
//!
//! A child tells its exit status; an adopted process (the gateway that started it is gone, or somebody started it
//! by hand) only that it ended, since its status goes to its own parent.

use std::{fmt, io, os::unix::process::ExitStatusExt, process::ExitStatus, sync::Arc};

use rustix::process::Signal;
use tokio::{process::Child, sync::watch};

use super::handle::Handle;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Status(ExitStatus),
    /// It was not this gateway's child.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exit status {code}"),
                (None, Some(signal)) => write!(f, "signal {signal}{}", signal_name(signal)),
                (None, None) => write!(f, "{status}"),
            },
            Self::Unknown => f.write_str("exit status unknown: this gateway did not start it"),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    let names = [
        (Signal::HUP, ", SIGHUP"),
        (Signal::INT, ", SIGINT"),
        (Signal::QUIT, ", SIGQUIT"),
        (Signal::ILL, ", SIGILL"),
        (Signal::ABORT, ", SIGABRT"),
        (Signal::BUS, ", SIGBUS"),
        (Signal::FPE, ", SIGFPE"),
        (Signal::KILL, ", SIGKILL"),
        (Signal::SEGV, ", SIGSEGV"),
        (Signal::PIPE, ", SIGPIPE"),
        (Signal::TERM, ", SIGTERM"),
    ];
    names
        .iter()
        .find(|(known, _)| known.as_raw() == signal)
        .map_or("", |(_, name)| name)
}

/// One run of a node. Clones are the same run.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    handle: Arc<Handle>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Process {
    /// A child of this gateway. Fails if it can't be held, which a child that was not waited for always can.
    pub(super) fn of_child(mut child: Child) -> io::Result<Self> {
        let pid = child
            .id()
            .ok_or_else(|| io::Error::other("the child was waited for"))?;
        let handle = Arc::new(Handle::open(pid)?);
        let (told, exit) = watch::channel(None);
        tokio::spawn(async move {
            let exit = child.wait().await.map_or(Exit::Unknown, Exit::Status);
            told.send_replace(Some(exit));
        });
        Ok(Self { pid, handle, exit })
    }

    /// A process that is not this gateway's child.
    pub(super) fn adopt(pid: u32) -> io::Result<Self> {
        let handle = Arc::new(Handle::open(pid)?);
        let (told, exit) = watch::channel(None);
        let held = Arc::clone(&handle);
        // A thread and not a blocking task: the runtime would wait for that at its end, and the node may outlive us.
        std::thread::Builder::new()
            .name(format!("wait-{pid}"))
            .spawn(move || {
                held.wait();
                told.send_replace(Some(Exit::Unknown));
            })?;
        Ok(Self { pid, handle, exit })
    }

    /// Sends a signal. A process that has just ended is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.exit.borrow().is_some() {
            return Ok(());
        }
        match self.handle.signal(signal) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
            other => other,
        }
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(Exit::Unknown),
            Err(_) => Exit::Unknown,
        }
    }
}
