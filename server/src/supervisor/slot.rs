//! One configured node's place: the process on it now, and what the gateway asked of that process.

use std::net::{TcpListener, ToSocketAddrs as _};

use parking_lot::Mutex;
use tokio::sync::watch;
use wiber_app::view::ProcessState;
use wiber_protocol::config::NodeSpec;

use super::{
    lock::LockFile,
    process::{Exit, Process},
};

/// What the gateway asked of a running process: it tells a wanted end from an accident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: it should run.
    #[default]
    Run,
    /// To hand over and end (SIGTERM).
    Stop,
    /// To die (SIGKILL).
    Kill,
    /// To die, after it did not stop in time.
    KillAfterStop,
    /// To end because the gateway itself ends.
    Shutdown,
}

impl Asked {
    /// How the process ended, as a sentence for its row.
    pub(super) fn describe(self, exit: Exit, last_error: Option<&str>) -> String {
        match (self, exit) {
            (Self::Kill, _) => "killed (SIGKILL, through the gateway)".to_owned(),
            (Self::KillAfterStop, _) => "killed (SIGKILL): it did not stop when asked".to_owned(),
            (Self::Stop, Exit::Unknown) => "stopped, as asked through the gateway".to_owned(),
            (Self::Stop, exit) => format!("stopped, as asked through the gateway ({exit})"),
            (Self::Shutdown, _) => "stopped with the gateway".to_owned(),
            (Self::Run, exit) => match last_error {
                Some(line) => format!("{exit}: {line}"),
                None => exit.to_string(),
            },
        }
    }
}

/// What runs on a slot.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// A process on this machine that can be signalled.
    pub(super) process: Option<Process>,
    /// Whether a gateway (this one or the one before) started it.
    pub(super) by_gateway: bool,
    pub(super) asked: Asked,
}

/// One configured node.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) spec: NodeSpec,
    /// Whether the node's host is this machine, so that its process can be started and signalled.
    pub(super) local: bool,
    pub(super) lock: LockFile,
    /// Held through a whole action: actions on one node are done one after another.
    pub(super) action: tokio::sync::Mutex<()>,
    pub(super) current: Mutex<Current>,
    pub(super) state: watch::Sender<ProcessState>,
}

impl Slot {
    pub(super) fn new(spec: NodeSpec, lock: LockFile) -> Self {
        Self {
            local: is_this_machine(&spec.host),
            spec,
            lock,
            action: tokio::sync::Mutex::default(),
            current: Mutex::default(),
            state: watch::channel(ProcessState::default()).0,
        }
    }

    pub(super) fn process(&self) -> Option<Process> {
        self.current.lock().process.clone()
    }
}

/// Whether a host name means this machine: only an own address can be bound.
fn is_this_machine(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    (host, 0)
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.any(|address| TcpListener::bind(address).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_own_addresses_are_this_machine() {
        assert!(is_this_machine("localhost") && is_this_machine("127.0.0.1") && is_this_machine("127.0.0.7"));
        // TEST-NET-1 (RFC 5737): nobody's address.
        assert!(!is_this_machine("192.0.2.1"));
    }
}
